"""Singular values of blocks that change the shape and therefore have no eigenvalues."""

from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

from stiffcore import device
from stiffcore.conventions import Convention
from stiffcore.jacobians import operator as jacobian
from stiffcore.jacobians.linearise import BlockState
from stiffcore.progress import Progress, silent
from stiffcore.spectra import full as full_spectra

ALL_BELOW = 6000  # live rows; above it only the largest and the smallest are computed
ALWAYS_ALL_BELOW = 2000  # live rows; below it the outermost alone are no cheaper (11 s against 8 s at 750 rows)


@dataclass(frozen=True)
class SingularValues:
    """The singular values of the live rows of a Jacobian that is not square."""

    values: np.ndarray  # float64, descending; all of them, or the largest and the smallest
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
    if too_many or needed > min(full_spectra.METRICS_MEMORY, 0.9 * device.available_memory()):
        return _outer_singular_values(state, convention, zeros, progress)
    progress(0, 2, f"forming a matrix of rank {rank}")
    if convention.has_skip:
        matrix = jacobian.dense_rows(state, convention)[:, _live_columns(state)]
    else:  # the R factors of left and rightᵀ have all singular values except the structural zeros
        left, right = jacobian.branch_factors(state)
        matrix = torch.linalg.qr(left, mode="r").R @ torch.linalg.qr(right.T, mode="r").R.T
    progress(1, 2, f"singular values of {matrix.shape[0]} × {matrix.shape[1]}")
    values = torch.linalg.svdvals(matrix.T if matrix.shape[0] < matrix.shape[1] else matrix).numpy()
    if state.skip_is_masked and len(
        values
    ):  # then dead inputs can make live rows dependent: what is left of 0 is rounding
        values = np.where(values > max(matrix.shape) * 2 * device.UNIT_ROUNDOFF * values[0], values, 0.0)
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


def _live_columns(state: BlockState) -> torch.Tensor:
    """The inputs that the block reads: those that D_0 lets through, if the skip stands behind it. bool, shape: (n_in,)."""
    mask = state.masks[0].flatten()
    return mask if state.skip_is_masked else torch.ones_like(mask)


def _outer_singular_values(state: BlockState, convention: Convention, zeros: int, progress: Progress) -> SingularValues:
    """The largest and the smallest by Lanczos on the smaller of J Jᵀ and Jᵀ J over the live rows."""
    live = state.kept_outputs(convention).flatten()
    read = _live_columns(state)
    rows, columns = int(live.sum()), int(read.sum())

    def on_rows(w: np.ndarray) -> np.ndarray:
        x = torch.zeros(1, len(live), dtype=torch.float64)
        x[0, live] = torch.from_numpy(np.ascontiguousarray(w.ravel()))
        return jacobian.apply(state, convention, jacobian.apply_transpose(state, convention, x))[0][live].numpy()

    def on_columns(v: np.ndarray) -> np.ndarray:
        x = torch.zeros(1, len(read), dtype=torch.float64)
        x[0, read] = torch.from_numpy(np.ascontiguousarray(v.ravel()))
        y = jacobian.apply(state, convention, x)
        y[0, ~live] = 0
        return jacobian.apply_transpose(state, convention, y)[0][read].numpy()

    side, product = (rows, on_rows) if rows <= columns else (columns, on_columns)

    def watched(v: np.ndarray) -> np.ndarray:
        progress(0, 1, "outermost singular values by Lanczos")
        return product(v)

    operator = LinearOperator((side, side), matvec=watched, dtype=np.float64)
    start = np.random.default_rng(0).standard_normal(side)
    largest = eigsh(operator, k=1, which="LA", v0=start, return_eigenvectors=False)[0]
    smallest = np.nan
    if convention.has_skip:  # without it the smallest is a structural zero: an inner layer limits the rank
        with suppress(ArpackNoConvergence):  # then the smallest is not computed
            smallest = eigsh(
                operator, k=1, which="SA", v0=start, ncv=40, maxiter=30, tol=1e-6, return_eigenvectors=False
            )[0]
    # σ² has an error of about u·σ_max², so a σ below √u·σ_max would be noise.
    if smallest < 100 * device.UNIT_ROUNDOFF * side * largest:
        smallest = np.nan
    return SingularValues(np.sqrt(np.array([largest, smallest])), False, zeros, {})
