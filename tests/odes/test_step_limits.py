"""What limits a step: planted decays and oscillations, and the border between them."""

import numpy as np
import pytest

from stiffcore.errors import CannotCompute
from stiffcore.odes import stability, step_limits


def of(*eigenvalues, **options):
    values = np.array(eigenvalues, complex)
    return step_limits.of_eigenvalues(values, options.pop("n_total", len(values)), **options)


def test_a_fast_decay_bounds_the_step_by_its_rate():
    found = of(-1000, -1, 2)
    assert found.largest_step == found.decay_limit == pytest.approx(0.002)
    assert (found.kind, found.set_by, found.fastest_decay) == ("decay", -1000, 1000)


def test_an_oscillation_that_hardly_decays_bounds_it_though_nothing_is_fast():
    """ResNet50, block 15, image 25 has this eigenvalue: −2 Re λ / |λ|² = 0.0053, while its fastest decay allows 14."""
    found = of(-3.38e-5 + 0.1132j, -3.38e-5 - 0.1132j, -0.139)
    assert found.largest_step == pytest.approx(2 * 3.38e-5 / 0.1132**2, rel=1e-6)
    assert (found.kind, found.set_by) == ("oscillation", -3.38e-5 + 0.1132j)
    assert found.decay_limit == pytest.approx(2 / 0.139)
    under_rk4 = of(-3.38e-5 + 0.1132j, -3.38e-5 - 0.1132j, -0.139, name="rk4")
    assert under_rk4.largest_step == under_rk4.decay_limit == pytest.approx(2.785293563 / 0.139)
    assert under_rk4.kind == "decay", "the oscillation would allow 2√2 / 0.1132, more than that"


def test_the_limit_is_twice_the_cosine_squared_over_the_rate():
    for angle in np.radians([0, 30, 60, 89]):
        found = of(-3 * np.exp(1j * angle))
        rate = 3 * np.cos(angle)
        assert found.largest_step == pytest.approx(2 / rate * np.cos(angle) ** 2, rel=1e-9)


@pytest.mark.parametrize(("imaginary", "kind"), [(0, "decay"), (1, "decay"), (-1, "decay"), (1.01, "oscillation")])
def test_decay_and_oscillation_part_at_45_degrees(imaginary, kind):
    assert of(-1 + imaginary * 1j).kind == kind


def test_only_decaying_eigenvalues_outside_are_counted_over_all():
    found = of(-3, -1, 0.5, -0.001 + 1j, -0.001 - 1j, n_total=10)
    assert found.decaying_outside == pytest.approx(0.3)  # -3 and the pair; 0.5 is outside and grows
    assert of(-3, -1, 0.5, n_total=10, step=0.5).decaying_outside == 0


def test_what_rounding_cannot_tell_sets_no_limit():
    assert of(-1e-13 + 5j, -2, tolerance=1e-12).largest_step == 1
    assert of(-1e-13 + 5j, tolerance=1e-12).kind == "none"


@pytest.mark.parametrize("name", stability.METHODS)
def test_nothing_that_decays_means_no_limit(name):
    for values in ((), (1.0,), (2j, -2j)):
        found = of(*values, name=name)
        assert (found.kind, found.largest_step, found.decay_limit) == ("none", np.inf, np.inf)


@pytest.mark.parametrize("name", ["backward-euler", "trapezoidal"])
def test_implicit_methods_have_no_limit(name):
    found = of(-1000, -1e-5 + 3j, name=name)
    assert (found.kind, found.largest_step, found.decay_limit, found.decaying_outside) == ("none", np.inf, np.inf, 0)


def test_a_step_that_is_no_step_is_refused():
    with pytest.raises(CannotCompute, match="Expected a step size above 0"):
        of(-1, step=0)
