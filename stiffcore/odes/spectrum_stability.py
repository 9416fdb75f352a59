"""Stability of a one-step method on a whole spectrum, structural zeros and ones included."""

import math

import numpy as np

from stiffcore.odes import stability


def of_method(
    eigenvalues: np.ndarray,  # of the core, shape: (m,)
    zeros: int,
    ones: int = 0,
    tolerance: float = 0.0,
    step: float = 1.0,
    name: str = "forward-euler",
) -> dict[str, float]:
    """Stability of a one-step method with step h on x' = F(x), structural zeros and ones included.

    share_outside: the share of eigenvalues with |R(hλ)| > 1; largest_stable_step: see `stability`; share_positive: the share
    with Re λ > 0, which no small step stabilises. Shares are of all m + zeros + ones, from 0 to 1.
    tolerance: |λ| or |Re λ| up to this counts as 0, since rounding moves it to either side. An eigenvalue with Re λ = 0
    neither decays nor grows; it is outside where i h Im λ lies outside the method's region.
    """
    total = len(eigenvalues) + zeros + ones
    nonzero = eigenvalues[np.abs(eigenvalues) > tolerance]
    nonzero = np.where(np.abs(nonzero.real) > tolerance, nonzero, 1j * nonzero.imag)
    at_zero = zeros + len(eigenvalues) - len(nonzero)
    decaying = eigenvalues[eigenvalues.real < -tolerance]
    growing = int((eigenvalues.real > tolerance).sum()) + ones
    return {
        "share_outside": stability.share_outside(nonzero, total, at_zero, ones, step, name),
        "largest_stable_step": stability.largest_stable_step(decaying, name),
        "share_positive": growing / total if total else math.nan,
    }
