"""The largest and the smallest singular value of an operator by Golub–Kahan–Lanczos bidiagonalisation, both from one Krylov space.

    A V = U B,   Aᵀ U = V Bᵀ + β v eᵀ,   B y = σ x, Bᵀ x = σ y   =>   A V y = σ U x,   ‖Aᵀ U x − σ V y‖ = β |x_k|

B is bidiagonal, and A itself is never squared: σ is known to u·σ_max, not to its square root. V is kept orthogonal in full, which is
enough for U as well (Simon and Zha, SIAM J. Sci. Comput. 21, 2000). Without restarts: where the small singular values lie close
together, a restarted iteration did not reach the smallest at a condition of 47. Source: Golub and Van Loan (2013), § 10.4.
"""

from collections.abc import Callable

import numpy as np
import torch
from scipy.linalg import eigh_tridiagonal
from torch import Tensor

from stiffcore import device

LARGEST_RESIDUAL, SMALLEST_RESIDUAL = 1e-8, 1e-5  # relative to σ, whose error is of the order of their squares
MOST_STEPS, BASIS_MEMORY = 2500, 10**9  # bytes
FIRST_LOOK, NEXT_LOOK = 20, 1.15

Product = Callable[[Tensor], Tensor]


def outermost(
    product: Product,  # v -> A v; float64 (columns,) -> (rows,)
    adjoint: Product,  # u -> Aᵀ u
    columns: int,  # at most as many as rows, at least 1
    both: bool = True,
    where: torch.device = device.CPU,  # of the operator's vectors; the basis is kept there
) -> tuple[float, float]:
    """σ_max and σ_min; σ_min is NaN where it was not reached, or not asked for with ``both``, and 0.0 where it is within rounding of 0."""
    most = min(columns, MOST_STEPS, max(FIRST_LOOK, BASIS_MEMORY // (8 * columns)))
    basis = torch.empty(most, columns, dtype=torch.float64, device=where)
    alphas: list[float] = []
    betas: list[float] = []
    look, beta = FIRST_LOOK, 0.0
    start = np.random.default_rng(0).standard_normal(columns)
    v = torch.from_numpy(start / np.linalg.norm(start)).to(where)
    u = v.new_zeros(1)
    largest, smallest = np.nan, np.nan
    for size in range(1, most + 1):
        basis[size - 1] = v
        u = product(v) - beta * u
        alphas.append(float(torch.linalg.norm(u)))
        u = u / alphas[-1] if alphas[-1] > 0 else 0.0 * u
        w = adjoint(u) - alphas[-1] * v
        for _ in range(2):
            w = torch.addmv(w, basis[:size].T, basis[:size] @ w, alpha=-1)
        beta = float(torch.linalg.norm(w))
        whole = size == columns or beta <= 10 * device.UNIT_ROUNDOFF * max(*alphas, *betas, 0.0) or alphas[-1] == 0
        if whole or size == most or size >= look:
            look = int(np.ceil(size * NEXT_LOOK))
            (largest, at_top), (least, at_bottom) = _ends(alphas, betas, 0.0 if whole else beta)
            smallest = least if both and at_bottom <= SMALLEST_RESIDUAL * least else np.nan
            if both and least <= columns * 2 * device.UNIT_ROUNDOFF * largest:
                smallest = 0.0  # a Ritz value is never below the smallest singular value
            if whole or (at_top <= LARGEST_RESIDUAL * largest and not (both and np.isnan(smallest))):
                break
        betas.append(beta)
        v = w / beta
    return largest, smallest


def _ends(alphas: list[float], betas: list[float], left_over: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """B's largest and smallest singular value, each with its residual.

    They are eigenvalues of [[0, Bᵀ], [B, 0]], which in the order y_1, x_1, y_2, x_2 … is tridiagonal with the diagonal 0.
    """
    size = len(alphas)
    off = np.zeros(2 * size - 1)
    off[::2] = alphas
    off[1::2] = betas
    found = []
    for index in (2 * size - 1, size):
        values, vectors = eigh_tridiagonal(np.zeros(2 * size), off, select="i", select_range=(index, index))
        weight = abs(vectors[-1, 0]) * np.sqrt(2)
        found.append((max(float(values[0]), 0.0), left_over * float(weight)))
    return found[0], found[1]
