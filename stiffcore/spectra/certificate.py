"""Proof of how many eigenvalues of a whole block have a negative real part, without computing any.

Sufficient conditions, tried in this order on M = I + K, K the core:

1. M + Mᵀ is positive definite: then no eigenvalue has.
2. P M + Mᵀ P is positive definite for P = I + V Y Vᵀ, which corrects the few directions in which condition 1 fails: then as many
   have as P has negative eigenvalues. Both by one Cholesky factorisation with a bound on its rounding: see `lyapunov`.

"Proved" is said of the core as it was rounded to float64. Condition 2 pays only where a few directions fail. In an untrained block
half of them do, and there the full spectrum has to be computed all the same: what is spent before on a search is bounded by
the core's side, to a small part of the cost of that spectrum.
"""

from collections.abc import Callable
from dataclasses import dataclass

from stiffcore.conventions import Convention
from stiffcore.device import CPU
from stiffcore.jacobians import deflation
from stiffcore.jacobians.linearise import BlockState
from stiffcore.progress import Progress, silent
from stiffcore.spectra import lyapunov

FEW, MORE = 6, 30  # directions of the symmetric part, examined for a correction; more if the first are too few
MORE_ABOVE = 2500  # side; below it the second search costs a tenth of the full spectrum and more (measured)
PROBE_ABOVE = 2500  # side; below it, factorising takes no longer than searching for a negative direction (measured)
COPIES_TO_FACTORISE = 3.1  # of the core, itself included, at the peak (measured)


@dataclass(frozen=True)
class Certificate:
    """How many eigenvalues have Re λ < 0, and whether that is proved.

    kind: "proved" or "none"; how: the condition that held; negative: the number of eigenvalues with Re λ < 0, where it is proved.
    """

    kind: str
    how: str
    negative: int = 0


def negative_eigenvalues(
    state: BlockState,
    room: Callable[[float], bool] = lambda copies: True,
    progress: Progress = silent,
) -> tuple[Certificate, deflation.Core | None]:
    """A certificate for the convention ``block``, and the core if it was formed.

    room: whether this many matrices of the core's side fit into memory; what does not fit is not tried.
    """
    if deflation.plan(state, Convention.BLOCK).side == 0:
        return Certificate("proved", "all eigenvalues are structural"), None
    if not room(COPIES_TO_FACTORISE):
        return Certificate("none", "the core does not fit into memory"), None
    progress(0, 2, "is the symmetric part positive definite?")
    core = deflation.form_core(state, Convention.BLOCK)
    proof = _by_lyapunov(state, core, progress)
    return proof or Certificate("none", "no condition held"), core


def _by_lyapunov(state: BlockState, core: deflation.Core, progress: Progress) -> Certificate | None:
    """Conditions 1 and 2."""
    matrix, shift, side = core.matrix, core.plan.shift, core.plan.side
    forward = deflation.quickest_product(state, Convention.BLOCK, core)
    backward = deflation.quickest_product(state, Convention.BLOCK, core, transpose=True)
    where = state.device
    hopeless = side > PROBE_ABOVE and lyapunov.has_negative_direction(forward, backward, side, where=where)
    order = deflation.by_pixel(state, Convention.BLOCK, core.plan.layers) if where == CPU else None
    if not hopeless and lyapunov.is_proved(matrix, shift, order=order):
        return Certificate("proved", "positive definite symmetric part")
    for wanted in (FEW, MORE) if side > MORE_ABOVE else (FEW,):
        progress(1, 2, "in which directions is the symmetric part not positive?")
        correction = lyapunov.correction(forward, backward, side, wanted, where)
        if correction is None:
            continue
        negative = correction.negative()
        if correction.columns and negative is not None and lyapunov.is_proved(matrix, shift, correction):
            how = f"P M + Mᵀ P positive definite, P = I + V Y Vᵀ with V of {correction.columns} columns, {negative} eigenvalues of P negative"
            return Certificate("proved", how, negative)
        if correction.complete:
            break
    return None
