"""Stability functions, regions, intervals and steps against the textbooks' values (Hairer and Wanner 1996, IV.2-3)."""

import numpy as np
import pytest

from stiffcore.errors import CannotCompute
from stiffcore.odes import stability

EXPLICIT = [name for name, method in stability.METHODS.items() if method.is_explicit]
IMPLICIT = [name for name in stability.METHODS if name not in EXPLICIT]


def naive_share(eigenvalues, step, name):
    return np.mean(np.abs(stability.amplification(name, step * eigenvalues)) > 1)


def random_eigenvalues(n, seed=0):
    draw = np.random.default_rng(seed)
    return draw.normal(size=n) + 1j * draw.normal(size=n)


@pytest.mark.parametrize(
    ("name", "real", "imaginary"),
    [
        ("forward-euler", 2.0, 0.0),
        ("rk2", 2.0, 0.0),
        ("rk4", 2.785293563405282, 2 * np.sqrt(2)),
        ("backward-euler", np.inf, np.inf),
        ("trapezoidal", np.inf, np.inf),
    ],
)
def test_stability_intervals_are_the_known_ones(name, real, imaginary):
    assert stability.real_stability_interval(name) == pytest.approx(real, rel=1e-15)
    assert stability.imaginary_stability_interval(name) == pytest.approx(imaginary, rel=1e-15)


@pytest.mark.parametrize("name", stability.METHODS)
def test_stability_function_agrees_with_the_exponential_to_the_order_of_the_method(name):
    z = np.array([1e-2, 5e-3]) * np.exp(0.3j)
    error = np.abs(stability.amplification(name, z) - np.exp(z))
    assert np.log2(error[0] / error[1]) == pytest.approx(stability.method(name).order + 1, abs=0.05)


@pytest.mark.parametrize("name", stability.METHODS)
def test_boundary_has_modulus_one_and_separates_the_region_from_the_rest(name):
    boundary = stability.boundary(name)
    np.testing.assert_allclose(np.abs(stability.amplification(name, boundary)), 1, atol=1e-14)
    if name != "trapezoidal":
        assert abs(boundary[0]) == 0
        assert abs(boundary[-1]) < 1e-14  # closed
        # Around the zeros of P (explicit) or the pole (backward Euler) once each: the curve encloses all of them.
        numerator = [float(c) for c in stability.method(name).numerator]
        enclosed = np.polynomial.polynomial.polyroots(numerator) if name in EXPLICIT else np.array([1.0])
        for centre in enclosed:
            turns = np.sum(np.angle((boundary[1:] - centre) / (boundary[:-1] - centre))) / (2 * np.pi)
            assert abs(turns) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("name", stability.METHODS)
def test_excess_has_the_sign_of_the_modulus_less_one(name):
    z = 3 * random_eigenvalues(4000)
    outside = np.abs(stability.amplification(name, z)) > 1
    np.testing.assert_array_equal(stability.is_outside(name, z), outside)


def test_excess_sees_what_floating_point_modulus_misses():
    assert stability.is_outside("forward-euler", 1e-18 + 0j)
    assert abs(1 + 1e-18) == 1.0


@pytest.mark.parametrize("name", EXPLICIT)
def test_rays_in_the_left_half_plane_leave_the_region_once(name):
    """Then bisection finds the first exit."""
    for cosine in -np.cos(np.linspace(0, np.pi / 2 - 1e-4, 200)):
        powers = np.zeros(9)
        for (a, b), c in stability._excess_terms(name).items():
            powers[a + 2 * b - 1] += float(c) * cosine**a
        roots = np.roots(np.trim_zeros(powers, "b")[::-1])
        assert np.sum((np.abs(roots.imag) < 1e-9) & (roots.real > 0)) == 1


def test_largest_stable_step_of_forward_euler_is_its_formula():
    eigenvalues = random_eigenvalues(500)
    decaying = eigenvalues[eigenvalues.real < 0]
    expected = (-2 * decaying.real / np.abs(decaying) ** 2).min()
    assert stability.largest_stable_step(eigenvalues) == pytest.approx(expected, rel=1e-14)


def test_largest_stable_step_keeps_its_digits_beside_the_imaginary_axis():
    assert stability.largest_stable_step(np.array([-1e-14 + 1j])) == pytest.approx(2e-14, rel=1e-12)


@pytest.mark.parametrize("name", EXPLICIT)
def test_nothing_decaying_is_outside_below_the_largest_step_and_something_is_above_it(name):
    eigenvalues = random_eigenvalues(300, seed=3)
    decaying = eigenvalues[eigenvalues.real < 0]
    step = stability.largest_stable_step(eigenvalues, name)
    assert not stability.is_outside(name, 0.999 * step * decaying).any()
    assert stability.is_outside(name, 1.001 * step * decaying).any()


@pytest.mark.parametrize("name", IMPLICIT)
def test_implicit_methods_have_no_limit(name):
    assert stability.largest_stable_step(random_eigenvalues(100), name) == np.inf


@pytest.mark.parametrize("name", stability.METHODS)
@pytest.mark.parametrize("eigenvalues", [np.array([]), np.array([0.0]), np.array([1.0, 2j, 0.5 + 1j])])
def test_no_decaying_eigenvalue_sets_no_limit(name, eigenvalues):
    assert stability.largest_stable_step(eigenvalues, name) == np.inf


@pytest.mark.parametrize("name", stability.METHODS)
@pytest.mark.parametrize("step", [0.1, 1.0, 2.5])
def test_share_outside_counts_structural_zeros_and_ones(name, step):
    core, zeros, ones = random_eigenvalues(200), 30, 20
    whole = np.concatenate([core, np.zeros(zeros), np.ones(ones)])
    share = stability.share_outside(core, 250, zeros, ones, step, name)
    assert share == pytest.approx(naive_share(whole, step, name), abs=1e-15)


def test_share_outside_of_the_papers_example_through_the_limit():
    eigenvalue = np.array([-1000.0])
    assert stability.share_outside(eigenvalue, 1, step=0.0015) == 0
    assert stability.share_outside(eigenvalue, 1, step=0.002) == 0  # |R| = 1 exactly
    assert stability.share_outside(eigenvalue, 1, step=0.0021) == 1
    assert stability.largest_stable_step(eigenvalue) == pytest.approx(0.002, rel=1e-15)


def test_empty_spectrum_has_no_share():
    assert np.isnan(stability.share_outside(np.array([]), 0))


@pytest.mark.parametrize("step", [0, -1.0, float("nan"), float("inf"), "0.1", None, True])
def test_bad_steps_are_refused_with_a_sentence(step):
    with pytest.raises(CannotCompute, match=r"Expected a step size .*, got .*: .*\."):
        stability.share_outside(np.array([1.0]), 1, step=step)


def test_unknown_method_is_refused_with_a_sentence():
    with pytest.raises(CannotCompute, match=r"Expected a method among forward-euler, .*, got 'euler': "):
        stability.largest_stable_step(np.array([-1.0]), "euler")


def test_wrong_totals_and_nan_are_refused():
    with pytest.raises(ValueError, match=r"Expected 1 \+ 0 \+ 0 eigenvalues in total, got 2"):
        stability.share_outside(np.array([1.0]), 2)
    with pytest.raises(ValueError, match="Expected finite eigenvalues"):
        stability.largest_stable_step(np.array([np.nan]))
