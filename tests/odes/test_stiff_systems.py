"""Robertson and Van der Pol: published reference values, eigenvalues along the solution, and convergence."""

import numpy as np
import pytest

from stiffcore.errors import CannotCompute
from stiffcore.odes import example as stiff_example, stiff_systems

# LSODE's example output (Hindmarsh, ODEPACK), t -> y1, y2, y3; printed with seven digits at a tolerance of 1e-4.
ROBERTSON_AT = {
    0.4: (9.851726e-01, 3.386406e-05, 1.479357e-02),
    4.0: (9.055142e-01, 2.240418e-05, 9.446344e-02),
    40.0: (7.158050e-01, 9.184616e-06, 2.841858e-01),
}
# Test Set for IVP Solvers (Mazzia and Magherini), problems ROBER at t = 1e11 and VDPOL (ε = 1e-6) at t = 2.
ROBERTSON_AT_1E11 = (0.2083340149701255e-07, 0.8333360770334713e-13, 0.9999999791665050)
VAN_DER_POL_AT_2 = (0.1706167732170483e1, -0.8928097010247975)


@pytest.mark.parametrize(("t", "expected"), ROBERTSON_AT.items())
def test_robertson_has_its_published_values(t, expected):
    end = stiff_example.adaptive(stiff_systems.ROBERTSON, "Radau", t, rtol=1e-7, atol=1e-12).states[-1]
    np.testing.assert_allclose(end, expected, rtol=3e-4)


def test_robertson_has_the_reference_values_of_the_test_set():
    end = stiff_example.adaptive(stiff_systems.ROBERTSON, "Radau", 1e11, 1e-8, 1e-18, 100_000).states[-1]
    np.testing.assert_allclose(end, ROBERTSON_AT_1E11, rtol=1e-6)


def test_van_der_pol_has_the_reference_values_of_the_test_set():
    """The test set scales time by μ = 1000: its y2 is ours times μ."""
    end = stiff_example.adaptive(stiff_systems.van_der_pol(1000), "Radau", 2000, 1e-8, 1e-12, 100_000).states[-1]
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
    assert 0 < portrait.decaying_shares[0] < 0.01
    assert sum(portrait.decaying_shares) == pytest.approx(1, abs=1e-12)
    assert portrait.ratio_is_unbounded
    assert not stiff_systems.portrait("robertson").ratio_is_unbounded
    assert portrait.fastest_decay == pytest.approx(60105.4, rel=1e-6)  # converged from rtol 1e-6 on
    assert portrait.reference.times[-1] == 200


def test_the_time_below_zero_of_a_line_is_exact():
    times = np.array([0.0, 1.0, 4.0, 5.0])
    assert stiff_systems.negative_share(times, times - 3.5) == pytest.approx(0.7)
    assert stiff_systems.negative_share(times, 3.5 - times) == pytest.approx(0.3)
    assert stiff_systems.negative_share(times, np.zeros(4)) == 0
    assert stiff_systems.negative_share(times, np.full(4, -1.0)) == 1


def test_unknown_systems_are_refused():
    with pytest.raises(CannotCompute, match="Expected a system among robertson, van_der_pol, got 'lorenz'"):
        stiff_systems.portrait("lorenz")
    with pytest.raises(CannotCompute, match="Expected μ from 1 to 10,000"):
        stiff_systems.van_der_pol(float("nan"))
