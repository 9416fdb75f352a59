"""How many eigenvalues of M = shift·I + K have Re λ < 0, proved without computing any: Lyapunov's and the inertia theorem.

    P M + Mᵀ P ≻ 0   =>   M has as many eigenvalues with Re λ < 0 as the symmetric P has negative ones, and none with Re λ = 0

(Lyapunov for P ≻ 0; Ostrowski and Schneider, J. Math. Anal. Appl. 4, 1962, for any P). P = I requires a positive definite
symmetric part. In a trained block it fails in a few directions, one or two out of thousands. P = I + V Y Vᵀ, V of a few columns,
corrects them: with Q the directions in which the symmetric part H is not positive, V Y Vᵀ approximates the solution X of

    X M + Mᵀ X = 2 Q (lift + |H|) Qᵀ,

by projection on a Krylov space of Mᵀ (Saad 1990; Simoncini, SIAM Review 58, 2016, section 5.2). The proof does not depend on how
V and Y were found: it is one Cholesky factorisation with a bound on its rounding, and the inertia of a small matrix.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import solve_continuous_lyapunov
from scipy.sparse.linalg import ArpackError, ArpackNoConvergence, LinearOperator, eigsh
from torch import Tensor

from stiffcore.device import CPU, UNIT_ROUNDOFF
from stiffcore.spectra import lanczos, positive_definite

POSITIVE_ENOUGH = 0.1  # eigenvalues of the symmetric part above this need no correction; the skip's are near 1
LIFT = 0.5  # how far above zero the correction lifts its directions
GOOD_ENOUGH = 0.05  # residual norm of X M + Mᵀ X = …, against eigenvalues of at least 2 · POSITIVE_ENOUGH
LOOK_EVERY, MOST_STEPS, MOST_COLUMNS = 3, 60, 400  # of the Krylov space; M is close to I, so 6 steps are often enough
FEW_COLUMNS, SHARE_OF_SIDE = (
    96,
    12,
)  # at most the larger of 96 and a 12th of the side: the full spectrum of a small core is cheap
LANCZOS_VECTORS, LANCZOS_RESTARTS, LANCZOS_TOLERANCE = 20, 30, 1e-2  # directions need not be exact
ON_CARD_TOLERANCE, ON_CARD_PRODUCTS = 1e-3, 400  # relative to the largest eigenvalue; as many as those restarts take
PROBE_STEPS = 10  # of Lanczos, for a negative direction: where one exists, 5 to 8 found it (measured)
CLOSED = 1e-12  # relative size of a new block, below which the Krylov space is invariant

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
        eye = torch.eye(self.columns, dtype=torch.float64, device=self.basis.device)
        apart = float((self.basis.T @ self.basis - eye).norm()) + (len(self.basis) + 8) * UNIT_ROUNDOFF * self.columns
        doubt = 4 * float(self.middle.norm()) * (apart + self.columns * 10 * UNIT_ROUNDOFF)
        values = 1 + torch.linalg.eigvalsh(self.middle.cpu())
        if not bool((values.abs() > doubt).all()):  # so that NaN is refused too
            return None
        return int((values < 0).sum())


def correction(
    forward: Product,  # v -> M v
    backward: Product,  # v -> Mᵀ v
    side: int,
    wanted: int,
    where: torch.device = CPU,  # of their vectors
) -> Correction | None:
    """P = I + V Y Vᵀ from the lowest ``wanted`` eigenvectors of the symmetric part; None if it is not positive in more directions."""
    none = torch.zeros(side, 0, dtype=torch.float64, device=where)
    if side < 2:  # P would be a number, and would change nothing
        return Correction(none, none.new_zeros(0, 0), True)
    wanted = min(wanted, side - 1)
    low, directions = _lowest(forward, backward, side, wanted, where)
    needed = low < POSITIVE_ENOUGH
    if wanted < side - 1 and len(low) == wanted and low.max() <= 0:
        return None
    complete = len(low) == wanted and not needed.all()
    if not needed.any():
        return Correction(none, none.new_zeros(0, 0), complete)
    start = directions[:, torch.from_numpy(np.flatnonzero(needed)).to(where)]
    weights = torch.from_numpy(2 * (LIFT + np.maximum(-low[needed], 0))).to(where)
    return Correction(*_solution(backward, start, weights), complete)


def _solution(backward: Product, start: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """V and Y with V Y Vᵀ ≈ X, the solution of X M + Mᵀ X = start diag(weights) startᵀ.

    The Krylov space grows until the residual is small, the space is invariant, or a limit is reached.
    """
    most = min(len(start), MOST_COLUMNS, max(FEW_COLUMNS, len(start) // SHARE_OF_SIDE))
    basis, block = start, start
    image = _columns(backward, start)  # Mᵀ V
    middle = start.new_zeros(start.shape[1], start.shape[1])
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
            solution = solve_continuous_lyapunov(
                (basis.T @ image).cpu().numpy(), (inside * weights @ inside.T).cpu().numpy()
            )
    except (ValueError, np.linalg.LinAlgError):
        solution = np.full((basis.shape[1], basis.shape[1]), np.nan)
    if not np.isfinite(solution).all():
        solution = np.zeros_like(solution)
    return torch.from_numpy((solution + solution.T) / 2).to(basis.device)


def _lowest(
    forward: Product, backward: Product, side: int, wanted: int, where: torch.device
) -> tuple[np.ndarray, Tensor]:
    """Approximately the lowest eigenvalues of (M + Mᵀ)/2 and their vectors, (side, found), by Lanczos; fewer where it does not converge."""

    def half(v: Tensor) -> Tensor:
        return (forward(v) + backward(v)) / 2

    if where != CPU:
        try:
            low, rows = lanczos.lowest(half, side, wanted, ON_CARD_TOLERANCE, ON_CARD_PRODUCTS, where)
        except np.linalg.LinAlgError:  # not finite: then there is no direction
            return np.zeros(0), torch.zeros(side, 0, dtype=torch.float64, device=where)
        return low, rows.T
    try:
        low, directions = eigsh(
            LinearOperator(
                (side, side),
                matvec=lambda v: half(torch.from_numpy(np.ascontiguousarray(v.ravel()))).numpy(),
                dtype=np.float64,
            ),
            wanted, which="SA", tol=LANCZOS_TOLERANCE,
            ncv=min(side, max(LANCZOS_VECTORS, 2 * wanted + 1)), maxiter=LANCZOS_RESTARTS,
            v0=np.random.default_rng(0).standard_normal(side),
        )  # fmt: skip
    except ArpackNoConvergence as problem:
        low, directions = problem.eigenvalues, problem.eigenvectors
    except ArpackError:  # then there is no direction
        low, directions = np.zeros(0), np.zeros((side, 0))
    return low, torch.from_numpy(np.ascontiguousarray(directions))


def has_negative_direction(
    forward: Product, backward: Product, side: int, steps: int = PROBE_STEPS, where: torch.device = CPU
) -> bool:
    """Whether a few steps of Lanczos find a v with vᵀ M v < 0; cheaper than a factorisation that would fail."""
    basis = torch.zeros(0, side, dtype=torch.float64, device=where)
    images = basis
    vector = torch.randn(side, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).to(where)
    for _ in range(min(steps, side)):
        length = float(vector.norm())
        if not length > 0:
            break
        vector = vector / length
        image = (forward(vector) + backward(vector)) / 2
        basis, images = torch.cat([basis, vector[None]]), torch.cat([images, image[None]])
        projected = (basis @ images.T).cpu()
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
    of the Cholesky factorisation, is subtracted from the diagonal first: see ``positive_definite``.
    """
    side, columns = len(matrix), 0 if correction is None else correction.columns
    size = float(matrix.norm()) + shift * side**0.5
    if not np.isfinite(size):
        return False
    grow = (side + 2 * columns + 8) * UNIT_ROUNDOFF
    rounding = 6 * grow / (1 - grow) * size
    if correction is None or not columns:
        if (
            order is not None
            and matrix.device == CPU
            and (band := positive_definite.band_of(matrix, shift, order)) is not None
        ):
            return positive_definite.is_proved_of_band(band, rounding)
        symmetric = matrix + matrix.T
        symmetric.diagonal().add_(2 * shift)
        return positive_definite.is_proved(symmetric, rounding)
    image = matrix.T @ correction.basis + shift * correction.basis
    weighted = correction.basis @ correction.middle
    symmetric = matrix + matrix.T
    symmetric.diagonal().add_(2 * shift)
    symmetric.addmm_(weighted, image.T)
    symmetric.addmm_(image, weighted.T)
    length = float(correction.basis.norm())
    return positive_definite.is_proved(symmetric, rounding * (1 + length * length * float(correction.middle.norm())))
