"""Proof that no eigenvalue of a whole block has a negative real part, without computing any.

Sufficient conditions, tried in this order on M = I + K, K the core:

1. (M + Mᵀ)/2 is positive definite: Cholesky succeeds after a shift that covers every rounding error behind K.
2. ‖(I − M/c)^k‖₂ < 1 for some c > 0 and k: then |1 − λ/c| < 1, so Re λ > 0. Estimated, from below, by power
   iteration with the convolutions as the operator; proved by repeated squaring of the dense core and a Cholesky factorisation of
   (1 − margin) I − BᵀB, margin again covering every rounding error.

"proved" is said only with such a bound, of the core as it was formed in float64; "estimated" otherwise.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from stiffcore import deflation
from stiffcore.device import UNIT_ROUNDOFF
from stiffcore.residual_blocks import BlockState

CANDIDATES = ((1.2, 2), (1.2, 4), (1.2, 8), (1.3, 16), (1.5, 32))  # (c, k); k a power of two, for squaring
CONVINCING = 0.9  # an estimated norm, which is one from below, has to be under this
MARGIN = 1e-3
POWER_ITERATIONS = 40  # at most; fewer where the estimate stagnates
STAGNATION = 1e-4
COPIES_TO_FACTORISE, COPIES_TO_SQUARE = 3.1, 4.3  # of the core, itself included, at the peak (measured)


@dataclass(frozen=True)
class Certificate:
    """kind: "proved", "estimated" or "none"; how: the condition that held; norm: of (I − M/c)^k, where used."""

    kind: str
    how: str
    norm: float = float("nan")


def no_negative_eigenvalues(
    state: BlockState,
    prove: bool,
    room: Callable[[float], bool] = lambda copies: True,
    progress: Callable[[int, int, str], None] = lambda done, total, what: None,
) -> tuple[Certificate, deflation.Core | None]:
    """A certificate for the convention ``block``, and the core if it was formed.

    prove: whether the dense squaring of condition 2 is worth its time (several matrix products of the core's side).
    room: whether so many matrices of the core's side fit into memory; what does not fit is not tried.
    """
    if deflation.plan(state, "block").side == 0:
        return Certificate("proved", "all eigenvalues are structural"), None
    core = None
    if room(COPIES_TO_FACTORISE):
        progress(0, 3, "is the symmetric part positive definite?")
        core = deflation.form_core(state, "block")
        if symmetric_part_is_positive(core.matrix, core.plan.shift):
            return Certificate("proved", "positive definite symmetric part"), core
    best = Certificate("none", "no condition held")
    for c, k in CANDIDATES:
        progress(1, 3, f"is ‖(I − M/{c})^{k}‖ below 1?")
        norm = power_norm(state, c, k)
        if norm >= CONVINCING:
            continue
        how = f"‖(I − M/{c})^{k}‖₂ < 1"
        if not prove or core is None or not room(COPIES_TO_SQUARE):
            return Certificate("estimated", how, norm), core
        progress(2, 3, f"proving ‖(I − M/{c})^{k}‖ < 1")
        if contraction_is_proved(core.matrix, core.plan.shift, c, k, progress):
            return Certificate("proved", how, norm), core
        best = Certificate("estimated", how, norm)
    return best, core


def symmetric_part_is_positive(matrix: Tensor, shift: int) -> bool:
    """Whether shift·I + (K + Kᵀ)/2 is proved positive definite. matrix: float64 (m, m).

    A Cholesky factorisation in floating point that runs to its end on H − δI, δ ≥ (m + 2)·u·tr H / (1 − (m + 2)·u),
    proves H positive definite (Rump, "Verification of positive definiteness", BIT 46, 2006); δ is doubled, which
    covers forming H.
    """
    symmetric = (matrix + matrix.T) / 2
    symmetric.diagonal().add_(shift)
    return _cholesky_proves(symmetric)


def _cholesky_proves(symmetric: Tensor) -> bool:
    side = len(symmetric)
    diagonal = symmetric.diagonal()
    if bool((diagonal <= 0).any()):
        return False
    growth = (side + 2) * UNIT_ROUNDOFF
    symmetric.diagonal().sub_(2 * growth / (1 - growth) * float(diagonal.sum()))
    return int(torch.linalg.cholesky_ex(symmetric).info) == 0


def power_norm(state: BlockState, c: float, k: int) -> float:
    """An estimate, from below, of ‖(I − M/c)^k‖₂ by power iteration on BᵀB with the convolutions as operator."""
    forward = deflation.core_product(state, "block")
    backward = deflation.core_product(state, "block", transpose=True)
    generator = torch.Generator().manual_seed(0)
    v = torch.randn(deflation.plan(state, "block").side, dtype=torch.float64, generator=generator)
    v, norm = v / v.norm(), 0.0
    for _ in range(POWER_ITERATIONS):
        w, before = v, norm
        for _ in range(k):
            w = w - forward(w) / c
        norm = float(w.norm())
        if norm > 1 or abs(norm - before) < STAGNATION * norm:
            break
        for _ in range(k):
            w = w - backward(w) / c
        v = w / w.norm().clamp_min(1e-300)
    return norm


def contraction_is_proved(
    matrix: Tensor,
    shift: int,
    c: float,
    k: int,
    progress: Callable[[int, int, str], None] = lambda done, total, what: None,
) -> bool:
    """Whether ‖(I − M/c)^k‖₂ < 1 is proved, by repeated squaring and one Cholesky factorisation.

    The error of a floating-point product is at most m·u·‖X‖_F² in the Frobenius norm, and an error E in X
    becomes at most 2·‖X‖·‖E‖ + ‖E‖² in X²; their sum has to stay below the margin.
    """
    side = len(matrix)
    power = matrix / -c
    power.diagonal().add_(1 - shift / c)
    unit = (side + 2) * UNIT_ROUNDOFF
    error = 2 * unit * float(power.norm())
    for step in range(k.bit_length() - 1):
        progress(2, 3, f"squaring {step + 1} of {k.bit_length() - 1}")
        size = float(power.norm())
        error = 2 * size * error + error**2 + unit * size**2
        power = power @ power
    size = float(power.norm())
    if not 2 * size * error + error**2 + unit * size**2 <= MARGIN / 2:  # so that NaN is refused too
        return False
    gram = power.T @ power
    gram.neg_().diagonal().add_(1 - MARGIN)
    return _cholesky_proves(gram)
