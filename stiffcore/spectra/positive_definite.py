"""Proofs that a symmetric matrix is positive definite, by a Cholesky factorisation and a bound on its rounding.

On the CPU: a factorisation in floating point that runs to its end on S − δI, δ ≥ (m + 2)·u·tr S / (1 − (m + 2)·u), proves S positive
definite (Rump, "Verification of positive definiteness", BIT 46, 2006): in any order of summation, with or without fused
multiply-adds, but not with Strassen's products or inverted blocks, which no LAPACK used here has.

On a card the library may invert blocks, so the factor is not trusted but multiplied out. Whatever L is, L Lᵀ has no negative eigenvalue,
so that with T = S − δI as it is rounded, E = T − L Lᵀ as it is computed, and γ = (m + 3) u / (1 − (m + 3) u),

    λ_min(S) ≥ δ − ‖E‖_F − γ (‖T‖_F + ‖L‖_F²) − u tr S

since a sum of m products and a term is off by at most γ times the sum of the moduli, in any order (Higham 2002, § 3.1), of which
Cauchy and Schwarz bound the Frobenius norm by ‖T‖_F + ‖L‖_F²; u tr S is the rounding of the diagonal. Only the lower triangles are
read: the norm of the whole E is at most √2 times that of its triangle. The right side is doubled for the rounding of the bound itself.
The product must be a plain one in float64, neither Strassen's nor emulated by integers, which libraries do only on request.
"""

import math

import numpy as np
import torch
from scipy.linalg import LinAlgError, cholesky_banded
from torch import Tensor

from stiffcore.device import CPU, UNIT_ROUNDOFF

NARROW = 0.25  # half-bandwidth as a share of the side, below which a band is cheaper to factorise than a full matrix
ROWS_LOOKED_AT = 16
SMALLEST_SQUARED = 2.0**-511  # its square is a normal number
MORE_ON_CARD = 4  # times Rump's shift, which leaves E as much room as the bound for its rounding takes


def is_proved(symmetric: Tensor, rounding: float = 0.0) -> bool:
    """Whether a symmetric matrix, known up to ``rounding`` in the 2-norm, is proved positive definite; it is overwritten."""
    return by_cholesky(symmetric, rounding) if symmetric.device == CPU else by_residual(symmetric, rounding)


def by_cholesky(symmetric: Tensor, rounding: float = 0.0) -> bool:
    """By Rump's theorem. Libraries differ in whether a NaN pivot ends the factorisation, so the pivots are checked as well."""
    shift = _rump(symmetric.diagonal(), rounding)
    if shift is None:
        return False
    symmetric.diagonal().sub_(shift)
    factor, info = torch.linalg.cholesky_ex(symmetric)
    return int(info) == 0 and bool((factor.diagonal() > 0).all())


def by_residual(symmetric: Tensor, rounding: float = 0.0) -> bool:
    """By E, whatever the factorisation did. Refused where squares that E's norm consists of could underflow beside the shift."""
    side = len(symmetric)
    if not side:
        return True
    trace = float(symmetric.diagonal().sum())
    shift = _rump(symmetric.diagonal(), rounding)
    if shift is None:
        return False
    shift *= MORE_ON_CARD
    if not UNIT_ROUNDOFF * shift > side * SMALLEST_SQUARED:
        return False
    symmetric.diagonal().sub_(shift)
    factor, info = torch.linalg.cholesky_ex(symmetric)
    if int(info) != 0:
        return False
    size = float(symmetric.norm()) + float(factor.norm()) ** 2
    left_over = 2**0.5 * float(symmetric.addmm_(factor, factor.T, alpha=-1).tril_().norm())
    grow = (side + 3) * UNIT_ROUNDOFF
    below = 2 * (left_over + grow / (1 - grow) * size + UNIT_ROUNDOFF * trace + rounding)
    return below < shift  # NaN is not


def is_proved_of_band(band: np.ndarray, rounding: float) -> bool:
    """``is_proved`` for a band in LAPACK's lower form: band[d, j] = H[j + d, j]; shape: (half-bandwidth + 1, m)."""
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


def band_of(matrix: Tensor, shift: int, order: Tensor) -> np.ndarray | None:
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
