"""Chooses device, threads and precision for the whole package."""

import functools
import os
import time
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits
from torch import nn

from stiffcore.errors import CannotCompute

CPU = torch.device("cpu")

# TensorFloat-32 rounds to 10 bits and can flip masks; torch uses it by default for convolutions.
torch.backends.cudnn.allow_tf32 = False
torch.backends.cuda.matmul.allow_tf32 = False


def usable_cpus() -> int:
    """Processors that this process may use, hyperthreads included."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def training_device() -> torch.device:
    """The GPU if there is one, else the CPU with all its cores."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    torch.set_num_threads(usable_cpus())
    return torch.device("cpu")


def has_bfloat16(where: torch.device) -> bool:
    """Whether bf16 pays off: on a GPU that supports it, and on a CPU with AVX-512, even without bf16 instructions."""
    if where.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return (
        torch.backends.cpu.get_cpu_capability().startswith(("AVX512", "AMX")) or torch.cpu._is_avx512_bf16_supported()
    )


def compiled(model: nn.Module) -> nn.Module:
    """The compiled model if there is a C++ compiler, else the model itself."""
    try:
        from torch._inductor.cpp_builder import get_cpp_compiler

        get_cpp_compiler()
    except Exception:  # no C++ compiler: slower, but correct
        return model
    compiled_model: nn.Module = torch.compile(model)  # type: ignore[assignment]  # a module in, a module out
    return compiled_model


UNIT_ROUNDOFF = 2.0**-53  # of float64, the precision of every spectrum
SMALLEST_CUDA_SIDE = 1000  # side from which cuSOLVER is reported to be faster; _calibrated_cuda_side measures it


def use_one_thread() -> None:
    """One thread for torch and for the BLAS of numpy and scipy; parallelism is over matrices.

    Two BLAS threads on a busy machine took 15 s for what one did in 1.2 s.
    """
    import scipy.linalg  # noqa: F401  scipy has its own BLAS, and only a loaded BLAS can be limited

    torch.set_num_threads(1)
    threadpool_limits(1, user_api="blas")


def eigensolver_device(side: int) -> torch.device:
    """The device for the eigenvalues of a matrix of this side: CUDA if there is one and it is faster."""
    if torch.cuda.is_available() and side >= _calibrated_cuda_side():
        return torch.device("cuda")
    return torch.device("cpu")


@functools.cache
def _calibrated_cuda_side() -> int:
    """The smallest of a few sides at which the GPU beats the host's LAPACK, measured once per process."""
    generator = torch.Generator().manual_seed(0)
    for side in (250, 500, SMALLEST_CUDA_SIDE, 2 * SMALLEST_CUDA_SIDE):
        matrix = torch.randn(side, side, dtype=torch.float64, generator=generator)
        on_gpu = matrix.cuda()
        torch.linalg.eigvals(on_gpu)  # warms the solver up
        torch.cuda.synchronize()
        began = time.perf_counter()
        torch.linalg.eigvals(on_gpu).cpu()
        gpu = time.perf_counter() - began
        began = time.perf_counter()
        torch.linalg.eigvals(matrix)
        if gpu < time.perf_counter() - began:
            return side
    return 4 * SMALLEST_CUDA_SIDE


def name(where: torch.device) -> str:
    """The device's name in results: ``cpu`` or the GPU's name."""
    return torch.cuda.get_device_name(where) if where.type == "cuda" else "cpu"


def free_memory(where: torch.device) -> int:
    """Bytes that can be allocated now on a device."""
    if where.type != "cuda":
        return available_memory()
    kept = torch.cuda.memory_reserved(where) - torch.cuda.memory_allocated(where)  # by torch, for what comes next
    return int(torch.cuda.mem_get_info(where)[0]) + kept


def available_memory() -> int:
    """Bytes that can be allocated now without swapping; 2^62 if unknown."""
    try:
        with open("/proc/meminfo") as file:
            fields = dict(line.split(":") for line in file)
        available = int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        available = 2**62
    return min(available, _left_in_container())


def _left_in_container() -> int:
    """Bytes left in a container's control group (version 2), which /proc/meminfo does not show; 2^62 if unlimited."""
    try:
        group = Path("/sys/fs/cgroup")
        return int((group / "memory.max").read_text()) - int((group / "memory.current").read_text())
    except (OSError, ValueError):  # no such group, or no limit: "max"
        return 2**62


def check_memory(needed: int, limit: int, what: str, instead: str, where: torch.device = CPU) -> None:
    """Raise CannotCompute if ``needed`` bytes exceed the limit or what is available."""
    allowed = min(limit, int(0.9 * free_memory(where)))
    if needed > allowed:
        raise CannotCompute(
            f"Not enough memory: {what} needs {needed / 1e9:.1f} GB, {allowed / 1e9:.1f} GB are available: {instead}."
        )
