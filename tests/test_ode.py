"""The stiff example, one-step methods and stiff systems: exact solutions, observed orders, published reference values."""

import math

import numpy as np
import pytest

from stiffcore import ode, stability, stiff_systems
from stiffcore.errors import CannotCompute

ONE_STEP = tuple(stability.METHODS)

# LSODE's example output (Hindmarsh, ODEPACK), t -> y1, y2, y3; printed with seven digits at a tolerance of 1e-4.
ROBERTSON_AT = {
    0.4: (9.851726e-01, 3.386406e-05, 1.479357e-02),
    4.0: (9.055142e-01, 2.240418e-05, 9.446344e-02),
    40.0: (7.158050e-01, 9.184616e-06, 2.841858e-01),
}
# Test Set for IVP Solvers (Mazzia and Magherini), problems ROBER at t = 1e11 and VDPOL (ε = 1e-6) at t = 2.
ROBERTSON_AT_1E11 = (0.2083340149701255e-07, 0.8333360770334713e-13, 0.9999999791665050)
VAN_DER_POL_AT_2 = (0.1706167732170483e1, -0.8928097010247975)


# --- The paper's example ---


def test_exact_solution_satisfies_the_equation_and_its_start():
    mpmath = pytest.importorskip("mpmath")
    fast, slow = mpmath.mpf(997) / 999, mpmath.mpf(2000) / 999

    def y(t):
        return 3 - fast * mpmath.exp(-1000 * t) - slow * mpmath.exp(-t)

    assert abs(y(mpmath.mpf(0))) < 1e-15
    for t in (0.0, 1e-4, 0.0015, 0.006, 0.1, 2.0):
        assert abs(mpmath.diff(y, t) - (-1000 * y(t) + 3000 - 2000 * mpmath.exp(-t))) < 1e-9
        assert ode.example_solution(t) == pytest.approx(float(y(t)), abs=1e-15)


def test_printed_coefficients_are_the_exact_ones_rounded_to_three_decimals():
    assert tuple(round(c, 3) for c in ode.EXACT_COEFFICIENTS) == ode.PRINTED_COEFFICIENTS
    t = np.linspace(0, 0.1, 1001)
    difference = np.abs(ode.example_solution(t) - ode.example_solution(t, ode.PRINTED_COEFFICIENTS)).max()
    assert 1e-6 < difference < 3e-6


def test_at_the_papers_step_forward_euler_starts_wrong_and_settles():
    report = ode.report("forward-euler", ode.PAPER_STEP, 0.1)
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
    report = ode.report("forward-euler", step, 0.1)
    assert report.verdict == verdict
    assert report.is_stable == (step <= ode.STABILITY_LIMIT)


@pytest.mark.parametrize(("step", "grows"), [(0.0019, False), (0.0021, True)])
def test_amplification_is_what_happens_to_the_error_from_step_to_step(step, grows):
    states = ode.integrate_example("forward-euler", step, 0.1).states[:, 0]
    other = ode.one_step(ode.example_slope, lambda t, y: ode.RATE, 1e-3, "forward-euler", step, 0.1).states[:, 0]
    distance = other - states  # two runs of a linear equation: only the homogeneous part is left
    np.testing.assert_allclose(distance[1:6] / distance[:5], 1 + step * ode.RATE, rtol=1e-6)
    assert (abs(distance[-1]) > abs(distance[0])) == grows


@pytest.mark.parametrize("method", ONE_STEP)
def test_error_of_an_implicit_step_is_multiplied_by_the_stability_function(method):
    step = 0.004
    runs = [
        ode.one_step(ode.example_slope, lambda t, y: ode.RATE, start, method, step, 0.1).states[:, 0]
        for start in (0.0, 1.0)
    ]
    expected = float(stability.amplification(method, np.array(step * ode.RATE)).real)
    assert runs[1][1] - runs[0][1] == pytest.approx(expected, rel=1e-9)


# --- One-step methods ---


@pytest.mark.parametrize("method", ONE_STEP)
def test_observed_order_of_convergence_on_a_nonlinear_equation(method):
    """y' = y - y² (logistic), y(0) = 0.1, exact 1 / (1 + 9 e^(-t))."""
    errors = []
    for n_steps in (40, 80, 160):
        run = ode.one_step(lambda t, y: y - y * y, lambda t, y: 1 - 2 * y, 0.1, method, 4 / n_steps, 4.0)
        assert run.n_steps == n_steps
        errors.append(abs(run.states[-1, 0] - 1 / (1 + 9 * math.exp(-4))))
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert orders[-1] == pytest.approx(stability.method(method).order, abs=0.1)


@pytest.mark.parametrize("method", ONE_STEP)
def test_observed_order_on_the_papers_equation(method):
    steps = np.array([1e-4, 5e-5, 2.5e-5])
    errors = [ode.report(method, step, 0.002).last_error for step in steps]
    assert np.log2(errors[1] / errors[2]) == pytest.approx(stability.method(method).order, abs=0.15)


def test_costs_are_counted():
    calls = []

    def slope(t, y):
        calls.append(t)
        return -y

    for method in ONE_STEP:
        calls.clear()
        run = ode.one_step(slope, lambda t, y: -1.0, 1.0, method, 0.1, 1.0)
        assert run.n_evaluations == len(calls)
        assert run.spent[0] == 0
        assert (run.n_jacobians > 0) == (not stability.method(method).is_explicit)


@pytest.mark.parametrize("step", [0, -0.1, float("nan"), float("inf"), None, "0.1"])
def test_a_step_that_is_no_step_is_refused(step):
    with pytest.raises(CannotCompute, match=r"^Expected a step size .*, got .*: .*\.$"):
        ode.report("forward-euler", step, 0.1)


def test_a_run_that_would_take_minutes_is_refused_with_the_step_to_take():
    with pytest.raises(CannotCompute, match=r"^Expected at most 20,000 steps, got 100,000,000 .* at least 5e-06\.$"):
        ode.report("forward-euler", 1e-9, 0.1)
    assert ode.report("forward-euler", 5e-6, 0.1).solution.n_steps == 20_000


def test_a_step_beyond_the_interval_is_refused():
    with pytest.raises(CannotCompute, match=r"^Expected a step inside \[0, 0.006\], got 0.01: "):
        ode.report("forward-euler", 0.01, 0.006)


def test_a_run_beyond_floating_point_stops_and_says_so():
    run = ode.one_step(lambda t, y: y**3, lambda t, y: 3 * y * y, 10.0, "forward-euler", 0.1, 10.0)
    assert not run.finished
    assert run.message.startswith("The numbers grew beyond floating point at t = ")
    assert np.isfinite(run.states).all()


# --- scipy's solvers ---


@pytest.mark.parametrize("method", ode.ADAPTIVE)
def test_solvers_take_the_steps_and_evaluations_of_solve_ivp(method):
    from scipy.integrate import solve_ivp

    example = ode.STIFF_EXAMPLE
    options = {} if method == "RK45" else {"jac": example.jacobian}
    theirs = solve_ivp(example.right_hand_side, (0, 0.1), example.start, method=method, **options)
    ours = ode.adaptive(example, method)
    np.testing.assert_array_equal(ours.times, theirs.t)
    np.testing.assert_array_equal(ours.states.T, theirs.y)
    assert (ours.n_evaluations, ours.n_jacobians, ours.n_factorisations) == (theirs.nfev, theirs.njev, theirs.nlu)


def test_an_explicit_solver_out_of_evaluations_says_how_far_it_came():
    run = ode.adaptive(stiff_systems.ROBERTSON, "RK45", most_evaluations=600)
    assert not run.finished
    assert run.times[-1] < 1
    assert run.message.startswith("Stopped at t = ")


def test_unknown_solvers_and_end_times_are_refused():
    with pytest.raises(CannotCompute, match="Expected a solver among RK45, Radau, BDF, got 'ode45'"):
        ode.adaptive(ode.STIFF_EXAMPLE, "ode45")
    with pytest.raises(CannotCompute, match="Expected an end time above 0"):
        ode.adaptive(ode.STIFF_EXAMPLE, "RK45", t_end=-1)


# --- Robertson and Van der Pol ---


@pytest.mark.parametrize(("t", "expected"), ROBERTSON_AT.items())
def test_robertson_has_its_published_values(t, expected):
    end = ode.adaptive(stiff_systems.ROBERTSON, "Radau", t, rtol=1e-7, atol=1e-12).states[-1]
    np.testing.assert_allclose(end, expected, rtol=3e-4)


def test_robertson_has_the_reference_values_of_the_test_set():
    end = ode.adaptive(stiff_systems.ROBERTSON, "Radau", 1e11, 1e-8, 1e-18, 100_000).states[-1]
    np.testing.assert_allclose(end, ROBERTSON_AT_1E11, rtol=1e-6)


def test_van_der_pol_has_the_reference_values_of_the_test_set():
    """The test set scales time by μ = 1000: its y2 is ours times μ."""
    end = ode.adaptive(stiff_systems.van_der_pol(1000), "Radau", 2000, 1e-8, 1e-12, 100_000).states[-1]
    np.testing.assert_allclose([end[0], end[1] * 1000], VAN_DER_POL_AT_2, rtol=1e-5)


@pytest.mark.parametrize("chosen", [stiff_systems.ROBERTSON, stiff_systems.van_der_pol(7.0)])
def test_jacobians_are_the_derivatives(chosen):
    y = np.array([0.7, 2e-5, 0.3])[: len(chosen.start)]
    for column in range(len(y)):
        change = np.zeros(len(y))
        change[column] = 1e-7 * max(abs(y[column]), 1e-2)
        slope = chosen.right_hand_side(0, y + change) - chosen.right_hand_side(0, y - change)
        np.testing.assert_allclose(chosen.jacobian(0, y)[:, column], slope / (2 * change[column]), rtol=1e-6, atol=1e-8)


def test_robertsons_structural_zero_is_dropped_and_the_others_are_the_jacobians():
    states = np.array([[0.7, 9e-6, 0.29999], [0.2, 1e-6, 0.799999]])
    reduced = stiff_systems.eigenvalues_along(stiff_systems.ROBERTSON, np.zeros(2), states)
    assert reduced.shape == (2, 2)
    for state, pair in zip(states, reduced):
        dense = np.linalg.eigvals(stiff_systems.ROBERTSON.jacobian(0, state))
        dense = dense[np.argsort(-np.abs(dense))]
        np.testing.assert_allclose(sorted(pair.real), sorted(dense[:2].real), rtol=1e-7)
        assert abs(dense[2]) < 1e-10


def test_eigenvalues_of_planted_pairs():
    planted = np.array([[-3.0, -1e-9], [2.0, -5.0], [-1 + 2j, -1 - 2j], [0.0, 0.0]])
    draw = np.random.default_rng(0)
    for pair in planted:
        trace, determinant = pair.sum().real, (pair[0] * pair[1]).real
        companion = np.array([[0.0, -determinant], [1.0, trace]])
        found = stiff_systems._eigenvalues_of_2_by_2(companion[None])[0]
        np.testing.assert_allclose(np.sort_complex(found), np.sort_complex(pair), rtol=1e-12, atol=0)
        basis = draw.normal(size=(2, 2))
        similar = np.linalg.solve(basis, companion @ basis)
        found = stiff_systems._eigenvalues_of_2_by_2(similar[None])[0]
        np.testing.assert_allclose(np.sort_complex(found), np.sort_complex(pair), atol=1e-7)


def test_stiffness_ratio_is_over_decaying_eigenvalues_and_undefined_without_them():
    ratio = stiff_systems.stiffness_ratio(np.array([[-1000, -1], [-3, 2], [1, 2], [-1 + 5j, -1 - 5j], [0, 0]]))
    np.testing.assert_array_equal(ratio, [1000, 1, np.nan, 1, np.nan])


def test_portrait_of_robertson():
    portrait = stiff_systems.portrait("robertson")
    explicit, radau, bdf = portrait.costs
    assert not explicit.finished
    assert explicit.times[-1] < 10
    assert radau.finished
    assert bdf.finished
    assert bdf.n_evaluations < explicit.n_evaluations
    np.testing.assert_allclose(portrait.reference.states.sum(axis=1), 1, rtol=1e-9)  # the conserved mass
    assert portrait.ratio[-1] > 1e12
    assert portrait.evaluations_needed > 1e12


def test_portrait_of_van_der_pol_has_undefined_stretches():
    portrait = stiff_systems.portrait("van_der_pol", 100)
    np.testing.assert_array_equal(np.isnan(portrait.ratio), portrait.n_decaying == 0)
    assert 0 < portrait.undefined_share < 0.01
    assert portrait.reference.times[-1] == 200


def test_unknown_systems_are_refused():
    with pytest.raises(CannotCompute, match="Expected a system among robertson, van_der_pol, got 'lorenz'"):
        stiff_systems.portrait("lorenz")
    with pytest.raises(CannotCompute, match="Expected μ from 1 to 10,000"):
        stiff_systems.van_der_pol(float("nan"))
