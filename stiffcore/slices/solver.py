"""The eigenvalues of small matrices by LAPACK: for matrices that the compiled kernels leave open, and for the density."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

UNIT_ROUNDOFF = 2.0**-53
ERRORS = ("trace_error", "trace_square_error", "conjugate_error")  # in the order of Solved.errors


def peeled(matrices: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """For each m from 1 that occurs: which matrices of (M, n, n) keep m indices, and their submatrices on these, (·, m, m).

    An index whose row or column is zero carries the eigenvalue 0. Such indices are dropped until none is left.
    """
    n = matrices.shape[-1]
    filled = matrices != 0
    if len(matrices) and filled.all():  # the usual case
        yield torch.arange(len(matrices)), matrices
        return
    kept = torch.ones(matrices.shape[:2], dtype=torch.bool)
    for _ in range(n):
        inside = filled & kept[:, :, None] & kept[:, None, :]
        kept = inside.any(1) & inside.any(2)
    sizes = kept.sum(1)
    for m in range(1, n + 1):
        chosen = (sizes == m).nonzero()[:, 0]
        if len(chosen):
            index = kept[chosen].nonzero()[:, 1].reshape(-1, m)
            rows = matrices[chosen].gather(1, index[:, :, None].expand(-1, -1, n))
            yield chosen, rows.gather(2, index[:, None, :].expand(-1, m, -1))


@dataclass(frozen=True)
class Solved:
    """Eigenvalues (M, m) of M matrices. axis: half-width of the strip around the axis in which a sign is undetermined; zeros: how
    many of them are zero by the matrix's pattern, the ones nearest to 0; none where it is None."""

    matrices: Tensor
    eigenvalues: Tensor
    axis: Tensor  # shape: (M, 1)
    zeros: Tensor | None = None  # int64, shape: (M,)

    @property
    def kept(self) -> Tensor:
        """The eigenvalues that are not zero by structure. bool, shape: (M, m)."""
        if self.zeros is None:
            return torch.ones(self.eigenvalues.shape, dtype=torch.bool)
        rank = self.eigenvalues.abs().argsort(1).argsort(1)
        return rank >= self.zeros[:, None]

    @property
    def number(self) -> int:
        """Of the eigenvalues that are not zero by structure."""
        return self.eigenvalues.numel() - (0 if self.zeros is None else int(self.zeros.sum()))

    @property
    def negative(self) -> int:
        return int(((self.eigenvalues.real < -self.axis) & self.kept).sum())

    @property
    def positive(self) -> int:
        return int(((self.eigenvalues.real > self.axis) & self.kept).sum())

    @property
    def undetermined(self) -> int:
        return self.number - self.negative - self.positive

    def errors(self) -> tuple[float, float, float]:
        """Largest |Σλ − tr K| / ‖K‖_F, |Σλ² − tr K²| / ‖K‖²_F and |Im Σλ| / ‖K‖_F."""
        size = torch.linalg.matrix_norm(self.matrices)
        total, square = self.eigenvalues.sum(1), (self.eigenvalues**2).sum(1)
        trace = self.matrices.diagonal(dim1=1, dim2=2).sum(1)
        trace_of_square = (self.matrices * self.matrices.mT).sum((1, 2))
        errors = ((total - trace).abs() / size, (square - trace_of_square).abs() / size**2, total.imag.abs() / size)
        trace_error, square_error, conjugate_error = (float(error.max()) for error in errors)
        return trace_error, square_error, conjugate_error


def structural_zeros(matrices: Tensor) -> Tensor:
    """How many eigenvalues of each matrix (M, m, m) are zero by its pattern. int64, shape: (M,)."""
    from stiffcore.slices import kernels  # numba

    found = np.empty(len(matrices), np.int64)
    kernels.degrees(np.ascontiguousarray(matrices.permute(1, 2, 0).numpy()), found)
    return matrices.shape[-1] - torch.from_numpy(found)


def solve(matrices: Tensor, counting: bool, sparse: bool = False) -> Solved:
    """LAPACK's eigenvalues of peeled matrices (M, m, m). sparse: whether to find those that are zero by structure.

    A sign is undetermined within max(10·m·u·‖K‖_F, 10·d) of the axis, d the largest distance between the spectra of
    K and Kᵀ. Without ``counting``, d is left out: the spectrum of Kᵀ doubles the cost.
    """
    m = matrices.shape[-1]
    eigenvalues = torch.linalg.eigvals(matrices)
    axis = 10 * m * UNIT_ROUNDOFF * torch.linalg.matrix_norm(matrices)
    if counting and m > 1:
        distance = (eigenvalues[:, :, None] - torch.linalg.eigvals(matrices.mT.contiguous())[:, None, :]).abs()
        axis = torch.maximum(axis, 10 * torch.maximum(distance.amin(1).amax(1), distance.amin(2).amax(1)))
    return Solved(matrices, eigenvalues, axis[:, None], structural_zeros(matrices) if sparse else None)
