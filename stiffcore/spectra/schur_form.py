"""One Schur form that triangularises a whole Jacobian, and norms of its resolvent.

The core is similar to a part of J, but not unitarily: whatever depends on angles between eigenvectors needs J itself.
With A the live outputs (all of them under ``branch``), s = 1 under ``block`` and 0 under ``branch``, J_F = L R through the
narrowest inner layer (jacobian.py) and L_A = Q X its QR factorisation, J is unitarily similar to

    [ sI + S   C_s   C_0 ]      S = X R_A Q        C_s = X R_A Q⊥    couples the eigenvalues s of the rest of A
    [   0      sI     0  ]      (q × q, q <= b)    C_0 = X R_dead    couples the zeros of dead outputs
    [   0       0     0  ]

so one Schur form of S triangularises all of it. Where 1×1 factors join layers, S has more zeros by structure than b shows (see
deflation.py): its null space is split off first, so that these zeros stay exact. QR compresses the columns of C_s and C_0 to at most q. Resolvent norms come from
inverse Lanczos with triangular solves, as in EigTool (Wright 2002; Trefethen and Embree 2005, § 39).
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigvalsh_tridiagonal, lapack, norm as norm_of, rsf2csf, schur

from stiffcore.conventions import Convention
from stiffcore.errors import not_finite
from stiffcore.jacobians import deflation, operator as jacobian
from stiffcore.jacobians.linearise import BlockState

LANCZOS_STEPS, LANCZOS_TOLERANCE = 60, 1e-4  # relative; the logarithm of the norm is drawn


@dataclass(frozen=True)
class Triangle:
    """A matrix that is unitarily similar to [[T, C_1, C_2 ...], [0, s_1 I, 0 ...], [0, 0, s_2 I ...] ...]."""

    upper: np.ndarray  # T, complex128, upper triangular, shape (q, q)
    couplings: tuple[tuple[float, np.ndarray], ...] = ()  # (s, C), C complex128 of shape (q, k)

    @property
    def departure(self) -> float:
        """Henrici's departure from normality, without cancellation: the norm of everything above the diagonal."""
        above = np.triu(self.upper, 1)
        return float(np.sqrt(sum(np.linalg.norm(part) ** 2 for part in (above, *(c for _, c in self.couplings)))))

    @property
    def size(self) -> int:
        return len(self.upper) + sum(int(coupling.shape[1]) for _, coupling in self.couplings)


def sum_of_squares(state: BlockState, convention: Convention, triangle: Triangle) -> float:
    """Σ|λ|² over all n eigenvalues: those of T, and under ``block`` the ones of the remaining live outputs."""
    ones = int(state.kept_outputs(convention).sum()) - len(triangle.upper) if convention.has_skip else 0
    return float((np.abs(triangle.upper.diagonal()) ** 2).sum()) + ones


def of_matrix(matrix: np.ndarray) -> Triangle:
    """The Schur form of a real matrix."""
    if not len(matrix):
        return Triangle(np.zeros((0, 0), complex))
    upper, _ = rsf2csf(*schur(matrix, output="real", check_finite=True))
    return Triangle(np.triu(upper))


def triangular_form(state: BlockState, convention: Convention) -> Triangle:
    """The Schur form of a block's Jacobian, by the formula at the top of this file."""
    left, right = (factor.numpy() for factor in jacobian.branch_factors(state))
    if not (np.isfinite(left).all() and np.isfinite(right).all()):
        raise not_finite("a block's Jacobian")
    shift, live = float(convention.has_skip), state.kept_outputs(convention).flatten().numpy()
    q_rows, r_live, r_dead = left[live], right[:, live], right[:, ~live]
    side = min(q_rows.shape)
    rest = len(q_rows) - side
    if side == 0:
        places = [shift] * bool(rest) + [0.0] * bool(r_dead.shape[1])
        return Triangle(np.zeros((0, 0), complex), tuple((place, np.zeros((0, 1))) for place in places))
    # Q⊥ is formed only where it is small; otherwise the coupling to its space is compressed anyway.
    q, x = np.linalg.qr(q_rows, mode="complete" if rest <= side else "reduced")
    basis, x = q[:, :side], x[:side]
    core = x @ (r_live @ basis)
    coupled = [(shift, x @ (r_live @ q[:, side:]) if rest <= side else x @ (r_live - (r_live @ basis) @ basis.T))]
    if r_dead.shape[1]:
        coupled.append((0.0, x @ r_dead))
    structural = side - deflation.plan(state, convention).side
    upper, unitary = _schur(core, max(structural, 0))
    upper = upper + shift * np.eye(side)
    couplings = [(place, unitary.conj().T @ _compressed(part)) for place, part in coupled if part.shape[1]]
    return Triangle(upper, tuple(couplings))


def _schur(core: np.ndarray, structural: int) -> tuple[np.ndarray, np.ndarray]:
    """T and unitary Z, core = Z T Zᴴ; as many zeros as structure makes come first and are exact, where the null space holds them.

    With an orthonormal basis B = [N, R], N of the null space, Bᵀ core B = [[0, Nᵀ core R], [0, Rᵀ core R]].
    """
    basis, zeros = np.eye(len(core)), 0
    if structural:
        _, values, rows = np.linalg.svd(core)
        zeros = min(structural, int((values <= len(core) * np.finfo(float).eps * values[0]).sum()))
        basis = rows[::-1].T  # the smallest singular values first
    rotated = basis.T @ core @ basis if zeros else core
    upper, unitary = np.zeros(core.shape, complex), basis + 0j
    if zeros < len(core):
        upper[zeros:, zeros:], inner = rsf2csf(*schur(rotated[zeros:, zeros:], output="real"))
        upper[:zeros, zeros:] = rotated[:zeros, zeros:] @ inner
        unitary[:, zeros:] = unitary[:, zeros:] @ inner
    return np.triu(upper), unitary


def _compressed(part: np.ndarray) -> np.ndarray:
    """A matrix with the same C Cᵀ and at most as many columns as rows: a rotation of the space of columns."""
    if part.shape[1] <= part.shape[0]:
        return part
    triangle: np.ndarray = np.linalg.qr(part.T, mode="r")  # type: ignore[assignment]  # mode "r" gives R alone
    return triangle.T


def resolvent_norm(triangle: Triangle, z: complex, workspace: np.ndarray | None = None) -> float:
    """‖(zI - J)⁻¹‖₂ by Lanczos: the square root of the largest eigenvalue of the resolvent times its adjoint.

    Infinite where float64 does not hold the square, beyond some 1e154. workspace: -T in Fortran order, whose diagonal is overwritten; saves a copy for every z.
    """
    diagonal = z - triangle.upper.diagonal()
    if not diagonal.all() or any(z == place for place, _ in triangle.couplings):
        return float("inf")
    shifted = np.asfortranarray(-triangle.upper) if workspace is None else workspace
    np.einsum("ii->i", shifted)[:] = diagonal
    with np.errstate(all="ignore"):  # a matrix far from normal takes vectors beyond float64, which is infinity here
        return _lanczos(triangle, shifted, z)


def _lanczos(triangle: Triangle, shifted: np.ndarray, z: complex) -> float:
    """The norm of the resolvent at z, which is no eigenvalue. shifted: zI - T in Fortran order."""
    generator = np.random.default_rng(0)
    v = generator.standard_normal(triangle.size) + 1j * generator.standard_normal(triangle.size)
    v, before, alphas, betas, norm = v / np.linalg.norm(v), np.zeros(triangle.size, complex), [], [0.0], 0.0
    for step in range(LANCZOS_STEPS):
        w = _adjoint_solve(triangle, shifted, z, _solve(triangle, shifted, z, v)) - betas[-1] * before
        alphas.append(float(np.vdot(v, w).real))
        w -= alphas[-1] * v
        beta = float(norm_of(w, check_finite=False))  # by BLAS, which squares nothing too large
        if not np.isfinite([alphas[-1], beta]).all():
            return float("inf")
        largest = _largest(alphas, betas[1:], step)
        last, norm = norm, float(np.sqrt(max(largest, 0.0)))
        if abs(norm - last) <= LANCZOS_TOLERANCE * norm or beta <= 1e-14 * largest:
            break
        betas.append(beta)
        before, v = v, w / beta
    return norm


def _largest(alphas: list[float], betas: list[float], step: int) -> float:
    """The largest eigenvalue of a tridiagonal matrix, scaled, since LAPACK squares the numbers."""
    scale = float(np.abs(alphas + betas).max()) or 1.0
    scaled = np.divide(alphas, scale), np.divide(betas, scale)
    return scale * float(eigvalsh_tridiagonal(*scaled, select="i", select_range=(step, step))[0])


def _solve(triangle: Triangle, shifted: np.ndarray, z: complex, v: np.ndarray) -> np.ndarray:
    """(zI - J)⁻¹ v in the triangular form's basis."""
    top, parts = v[: len(shifted)].copy(), []
    at = len(shifted)
    for place, coupling in triangle.couplings:
        part = v[at : at + coupling.shape[1]] / (z - place)
        at += coupling.shape[1]
        top += coupling @ part
        parts.append(part)
    if len(top):
        top = lapack.ztrtrs(shifted, top)[0]
    return np.concatenate([top, *parts])


def _adjoint_solve(triangle: Triangle, shifted: np.ndarray, z: complex, v: np.ndarray) -> np.ndarray:
    """(zI - J)⁻ᴴ v in the triangular form's basis."""
    top, parts, at = v[: len(shifted)], [], len(shifted)
    if len(top):
        top = lapack.ztrtrs(shifted, top, trans=2)[0]
    for place, coupling in triangle.couplings:
        parts.append((v[at : at + coupling.shape[1]] + coupling.conj().T @ top) / np.conj(z - place))
        at += coupling.shape[1]
    return np.concatenate([top, *parts])
