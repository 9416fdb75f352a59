"""The paper's stiff example (Eq. 8, 9 and Figure 3) solved by one-step methods and by scipy, with the cost of each solution.

    y' = -1000 y + 3000 - 2000 e^(-t),  y(0) = 0,        y = 3 - (997/999) e^(-1000 t) - (2000/999) e^(-t)

The equation is Example 26.1 of Chapra and Canale, Numerical Methods for Engineers. Imports no torch, and scipy only to solve.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from stiffcore.errors import CannotCompute
from stiffcore.odes import stability
from stiffcore.odes.one_step import Solution, one_step

PAPER_STEP = 0.0015
STABILITY_LIMIT = 0.002  # of forward Euler at λ = -1000: 2 / 1000
MOST_EVALUATIONS = 12_000  # of one adaptive run; about half a second
RK45_REAL_INTERVAL = 3.3066  # RK45 (Dormand and Prince) is stable on [-3.3066, 0]
ADAPTIVE = {"RK45": "explicit", "Radau": "implicit", "BDF": "implicit"}


@dataclass(frozen=True)
class System:
    """An initial value problem y' = f(t, y), y(0) = start, on [0, t_end]."""

    name: str
    title: str
    formula: str  # as text, for display
    right_hand_side: Callable[[float, np.ndarray], np.ndarray]  # (t, y) -> y', shape: (d,)
    jacobian: Callable[[float, np.ndarray], np.ndarray]  # (t, y) -> ∂f/∂y, shape: (d, d)
    start: tuple[float, ...]
    t_end: float
    source: str


# --- The paper's example ---------------------------------------------------------------------------------------------


RATE = -1000.0  # λ = ∂f/∂y
EXACT_COEFFICIENTS = (997 / 999, 2000 / 999)
PRINTED_COEFFICIENTS = (0.998, 2.002)  # Eq. 9, rounded to three decimals


def example_slope(t: float, y: float) -> float:
    """Eq. 8: -1000 y + 3000 - 2000 e^(-t)."""
    return RATE * y + 3000.0 - 2000.0 * math.exp(-t)


def example_solution(t: np.ndarray, coefficients: tuple[float, float] = EXACT_COEFFICIENTS) -> np.ndarray:
    """Eq. 9 with its exact coefficients (997/999, 2000/999), or those given. t: any shape."""
    fast, slow = coefficients
    y: np.ndarray = 3.0 - fast * np.exp(RATE * np.asarray(t)) - slow * np.exp(-np.asarray(t))
    return y


STIFF_EXAMPLE = System(
    "example",
    "The paper's stiff example",
    "y′ = −1000 y + 3000 − 2000 e⁻ᵗ",
    lambda t, y: np.array([example_slope(t, y[0])]),
    lambda t, y: np.array([[RATE]]),
    (0.0,),
    0.1,
    "paper, Eq. 8; Chapra and Canale, Numerical Methods for Engineers, Example 26.1",
)


@dataclass(frozen=True)
class StepReport:
    """A one-step method on the stiff example: the numbers that depend on the step."""

    method: str
    step: float
    z: float  # hλ
    amplification: float  # R(hλ): each step multiplies the error by it
    is_stable: bool  # |R| <= 1
    solution: Solution
    first_error: float  # |y_1 - y(t_1)|
    largest_error: float
    last_error: float

    @property
    def verdict(self) -> str:
        """unstable | on the limit | settles, alternating | settles: how an error develops from step to step."""
        size = abs(self.amplification)
        if not self.is_stable:
            return "unstable"
        if math.isclose(size, 1.0, rel_tol=1e-9):
            return "on the limit"
        return "settles, alternating" if self.amplification < 0 else "settles"


def report(method: str, step: float, t_end: float) -> StepReport:
    """Solves the stiff example by a one-step method. Raises CannotCompute for a step that is not usable."""
    solution = integrate_example(method, step, t_end)
    with np.errstate(over="ignore"):
        error = np.abs(solution.states[:, 0] - example_solution(solution.times))
    z = step * RATE
    amplification = float(stability.amplification(method, np.array(z)).real)
    # Rounding decides only at hλ = -2, and there -1000 · 0.002 is exactly -2 and |R| exactly 1.
    is_stable = not bool(stability.is_outside(method, np.array(z)))
    return StepReport(method, step, z, amplification, is_stable, solution, error[1], error.max(), error[-1])


def integrate_example(method: str, step: float, t_end: float) -> Solution:
    """Steps of size h from 0 to the last multiple of h in [0, t_end]."""
    return one_step(example_slope, lambda t, y: RATE, STIFF_EXAMPLE.start[0], method, step, t_end)


# --- scipy's solvers, step by step, with a budget --------------------------------------------------------------------


def adaptive(
    system: System,
    method: str,  # one of ADAPTIVE
    t_end: float | None = None,
    rtol: float = 1e-3,  # solve_ivp's own default
    atol: float = 1e-6,
    most_evaluations: int = MOST_EVALUATIONS,
) -> Solution:
    """Solves a system by scipy's RK45, Radau or BDF, as `solve_ivp` does, within a budget of evaluations.

    A run that stops early raises nothing: its solution carries a message and shows how far the solver came.
    """
    if method not in ADAPTIVE:
        raise CannotCompute(f"Expected a solver among {', '.join(ADAPTIVE)}, got {method!r}: choose one of them.")
    t_end = system.t_end if t_end is None else t_end
    if not (math.isfinite(t_end) and t_end > 0):
        raise CannotCompute(f"Expected an end time above 0, got {t_end!r}: choose a positive one.")
    from scipy import integrate  # slow to import; needed only to solve

    options = {"jac": system.jacobian} if ADAPTIVE[method] == "implicit" else {}
    start = np.array(system.start, dtype=np.float64)
    solver = getattr(integrate, method)(system.right_hand_side, 0.0, start, t_end, rtol=rtol, atol=atol, **options)
    times, states, spent, message = [0.0], [start], [solver.nfev], ""
    while solver.status == "running" and not message:
        failure = solver.step()
        if solver.status == "failed":
            message = f"The solver stopped at t = {solver.t:g}: {failure}"
            break
        times.append(solver.t)
        states.append(solver.y.copy())
        spent.append(solver.nfev)
        if solver.nfev >= most_evaluations and solver.status == "running":
            message = f"Stopped at t = {solver.t:.4g} of {t_end:g} after {solver.nfev:,} evaluations of f."
    return Solution(method, np.array(times), np.array(states), np.array(spent), solver.njev, solver.nlu, message)
