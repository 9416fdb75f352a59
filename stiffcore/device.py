"""Chooses device, threads, precision and memory for the whole package: where a computation runs, and by how many threads."""

import functools
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from threadpoolctl import threadpool_limits
from torch import nn

from stiffcore import device_names
from stiffcore.errors import CannotCompute, NotEnoughMemory

_log = logging.getLogger(__name__)

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
Work = Literal["spectrum", "iteration", "patches"]


def use_one_thread() -> None:
    """One thread for torch and for the BLAS of numpy and scipy; parallelism is over matrices.

    Two BLAS threads on a busy machine took 15 s for what one did in 1.2 s.
    """
    import scipy.linalg  # noqa: F401  scipy has its own BLAS, and only a loaded BLAS can be limited

    torch.set_num_threads(1)
    threadpool_limits(1, user_api="blas")


def cards() -> list[str]:
    """The names of this process's CUDA devices, in the order of their numbers; empty without one."""
    return [torch.cuda.get_device_name(number) for number in range(number_of_cards())]


def number_of_cards() -> int:
    """Of CUDA devices that torch can use."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def parsed(asked: str) -> torch.device | None:
    """``cpu``, ``cuda`` (this process's card), or ``cuda:1`` as a device; None for ``auto``. Raises CannotCompute for what is not there."""
    number = device_names.number_of(asked)
    if asked == device_names.AUTO:
        return None
    if asked == device_names.CPU:
        return CPU
    there = number_of_cards()
    if not there:
        raise CannotCompute(
            f"Expected a CUDA device for {asked!r}, got a machine on which torch finds none: choose auto or cpu."
        )
    number = torch.cuda.current_device() if number is None else number
    if number >= there:
        raise CannotCompute(f"Expected a card from cuda:0 to cuda:{there - 1}, got {asked!r}: choose one of them.")
    return torch.device("cuda", number)


_asked: torch.device | None = None  # of this process; None: each computation where it is quicker


def use(asked: str, card: int | None = None) -> None:
    """Sets where this process computes unless a call says otherwise: ``auto``, ``cpu``, ``cuda``, ``cuda:1``.

    card: the number of the one card that ``auto`` and ``cuda`` mean in this process; None for torch's current one.
    """
    global _asked
    if card is not None:
        torch.cuda.set_device(card)
    _asked = parsed(asked)


def chosen(work: Work, size: int, asked: torch.device | None = None) -> torch.device:
    """Where work of a size is computed: the device that was asked for, else the process's (``use``), else the quicker one.

    work: "spectrum" (size: the side of a matrix whose eigenvalues or factors are wanted), "iteration" (the length of the vectors), or
    "patches" (of slices; how many these are). What is quicker is measured once per process and step of the size (``STEPS``).
    """
    where = _asked if asked is None else asked
    if where is not None:
        return where
    steps = [step for step in STEPS[work] if step <= size]
    if not steps or not number_of_cards():
        return CPU
    card = torch.device("cuda", torch.cuda.current_device())
    return card if _is_quicker(card, work, steps[-1]) else CPU


# Sizes at which host and card are compared; below the first the host is quicker on every card that we know, and beyond the last, which takes
# about a second, the card only gains.
STEPS: dict[Work, tuple[int, ...]] = {
    "spectrum": (250, 500, 1000),
    "iteration": (1000, 4000, 16_000),
    "patches": (10_000, 100_000, 1_000_000),
}
VECTORS = 64  # of the basis in a step of an iteration
TRIES = 2  # of each device; the quicker one counts


def _is_quicker(card: torch.device, work: Work, size: int) -> bool:
    """Whether the card does a piece of such work more quickly than the host; not where it has too little memory for it now."""
    try:
        return _compared(card, work, size)
    except RuntimeError:
        _say_once(f"{name(card)} has too little memory to be compared with the CPU, and is left out for now.")
    forget_unused(card)
    return False


@functools.cache  # keeps no exception: memory may be free again at the next request
def _compared(card: torch.device, work: Work, size: int) -> bool:
    """Whether the card is the quicker one, its answer copied to the host included, and able to. Raises RuntimeError where its memory is full."""
    task = _sample(work, size)
    try:
        on_card = task(card)
        on_card()  # loads the card's libraries
        on_card_takes = min(_seconds(on_card) for _ in range(TRIES))
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        _say_once(f"{name(card)} is not used: {error}")
        return False
    on_host = task(CPU)
    return on_card_takes < min(_seconds(on_host) for _ in range(TRIES))


@functools.cache
def _say_once(what: str) -> None:
    _log.warning(what)


def _sample(work: Work, size: int) -> Callable[[torch.device], Callable[[], object]]:
    """A piece of work: device -> a function that does it there, on data that lie there, and brings the answer to the host.

    spectrum: eigenvalues. iteration: a vector made orthogonal to a basis, and its norm. patches: products of 4 × 4 matrices.
    """
    generator = torch.Generator().manual_seed(0)
    shape = {"spectrum": (size, size), "iteration": (size, VECTORS), "patches": (size, 4, 4)}[work]
    data = torch.randn(shape, dtype=torch.float64, generator=generator)

    def there(where: torch.device) -> Callable[[], object]:
        x = data.to(where)
        if work == "spectrum":
            return lambda: torch.linalg.eigvals(x).cpu()
        if work == "iteration":
            return lambda: float((x[:, 0] - x @ (x.T @ x[:, 0])).norm())
        return lambda: float((x @ x @ x).sum())

    return there


def _seconds(task: Callable[[], object]) -> float:
    began = time.perf_counter()
    task()
    return time.perf_counter() - began


def numbered(where: torch.device) -> torch.device:
    """The same device with its number: ``cuda`` is the process's current card."""
    return torch.device("cuda", torch.cuda.current_device()) if where == torch.device("cuda") else where


def name(where: torch.device) -> str:
    """The device's name in results: ``cpu`` or the card's name."""
    if where.type == "cuda":
        return torch.cuda.get_device_name(where)
    return str(where)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a computation ended because a device's memory was too small; torch and CUDA's libraries have several words for it."""
    if isinstance(error, torch.OutOfMemoryError | NotEnoughMemory | MemoryError):
        return True
    words = ("out of memory", "not enough memory", "ALLOC_FAILED")
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)


def forget_unused(where: torch.device) -> None:
    """Gives memory that torch keeps for later back to a card."""
    if where.type == "cuda":
        torch.cuda.empty_cache()


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
    """Raise NotEnoughMemory if ``needed`` bytes exceed the limit or what is available."""
    allowed = min(limit, int(0.9 * free_memory(where)))
    if needed > allowed:
        raise NotEnoughMemory(
            f"Not enough memory: {what} needs {needed / 1e9:.1f} GB, {allowed / 1e9:.1f} GB are available: {instead}."
        )
