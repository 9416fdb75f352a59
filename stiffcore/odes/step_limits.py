"""What limits the step on x' = J x: a fast decay, which is stiffness, or an oscillation with weak damping, which is not.

Forward Euler keeps λ stable up to ``h = -2 Re λ / |λ|² = (2 / |Re λ|) cos² φ``, φ the angle between λ and the negative real
axis. For a real λ that is ``2 / |λ|``: small only where the decay is fast. Near the imaginary axis it is about
``2 |Re λ| / |Im λ|²``: small where the damping is weak, even if everything is slow. Imports no torch.
"""

from dataclasses import dataclass

import numpy as np

from stiffcore.odes import stability


@dataclass(frozen=True)
class StepLimits:
    """The step limits that the eigenvalues with Re λ < 0 of one spectrum set for one method and step."""

    largest_step: float  # at which all of them are stable; infinity where nothing limits it
    set_by: complex  # the λ that limits it, with Im λ >= 0; NaN where none does
    decay_limit: float  # r / |min Re λ|: what the fastest decay alone would allow, r the real stability interval
    fastest_decay: float  # |min Re λ|; 0 where nothing decays
    decaying_outside: float  # share of all eigenvalues, from 0 to 1, with Re λ < 0 and |R(hλ)| > 1

    @property
    def kind(self) -> str:
        """decay | oscillation | none: whether the real or the imaginary part of `set_by` is larger.

        At the border, 45°, forward Euler's largest step is half of what the decay alone would allow.
        """
        if np.isnan(self.set_by):
            return "none"
        return "decay" if abs(self.set_by.imag) <= -self.set_by.real else "oscillation"


def of_eigenvalues(
    eigenvalues: np.ndarray,  # of the core, shape: (m,)
    n_total: int,  # with the structural ones, which set no limit
    tolerance: float = 0.0,
    step: float = 1.0,
    name: str = "forward-euler",
) -> StepLimits:
    """The step limits of a spectrum. An eigenvalue decays if Re λ < -tolerance, as in `spectrum_stability.of_method`."""
    decaying = eigenvalues[eigenvalues.real < -tolerance]
    if not decaying.size:
        return StepLimits(np.inf, complex(np.nan), np.inf, 0.0, 0.0)
    steps = stability.stable_steps(decaying, name)
    tightest = complex(decaying[steps.argmin()])
    fastest = float(-decaying.real.min())
    outside = int(stability.is_outside(name, stability.check_step(step) * decaying).sum()) / n_total
    is_bounded = bool(np.isfinite(steps.min()))
    return StepLimits(
        float(steps.min()),
        complex(tightest.real, abs(tightest.imag)) if is_bounded else complex(np.nan),
        stability.real_stability_interval(name) / fastest,
        fastest,
        outside,
    )
