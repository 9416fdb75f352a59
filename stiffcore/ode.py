"""The paper's stiff example (its Eq. 8, 9 and Figure 3), one-step methods and scipy's solvers, with what each costs.

    y' = -1000 y + 3000 - 2000 e^(-t),  y(0) = 0,        y = 3 - (997/999) e^(-1000 t) - (2000/999) e^(-t)

The equation is Example 26.1 of Chapra and Canale, Numerical Methods for Engineers. Imports no torch, and scipy only to solve.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from stiffcore import stability
from stiffcore.errors import CannotCompute

PAPER_STEP = 0.0015
STABILITY_LIMIT = 0.002  # of forward Euler at λ = -1000: 2 / 1000
MOST_STEPS = 20_000  # of one fixed-step run: about a tenth of a second
MOST_EVALUATIONS = 12_000  # of one adaptive run; about half a second
ADAPTIVE = {"RK45": "explicit", "Radau": "implicit", "BDF": "implicit"}


@dataclass(frozen=True)
class System:
    """An initial value problem y' = f(t, y), y(0) = start, on [0, t_end]."""

    name: str
    title: str
    formula: str  # as text, to be shown
    right_hand_side: Callable[[float, np.ndarray], np.ndarray]  # (t, y) -> y', shape: (d,)
    jacobian: Callable[[float, np.ndarray], np.ndarray]  # (t, y) -> ∂f/∂y, shape: (d, d)
    start: tuple[float, ...]
    t_end: float
    source: str


@dataclass(frozen=True)
class Solution:
    """What a method made of a system, and what it cost. A run that stopped early says why in `message`."""

    method: str
    times: np.ndarray  # shape: (n + 1,), from 0
    states: np.ndarray  # shape: (n + 1, d)
    spent: np.ndarray  # evaluations of f until each time, shape: (n + 1,)
    n_jacobians: int
    n_factorisations: int  # LU factorisations, or divisions of a scalar Newton iteration
    message: str = ""  # empty: reached the end

    @property
    def n_steps(self) -> int:
        return len(self.times) - 1

    @property
    def n_evaluations(self) -> int:
        return int(self.spent[-1])

    @property
    def finished(self) -> bool:
        return not self.message


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
    return 3.0 - fast * np.exp(RATE * np.asarray(t)) - slow * np.exp(-np.asarray(t))


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
    """The numbers that move with the step: forward Euler or any other one-step method on the stiff example."""

    method: str
    step: float
    z: float  # hλ
    amplification: float  # R(hλ): what a step multiplies the error by
    is_stable: bool  # |R| <= 1
    solution: Solution
    first_error: float  # |y_1 - y(t_1)|
    largest_error: float
    last_error: float

    @property
    def verdict(self) -> str:
        """unstable | on the limit | settles, alternating | settles: how errors go on from one step to the next."""
        size = abs(self.amplification)
        if not self.is_stable:
            return "unstable"
        if math.isclose(size, 1.0, rel_tol=1e-9):
            return "on the limit"
        return "settles, alternating" if self.amplification < 0 else "settles"


def report(method: str, step: float, t_end: float) -> StepReport:
    """The stiff example by a one-step method. Raises CannotCompute for a step that is no use."""
    solution = integrate_example(method, step, t_end)
    with np.errstate(over="ignore"):
        error = np.abs(solution.states[:, 0] - example_solution(solution.times))
    z = step * RATE
    amplification = float(stability.amplification(method, np.array(z)).real)
    # hλ = -2 itself is where rounding decides: -1000 · 0.002 is -2 exactly, as is |R| = 1.
    is_stable = not bool(stability.is_outside(method, np.array(z)))
    return StepReport(method, step, z, amplification, is_stable, solution, error[1], error.max(), error[-1])


def integrate_example(method: str, step: float, t_end: float) -> Solution:
    """Steps of size h from 0 to the last multiple of h in [0, t_end]."""
    return one_step(example_slope, lambda t, y: RATE, STIFF_EXAMPLE.start[0], method, step, t_end)


# --- One-step methods on a scalar equation ---------------------------------------------------------------------------


def check_n_steps(step: float, t_end: float) -> int:
    """How many whole steps fit into [0, t_end]. Raises CannotCompute for none, or for more than MOST_STEPS."""
    step = stability.check_step(step)
    ratio = t_end / step
    if ratio > MOST_STEPS * (1 + 1e-9):
        raise CannotCompute(
            f"Expected at most {MOST_STEPS:,} steps, got {ratio:,.0f} of size {step:g}: "
            f"choose a step of at least {t_end / MOST_STEPS:g}."
        )
    n_steps = math.floor(ratio * (1 + 1e-12))
    if n_steps < 1:
        raise CannotCompute(f"Expected a step inside [0, {t_end:g}], got {step:g}: choose one of at most {t_end:g}.")
    return n_steps


def one_step(
    slope: Callable[[float, float], float],  # f(t, y)
    derivative: Callable[[float, float], float],  # ∂f/∂y
    start: float,
    method: str,
    step: float,
    t_end: float,
) -> Solution:
    """A scalar equation by one of `stability.METHODS` at a fixed step: y_0 … y_n at 0, h, …, nh <= t_end.

    RK2 is Heun's method. The implicit ones solve for y_{n+1} by Newton's iteration, confirmed by one more evaluation.
    """
    stability.method(method)
    n_steps = check_n_steps(step, t_end)
    times = step * np.arange(n_steps + 1)
    states, spent, n_solves, message = [float(start)], [0], 0, ""
    for t in times[:-1].tolist():
        try:
            y, evaluations, solves = _ADVANCE[method](slope, derivative, t, states[-1], step)
        except OverflowError:
            y, evaluations, solves = math.inf, 0, 0
        if not math.isfinite(y):
            message = f"The numbers grew beyond floating point at t = {t + step:g}."
            break
        states.append(y)
        spent.append(spent[-1] + evaluations)
        n_solves += solves
    n = len(states)
    return Solution(method, times[:n], np.array(states)[:, None], np.array(spent), n_solves, n_solves, message)


def _forward_euler(f, _, t, y, h):
    return y + h * f(t, y), 1, 0


def _heun(f, _, t, y, h):
    first = f(t, y)
    return y + h / 2 * (first + f(t + h, y + h * first)), 2, 0


def _rk4(f, _, t, y, h):
    k1 = f(t, y)
    k2 = f(t + h / 2, y + h / 2 * k1)
    k3 = f(t + h / 2, y + h / 2 * k2)
    k4 = f(t + h, y + h * k3)
    return y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4), 4, 0


def _implicit(weight: float):
    """y_{n+1} = y_n + h ((1 - w) f(t_n, y_n) + w f(t_{n+1}, y_{n+1})): backward Euler (w = 1), trapezoidal (1/2)."""

    def advance(f, derivative, t, y, h):
        known = y + (h * (1 - weight) * f(t, y) if weight < 1 else 0.0)
        new = y
        for iteration in range(1, 51):
            change = (known + h * weight * f(t + h, new) - new) / (1 - h * weight * derivative(t + h, new))
            new += change
            if abs(change) <= 1e-12 * max(1.0, abs(new)):
                return new, iteration + (weight < 1), iteration
        return math.nan, iteration + (weight < 1), iteration  # shown as a run that stopped

    return advance


_ADVANCE = {
    "forward-euler": _forward_euler,
    "rk2": _heun,
    "rk4": _rk4,
    "backward-euler": _implicit(1.0),
    "trapezoidal": _implicit(0.5),
}


# --- scipy's solvers, step by step, with a budget --------------------------------------------------------------------


def adaptive(
    system: System,
    method: str,  # one of ADAPTIVE
    t_end: float | None = None,
    rtol: float = 1e-3,  # solve_ivp's own default
    atol: float = 1e-6,
    most_evaluations: int = MOST_EVALUATIONS,
) -> Solution:
    """A system by scipy's RK45, Radau or BDF: what `solve_ivp` runs, stopped when its evaluations are used up.

    A run that stops early is a value with a message, not an error: how far it came is what is to be seen.
    """
    if method not in ADAPTIVE:
        raise CannotCompute(f"Expected a solver among {', '.join(ADAPTIVE)}, got {method!r}: choose one of them.")
    t_end = system.t_end if t_end is None else t_end
    if not (math.isfinite(t_end) and t_end > 0):
        raise CannotCompute(f"Expected an end time above 0, got {t_end!r}: choose a positive one.")
    from scipy import integrate  # slow to import, and wanted by nobody who only looks

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
