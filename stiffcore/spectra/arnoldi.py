"""The outermost eigenvalues of an operator by Arnoldi's method, without restarts: right, left and largest from one basis.

    A V_j = V_j H_j + h v_{j+1} e_jᵀ,    H_j y = θ y   =>   ‖A V_j y − θ V_j y‖ = |h| |y_j|

A restarted iteration (ARPACK) keeps the basis small, but runs once for each end of the spectrum. Cores have sides of some
thousands: a few hundred vectors cost little, one basis serves all ends at once, and nothing is lost to restarts. An end is
settled when the residual of its Ritz pair is small and no Ritz value that has not converged could still pass it. Two starts
guard against an eigenvector that one start happens not to contain; they prove nothing. A defective outermost eigenvalue of
order p is known only to the p-th root of the rounding. Source: Saad, Numerical Methods for Large Eigenvalue Problems (2011),
ch. 6.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import eig
from torch import Tensor

from stiffcore.device import CPU
from stiffcore.errors import CannotCompute
from stiffcore.progress import Progress, silent

ENDS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "right": np.real,
    "left": lambda x: -x.real,
    "largest": np.abs,
}
RESIDUAL = 1e-11  # of a Ritz pair, relative to |θ|, at which it counts as converged
FOUND_ROUGHLY = 1e-6  # residual relative to |θ|; above it a Ritz pair may still move as far as its residual
BREAKDOWN = 100 * np.finfo(float).eps  # relative to the operator's size; rounding leaves a few eps
REPORT_EVERY = 20  # vectors, so that a cancelled computation ends soon
FIRST_LOOK, NEXT_LOOK = 40, 1.25  # vectors, factor; solving the projected problem at geometric sizes only is cheap
MOST_VECTORS = 900
AGREEMENT = 1e-6  # of two starts, relative to the eigenvalue
SEEDS = (0, 1)
FULL_IS_POSSIBLE = 20_000  # side of a core whose whole spectrum fits into memory

Product = Callable[[Tensor], Tensor]  # float64 (side,) -> (side,)


@dataclass(frozen=True)
class Outermost:
    """The eigenvalues at the ends of a spectrum.

    values: an end's name -> its eigenvalue; residual: the largest ‖Av − λv‖, recomputed; disagreement: the largest distance
    between the eigenvalues of the starts.
    """

    values: dict[str, complex]
    residual: float
    disagreement: float


def outermost(
    product: Product,
    side: int,
    ends: tuple[str, ...] = tuple(ENDS),
    progress: Progress = silent,
    seeds: tuple[int, ...] = SEEDS,
    most: int | None = None,
    where: torch.device = CPU,
) -> Outermost:
    """The eigenvalues at the named ends of the spectrum of an operator of side 1 or more, on which all random starts agree.

    seeds: one is enough where the eigenvalues are known and only the vectors are needed. most: vectors of a basis. where: the device of
    the operator's vectors, on which the basis is kept. Raises CannotCompute where the
    starts do not agree, a residual stays large, or an end is not settled.
    """
    runs = []
    for number, seed in enumerate(seeds):

        def report(number: int = number) -> None:
            progress(number, len(seeds), f"outermost eigenvalues, start {number + 1} of {len(seeds)}")

        report()
        runs.append(_from_one_start(product, side, ends, seed, report, most or MOST_VECTORS, where))
        if any(np.isinf(residual) for _, residual in runs[-1].values()):
            break  # no other start would change the verdict
    values, residual, disagreement = {}, 0.0, 0.0
    for end, of in ENDS.items():
        if end in ends:
            candidates, residuals = zip(*(run[end] for run in runs), strict=True)
            apart = float(np.ptp([float(of(value)) for value in candidates]))
            values[end] = max(candidates, key=of)
            residual = max(residual, *residuals)
            disagreement = max(disagreement, apart)
            if max(apart, *residuals) > AGREEMENT * max(abs(values[end]), 1e-3):
                got = " and ".join(f"{value:.6g}" for value in candidates)
                instead = "ask for the full spectrum (counts)" if side <= FULL_IS_POSSIBLE else "choose a later block"
                raise CannotCompute(
                    f"The starts of Arnoldi's iteration do not agree on a core of side {side} (they gave {got}, with residuals "
                    f"up to {residual:.1e}): {instead} instead."
                )
    return Outermost(values, residual, disagreement)


def _from_one_start(
    product: Product,
    side: int,
    ends: tuple[str, ...],
    seed: int,
    report: Callable[[], None],
    most: int,
    where: torch.device,
) -> dict[str, tuple[complex, float]]:
    """An end -> (eigenvalue, residual) from one random start; the residual is ∞ where the end is not settled."""
    most = min(side, most)
    basis = torch.empty(most + 1, side, dtype=torch.float64, device=where)  # a vector a row
    projected = basis.new_zeros(most + 1, most)  # comes to the host at the looks only
    start = np.random.default_rng(seed).standard_normal(side)
    basis[0] = torch.from_numpy(start / np.linalg.norm(start)).to(where)
    look, largest = FIRST_LOOK, basis.new_zeros(())
    for size in range(1, most + 1):
        left_over = _extend(product, basis, projected, size)
        if size % REPORT_EVERY == 0:
            report()
        # Of an earlier column the length includes what was left over.
        within = torch.linalg.norm(projected[:size, size - 1])
        invariant = bool(left_over <= BREAKDOWN * torch.maximum(largest, within))
        largest = torch.maximum(largest, torch.hypot(within, left_over))
        if size >= look or size == most or invariant:
            look = int(np.ceil(size * NEXT_LOOK))
            whole = invariant or size == side  # then every Ritz value is an eigenvalue
            hessenberg = projected[:size, :size].cpu().numpy()
            chosen = _ritz_pairs(hessenberg, 0.0 if whole else float(left_over), ends, size == most)
            if size == most or whole or all(settled for _, _, settled in chosen.values()):
                break
    return {
        end: _checked(product, basis[:size], value, weights, settled)
        for end, (value, weights, settled) in chosen.items()
    }


def _extend(product: Product, basis: Tensor, projected: Tensor, size: int) -> Tensor:
    """Adds a vector to the basis, orthogonalised twice ("twice is enough"). Returns its length before normalisation, of shape ()."""
    w = product(basis[size - 1])
    for _ in range(2):
        components = basis[:size] @ w
        w = torch.addmv(w, basis[:size].T, components, alpha=-1)
        projected[:size, size - 1] += components
    length = torch.linalg.norm(w)
    projected[size, size - 1] = length
    basis[size] = w / length  # NaN of nothing, which ends the iteration
    return length


def _ritz_pairs(hessenberg: np.ndarray, left_over: float, ends: tuple[str, ...], is_last: bool = False) -> dict:
    """An end -> (Ritz value, its vector's weights in the basis, whether it is settled).

    Settled: its residual is small, and no Ritz value that has not converged reaches past it within its own residual. is_last: no
    further vector follows; a pair with a small residual then counts, and the agreement of the starts has to do: at the edge of a
    dense cloud of a large matrix some value that has not converged always reaches past.
    """
    values, vectors = eig(hessenberg)
    residuals, chosen = left_over * abs(vectors[-1]), {}
    for end in ends:
        reach = ENDS[end](values)
        at = int(np.argmax(reach))
        size = max(abs(values[at]), 1e-3)
        unconverged = residuals > FOUND_ROUGHLY * size
        settled = residuals[at] <= RESIDUAL * size and not (reach + residuals > reach[at])[unconverged].any()
        settled = settled or (is_last and not unconverged[at])
        chosen[end] = values[at], vectors[:, at], settled
    return chosen


def _checked(
    product: Product, basis: Tensor, value: complex, weights: np.ndarray, settled: bool
) -> tuple[complex, float]:
    """A Ritz value and ‖Av − θv‖ recomputed in float64, ‖v‖ = 1."""
    value = complex(value)
    if not settled:
        return value, np.inf
    parts = torch.from_numpy(np.stack([weights.real, weights.imag])).to(basis.device) @ basis  # of v
    images = torch.stack([product(part) if weights.imag.any() or not i else 0 * part for i, part in enumerate(parts)])
    turned = torch.stack([-parts[1], parts[0]])  # i v
    apart = images - value.real * parts - value.imag * turned
    return value, float(torch.linalg.norm(apart) / torch.linalg.norm(parts))
