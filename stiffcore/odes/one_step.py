"""One-step methods at a fixed step: forward Euler on any state, all of them on a scalar equation, with their costs.

Imports no torch.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from stiffcore.errors import CannotCompute
from stiffcore.odes import stability

if TYPE_CHECKING:
    from torch import Tensor

MOST_STEPS = 20_000  # of one run: about a tenth of a second
State = TypeVar("State", float, np.ndarray, "Tensor")
Scalar = Callable[[float, float], float]  # f(t, y) or ∂f/∂y
# (f, ∂f/∂y, t, y, h) -> y at t + h, evaluations of f, solves
Advance = Callable[[Scalar, Scalar, float, float, float], tuple[float, int, int]]


@dataclass(frozen=True)
class Solution:
    """A method's solution of a system, and its cost. A run that stopped early says why in `message`."""

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


def euler_step(slope: Callable[[float, State], State], t: float, y: State, step: float) -> State:
    """y + h f(t, y)"""
    return y + step * slope(t, y)


def euler(slopes: Iterable[Callable[[float, State], State]], start: State, step: float) -> Iterator[State]:
    """Forward Euler from t = 0, y_{i+1} = y_i + h f_i(ih, y_i): the states y_0, y_1 …, one more than slopes f_0, f_1 …"""
    y = start
    yield y
    for position, slope in enumerate(slopes):
        y = euler_step(slope, position * step, y, step)
        yield y


def observed_orders(errors: np.ndarray) -> np.ndarray:
    """log2 of the ratio of the errors at h and h/2, shape (n - 1,) of (n,): the method's order once h is small."""
    orders: np.ndarray = np.log2(errors[:-1] / errors[1:])
    return orders


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
    slope: Scalar,  # f(t, y)
    derivative: Scalar,  # ∂f/∂y
    start: float,
    method: str,
    step: float,
    t_end: float,
) -> Solution:
    """Solves a scalar equation by one of `stability.METHODS` at a fixed step: y_0 … y_n at 0, h, …, nh <= t_end.

    RK2 is Heun's method. Implicit methods solve for y_{n+1} by Newton's iteration until the residual vanishes. On a linear
    equation that takes one division a step (`stability.Method.evaluations`), and one evaluation of f to find the residual 0.
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
            message = f"The solution overflowed at t = {t + step:g}."
            break
        states.append(y)
        spent.append(spent[-1] + evaluations)
        n_solves += solves
    n = len(states)
    return Solution(method, times[:n], np.array(states)[:, None], np.array(spent), n_solves, n_solves, message)


def _forward_euler(f: Scalar, _: Scalar, t: float, y: float, h: float) -> tuple[float, int, int]:
    return euler_step(f, t, y, h), 1, 0


def _heun(f: Scalar, _: Scalar, t: float, y: float, h: float) -> tuple[float, int, int]:
    first = f(t, y)
    return y + h / 2 * (first + f(t + h, y + h * first)), 2, 0


def _rk4(f: Scalar, _: Scalar, t: float, y: float, h: float) -> tuple[float, int, int]:
    k1 = f(t, y)
    k2 = f(t + h / 2, y + h / 2 * k1)
    k3 = f(t + h / 2, y + h / 2 * k2)
    k4 = f(t + h, y + h * k3)
    return y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4), 4, 0


def _implicit(weight: float) -> Advance:
    """y_{n+1} = y_n + h ((1 - w) f(t_n, y_n) + w f(t_{n+1}, y_{n+1})): backward Euler (w = 1), trapezoidal (1/2)."""

    def advance(f: Scalar, derivative: Scalar, t: float, y: float, h: float) -> tuple[float, int, int]:
        known = y + (h * (1 - weight) * f(t, y) if weight < 1 else 0.0)
        new, slope = y, 1.0  # slope: derivative of the residual with respect to y_{n+1}, up to its sign
        for solves in range(51):
            evaluations = solves + 1 + (weight < 1)
            residual = known + h * weight * f(t + h, new) - new
            if abs(residual) <= 1e-12 * max(1.0, abs(new)) * max(1.0, abs(slope)):  # bounds the next change of y
                return new, evaluations, solves
            slope = 1 - h * weight * derivative(t + h, new)
            new += residual / slope
        return math.nan, evaluations, solves  # reported as a run that stopped

    return advance


_ADVANCE: dict[str, Advance] = {
    "forward-euler": _forward_euler,
    "rk2": _heun,
    "rk4": _rk4,
    "backward-euler": _implicit(1.0),
    "trapezoidal": _implicit(0.5),
}
