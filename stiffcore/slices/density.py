"""Where the eigenvalues of all slices lie in the complex plane: a two-dimensional histogram."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from stiffcore.slices import kernels
from stiffcore.slices.solver import ERRORS, Solved, peeled, solve

COLUMNS = 240  # bins along the real axis; those along the imaginary axis are as fine


def edges(max_re: float, min_re: float, radius: float, bulk: float) -> tuple[np.ndarray, np.ndarray]:
    """Bin edges, equally spaced in ``arcsinh(value / s)``, s a thirtieth of ``bulk``: fine near 0, coarse far away.

    The slices that carry the skip's 1 reach some hundred times farther than all others. 0 is an edge on the real axis, so
    that the columns left of it hold the negative real parts, and the middle of the central bin on the imaginary axis.
    """
    scale = max(bulk, 1e-3 * radius) / 30 or 1.0
    low, high = np.arcsinh(min(min_re, 0.0) / scale), np.arcsinh(max(max_re, 0.0) / scale)
    step = (high - low) / COLUMNS or 1.0
    columns = np.arange(int(np.floor(low / step)) - 1, int(np.ceil(high / step)) + 2)
    rows = int(np.ceil(np.arcsinh(radius / scale) / step)) + 1
    return scale * np.sinh(step * columns), scale * np.sinh(step * (np.arange(-rows, rows + 2) - 0.5))


def trimmed(density: np.ndarray, im_edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The density without empty outermost rows, equally many removed above and below; and its edges."""
    filled = np.asarray(density.any(1))
    empty = min(int(filled.argmax()), int(filled[::-1].argmax())) if filled.any() else len(filled) // 2
    return density[empty : len(filled) - empty], im_edges[empty : len(im_edges) - empty]


class Placed:
    """The histogram of some slices, a row per range of imaginary parts, and what else needs every eigenvalue."""

    def __init__(self, re_edges: np.ndarray, im_edges: np.ndarray):
        self.re_edges, self.im_edges = re_edges, im_edges
        self.density = np.zeros((len(im_edges) - 1, len(re_edges) - 1), np.int64)
        self.smallest_negative = np.inf  # of |Re λ| over Re λ < 0
        self.health = dict.fromkeys(ERRORS, 0.0)

    def add(self, other: "Placed") -> None:
        self.density += other.density
        self.smallest_negative = min(self.smallest_negative, other.smallest_negative)
        for name in ERRORS:
            self.health[name] = max(self.health[name], other.health[name])

    def add_zeros(self, number: int) -> None:
        self.density[len(self.im_edges) // 2 - 1, int(np.searchsorted(self.re_edges, 0.0, "right")) - 1] += number

    def add_solved(self, solved: Solved) -> None:
        kept = solved.kept  # the structural zeros are added as one number
        kernels.place(solved.eigenvalues[kept].numpy(), self.re_edges, self.im_edges, self.density)
        negative = solved.eigenvalues[kept & (solved.eigenvalues.real < -solved.axis)]
        if len(negative):
            self.smallest_negative = min(self.smallest_negative, float((-negative.real).min()))
        for name, error in zip(ERRORS, solved.errors()):
            self.health[name] = max(self.health[name], error)


def place(values: Tensor, re_edges: np.ndarray, im_edges: np.ndarray, sparse: bool = False) -> Placed:
    """The non-zero eigenvalues of the matrices values[o, :, :, c] of ``values`` (N, n, n, C). sparse: as in ``kernels.scan_lanes``."""
    placed = Placed(re_edges, im_edges)
    for solved in _solved(values.permute(0, 3, 1, 2).flatten(0, 1), sparse):
        placed.add_solved(solved)
    return placed


def _solved(matrices: Tensor, sparse: bool) -> Iterator[Solved]:
    """Matrices (M, n, n) solved by closed forms and LAPACK; those with exact zeros are peeled first."""
    has_zero = (matrices == 0).any(2).any(1)
    full = matrices[~has_zero]
    if len(full):
        yield _closed(full) if full.shape[-1] <= 2 else solve(full, False)
    for _, kept in peeled(matrices[has_zero & (matrices != 0).any(2).any(1)]):
        yield _closed(kept) if kept.shape[-1] <= 2 else solve(kept, False, sparse)


def _closed(matrices: Tensor) -> Solved:
    if matrices.shape[-1] == 1:
        eigenvalues = matrices[:, :, 0].to(torch.complex128)
    else:
        eigenvalues = torch.empty(len(matrices), 2, dtype=torch.complex128)
        kernels.eigenvalues_2(matrices.numpy(), eigenvalues.numpy())
    axis = 10 * matrices.shape[-1] * kernels.UNIT_ROUNDOFF * torch.linalg.matrix_norm(matrices)
    return Solved(matrices, eigenvalues, axis[:, None])
