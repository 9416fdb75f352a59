"""Singular values of blocks that change the shape and therefore have no eigenvalues."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from stiffcore import device
from stiffcore.conventions import Convention
from stiffcore.jacobians import operator as jacobian
from stiffcore.jacobians.linearise import BlockState
from stiffcore.networks.geometry import BlockGeometry
from stiffcore.progress import Progress, silent
from stiffcore.spectra import bidiagonal, full as full_spectra

ALL_BELOW = 6000  # live rows; above it only the largest and the smallest are computed
ALWAYS_ALL_BELOW = 2000  # live rows; below it the outermost alone are no cheaper (11 s against 8 s at 750 rows)


@dataclass(frozen=True)
class SingularValues:
    """The singular values of the live rows of a Jacobian that is not square."""

    values: (
        np.ndarray
    )  # float64, descending; all of them, or the largest and the smallest; 0.0 where within rounding of 0
    complete: bool
    structural_zeros: int  # from dead outputs
    health: dict[str, float]


def compute(
    state: BlockState, convention: Convention, complete: bool = True, progress: Progress = silent
) -> SingularValues:
    """Singular values of the live rows of a Jacobian that has no eigenvalues; structural zeros are counted separately.

    complete: all of them where they fit into memory; otherwise, and for large blocks, only the largest and the smallest. Where
    all of them take only seconds they are always computed: Lanczos takes as long and may not converge to the smallest.
    """
    geometry = state.geometry
    zeros = structural_zeros(state, convention)
    rank = min(geometry.n_out, geometry.n_in) - zeros
    if rank == 0:
        return SingularValues(np.zeros(0), True, zeros, {})
    longest = geometry.n_in if convention.has_skip else max(geometry.n_in, geometry.n_out)
    needed = 3 * 8 * rank * longest + full_spectra.BESIDES
    too_many = rank > (ALL_BELOW if complete else ALWAYS_ALL_BELOW)
    if too_many or needed > full_spectra.allowed_memory(full_spectra.METRICS_MEMORY, state.device):
        return _outer_singular_values(state, convention, zeros, progress)
    progress(0, 2, f"forming a matrix of rank {rank}")
    if convention.has_skip:
        matrix = jacobian.dense_rows(state, convention)[:, _live_columns(state)]
    else:  # the R factors of left and rightᵀ have all singular values except the structural zeros
        left, right = jacobian.branch_factors(state)
        matrix = torch.linalg.qr(left, mode="r").R @ torch.linalg.qr(right.T, mode="r").R.T
    progress(1, 2, f"singular values of {matrix.shape[0]} × {matrix.shape[1]}")
    values = torch.linalg.svdvals(matrix.T if matrix.shape[0] < matrix.shape[1] else matrix).cpu().numpy()
    values = np.where(values > _rounding(geometry) * values[:1], values, 0.0)  # live rows can depend on each other
    size = float((matrix**2).sum())  # ‖J‖_F², the sum of the squared singular values
    return SingularValues(
        values, True, zeros, {"trace_square_error": abs(float((values**2).sum()) - size) / (size or 1.0)}
    )


def structural_zeros(state: BlockState, convention: Convention) -> int:
    """How many singular values the masks make zero."""
    smaller = min(state.geometry.n_out, state.geometry.n_in)
    rank = min(smaller, int(state.kept_outputs(convention).sum()))
    if not convention.has_skip:
        rank = min(rank, *(int(mask.sum()) for mask in state.masks))
    elif state.skip_is_masked:
        rank = min(rank, int(state.masks[0].sum()))
    return smaller - rank


def _rounding(geometry: BlockGeometry) -> float:
    """max(shape) · ε: a smaller singular value, relative to the largest, is a numerical zero."""
    return max(geometry.n_out, geometry.n_in) * 2 * device.UNIT_ROUNDOFF


def _live_columns(state: BlockState) -> Tensor:
    """The inputs that the block reads: those that D_0 lets through, if the skip stands behind it. bool, shape: (n_in,)."""
    mask = state.masks[0].flatten()
    return mask if state.skip_is_masked else torch.ones_like(mask)


def _outer_singular_values(state: BlockState, convention: Convention, zeros: int, progress: Progress) -> SingularValues:
    """The largest and the smallest by Lanczos on J restricted to its live rows and columns.

    Without the skip only the largest: an inner layer limits the rank, and the smallest is a structural zero.
    """
    live, read = state.kept_outputs(convention).flatten(), _live_columns(state)

    def forward(v: Tensor) -> Tensor:
        progress(0, 1, "outermost singular values by Lanczos")
        return jacobian.apply(state, convention, _filled(v, read))[0][live]

    def backward(w: Tensor) -> Tensor:
        return jacobian.apply_transpose(state, convention, _filled(w, live))[0][read]

    rows, columns = int(live.sum()), int(read.sum())
    product, adjoint = (backward, forward) if rows <= columns else (forward, backward)
    largest, smallest = bidiagonal.outermost(product, adjoint, min(rows, columns), convention.has_skip, state.device)
    if smallest <= _rounding(state.geometry) * largest:
        smallest = 0.0
    return SingularValues(np.array([largest, smallest]), False, zeros, {})


def _filled(values: Tensor, mask: Tensor) -> Tensor:
    """The values where the mask is set, 0 elsewhere, as a batch of one."""
    x = values.new_zeros(1, len(mask))
    x[0, mask] = values
    return x
