"""Metrics by hand-worked spectra; undefined and not computed are told apart."""

import math

import numpy as np
import pytest

from stiffcore.analysis import metrics as stiffness
from stiffcore.conventions import Convention
from stiffcore.jacobians.deflation import Plan
from stiffcore.slices.spectrum import SliceSpectrum
from stiffcore.spectra.certificate import Certificate
from stiffcore.spectra.full import Extremes, Spectrum
from stiffcore.spectra.singular_values import SingularValues


def _spectrum(values, convention=Convention.BRANCH, zeros=0, ones=0, tolerance=1e-12):
    values = np.array(values, complex)
    return Spectrum(convention, values, len(values) + zeros + ones, zeros, ones, tolerance, {}, "cpu")


def test_hand_worked_branch_spectrum():
    metrics, reasons = stiffness.of_spectrum(_spectrum([-4, -0.5, -1 + 1j, -1 - 1j, 2], zeros=5), 0.25)
    assert metrics["stiffness_index"] == pytest.approx(2 / -4)
    assert metrics["percent_negative"] == pytest.approx(40.0)
    assert metrics["stiffness_ratio"] == pytest.approx(8.0)
    assert metrics["max_re"] == 2
    assert metrics["min_re"] == -4
    assert metrics["spectral_radius"] == 4
    assert metrics["live_fraction"] == 0.25
    assert metrics["outside_euler"] == pytest.approx(0.2)  # |1 - 4| and |1 + 2| only
    assert metrics["largest_stable_step"] == pytest.approx(0.5)  # -2·(-4)/16
    assert metrics["share_positive"] == pytest.approx(0.1)
    assert [metrics[name] for name in ("n_negative", "n_zero", "n_positive", "n_undetermined")] == [4, 5, 1, 0]
    assert reasons == {}


def test_textbooks_own_case_inverts():
    """DESIGN: λ = -1, -1000 has the ratio 1000 and S = 0.001; one eigenvalue alone has S = 1."""
    metrics, _ = stiffness.of_spectrum(_spectrum([-1, -1000]), 1.0)
    assert metrics["stiffness_index"] == pytest.approx(0.001)
    assert metrics["stiffness_ratio"] == pytest.approx(1000)
    alone, _ = stiffness.of_spectrum(_spectrum([-1000]), 1.0)
    assert alone["stiffness_index"] == 1


def test_structural_zeros_are_never_negative_and_make_the_index_undefined():
    metrics, reasons = stiffness.of_spectrum(_spectrum([0.5, 1.5], Convention.BLOCK, zeros=3, ones=2), 0.5)
    assert metrics["min_re"] == 0
    assert metrics["percent_negative"] == 0
    assert metrics["n_positive"] == 4
    for name in ("stiffness_index", "stiffness_ratio"):
        assert math.isnan(metrics[name])
        assert reasons[name].startswith("undefined: no eigenvalue")
    assert math.isnan(metrics["outside_euler"])
    assert "branch" in reasons["outside_euler"]


def test_what_rounding_cannot_tell_is_undetermined():
    metrics, _ = stiffness.of_spectrum(_spectrum([-1e-13, 1e-13, -1, 1]), 1.0)
    assert [metrics[name] for name in ("n_negative", "n_positive", "n_undetermined")] == [1, 1, 2]


def test_extremes_alone_leave_counts_not_computed():
    extremes, made = Extremes(1.5, -0.5, 1.5, 1e-12, {}), Plan("inner1", 6, 10, 3, 1, 1)
    metrics, reasons = stiffness.of_extremes(extremes, made, Convention.BLOCK, 0.7)
    assert metrics["stiffness_index"] == pytest.approx(-3)
    for name in ("percent_negative", "stiffness_ratio", "n_negative"):
        assert math.isnan(metrics[name])
        assert reasons[name].startswith("not computed")


def test_a_certificate_settles_the_counts():
    extremes, made = Extremes(1.5, 0.0, 1.5, 1e-12, {}), Plan("inner1", 6, 10, 3, 1, 1)
    metrics, reasons = stiffness.of_extremes(extremes, made, Convention.BLOCK, 0.7, Certificate("proved", "how"))
    assert metrics["percent_negative"] == 0
    assert metrics["n_positive"] == 7
    assert reasons["stiffness_ratio"].startswith("undefined: no eigenvalue")
    assert reasons["stiffness_index"].startswith("undefined: no eigenvalue")


def test_a_proved_number_of_negative_eigenvalues_is_counted():
    extremes, made = Extremes(1.5, -0.5, 1.5, 1e-12, {}), Plan("inner1", 6, 10, 3, 1, 1)
    metrics, reasons = stiffness.of_extremes(
        extremes, made, Convention.BLOCK, 0.7, Certificate("proved", "how", negative=2)
    )
    assert (metrics["percent_negative"], metrics["n_negative"], metrics["n_positive"]) == (20, 2, 5)
    assert metrics["stiffness_index"] == -3
    assert reasons["stiffness_ratio"].startswith("not computed: needs every negative eigenvalue")


def test_an_estimate_is_no_count():
    extremes, made = Extremes(1.5, 0.0, 1.5, 1e-12, {}), Plan("inner1", 6, 10, 3, 1, 1)
    metrics, reasons = stiffness.of_extremes(extremes, made, Convention.BLOCK, 0.7, Certificate("estimated", "‖…‖ < 1"))
    assert math.isnan(metrics["percent_negative"])
    assert reasons["percent_negative"].startswith("not computed: estimated")


def test_noise_around_zero_is_neither_negative_nor_outside():
    noise = 1e-13 * np.exp(2j * np.pi * np.arange(8) / 8 + 0.1j)
    metrics, reasons = stiffness.of_spectrum(_spectrum([*noise, 0.5, 1]), 1.0)
    assert metrics["outside_euler"] == pytest.approx(0.2)
    assert metrics["n_undetermined"] == 8
    assert reasons["stiffness_index"].startswith("undefined: no eigenvalue's negative real part is told")


@pytest.mark.parametrize("name", ["forward-euler", "rk4", "backward-euler"])
def test_an_eigenvalue_on_the_imaginary_axis_up_to_rounding_is_judged_on_it(name):
    """Noise in Re λ decides nothing: |Im λ| = 1e-6 is near enough to 0 for forward Euler's disc to run through the noise."""
    made = [
        stiffness.of_method(np.array([noise + 1e-6j, noise - 1e-6j, -1]), 1, tolerance=1e-11, name=name)
        for noise in (-9e-12, 0.0, 9e-12)
    ]
    assert made[0] == made[1] == made[2]
    assert made[0]["share_outside"] == (0.5 if name == "forward-euler" else 0)
    assert made[0]["share_positive"] == 0
    assert made[0]["largest_stable_step"] == pytest.approx({"forward-euler": 2, "rk4": 2.785293563}.get(name, np.inf))


def test_blocks_that_are_not_square_have_singular_values_only():
    singular = SingularValues(np.array([2.0, 0.5]), True, 7, {})
    metrics, reasons = stiffness.of_singular_values(singular, 4, 8, Convention.BLOCK, 0.5)
    assert metrics["condition_number"] == 4
    assert metrics["n_zero"] == 7
    assert math.isnan(metrics["stiffness_index"])
    assert reasons["stiffness_index"] == "undefined: not square (4 × 8)"


def test_every_nan_has_a_reason_and_every_reason_a_nan():
    spectra = [_spectrum([1.0], Convention.BLOCK), _spectrum([-1.0]), _spectrum([2.0], zeros=1)]
    for metrics, reasons in (stiffness.of_spectrum(spectrum, 1.0) for spectrum in spectra):
        assert {name for name, value in metrics.items() if math.isnan(value)} == set(reasons)


def test_slice_spectrum_is_what_of_slices_reads():
    needed = {
        "n_eigenvalues",
        "n_zero",
        "n_negative",
        "n_positive",
        "n_undetermined",
        "max_re",
        "min_re",
        "spectral_radius",
    }
    assert needed <= set(SliceSpectrum.__dataclass_fields__)
