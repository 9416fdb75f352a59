"""One-step methods: observed orders, costs, and refusals."""

import math

import numpy as np
import pytest

from stiffcore.errors import CannotCompute
from stiffcore.odes import example as stiff_example, one_step, stability

ONE_STEP = tuple(stability.METHODS)


@pytest.mark.parametrize("method", ONE_STEP)
def test_observed_order_of_convergence_on_a_nonlinear_equation(method):
    """y' = y - y² (logistic), y(0) = 0.1, exact 1 / (1 + 9 e^(-t))."""
    errors = []
    for n_steps in (40, 80, 160):
        run = one_step.one_step(lambda t, y: y - y * y, lambda t, y: 1 - 2 * y, 0.1, method, 4 / n_steps, 4.0)
        assert run.n_steps == n_steps
        errors.append(abs(run.states[-1, 0] - 1 / (1 + 9 * math.exp(-4))))
    orders = one_step.observed_orders(np.array(errors))
    assert orders[-1] == pytest.approx(stability.method(method).order, abs=0.1)


@pytest.mark.parametrize("method", ONE_STEP)
def test_observed_order_on_the_papers_equation(method):
    steps = np.array([1e-4, 5e-5, 2.5e-5])
    errors = [stiff_example.report(method, step, 0.002).last_error for step in steps]
    assert np.log2(errors[1] / errors[2]) == pytest.approx(stability.method(method).order, abs=0.15)


def test_costs_are_counted():
    calls = []

    def slope(t, y):
        calls.append(t)
        return -y

    for method in ONE_STEP:
        calls.clear()
        run = one_step.one_step(slope, lambda t, y: -1.0, 1.0, method, 0.1, 1.0)
        assert run.n_evaluations == len(calls)
        assert run.spent[0] == 0
        assert (run.n_jacobians > 0) == (not stability.method(method).is_explicit)


@pytest.mark.parametrize("method", ONE_STEP)
def test_a_step_on_a_linear_equation_costs_what_the_method_says(method):
    """An implicit method takes one linear solve, and one more evaluation than its formula, which finds the residual 0."""
    chosen, run = stability.method(method), stiff_example.report(method, 0.0015, 0.1).solution
    solves, evaluations = run.n_factorisations / run.n_steps, run.n_evaluations / run.n_steps
    if chosen.is_explicit:
        assert (solves, evaluations) == (0, chosen.evaluations)
    else:
        assert (solves, evaluations) == (chosen.evaluations, 3 if method == "trapezoidal" else 2)


@pytest.mark.parametrize("step", [1e-5, 0.002, 0.1])
@pytest.mark.parametrize("method", ["backward-euler", "trapezoidal"])
def test_implicit_steps_solve_their_equation(method, step):
    """Backward Euler: y1 = y0 + h f(h, y1). Trapezoidal: y1 = y0 + h/2 (f(0, y0) + f(h, y1))."""
    y = stiff_example.integrate_example(method, step, 0.1).states[:, 0]
    weight = 1.0 if method == "backward-euler" else 0.5
    new = step * weight * stiff_example.example_slope(step, y[1]) + step * (1 - weight) * stiff_example.example_slope(
        0, 0.0
    )
    assert y[1] == pytest.approx(new, rel=1e-11 * max(1, step * 1000))


@pytest.mark.parametrize("step", [0, -0.1, float("nan"), float("inf"), None, "0.1"])
def test_a_step_that_is_no_step_is_refused(step):
    with pytest.raises(CannotCompute, match=r"^Expected a step size .*, got .*: .*\.$"):
        stiff_example.report("forward-euler", step, 0.1)


def test_a_run_that_would_take_minutes_is_refused_with_the_step_to_take():
    with pytest.raises(CannotCompute, match=r"^Expected at most 20,000 steps, got 100,000,000 .* at least 5e-06\.$"):
        stiff_example.report("forward-euler", 1e-9, 0.1)
    assert stiff_example.report("forward-euler", 5e-6, 0.1).solution.n_steps == 20_000


def test_a_step_beyond_the_interval_is_refused():
    with pytest.raises(CannotCompute, match=r"^Expected a step inside \[0, 0.006\], got 0.01: "):
        stiff_example.report("forward-euler", 0.01, 0.006)


def test_a_run_beyond_floating_point_stops_and_says_so():
    run = one_step.one_step(lambda t, y: y**3, lambda t, y: 3 * y * y, 10.0, "forward-euler", 0.1, 10.0)
    assert not run.finished
    assert run.message.startswith("The solution overflowed at t = ")
    assert np.isfinite(run.states).all()


def test_forward_euler_takes_a_right_hand_side_for_each_step():
    """1 + ½ · 1; then 1.5 + ½ · (0.5 + 2 · 1.5)."""
    slopes = [lambda t, y: t + y, lambda t, y: t + 2 * y]
    assert list(one_step.euler(slopes, 1.0, 0.5)) == [1.0, 1.5, 3.25]
    run = stiff_example.integrate_example("forward-euler", 0.001, 0.05)
    steps = one_step.euler([stiff_example.example_slope] * 50, 0.0, 0.001)
    np.testing.assert_array_equal(list(steps), run.states[:, 0])
