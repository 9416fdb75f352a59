"""Robertson's reaction and Van der Pol's oscillator: Jacobian eigenvalues along the solution, stiffness ratio over time.

Imports no torch.
"""

from dataclasses import dataclass

import numpy as np

from stiffcore.errors import CannotCompute
from stiffcore.odes import example as stiff_example

VAN_DER_POL_MU = (10, 100, 1000)


def _robertson_slope(t: float, y: np.ndarray) -> np.ndarray:
    slow, fast, back = 0.04 * y[0], 3e7 * y[1] * y[1], 1e4 * y[1] * y[2]
    return np.array([back - slow, slow - back - fast, fast])


def _robertson_jacobian(t: float, y: np.ndarray) -> np.ndarray:
    return np.array(
        [
            [-0.04, 1e4 * y[2], 1e4 * y[1]],
            [0.04, -1e4 * y[2] - 6e7 * y[1], -1e4 * y[1]],
            [0.0, 6e7 * y[1], 0.0],
        ]
    )


ROBERTSON = stiff_example.System(
    "robertson",
    "Robertson's reaction",
    "y₁′ = −0.04 y₁ + 10⁴ y₂y₃,   y₂′ = 0.04 y₁ − 10⁴ y₂y₃ − 3·10⁷ y₂²,   y₃′ = 3·10⁷ y₂²",
    _robertson_slope,
    _robertson_jacobian,
    (1.0, 0.0, 0.0),
    4e10,
    "Robertson 1966; Hairer and Wanner 1996, IV.1; the example of LSODE and CVODE",
)


def van_der_pol(mu: float) -> stiff_example.System:
    """y'' = μ (1 - y²) y' - y from (2, 0), over a little more than one period, which is about 1.6 μ for large μ.

    Raises CannotCompute for a μ outside 1 to 10,000.
    """
    if not (np.isfinite(mu) and 1 <= mu <= 1e4):
        raise CannotCompute(f"Expected μ from 1 to 10,000, got {mu!r}: choose one of {VAN_DER_POL_MU}.")

    def slope(t: float, y: np.ndarray) -> np.ndarray:
        return np.array([y[1], mu * (1 - y[0] * y[0]) * y[1] - y[0]])

    def jacobian(t: float, y: np.ndarray) -> np.ndarray:
        return np.array([[0.0, 1.0], [-2 * mu * y[0] * y[1] - 1, mu * (1 - y[0] * y[0])]])

    return stiff_example.System(
        "van_der_pol",
        "Van der Pol's oscillator",
        f"y₁′ = y₂,   y₂′ = {mu:g} (1 − y₁²) y₂ − y₁",
        slope,
        jacobian,
        (2.0, 0.0),
        2.0 * mu,
        "Van der Pol 1926; Hairer and Wanner 1996, IV.1; Test Set for IVP Solvers, problem VDPOL",
    )


def system(name: str, mu: float = 1000) -> stiff_example.System:
    """robertson | van_der_pol. Raises CannotCompute for another name."""
    if name not in ("robertson", "van_der_pol"):
        raise CannotCompute(f"Expected a system among robertson, van_der_pol, got {name!r}: choose one of them.")
    return ROBERTSON if name == "robertson" else van_der_pol(mu)


def eigenvalues_along(chosen: stiff_example.System, times: np.ndarray, states: np.ndarray) -> np.ndarray:
    """Eigenvalues of the Jacobian at each state, complex128, shape: (n, d); Robertson's without the structural zero: (n, 2).

    Robertson's mass y1 + y2 + y3 = 1 is conserved, so (1, 1, 1) J = 0 and the changes with sum 0 are an invariant
    subspace. In its coordinates (y2, y3), with y1 = -y2 - y3, J has the other two eigenvalues and no numerical zero.
    """
    jacobians = np.array([chosen.jacobian(t, y) for t, y in zip(times, states, strict=True)])
    if chosen.name == "robertson":
        jacobians = jacobians[:, 1:, 1:] - jacobians[:, 1:, :1]
    return _eigenvalues_of_2_by_2(jacobians)


def _eigenvalues_of_2_by_2(matrices: np.ndarray) -> np.ndarray:
    """By the quadratic formula without cancellation: the larger root r, and det / r. shape: (n, 2, 2) -> (n, 2)."""
    half_trace = (matrices[:, 0, 0] + matrices[:, 1, 1]) / 2
    determinant = matrices[:, 0, 0] * matrices[:, 1, 1] - matrices[:, 0, 1] * matrices[:, 1, 0]
    root = np.sqrt((half_trace**2 - determinant).astype(np.complex128))
    larger = half_trace + np.where(half_trace < 0, -root, root)
    is_zero = larger == 0
    smaller = np.where(is_zero, 0, determinant / np.where(is_zero, 1, larger))
    # A complex pair is conjugate; the quotient is that only up to rounding.
    smaller = np.where(root.imag != 0, larger.conj(), smaller)
    return np.stack([larger, smaller], axis=1)


def stiffness_ratio(eigenvalues: np.ndarray) -> np.ndarray:
    """max |Re λ| / min |Re λ| over Re λ < 0, along the last axis; NaN where no Re λ < 0 exists.

    Adapted from Lambert 1991, ch. 6, who assumes that every Re λ < 0.
    """
    decay = np.where(eigenvalues.real < 0, -eigenvalues.real, np.nan)
    defined = (eigenvalues.real < 0).any(axis=-1)
    ratio = np.full(defined.shape, np.nan)
    ratio[defined] = np.nanmax(decay[defined], axis=-1) / np.nanmin(decay[defined], axis=-1)
    return ratio


def negative_share(times: np.ndarray, values: np.ndarray) -> float:
    """The share of the time, from 0 to 1, during which the piecewise linear function through the values is negative."""
    low, high = np.minimum(values[:-1], values[1:]), np.maximum(values[:-1], values[1:])
    crossing = -low / np.where(high > low, high - low, 1.0)  # where low < 0 <= high
    negative = np.where(high < 0, 1.0, np.where(low < 0, crossing, 0.0))
    return float((negative * np.diff(times)).sum() / (times[-1] - times[0]))


@dataclass(frozen=True)
class Portrait:
    """A stiff system as the page shows it."""

    system: stiff_example.System
    reference: stiff_example.Solution  # Radau at tight tolerances: times and states
    eigenvalues: np.ndarray  # complex128, shape: (n + 1, 2)
    ratio: np.ndarray  # shape: (n + 1,), NaN where undefined
    n_decaying: np.ndarray  # eigenvalues with Re λ < 0, shape: (n + 1,)
    costs: tuple[stiff_example.Solution, ...]  # RK45, Radau, BDF at the same tolerances

    @property
    def decaying_shares(self) -> tuple[float, float, float]:
        """The shares of the time, from 0 to 1, during which no eigenvalue decays, exactly one, and both."""
        times, real = self.reference.times, self.eigenvalues.real
        both, none = negative_share(times, real.max(axis=1)), negative_share(times, -real.min(axis=1))
        return none, 1 - none - both, both

    @property
    def ratio_is_unbounded(self) -> bool:
        """Whether an eigenvalue crosses 0 while the other one decays: min |Re λ| then becomes arbitrarily small.

        The largest ratio over the solver's steps then depends on where it stepped, and says nothing about the system.
        """
        upper, lower = self.eigenvalues.real.max(axis=1), self.eigenvalues.real.min(axis=1)
        return bool(((upper[:-1] * upper[1:] < 0) & (lower[:-1] < 0) & (lower[1:] < 0)).any())

    @property
    def fastest_decay(self) -> float:
        """max |Re λ| T over Re λ < 0: the interval in units of the fastest decay. An explicit step is a few units long."""
        return float(-self.eigenvalues.real.min() * self.system.t_end)

    @property
    def evaluations_needed(self) -> float:
        """An estimate of the evaluations that RK45 needs for the whole interval: those that it used, then six for each of the
        steps that stability allows."""
        explicit, times = self.costs[0], self.reference.times
        fastest = np.abs(self.eigenvalues.real).max(axis=1)
        remaining = np.clip(times - explicit.times[-1], 0, None)
        return float(explicit.n_evaluations + 6 / stiff_example.RK45_REAL_INTERVAL * np.trapezoid(fastest, remaining))


def portrait(name: str, mu: float = 1000, rtol: float = 1e-4, reference_rtol: float = 1e-6) -> Portrait:
    """Solves a system, computes eigenvalues along the solution, and counts the costs of explicit and implicit solvers.

    rtol: tolerance at which the costs are counted, with an absolute tolerance of 1e-4 rtol, since Robertson's y2 stays below
    4e-5; reference_rtol: tolerance of the solution that is shown.
    """
    chosen = system(name, mu)
    reference = stiff_example.adaptive(chosen, "Radau", rtol=reference_rtol, atol=1e-6 * reference_rtol)
    eigenvalues = eigenvalues_along(chosen, reference.times, reference.states)
    costs = tuple(
        stiff_example.adaptive(chosen, method, rtol=rtol, atol=1e-4 * rtol) for method in stiff_example.ADAPTIVE
    )
    n_decaying = (eigenvalues.real < 0).sum(axis=1)
    return Portrait(chosen, reference, eigenvalues, stiffness_ratio(eigenvalues), n_decaying, costs)
