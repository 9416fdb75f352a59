"""Robertson's reaction and Van der Pol's oscillator: Jacobian eigenvalues along the solution, stiffness ratio over time.

Imports no torch.
"""

from dataclasses import dataclass

import numpy as np

from stiffcore import ode
from stiffcore.errors import CannotCompute

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


ROBERTSON = ode.System(
    "robertson",
    "Robertson's reaction",
    "y₁′ = −0.04 y₁ + 10⁴ y₂y₃,   y₂′ = 0.04 y₁ − 10⁴ y₂y₃ − 3·10⁷ y₂²,   y₃′ = 3·10⁷ y₂²",
    _robertson_slope,
    _robertson_jacobian,
    (1.0, 0.0, 0.0),
    4e10,
    "Robertson 1966; Hairer and Wanner 1996, IV.1; the example of LSODE and CVODE",
)


def van_der_pol(mu: float) -> ode.System:
    """y'' = μ (1 - y²) y' - y from (2, 0), over a little more than one of its periods, about 1.6 μ for large μ."""
    if not (np.isfinite(mu) and 1 <= mu <= 1e4):
        raise CannotCompute(f"Expected μ from 1 to 10,000, got {mu!r}: choose one of {VAN_DER_POL_MU}.")

    def slope(t: float, y: np.ndarray) -> np.ndarray:
        return np.array([y[1], mu * (1 - y[0] * y[0]) * y[1] - y[0]])

    def jacobian(t: float, y: np.ndarray) -> np.ndarray:
        return np.array([[0.0, 1.0], [-2 * mu * y[0] * y[1] - 1, mu * (1 - y[0] * y[0])]])

    return ode.System(
        "van_der_pol",
        "Van der Pol's oscillator",
        f"y₁′ = y₂,   y₂′ = {mu:g} (1 − y₁²) y₂ − y₁",
        slope,
        jacobian,
        (2.0, 0.0),
        2.0 * mu,
        "Van der Pol 1926; Hairer and Wanner 1996, IV.1; Test Set for IVP Solvers, problem VDPOL",
    )


def system(name: str, mu: float = 1000) -> ode.System:
    """robertson | van_der_pol. Raises CannotCompute for another name."""
    if name not in ("robertson", "van_der_pol"):
        raise CannotCompute(f"Expected a system among robertson, van_der_pol, got {name!r}: choose one of them.")
    return ROBERTSON if name == "robertson" else van_der_pol(mu)


def eigenvalues_along(chosen: ode.System, times: np.ndarray, states: np.ndarray) -> np.ndarray:
    """Eigenvalues of the Jacobian at each state, complex128, shape: (n, d); Robertson's structural zero dropped: (n, 2).

    Robertson's mass y1 + y2 + y3 = 1 is conserved, so (1, 1, 1) J = 0 and the changes with sum 0 are an invariant
    subspace. In its coordinates (y2, y3), with y1 = -y2 - y3, J has the other two eigenvalues and no numerical zero.
    """
    jacobians = np.array([chosen.jacobian(t, y) for t, y in zip(times, states, strict=True)])
    if chosen.name == "robertson":
        jacobians = jacobians[:, 1:, 1:] - jacobians[:, 1:, :1]
    return _eigenvalues_of_2_by_2(jacobians)


def _eigenvalues_of_2_by_2(matrices: np.ndarray) -> np.ndarray:
    """By the quadratic formula without cancellation: the larger root, and det / it. shape: (n, 2, 2) -> (n, 2)."""
    half_trace = (matrices[:, 0, 0] + matrices[:, 1, 1]) / 2
    determinant = matrices[:, 0, 0] * matrices[:, 1, 1] - matrices[:, 0, 1] * matrices[:, 1, 0]
    root = np.sqrt((half_trace**2 - determinant).astype(np.complex128))
    larger = half_trace + np.where(half_trace < 0, -root, root)
    is_zero = larger == 0
    smaller = np.where(is_zero, 0, determinant / np.where(is_zero, 1, larger))
    # A complex pair is conjugate: the quotient gives it only up to rounding.
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


@dataclass(frozen=True)
class Portrait:
    """A stiff system as its page shows it."""

    system: ode.System
    reference: ode.Solution  # Radau at tight tolerances: times and states
    eigenvalues: np.ndarray  # complex128, shape: (n + 1, 2)
    ratio: np.ndarray  # shape: (n + 1,), NaN where undefined
    n_decaying: np.ndarray  # eigenvalues with Re λ < 0, shape: (n + 1,)
    costs: tuple[ode.Solution, ...]  # RK45, Radau, BDF at the same tolerances

    @property
    def undefined_share(self) -> float:
        """The share of the time, from 0 to 1, during which no eigenvalue has a negative real part."""
        lengths = np.diff(self.reference.times)
        return float(lengths[self.n_decaying[:-1] == 0].sum() / lengths.sum())

    @property
    def evaluations_needed(self) -> float:
        """An estimate of what RK45 would spend: what it spent, and from there the steps that stability alone allows.

        RK45 (Dormand and Prince) is stable on the real interval [-3.3, 0] and evaluates f six times a step.
        """
        explicit, times = self.costs[0], self.reference.times
        fastest = np.abs(self.eigenvalues.real).max(axis=1)
        left = np.clip(times - explicit.times[-1], 0, None)
        return float(explicit.n_evaluations + 6 / 3.3 * np.trapezoid(fastest, left))


def portrait(name: str, mu: float = 1000, rtol: float = 1e-4) -> Portrait:
    """Solve, take eigenvalues along the solution, and count what explicit and implicit solvers spend on it.

    Absolute tolerance of the costs: 1e-4 rtol, since Robertson's y2 stays below 4e-5.
    """
    chosen = system(name, mu)
    reference = ode.adaptive(chosen, "Radau", rtol=1e-6, atol=1e-12)
    eigenvalues = eigenvalues_along(chosen, reference.times, reference.states)
    costs = tuple(ode.adaptive(chosen, method, rtol=rtol, atol=1e-4 * rtol) for method in ode.ADAPTIVE)
    n_decaying = (eigenvalues.real < 0).sum(axis=1)
    return Portrait(chosen, reference, eigenvalues, stiffness_ratio(eigenvalues), n_decaying, costs)
