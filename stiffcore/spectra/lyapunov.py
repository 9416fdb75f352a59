"""How many eigenvalues of M = shift·I + K have Re λ < 0, proved without computing any: Lyapunov's and the inertia theorem.

    P M + Mᵀ P ≻ 0   =>   M has as many eigenvalues with Re λ < 0 as the symmetric P has negative ones, and none with Re λ = 0

(Lyapunov for P ≻ 0; Ostrowski and Schneider, J. Math. Anal. Appl. 4, 1962, for any P). P = I requires a positive definite
symmetric part. In a trained block it fails in a few directions, one or two out of thousands. P = I + V Y Vᵀ, V of a few columns,
corrects them: with Q the directions in which the symmetric part H is not positive, V Y Vᵀ approximates the solution X of

    X M + Mᵀ X = 2 Q (lift + |H|) Qᵀ,

by projection on a Krylov space of Mᵀ (Saad 1990; Simoncini, SIAM Review 58, 2016, section 5.2). The proof does not depend on how
V and Y were found: it is one Cholesky factorisation with a bound on its rounding, and the inertia of a small matrix.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import LinAlgError, cholesky_banded, solve_continuous_lyapunov
from scipy.sparse.linalg import ArpackError, ArpackNoConvergence, LinearOperator, eigsh
from torch import Tensor

from stiffcore.device import UNIT_ROUNDOFF

POSITIVE_ENOUGH = 0.1  # eigenvalues of the symmetric part above this need no correction; the skip's are near 1
LIFT = 0.5  # how far above zero the correction lifts its directions
GOOD_ENOUGH = 0.05  # residual norm of X M + Mᵀ X = …, against eigenvalues of at least 2 · POSITIVE_ENOUGH
LOOK_EVERY, MOST_STEPS, MOST_COLUMNS = 3, 60, 400  # of the Krylov space; M is close to I, so 6 steps are often enough
FEW_COLUMNS, SHARE_OF_SIDE = (
    96,
    12,
)  # at most the larger of 96 and a 12th of the side: the full spectrum of a small core is cheap
LANCZOS_VECTORS, LANCZOS_RESTARTS, LANCZOS_TOLERANCE = 20, 30, 1e-2  # directions need not be exact
PROBE_STEPS = 10  # of Lanczos, for a negative direction: where one exists, 5 to 8 found it (measured)
CLOSED = 1e-12  # relative size of a new block, below which the Krylov space is invariant
ROWS_LOOKED_AT = 16
NARROW = 0.25  # half-bandwidth as a share of the side, below which a band is cheaper to factorise than a full matrix

Product = Callable[[Tensor], Tensor]  # float64 (side,) -> (side,)


@dataclass(frozen=True)
class Correction:
    """P = I + V Y Vᵀ, V orthonormal up to rounding; and whether all directions that needed it were found."""

    basis: Tensor  # V, shape: (side, r)
    middle: Tensor  # Y, symmetric, shape: (r, r)
    complete: bool

    @property
    def columns(self) -> int:
        return self.basis.shape[1]

    def negative(self) -> int | None:
        """How many eigenvalues of P are negative; None where rounding leaves that open.

        The eigenvalues of P other than 1 are those of I + Y up to ‖Y‖(2g + g²), g = ‖Vᵀ V − I‖, and the rounding of the
        eigensolver.
        """
        eye = torch.eye(self.columns, dtype=torch.float64)
        apart = float((self.basis.T @ self.basis - eye).norm()) + (len(self.basis) + 8) * UNIT_ROUNDOFF * self.columns
        doubt = 4 * float(self.middle.norm()) * (apart + self.columns * 10 * UNIT_ROUNDOFF)
        values = 1 + torch.linalg.eigvalsh(self.middle)
        if not bool((values.abs() > doubt).all()):  # so that NaN is refused too
            return None
        return int((values < 0).sum())


def correction(
    forward: Product,  # v -> M v
    backward: Product,  # v -> Mᵀ v
    side: int,
    wanted: int,
) -> Correction | None:
    """P = I + V Y Vᵀ from the lowest ``wanted`` eigenvectors of the symmetric part; None if it is not positive in more directions."""
    none = torch.zeros(side, 0, dtype=torch.float64)
    if side < 2:  # P would be a number, and would change nothing
        return Correction(none, torch.zeros(0, 0, dtype=torch.float64), True)
    wanted = min(wanted, side - 1)
    low, directions = _lowest(forward, backward, side, wanted)
    needed = low < POSITIVE_ENOUGH
    if wanted < side - 1 and len(low) == wanted and low.max() <= 0:
        return None
    complete = len(low) == wanted and not needed.all()
    if not needed.any():
        return Correction(none, torch.zeros(0, 0, dtype=torch.float64), complete)
    start = torch.from_numpy(np.ascontiguousarray(directions[:, needed]))
    weights = torch.from_numpy(2 * (LIFT + np.maximum(-low[needed], 0)))
    return Correction(*_solution(backward, start, weights), complete)


def _solution(backward: Product, start: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """V and Y with V Y Vᵀ ≈ X, the solution of X M + Mᵀ X = start diag(weights) startᵀ.

    The Krylov space grows until the residual is small, the space is invariant, or a limit is reached.
    """
    most = min(len(start), MOST_COLUMNS, max(FEW_COLUMNS, len(start) // SHARE_OF_SIDE))
    basis, block = start, start
    image = _columns(backward, start)  # Mᵀ V
    middle = torch.zeros(start.shape[1], start.shape[1], dtype=torch.float64)
    for step in range(1, MOST_STEPS + 1):
        block = image[:, -block.shape[1] :]
        size = float(block.norm())
        for _ in range(2):
            block = block - basis @ (basis.T @ block)
        closed = not float(block.norm()) > CLOSED * size  # the rest is rounding
        full = basis.shape[1] + block.shape[1] > most
        last = closed or full or step == MOST_STEPS
        if last or step % LOOK_EVERY == 0:
            middle = _projected_solution(basis, image, start, weights)
            beyond = float(torch.linalg.matrix_norm((image - basis @ (basis.T @ image)) @ middle))
            if last or beyond < GOOD_ENOUGH:
                break
        block = torch.linalg.qr(block).Q
        basis, image = torch.cat([basis, block], 1), torch.cat([image, _columns(backward, block)], 1)
    return basis, middle


def _projected_solution(basis: Tensor, image: Tensor, start: Tensor, weights: Tensor) -> Tensor:
    """Y with Y Tᵀ + T Y = Vᵀ start diag(weights) startᵀ V, T = Vᵀ Mᵀ V; zero where the equation has no solution."""
    inside = basis.T @ start
    try:
        with warnings.catch_warnings():
            # scipy warns if two eigenvalues add up to nearly 0; the proof decides whether the solution is good enough.
            warnings.simplefilter("ignore")
            solution = solve_continuous_lyapunov((basis.T @ image).numpy(), (inside * weights @ inside.T).numpy())
    except (ValueError, np.linalg.LinAlgError):
        solution = np.full((basis.shape[1], basis.shape[1]), np.nan)
    if not np.isfinite(solution).all():
        solution = np.zeros_like(solution)
    return torch.from_numpy((solution + solution.T) / 2)


def _lowest(forward: Product, backward: Product, side: int, wanted: int) -> tuple[np.ndarray, np.ndarray]:
    """Approximately the lowest eigenvalues of (M + Mᵀ)/2 and their vectors, by Lanczos; fewer where it does not converge."""

    def product(v: np.ndarray) -> np.ndarray:
        vector = torch.from_numpy(np.ascontiguousarray(v.ravel()))
        return (forward(vector) + backward(vector)).numpy() / 2

    try:
        pairs: tuple[np.ndarray, np.ndarray] = eigsh(
            LinearOperator((side, side), matvec=product, dtype=np.float64), wanted, which="SA", tol=LANCZOS_TOLERANCE,
            ncv=min(side, max(LANCZOS_VECTORS, 2 * wanted + 1)), maxiter=LANCZOS_RESTARTS,
            v0=np.random.default_rng(0).standard_normal(side),
        )  # fmt: skip
        return pairs
    except ArpackNoConvergence as problem:
        return problem.eigenvalues, problem.eigenvectors
    except ArpackError:  # then there is no direction
        return np.zeros(0), np.zeros((side, 0))


def has_negative_direction(forward: Product, backward: Product, side: int, steps: int = PROBE_STEPS) -> bool:
    """Whether a few steps of Lanczos find a v with vᵀ M v < 0; cheaper than a factorisation that would fail."""
    basis = torch.zeros(0, side, dtype=torch.float64)
    images = torch.zeros(0, side, dtype=torch.float64)
    vector = torch.randn(side, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for _ in range(min(steps, side)):
        length = float(vector.norm())
        if not length > 0:
            break
        vector = vector / length
        image = (forward(vector) + backward(vector)) / 2
        basis, images = torch.cat([basis, vector[None]]), torch.cat([images, image[None]])
        projected = basis @ images.T
        if not bool(projected.isfinite().all()):
            break
        if float(torch.linalg.eigvalsh((projected + projected.T) / 2)[0]) < 0:
            return True
        vector = image
        for _ in range(2):
            vector = vector - basis.T @ (basis @ vector)
    return False


def _columns(product: Product, vectors: Tensor) -> Tensor:
    return torch.stack([product(column.contiguous()) for column in vectors.T], 1)


def is_proved(
    matrix: Tensor,  # K: float64 (m, m)
    shift: int,
    correction: Correction | None = None,  # none for P = I
    order: Tensor | None = None,  # of the core's units, in which K is a band; for P = I
) -> bool:
    """Whether P M + Mᵀ P is proved positive definite, P = I + V Y Vᵀ and M = shift·I + K as it stands in float64.

    With N = Mᵀ V and W = V Y the matrix is S = M + Mᵀ + W Nᵀ + N Wᵀ. Rounding changes it by at most
    6 γ (1 + ‖V‖²‖Y‖)(‖K‖ + shift √m), γ = (m + 2r + 8) u / (1 − (m + 2r + 8) u), in the Frobenius norm. This, and the rounding
    of the Cholesky factorisation, is subtracted from the diagonal first.
    """
    side, columns = len(matrix), 0 if correction is None else correction.columns
    size = float(matrix.norm()) + shift * side**0.5
    if not np.isfinite(size):
        return False
    grow = (side + 2 * columns + 8) * UNIT_ROUNDOFF
    rounding = 6 * grow / (1 - grow) * size
    if correction is None or not columns:
        if order is not None and (band := _band(matrix, shift, order)) is not None:
            return cholesky_proves_band(band, rounding)
        symmetric = matrix + matrix.T
        symmetric.diagonal().add_(2 * shift)
        return cholesky_proves(symmetric, rounding)
    image = matrix.T @ correction.basis + shift * correction.basis
    weighted = correction.basis @ correction.middle
    symmetric = matrix + matrix.T
    symmetric.diagonal().add_(2 * shift)
    symmetric.addmm_(weighted, image.T)
    symmetric.addmm_(image, weighted.T)
    length = float(correction.basis.norm())
    return cholesky_proves(symmetric, rounding * (1 + length * length * float(correction.middle.norm())))


def cholesky_proves(symmetric: Tensor, rounding: float = 0.0) -> bool:
    """Whether a symmetric matrix, known up to ``rounding`` in the 2-norm, is proved positive definite; it is overwritten.

    A Cholesky factorisation in floating point that runs to its end on H − δI, δ ≥ (m + 2)·u·tr H / (1 − (m + 2)·u),
    proves H positive definite (Rump, "Verification of positive definiteness", BIT 46, 2006): in any order of summation, with or
    without fused multiply-adds, but not with Strassen's products or inverted blocks, which no LAPACK used here has. Libraries
    differ in whether a NaN pivot ends the factorisation, so the pivots are checked as well.
    """
    shift = _rump(symmetric.diagonal(), rounding)
    if shift is None:
        return False
    symmetric.diagonal().sub_(shift)
    factor, info = torch.linalg.cholesky_ex(symmetric)
    return int(info) == 0 and bool((factor.diagonal() > 0).all())


def cholesky_proves_band(band: np.ndarray, rounding: float) -> bool:
    """The same for a band in LAPACK's lower form: band[d, j] = H[j + d, j]; shape: (half-bandwidth + 1, m)."""
    shift = _rump(torch.from_numpy(band[0]), rounding)
    if shift is None:
        return False
    band[0] -= shift
    try:
        factor = cholesky_banded(band, overwrite_ab=True, lower=True, check_finite=False)
    except LinAlgError:
        return False
    return bool((factor[0] > 0).all())


def _rump(diagonal: Tensor, rounding: float) -> float | None:
    """What to subtract from the diagonal, doubled for the rounding of the subtraction; None if the diagonal is not positive."""
    if not bool((diagonal > 0).all()):  # so that NaN is refused too
        return None
    growth = (len(diagonal) + 2) * UNIT_ROUNDOFF
    shift = 2 * (growth / (1 - growth) * float(diagonal.sum()) + rounding)
    return shift if math.isfinite(shift) else None


def _band(matrix: Tensor, shift: int, order: Tensor) -> np.ndarray | None:
    """2·shift·I + K + Kᵀ, its units reordered, as a band in LAPACK's lower form; None where the band is not narrow.

    The non-zero entries determine the width of the band.
    """
    side = len(matrix)
    place = torch.empty(side, dtype=torch.long)
    place[order] = torch.arange(side)
    few = order[:: max(1, side // ROWS_LOOKED_AT)]
    at, column = matrix[few].nonzero(as_tuple=True)
    if ((place[few][at] - place[column]).abs() > NARROW * side).any():
        return None  # a few rows already show that
    rows, columns = matrix.nonzero(as_tuple=True)
    values = matrix[rows, columns].numpy()
    i, j = place[rows].numpy(), place[columns].numpy()
    below = np.abs(i - j)
    width = int(below.max(initial=0))
    if width > NARROW * side:
        return None
    # K_ij and K_ji are added in one place; a diagonal entry occurs once.
    entries = np.bincount(below * side + np.minimum(i, j), weights=values, minlength=(width + 1) * side)
    band = entries.astype(np.float64, copy=False).reshape(width + 1, side)  # without entries, bincount gives integers
    band[0] = 2 * (band[0] + shift)
    return band
