"""The stiff example, one-step methods and stiff systems: exact solutions, observed orders, published reference values."""

import numpy as np
import pytest

from stiffcore.errors import CannotCompute
from stiffcore.odes import example as stiff_example, stability, stiff_systems

ONE_STEP = tuple(stability.METHODS)


# --- The paper's example ---


def test_exact_solution_satisfies_the_equation_and_its_start():
    mpmath = pytest.importorskip("mpmath")
    fast, slow = mpmath.mpf(997) / 999, mpmath.mpf(2000) / 999

    def y(t):
        return 3 - fast * mpmath.exp(-1000 * t) - slow * mpmath.exp(-t)

    assert abs(y(mpmath.mpf(0))) < 1e-15
    for t in (0.0, 1e-4, 0.0015, 0.006, 0.1, 2.0):
        assert abs(mpmath.diff(y, t) - (-1000 * y(t) + 3000 - 2000 * mpmath.exp(-t))) < 1e-9
        assert stiff_example.example_solution(t) == pytest.approx(float(y(t)), abs=1e-15)


def test_printed_coefficients_are_the_exact_ones_rounded_to_three_decimals():
    assert tuple(round(c, 3) for c in stiff_example.EXACT_COEFFICIENTS) == stiff_example.PRINTED_COEFFICIENTS
    t = np.linspace(0, 0.1, 1001)
    difference = np.abs(
        stiff_example.example_solution(t) - stiff_example.example_solution(t, stiff_example.PRINTED_COEFFICIENTS)
    ).max()
    assert 1e-6 < difference < 3e-6


def test_at_the_papers_step_forward_euler_starts_wrong_and_settles():
    report = stiff_example.report("forward-euler", stiff_example.PAPER_STEP, 0.1)
    assert (report.z, report.amplification) == (-1.5, -0.5)
    assert report.is_stable
    assert report.verdict == "settles, alternating"
    assert report.solution.states[1, 0] == 1.5  # 0 + 0.0015 · (3000 - 2000)
    assert report.first_error == report.largest_error == pytest.approx(1.5 - 0.7783153, abs=1e-7)
    assert report.last_error < 2e-6


@pytest.mark.parametrize(
    ("step", "verdict"),
    [(0.0005, "settles"), (0.0019, "settles, alternating"), (0.002, "on the limit"), (0.0021, "unstable")],
)
def test_verdict_changes_at_the_limit(step, verdict):
    report = stiff_example.report("forward-euler", step, 0.1)
    assert report.verdict == verdict
    assert report.is_stable == (step <= stiff_example.STABILITY_LIMIT)


@pytest.mark.parametrize(("step", "grows"), [(0.0019, False), (0.0021, True)])
def test_amplification_is_what_happens_to_the_error_from_step_to_step(step, grows):
    states = stiff_example.integrate_example("forward-euler", step, 0.1).states[:, 0]
    other = stiff_example.one_step(
        stiff_example.example_slope, lambda t, y: stiff_example.RATE, 1e-3, "forward-euler", step, 0.1
    ).states[:, 0]
    distance = other - states  # two runs of a linear equation: only the homogeneous part is left
    np.testing.assert_allclose(distance[1:6] / distance[:5], 1 + step * stiff_example.RATE, rtol=1e-6)
    assert (abs(distance[-1]) > abs(distance[0])) == grows


@pytest.mark.parametrize("method", ONE_STEP)
def test_error_of_an_implicit_step_is_multiplied_by_the_stability_function(method):
    step = 0.004
    runs = [
        stiff_example.one_step(
            stiff_example.example_slope, lambda t, y: stiff_example.RATE, start, method, step, 0.1
        ).states[:, 0]
        for start in (0.0, 1.0)
    ]
    expected = float(stability.amplification(method, np.array(step * stiff_example.RATE)).real)
    assert runs[1][1] - runs[0][1] == pytest.approx(expected, rel=1e-9)


# --- scipy's solvers ---


def test_rk45s_real_interval_is_where_its_stability_function_reaches_1():
    """R(z) by one step of scipy's own coefficients on y' = z y."""
    from scipy.integrate import RK45

    def size(z: float) -> float:
        slopes = []
        for row in RK45.A:
            slopes.append(z * (1 + sum(a * k for a, k in zip(row, slopes))))
        return abs(1 + sum(b * k for b, k in zip(RK45.B, slopes, strict=True)))

    assert size(-stiff_example.RK45_REAL_INTERVAL + 1e-4) < 1 < size(-stiff_example.RK45_REAL_INTERVAL - 1e-4)
    assert max(size(-z) for z in np.linspace(0.01, 3.3, 100)) < 1


@pytest.mark.parametrize("method", stiff_example.ADAPTIVE)
def test_solvers_take_the_steps_and_evaluations_of_solve_ivp(method):
    from scipy.integrate import solve_ivp

    example = stiff_example.STIFF_EXAMPLE
    options = {} if method == "RK45" else {"jac": example.jacobian}
    theirs = solve_ivp(example.right_hand_side, (0, 0.1), example.start, method=method, **options)
    ours = stiff_example.adaptive(example, method)
    np.testing.assert_array_equal(ours.times, theirs.t)
    np.testing.assert_array_equal(ours.states.T, theirs.y)
    assert (ours.n_evaluations, ours.n_jacobians, ours.n_factorisations) == (theirs.nfev, theirs.njev, theirs.nlu)


def test_an_explicit_solver_out_of_evaluations_says_how_far_it_came():
    run = stiff_example.adaptive(stiff_systems.ROBERTSON, "RK45", most_evaluations=600)
    assert not run.finished
    assert run.times[-1] < 1
    assert run.message.startswith("Stopped at t = ")


def test_unknown_solvers_and_end_times_are_refused():
    with pytest.raises(CannotCompute, match="Expected a solver among RK45, Radau, BDF, got 'ode45'"):
        stiff_example.adaptive(stiff_example.STIFF_EXAMPLE, "ode45")
    with pytest.raises(CannotCompute, match="Expected an end time above 0"):
        stiff_example.adaptive(stiff_example.STIFF_EXAMPLE, "RK45", t_end=-1)
