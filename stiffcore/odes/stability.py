"""Stability of one-step methods: where ``|R(z)| <= 1``, and the steps that keep eigenvalues there. Imports no torch.

On ``y' = λy`` a one-step method multiplies y by its stability function at every step (Hairer and Wanner 1996, IV.2-3),

    y_{n+1} = R(z) y_n,    z = hλ,    R = P / Q    with polynomials P and Q.

The sign of ``|P(z)|² - |Q(z)|²`` says whether z lies outside. As a polynomial in ``x = Re z`` and ``q = |z|²``, with
rational coefficients, it has no cancellation near the imaginary axis, where most eigenvalues of a residual block are:
forward Euler's is ``2x + q``, while ``|1 + z| > 1`` in floating point would miss a z of 1e-17.
"""

from collections import defaultdict
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import numpy as np

from stiffcore.errors import CannotCompute


@dataclass(frozen=True)
class Method:
    """A one-step method, given by its stability function R = P / Q; coefficients from the constant upwards."""

    name: str
    title: str
    order: int
    numerator: tuple[Fraction, ...]  # P
    denominator: tuple[Fraction, ...]  # Q; (1,) for explicit methods
    evaluations: int  # of the right-hand side per step; for an implicit method, linear solves per step
    formula: str  # R(z), for display

    @property
    def is_explicit(self) -> bool:
        return len(self.denominator) == 1


def _exponential(order: int) -> tuple[Fraction, ...]:
    """The Taylor polynomial of e^z: 1, 1, 1/2, 1/6, ..."""
    coefficients = [Fraction(1)]
    for k in range(1, order + 1):
        coefficients.append(coefficients[-1] / k)
    return tuple(coefficients)


_ONE, _HALF = Fraction(1), Fraction(1, 2)
METHODS = {
    method.name: method
    for method in (
        Method("forward-euler", "Forward Euler", 1, _exponential(1), (_ONE,), 1, "1 + z"),
        Method("rk2", "Runge–Kutta 2", 2, _exponential(2), (_ONE,), 2, "1 + z + z²/2"),
        Method("rk4", "Runge–Kutta 4", 4, _exponential(4), (_ONE,), 4, "1 + z + z²/2 + z³/6 + z⁴/24"),
        Method("backward-euler", "Backward Euler", 1, (_ONE,), (_ONE, -_ONE), 1, "1 / (1 − z)"),
        Method("trapezoidal", "Trapezoidal rule", 2, (_ONE, _HALF), (_ONE, -_HALF), 1, "(1 + z/2) / (1 − z/2)"),
    )
}


def method(name: str) -> Method:
    """A method by its name. Raises CannotCompute for an unknown one."""
    if name not in METHODS:
        raise CannotCompute(f"Expected a method among {', '.join(METHODS)}, got {name!r}: choose one of them.")
    return METHODS[name]


def check_step(step: float) -> float:
    """A positive, finite step size. Raises CannotCompute for anything else."""
    if isinstance(step, bool) or not isinstance(step, int | float | np.number):
        raise CannotCompute(f"Expected a step size as a number, got {step!r}: give a positive number.")
    if not (np.isfinite(step) and step > 0):
        raise CannotCompute(f"Expected a step size above 0, got {float(step):g}: choose a positive step.")
    return float(step)


def amplification(name: str, z: np.ndarray) -> np.ndarray:
    """R(z), complex; infinite at a pole. z: any shape."""
    chosen, z = method(name), np.asarray(z, dtype=np.complex128)
    numerator: np.ndarray = np.polynomial.polynomial.polyval(z, [float(c) for c in chosen.numerator])
    if chosen.is_explicit:
        return numerator
    denominator = np.polynomial.polynomial.polyval(z, [float(c) for c in chosen.denominator])
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(denominator == 0, np.inf + 0j, numerator / denominator)


def excess(name: str, z: np.ndarray) -> np.ndarray:
    """``|P(z)|² - |Q(z)|²``, float64: > 0 outside the stability region, <= 0 inside."""
    z = np.asarray(z, dtype=np.complex128)
    x, q = z.real, z.real**2 + z.imag**2
    total: np.ndarray = sum(float(c) * x**a * q**b for (a, b), c in _excess_terms(name).items())
    return total


def is_outside(name: str, z: np.ndarray) -> np.ndarray:
    """Whether ``|R(z)| > 1``: bool, shape of z."""
    return excess(name, z) > 0


@cache
def _excess_terms(name: str) -> dict[tuple[int, int], Fraction]:
    """``|P|² - |Q|²`` as {(a, b): coefficient of x^a q^b}, without zero coefficients."""
    terms: dict[tuple[int, int], Fraction] = defaultdict(Fraction)
    for polynomial, sign in ((method(name).numerator, 1), (method(name).denominator, -1)):
        for i, c in enumerate(polynomial):
            terms[0, i] += sign * c * c
            for j in range(i):  # conjugate pairs of products: 2 c_i c_j Re(z^(i-j)) q^j
                for (a, b), t in _real_part_of_power(i - j).items():
                    terms[a, b + j] += 2 * sign * c * polynomial[j] * t
    return {powers: c for powers, c in terms.items() if c}


@cache
def _real_part_of_power(m: int) -> dict[tuple[int, int], Fraction]:
    """Re(z^m) by the recurrence of Chebyshev's polynomials, Re z^m = 2x Re z^(m-1) - q Re z^(m-2)."""
    if m <= 1:
        return {(m, 0): _ONE}
    terms: dict[tuple[int, int], Fraction] = defaultdict(Fraction)
    for (a, b), c in _real_part_of_power(m - 1).items():
        terms[a + 1, b] += 2 * c
    for (a, b), c in _real_part_of_power(m - 2).items():
        terms[a, b + 1] -= c
    return dict(terms)


def _checked(eigenvalues: np.ndarray) -> np.ndarray:
    eigenvalues = np.asarray(eigenvalues, dtype=np.complex128).ravel()
    if not np.isfinite(eigenvalues).all():
        raise ValueError("Expected finite eigenvalues, got NaN or infinity.")
    return eigenvalues


def share_outside(
    eigenvalues: np.ndarray,  # of the core, shape: (m,)
    n_total: int,
    zeros: int = 0,
    ones: int = 0,
    step: float = 1.0,
    name: str = "forward-euler",
) -> float:
    """The share, from 0 to 1, of eigenvalues with ``|R(hλ)| > 1``, structural zeros and ones included.

    Zeros are never outside: ``R(0) = 1``. n_total = m + zeros + ones; the share is NaN where n_total is 0.
    """
    eigenvalues, step = _checked(eigenvalues), check_step(step)
    if n_total != len(eigenvalues) + zeros + ones:
        raise ValueError(f"Expected {len(eigenvalues)} + {zeros} + {ones} eigenvalues in total, got {n_total}.")
    if n_total == 0:
        return float("nan")
    outside = int(is_outside(name, step * eigenvalues).sum())
    return (outside + ones * bool(is_outside(name, np.array(step)))) / n_total


def largest_stable_step(eigenvalues: np.ndarray, name: str = "forward-euler") -> float:
    """The largest h for which every eigenvalue with Re λ < 0 stays in the region, at h and at every smaller step.

    Forward Euler: ``min -2 Re λ / |λ|²``. Infinity where no Re λ < 0 exists, and for backward Euler and the trapezoidal
    rule. Structural zeros and ones set no limit and need not be given. Eigenvalues with Re λ > 0 set no limit either: no
    small step stabilises them (`share_positive`).
    """
    eigenvalues = _checked(eigenvalues)
    decaying = eigenvalues[eigenvalues.real < 0]
    if not decaying.size:
        return float("inf")
    return float(stable_steps(decaying, name).min())


def stable_steps(eigenvalues: np.ndarray, name: str = "forward-euler") -> np.ndarray:
    """For each eigenvalue the largest h such that hλ is in the region at h and at every smaller step; 0 where there is none.

    Float64, shape of the eigenvalues, infinity where every step is stable (λ = 0 included).
    """
    eigenvalues = np.asarray(eigenvalues, dtype=np.complex128)
    size = np.abs(eigenvalues)
    # Dividing the real part alone keeps it where it is tiny; dividing the complex number by |λ| may not.
    direction = np.divide(eigenvalues.real, size, out=np.zeros(size.shape), where=size > 0)
    with np.errstate(divide="ignore"):
        return np.where(size > 0, _first_exit(direction, name) / size, np.inf)


def _first_exit(x: np.ndarray, name: str) -> np.ndarray:
    """The radius at which a ray from 0 first leaves the region; x: cosine of its angle.

    Along the ray the excess is ``r (c_1 + c_2 r + ...)``, with one change of sign in the left half-plane for every
    method here (tests/odes/test_stability.py counts the roots).
    """
    chosen = method(name)
    by_power = np.zeros((2 * max(len(chosen.numerator), len(chosen.denominator)), *np.shape(x)))
    for (a, b), c in _excess_terms(name).items():
        by_power[a + 2 * b - 1] += float(c) * x**a  # q = 1 on the unit circle
    filled = by_power != 0
    first = np.take_along_axis(by_power, filled.argmax(axis=0)[None], axis=0)[0]
    never_leaves = (first <= 0) & ~(by_power > 0).any(axis=0)
    low, high = np.zeros(np.shape(x)), np.full(np.shape(x), 8.0)  # beyond every bounded region
    for _ in range(120):  # bisection: full precision for radii down to 1e-20
        middle = (low + high) / 2
        inside = np.polynomial.polynomial.polyval(middle, by_power, tensor=False) <= 0
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    return np.where(never_leaves, np.inf, np.where(first > 0, 0.0, low))


def real_stability_interval(name: str) -> float:
    """The largest r with [-r, 0] in the region: 2 for forward Euler, 2.785 for RK4, infinite for implicit methods."""
    return float(_first_exit(np.array(-1.0), name))


def imaginary_stability_interval(name: str) -> float:
    """The largest r with [-ir, ir] in the region: 0 for forward Euler, 2√2 for RK4, infinite for implicit methods."""
    return float(_first_exit(np.array(0.0), name))


@cache
def _contour(name: str, points: int) -> np.ndarray:
    chosen = method(name)
    turns = max(len(chosen.numerator), len(chosen.denominator)) - 1  # R takes every value this many times
    p = np.polynomial.Polynomial([float(c) for c in chosen.numerator])
    q = np.polynomial.Polynomial([float(c) for c in chosen.denominator])
    z, points_on_it = 0j, []
    for angle in np.linspace(0, 2 * np.pi * turns, turns * points + 1):
        w = np.exp(1j * angle)
        for _ in range(20):  # Newton for P(z) = e^{iθ} Q(z), starting at the previous point
            change = (p(z) - w * q(z)) / (p.deriv()(z) - w * q.deriv()(z))
            z -= change
            if abs(change) < 1e-15:
                break
        points_on_it.append(z)
    contour = np.array(points_on_it)
    contour.setflags(write=False)  # shared by every caller
    return contour


def boundary(name: str, reach: float = 10.0, points: int = 180) -> np.ndarray:
    """The curve |R(z)| = 1 as one polyline, complex128: the roots of ``P(z) = e^{iθ} Q(z)`` followed through θ.

    Closed, from 0 to 0, with `points` per turn of θ; for the trapezoidal rule the imaginary axis from -i reach to i reach.
    The region lies inside the curve for explicit methods, outside for backward Euler, to the left for the trapezoidal rule.
    """
    if name == "trapezoidal":  # unbounded: z = 2i tan(θ/2)
        return 1j * np.linspace(-reach, reach, 2)
    return _contour(name, points)
