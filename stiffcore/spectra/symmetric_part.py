"""Logarithmic norms and norms of a block's Jacobian J, which eigenvalues alone do not determine, without forming J.

    lower and upper logarithmic norm    m(J) = min vᵀJv,  M(J) = max vᵀJv,  ‖v‖ = 1:  the ends of the spectrum of (J + Jᵀ)/2
    norm                                ‖J‖₂ = √(largest eigenvalue of JᵀJ)

For x' = Jx they bound growth: e^(mt) ‖x(0)‖ <= ‖x(t)‖ <= e^(Mt) ‖x(0)‖ (Dahlquist 1958). The stiffness indicator of Söderlind, Jay and
Calvo (2015, BIT 55, pp. 531-558) is s = (m + M)/2; where it is negative, -1/s is the reference time of the system.

Lanczos' method, with two random starts for each, all in lockstep: one pass through the convolutions serves all. Small and
dense matrices go to LAPACK, and so do those of moderate size on which the iteration does not settle.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from stiffcore.conventions import Convention
from stiffcore.device import CPU, UNIT_ROUNDOFF
from stiffcore.errors import not_finite
from stiffcore.jacobians import products
from stiffcore.jacobians.layers import DenseMap
from stiffcore.jacobians.linearise import BlockState
from stiffcore.jacobians.products import Products
from stiffcore.progress import Progress, silent
from stiffcore.spectra import lanczos
from stiffcore.spectra.lanczos import Found, Iteration

SEEDS = (0, 1)
DENSE_BELOW = 200  # side; LAPACK takes 10 ms
MATRICES_BELOW = 1500  # side of a matrix that is there as such; LAPACK takes 1 s
FORMED_BELOW = 4100  # side of what is formed where Lanczos' method does not settle: 0.3 GB, half a minute
SYMMETRIC, GRAM = "symmetric part", "gram"
AGREEMENT = 3 * lanczos.TOLERANCE  # of two starts, relative to the size of the operator


@dataclass(frozen=True)
class Norms:
    """m and M, and ‖J‖₂; None where not defined, or not settled.

    health: ``log_norm_residual`` and ``norm_residual``, bounds for the distance to the nearest eigenvalue of (J + Jᵀ)/2 and the
    nearest singular value; ``log_norm_disagreement`` and ``norm_disagreement`` of two starts.
    """

    lower: float | None
    upper: float | None
    norm: float | None
    health: dict[str, float]

    @property
    def indicator(self) -> float | None:
        """s = (m + M)/2."""
        return None if self.lower is None or self.upper is None else (self.lower + self.upper) / 2


def compute(state: BlockState, convention: Convention, progress: Progress = silent) -> Norms:
    """m, M and ‖J‖₂ of a block's Jacobian; of one that is not square ‖J‖₂ alone.

    m and M below rounding, max(n_in, n_out) u ‖J‖₂, are 0. Raises CannotCompute without a matrix, and for one that is not finite.
    """
    convention.check_matrix()
    of_block = products.of_block(state, convention)
    one = torch.ones(1, of_block.shape[1], dtype=torch.float64, device=state.device)
    if not torch.isfinite(of_block.forward(one)).all():
        raise not_finite("a block's Jacobian")
    return _without_rounding(_computed(state, of_block, progress), max(of_block.shape))


def _computed(state: BlockState, of_block: Products, progress: Progress) -> Norms:
    side = max(of_block.shape)
    if side <= (MATRICES_BELOW if isinstance(state.layers[0], DenseMap) else DENSE_BELOW):
        return of_matrix(_formed(of_block, state.device))
    found = _by_lanczos(of_block, progress, state.device)
    if found is None and side <= FORMED_BELOW:
        progress(0, 0, f"logarithmic norms and norms of a matrix of side {side}")
        found = of_matrix(_formed(of_block, state.device))
    return found or Norms(None, None, None, {})


def _without_rounding(found: Norms, side: int) -> Norms:
    """m and M that are nothing but rounding, as 0."""
    if found.lower is None or found.upper is None or found.norm is None:
        return found
    rounding = side * UNIT_ROUNDOFF * found.norm
    lower, upper = (0.0 if abs(end) <= rounding else end for end in (found.lower, found.upper))
    return replace(found, lower=lower, upper=upper)


def of_matrix(matrix: Tensor) -> Norms:
    """Of a dense matrix, float64 (rows, columns), by LAPACK or cuSOLVER; the bounds are those of the backward error."""
    scale = (float(matrix.abs().max()) if matrix.numel() else 0.0) or 1.0
    scaled = matrix / scale
    tall = scaled if scaled.shape[0] >= scaled.shape[1] else scaled.T
    norm = scale * float(np.sqrt(max(_symmetric_ends(tall.T @ tall)[1], 0.0)))
    error = max(matrix.shape) * UNIT_ROUNDOFF * norm
    if matrix.shape[0] != matrix.shape[1]:
        return Norms(None, None, norm, {"norm_residual": error, "norm_disagreement": 0.0})
    lowest, highest = _symmetric_ends((scaled + scaled.T) / 2)
    names = ("log_norm_residual", "log_norm_disagreement", "norm_residual", "norm_disagreement")
    return Norms(scale * lowest, scale * highest, norm, dict(zip(names, (error, 0.0, error, 0.0), strict=True)))


def _symmetric_ends(matrix: Tensor) -> tuple[float, float]:
    """The lowest and the highest eigenvalue: on the CPU by numpy's LAPACK, since torch's is slow on some processors."""
    if matrix.device == CPU:
        values = np.linalg.eigvalsh(matrix.numpy())
        return float(values[0]), float(values[-1])
    found = torch.linalg.eigvalsh(matrix)
    return float(found[0]), float(found[-1])


def _formed(of_block: Products, where: torch.device) -> Tensor:
    """J, dense; shape: (n_out, n_in), in the order of ``products``."""
    n_in = of_block.shape[1]
    columns = [of_block.forward(units) for units in torch.eye(n_in, dtype=torch.float64, device=where).split(64)]
    return torch.cat(columns).T.contiguous()


def _by_lanczos(of_block: Products, progress: Progress, where: torch.device) -> Norms | None:
    """None where an iteration does not settle, or two starts do not agree."""
    rows, columns = of_block.shape
    symmetric = [Iteration(SYMMETRIC, (0, -1), seed) for seed in SEEDS] if rows == columns else []
    grams = [Iteration(GRAM, (-1,), seed) for seed in SEEDS]
    found = lanczos.outermost(_product(of_block), min(rows, columns), [*symmetric, *grams], progress, where)
    if not all(one.settled for one in found):
        return None
    lower, upper, health = None, None, {}
    if symmetric:
        ends = _agreed(found[: len(SEEDS)])
        if ends is None:
            return None
        (lower, upper), residual, apart = ends
        health = {"log_norm_residual": residual, "log_norm_disagreement": apart}
    square = _agreed(found[-len(SEEDS) :])
    if square is None:
        return None
    (largest,), residual, apart = square
    norm = float(np.sqrt(max(largest, 0.0)))
    # |σ − σ'| = |σ² − σ'²| / (σ + σ')
    health |= {"norm_residual": residual / norm if norm else 0.0, "norm_disagreement": apart / norm if norm else 0.0}
    return Norms(lower, upper, norm, health)


def _agreed(starts: Sequence[Found]) -> tuple[tuple[float, ...], float, float] | None:
    """The outermost value at each end, the largest residual, and how far the starts differ; None if that is too far."""
    each = list(zip(*(one.values for one in starts), strict=True))  # of each end
    apart = max(float(np.ptp(values)) for values in each)
    if apart > AGREEMENT * max(abs(value) for values in each for value in values):
        return None
    ends = (min(each[0]), max(each[1])) if len(each) == 2 else (max(each[0]),)
    return ends, max(residual for one in starts for residual in one.residuals), apart


def _product(of_block: Products) -> lanczos.Product:
    """v -> (J v + Jᵀ v)/2, and v -> JᵀJ v or, where that is smaller, J Jᵀ v: one batch forwards, and one backwards."""
    rows, columns = of_block.shape

    def product(vectors: Tensor, kinds: Sequence[str]) -> Tensor:
        if rows != columns:
            inner, outer = (
                (of_block.backward, of_block.forward) if rows < columns else (of_block.forward, of_block.backward)
            )
            return outer(inner(vectors))
        first = sum(kind == SYMMETRIC for kind in kinds)  # they stand in front
        forwards = of_block.forward(vectors)
        backwards = of_block.backward(torch.cat([vectors[:first], forwards[first:]]))
        backwards[:first] = (backwards[:first] + forwards[:first]) / 2
        return backwards

    return product
