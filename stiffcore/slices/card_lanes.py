"""Launches of the kernels for a card, and what they write: a number for each matrix, and the tally of all."""

import functools
import importlib.util
import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Self

import torch
from torch import Tensor

from stiffcore.slices import kernels

SAID = "Slices are computed on the CPU: "


@dataclass(frozen=True)
class Lanes:
    """What ``card_kernels.scan`` writes for each of M matrices, shapes (M,), and its tally, indexed as in ``kernels``."""

    high: Tensor  # float64, as the next two
    low: Tensor
    size: Tensor
    flags: Tensor  # int8, as the next two
    positives: Tensor
    degrees: Tensor  # written where matrices are sparse
    tallies: Tensor  # int64, shape: (card_kernels.SLOTS, 4)

    @classmethod
    def empty(cls, number: int, where: torch.device) -> Self:
        from stiffcore.slices.card_kernels import SLOTS

        def made(kind: torch.dtype) -> Tensor:
            return torch.empty(number, dtype=kind, device=where)

        bounds, counts = torch.float64, torch.int8
        tallies = torch.zeros(SLOTS.value, 4, dtype=torch.int64, device=where)
        return cls(made(bounds), made(bounds), made(bounds), made(counts), made(counts), made(counts), tallies)

    @property
    def tally(self) -> Tensor:
        """int64, shape: (4,)."""
        return self.tallies.sum(0)

    def part(self, first: int, last: int) -> Self:
        """Some of the matrices; the tally is that of all."""
        names = [field.name for field in fields(self)][:-1]
        return replace(self, **{name: getattr(self, name)[first:last] for name in names})


def scan_lanes(
    values: Tensor,
    n: int,
    channels: int,
    row_stride: int,
    apart: int,
    counting: bool,
    lanes: Lanes,
    sparse: bool = False,
) -> None:
    """Scans the n×n matrices of some rows; ``lanes`` are theirs. Arguments as in ``card_kernels.scan``."""
    if sparse and n > 2:
        _launch("degree", values, (lanes.degrees,), (len(lanes.high), channels, row_stride, apart), (n,))
    _scan(values, n, (channels, row_stride, apart), counting, lanes, sparse)


def _scan(values: Tensor, n: int, strides: tuple[int, int, int], counting: bool, lanes: Lanes, sparse: bool) -> None:
    written = lanes.high, lanes.low, lanes.size, lanes.flags, lanes.positives, lanes.tallies
    sizes = len(lanes.high), *strides, int(sparse)
    _launch("scan", values, (lanes.degrees, *written), sizes, (n, math.sqrt(n), counting))


def _launch(name: str, values: Tensor, tensors: tuple[Tensor, ...], sizes: tuple[int, ...], known: tuple) -> None:
    from stiffcore.slices import card_kernels  # Triton

    total, lanes = sizes[0], card_kernels.LANES
    if total:
        with torch.cuda.device_of(values):
            getattr(card_kernels, name)[(-(-total // lanes),)](
                values, *tensors, *sizes, *known, lanes, **card_kernels.OPTIONS
            )


def beyond(matrices: Tensor, is_own: Tensor, limits: Tensor) -> Tensor:
    """Which of the matrices (M, n, n), n at least 3, may have an eigenvalue beyond limits, indexed as in ``kernels``. bool, shape: (M,).

    Real parts by Routh's criterion for K less a limit, which has an answer where the norms of ``scan`` have none; the radius by
    ‖K⁴‖_F, whose rounding error is at most 4·n·u·‖K‖⁴_F. Rows and columns of zeros, which fill a smaller matrix up, change nothing
    while the limits lie on both sides of 0. is_own: bool (M,), which carry the skip's 1.
    """
    n, eye = matrices.shape[-1], torch.eye(matrices.shape[-1], dtype=torch.float64, device=matrices.device)
    ours, others = limits[: kernels.RADIUS], limits[kernels.OTHER_HIGH :]
    top, bottom = torch.where(is_own, ours[:, None], others[:, None])[:, :, None, None]  # each of shape (M, 1, 1)
    moved = torch.cat([matrices - top * eye, bottom * eye - matrices])
    lanes = Lanes.empty(len(moved), matrices.device)
    lanes.degrees.fill_(n)  # here a 0 is a number like others
    _scan(moved, n, (1, n * n, 1), True, lanes, sparse=True)
    outside = ((lanes.flags != 0) | (lanes.positives > 0)).view(2, -1).any(0)
    square = matrices @ matrices
    fourth, size = torch.linalg.matrix_norm(square @ square), torch.linalg.matrix_norm(matrices)
    inside = fourth + 4 * n * kernels.UNIT_ROUNDOFF * size**4 < limits[kernels.RADIUS] ** 4
    return outside | ~inside


def reason() -> str:
    """Why the slices of a state on a card are computed on the CPU, as a sentence; "" where they are computed on the card.

    Tried once per process by one launch: Triton also needs a C compiler, and a driver that it knows.
    """
    if not torch.cuda.is_available():
        return f"{SAID}there is no CUDA device."
    if importlib.util.find_spec("triton") is None:
        return (
            f"{SAID}Triton, which compiles their kernels for a card, is not installed (pip install triton, on Linux)."
        )
    return _tried(torch.cuda.is_available)


@functools.cache
def _tried(is_available: Callable[[], bool]) -> str:
    """is_available: who says that there is a card; a stand-in's answer is not kept for the real one."""
    try:
        one = torch.ones(1, dtype=torch.float64, device="cuda")
        lanes = Lanes.empty(1, one.device)
        scan_lanes(one, 1, 1, 1, 1, True, lanes)
        works = lanes.tally.tolist() == [0, 1, 0, 1]
    except Exception as error:  # whatever a compiler or a driver may say
        why = str(error).strip().partition("\n")[0][:200]
        return f"{SAID}Triton cannot compile their kernels here ({type(error).__name__}: {why})."
    return "" if works else f"{SAID}what Triton compiles here counts wrongly."
