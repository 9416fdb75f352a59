"""GPU or CPU, threads and precision: chosen in this one place."""

import functools
import os
import time
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits
from torch import nn

from stiffcore.errors import CannotCompute

# TensorFloat-32 rounds to 10 bits and can flip masks; torch has it on by default for convolutions.
torch.backends.cudnn.allow_tf32 = False
torch.backends.cuda.matmul.allow_tf32 = False


def usable_cpus() -> int:
    """Processors that this process may use, hyperthreads included."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def training_device() -> torch.device:
    """The GPU where there is one, else the CPU with all its cores."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    torch.set_num_threads(usable_cpus())
    return torch.device("cpu")


def has_bfloat16(where: torch.device) -> bool:
    """Whether bf16 is worth using: on a GPU that has it, and on a CPU with AVX-512, bf16 instructions or not."""
    if where.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return (
        torch.backends.cpu.get_cpu_capability().startswith(("AVX512", "AMX")) or torch.cpu._is_avx512_bf16_supported()
    )


def compiled(model: nn.Module) -> nn.Module:
    """The compiled model where a compiler is at hand, else the model itself."""
    try:
        from torch._inductor.cpp_builder import get_cpp_compiler

        get_cpp_compiler()
    except Exception:  # no C++ compiler on this machine: slower, not wrong
        return model
    compiled_model: nn.Module = torch.compile(model)  # type: ignore[assignment]  # a module in, a module out
    return compiled_model


UNIT_ROUNDOFF = 2.0**-53  # of float64, which every spectrum here is computed in
SMALLEST_CUDA_SIDE = 1000  # side; about where cuSOLVER is reported to win; _calibrated_cuda_side measures it


def use_one_thread() -> None:
    """One thread for torch and for the BLAS of numpy and scipy; parallelism is over matrices.

    Two BLAS threads on a busy machine took 15 s for what one did in 1.2 s.
    """
    import scipy.linalg  # noqa: F401  its BLAS is another than numpy's, and only what is loaded can be limited

    torch.set_num_threads(1)
    threadpool_limits(1, user_api="blas")


def eigensolver_device(side: int) -> torch.device:
    """Where the eigenvalues of a matrix of this side are computed: CUDA where there is one and it is worth it."""
    if torch.cuda.is_available() and side >= _calibrated_cuda_side():
        return torch.device("cuda")
    return torch.device("cpu")


@functools.cache
def _calibrated_cuda_side() -> int:
    """The smallest of a few sides at which the GPU beat the host's LAPACK, measured once a process."""
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
    """As results state it: ``cpu`` or the GPU's name."""
    return torch.cuda.get_device_name(where) if where.type == "cuda" else "cpu"


def available_memory() -> int:
    """Bytes that can be allocated now without swapping; a very large number where the system does not say."""
    try:
        with open("/proc/meminfo") as file:
            fields = dict(line.split(":") for line in file)
        available = int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        available = 2**62
    return min(available, _left_in_container())


def _left_in_container() -> int:
    """What the control group (version 2) of a container leaves, which /proc/meminfo does not know of."""
    try:
        group = Path("/sys/fs/cgroup")
        return int((group / "memory.max").read_text()) - int((group / "memory.current").read_text())
    except (OSError, ValueError):  # no such group, or no limit: "max"
        return 2**62


def check_memory(needed: int, limit: int, what: str, instead: str) -> None:
    """Raise CannotCompute where ``needed`` bytes exceed the limit or what is available."""
    allowed = min(limit, int(0.9 * available_memory()))
    if needed > allowed:
        raise CannotCompute(
            f"Expected {what} to fit into {allowed / 1e9:.1f} GB of memory, got a need of {needed / 1e9:.1f} GB: {instead}."
        )
