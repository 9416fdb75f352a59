"""Proof of how many eigenvalues of a whole block have a negative real part, without computing any.

Sufficient conditions, tried in this order on M = I + K, K the core:

1. M + Mᵀ is positive definite: then no eigenvalue has.
2. P M + Mᵀ P is positive definite for P = I + V Y Vᵀ, which corrects the few directions in which condition 1 fails: then as many
   have as P has negative eigenvalues. Both by one Cholesky factorisation with a bound on its rounding: see `lyapunov`.
3. ‖(I − M/c)^k‖₂ < 1 for some c > 0 and k: then |1 − λ/c| < 1, so Re λ > 0. Estimated, from below, by power
   iteration with the convolutions as the operator; proved by repeated squaring of the dense core and a Cholesky factorisation of
   (1 − margin) I − BᵀB, where margin again covers every rounding error.

A certificate is "proved" only with such a bound, for the core as formed in float64; otherwise it is "estimated".
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from stiffcore.conventions import Convention
from stiffcore.device import UNIT_ROUNDOFF
from stiffcore.jacobians import deflation
from stiffcore.jacobians.linearise import BlockState
from stiffcore.progress import Progress, silent
from stiffcore.spectra import lyapunov

CANDIDATES = ((1.2, 2), (1.2, 4), (1.2, 8), (1.3, 16), (1.5, 32))  # (c, k); k a power of two, for squaring
CONVINCING = 0.9  # an estimated norm, which is a lower bound, must be below this
MARGIN = 1e-3
POWER_ITERATIONS = 40  # at most; fewer where the estimate stagnates
STAGNATION = 1e-4
DIRECTIONS = (6, 30)  # of the symmetric part, examined for a correction; the second if the first is too small
PROBE_ABOVE = 2500  # side; below it, factorising takes no longer than searching for a negative direction (measured)
COPIES_TO_FACTORISE, COPIES_TO_SQUARE = 3.1, 4.3  # of the core, itself included, at the peak (measured)


@dataclass(frozen=True)
class Certificate:
    """How many eigenvalues have Re λ < 0, and how certain that is.

    kind: "proved", "estimated" or "none"; how: the condition that held; norm: ‖(I − M/c)^k‖₂, where used; negative: the number
    of eigenvalues with Re λ < 0, where it is proved.
    """

    kind: str
    how: str
    norm: float = float("nan")
    negative: int = 0


def negative_eigenvalues(
    state: BlockState,
    prove: bool,
    room: Callable[[float], bool] = lambda copies: True,
    progress: Progress = silent,
) -> tuple[Certificate, deflation.Core | None]:
    """A certificate for the convention ``block``, and the core if it was formed.

    prove: whether to spend time on the dense squaring of condition 3 (several matrix products of the core's side).
    room: whether this many matrices of the core's side fit into memory; what does not fit is not tried.
    """
    if deflation.plan(state, Convention.BLOCK).side == 0:
        return Certificate("proved", "all eigenvalues are structural"), None
    core = None
    if room(COPIES_TO_FACTORISE):
        progress(0, 3, "is the symmetric part positive definite?")
        core = deflation.form_core(state, Convention.BLOCK)
        if (proof := _by_lyapunov(state, core, progress)) is not None:
            return proof, core
    best = Certificate("none", "no condition held")
    for c, k in CANDIDATES:
        progress(1, 3, f"is ‖(I − M/{c})^{k}‖ below 1?")
        norm = power_norm(state, c, k)
        if not norm < CONVINCING:
            continue
        how = f"‖(I − M/{c})^{k}‖₂ < 1"
        if not prove or core is None or not room(COPIES_TO_SQUARE):
            return Certificate("estimated", how, norm), core
        progress(2, 3, f"proving ‖(I − M/{c})^{k}‖ < 1")
        if contraction_is_proved(core.matrix, core.plan.shift, c, k, progress):
            return Certificate("proved", how, norm), core
        best = Certificate("estimated", how, norm)
    return best, core


def _by_lyapunov(state: BlockState, core: deflation.Core, progress: Progress) -> Certificate | None:
    """Conditions 1 and 2."""
    matrix, shift, side = core.matrix, core.plan.shift, core.plan.side
    forward = deflation.core_product(state, Convention.BLOCK)
    backward = deflation.core_product(state, Convention.BLOCK, transpose=True)
    hopeless = side > PROBE_ABOVE and lyapunov.has_negative_direction(forward, backward, side)
    if not hopeless and lyapunov.is_proved(
        matrix, shift, order=deflation.by_pixel(state, Convention.BLOCK, core.plan.layers)
    ):
        return Certificate("proved", "positive definite symmetric part")
    for wanted in DIRECTIONS:
        progress(1, 3, "in which directions is the symmetric part not positive?")
        correction = lyapunov.correction(forward, backward, side, wanted)
        negative = correction.negative()
        if correction.columns and negative is not None and lyapunov.is_proved(matrix, shift, correction):
            how = f"P M + Mᵀ P positive definite, P = I + V Y Vᵀ with V of {correction.columns} columns, {negative} eigenvalues of P negative"
            return Certificate("proved", how, negative=negative)
        if correction.complete:
            break
    return None


def power_norm(state: BlockState, c: float, k: int) -> float:
    """An estimate, from below, of ‖(I − M/c)^k‖₂ by power iteration on BᵀB with the convolutions as operator."""
    forward = deflation.core_product(state, Convention.BLOCK)
    backward = deflation.core_product(state, Convention.BLOCK, transpose=True)
    generator = torch.Generator().manual_seed(0)
    v = torch.randn(deflation.plan(state, Convention.BLOCK).side, dtype=torch.float64, generator=generator)
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
    progress: Progress = silent,
) -> bool:
    """Whether ‖(I − M/c)^k‖₂ < 1 is proved, by repeated squaring and one Cholesky factorisation.

    The error of a floating-point product is at most m·u·‖X‖_F² in the Frobenius norm, and an error E in X
    becomes at most 2·‖X‖·‖E‖ + ‖E‖² in X²; their sum must stay below the margin.
    """
    side = len(matrix)
    power = matrix / -c
    power.diagonal().add_(1 - shift / c)
    unit = (side + 2) * UNIT_ROUNDOFF
    error = 2 * unit * (float(power.norm()) + side**0.5)
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
    return lyapunov.cholesky_proves(gram)
