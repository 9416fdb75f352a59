"""What a one-step method makes of a whole spectrum, structural zeros and ones included."""

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
    """What a one-step method with step h makes of x' = F(x), structural zeros and ones included.

    share_outside: of the eigenvalues, those with |R(hλ)| > 1; largest_stable_step: see `stability`; share_positive: those
    with Re λ > 0, which no small step stabilises. Shares are of all m + zeros + ones, from 0 to 1.
    tolerance: what |λ| or |Re λ| does not exceed is taken for 0, since rounding moves it to either side. With Re λ = 0 an
    eigenvalue neither decays nor grows; it is outside where the method's region leaves the imaginary axis at h Im λ.
    """
    total = len(eigenvalues) + zeros + ones
    told = eigenvalues[np.abs(eigenvalues) > tolerance]
    told = np.where(np.abs(told.real) > tolerance, told, 1j * told.imag)
    at_zero = zeros + len(eigenvalues) - len(told)
    decaying = eigenvalues[eigenvalues.real < -tolerance]
    growing = int((eigenvalues.real > tolerance).sum()) + ones
    return {
        "share_outside": stability.share_outside(told, total, at_zero, ones, step, name),
        "largest_stable_step": stability.largest_stable_step(decaying, name),
        "share_positive": growing / total if total else math.nan,
    }
