"""Metrics by hand-worked spectra; undefined and not computed are distinguished."""

import math
from dataclasses import replace

import numpy as np
import pytest

from stiffcore.conventions import Convention
from stiffcore.jacobians.deflation import Plan
from stiffcore.metrics import definitions, facts
from stiffcore.metrics.missing import Status
from stiffcore.odes import spectrum_stability
from stiffcore.slices.spectrum import SliceSpectrum
from stiffcore.spectra.certificate import Certificate
from stiffcore.spectra.full import Extremes, Spectrum
from stiffcore.spectra.singular_values import SingularValues
from stiffcore.spectra.symmetric_part import Norms


def _spectrum(values, convention=Convention.BRANCH, zeros=0, ones=0, tolerance=1e-12):
    values = np.array(values, complex)
    return Spectrum(convention, values, len(values) + zeros + ones, zeros, ones, tolerance, {}, "cpu")


def test_hand_worked_branch_spectrum():
    known = facts.of_spectrum(_spectrum([-4, -0.5, -1 + 1j, -1 - 1j, 2], zeros=5), 0.25)
    metrics, reasons = definitions.of(facts.with_norms(known, Norms(-4.5, 2.5, 6.0, {})))
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
    assert [metrics[name] for name in ("log_norm_lower", "log_norm_upper", "stiffness_indicator")] == [-4.5, 2.5, -1]
    assert metrics["norm_branch"] == 6
    assert reasons == {"norm_block": definitions.OF_BLOCK}


@pytest.mark.parametrize("convention", ["block", "branch"])
@pytest.mark.parametrize("is_square", [True, False])
def test_norms_belong_to_their_matrix_and_logarithmic_norms_to_square_ones(convention, is_square):
    """Level norms; DESIGN, section 3: s(A) = (m(A) + M(A))/2."""
    plan = Plan("inner1", 3, 8, 5, 0, 0) if is_square else None
    norms = Norms(-3.0, 1.0, 4.0, {}) if is_square else Norms(None, None, 4.0, {})
    metrics, reasons = definitions.of(
        facts.of_norms(norms, Convention(convention), 1.0, 8, 8 + 8 * (not is_square), plan, 2)
    )
    other = {"block": "norm_branch", "branch": "norm_block"}[convention]
    assert metrics[f"norm_{convention}"] == 4
    assert reasons[other] == getattr(definitions, {"block": "OF_BRANCH", "branch": "OF_BLOCK"}[convention])
    assert metrics["n_zero"] == (5 if is_square else 2)
    if is_square:
        assert [metrics[name] for name in ("log_norm_lower", "stiffness_indicator", "log_norm_upper")] == [-3, -1, 1]
        assert reasons["max_re"] == reasons["percent_negative"] == facts.NEEDS_EXTREMES
    else:
        assert {str(reasons[name]) for name in ("log_norm_lower", "stiffness_indicator", "max_re")} == {
            "undefined: not square (8 × 16)"
        }
        assert metrics["largest_singular_value"] == 4
        assert reasons["smallest_singular_value"] == facts.NEEDS_COUNTS_OF_SINGULAR


def test_an_iteration_that_did_not_settle_is_a_reason():
    known = facts.with_norms(facts.of_spectrum(_spectrum([-1.0]), 1.0), Norms(None, None, None, {}))
    metrics, reasons = definitions.of(known)
    assert math.isnan(metrics["stiffness_indicator"])
    assert reasons["stiffness_indicator"] == reasons["norm_branch"] == facts.UNSETTLED


def test_slices_have_no_logarithmic_norms():
    _, reasons = definitions.of(facts.of_slices(SLICES, 0.5, 12.0, True))
    assert reasons["stiffness_indicator"] == reasons["log_norm_upper"] == definitions.NO_MATRIX


def test_textbooks_own_case_inverts():
    """DESIGN: λ = -1, -1000 has the ratio 1000 and S = 0.001; one eigenvalue alone has S = 1."""
    metrics, _ = definitions.of(facts.of_spectrum(_spectrum([-1, -1000]), 1.0))
    assert metrics["stiffness_index"] == pytest.approx(0.001)
    assert metrics["stiffness_ratio"] == pytest.approx(1000)
    alone, _ = definitions.of(facts.of_spectrum(_spectrum([-1000]), 1.0))
    assert alone["stiffness_index"] == 1


def test_structural_zeros_are_never_negative_and_make_the_index_undefined():
    metrics, reasons = definitions.of(facts.of_spectrum(_spectrum([0.5, 1.5], Convention.BLOCK, zeros=3, ones=2), 0.5))
    assert metrics["min_re"] == 0
    assert metrics["percent_negative"] == 0
    assert metrics["n_positive"] == 4
    for name in ("stiffness_index", "stiffness_ratio"):
        assert math.isnan(metrics[name])
        assert reasons[name] == facts.NOTHING_NEGATIVE
    assert math.isnan(metrics["outside_euler"])
    assert reasons["outside_euler"] == definitions.ONLY_BRANCH


def test_what_rounding_cannot_tell_is_undetermined():
    metrics, _ = definitions.of(facts.of_spectrum(_spectrum([-1e-13, 1e-13, -1, 1]), 1.0))
    assert [metrics[name] for name in ("n_negative", "n_positive", "n_undetermined")] == [1, 1, 2]


def test_extremes_alone_leave_counts_not_computed():
    extremes, made = Extremes(1.5, -0.5, 1.5, 1e-12, {}), Plan(("inner1",), 6, 10, 3, 1, 1)
    metrics, reasons = definitions.of(facts.of_extremes(extremes, made, Convention.BLOCK, 0.7))
    assert metrics["stiffness_index"] == pytest.approx(-3)
    for name in ("percent_negative", "stiffness_ratio", "n_negative"):
        assert math.isnan(metrics[name])
        assert reasons[name] == facts.NEEDS_COUNTS


def test_a_certificate_settles_the_counts():
    extremes, made = Extremes(1.5, 0.0, 1.5, 1e-12, {}), Plan(("inner1",), 6, 10, 3, 1, 1)
    metrics, reasons = definitions.of(
        facts.of_extremes(extremes, made, Convention.BLOCK, 0.7, Certificate("proved", "how"))
    )
    assert metrics["percent_negative"] == 0
    assert metrics["n_positive"] == 7
    assert reasons["stiffness_ratio"] == facts.NOTHING_NEGATIVE
    assert reasons["stiffness_index"] == facts.NOTHING_NEGATIVE


def test_a_proved_number_of_negative_eigenvalues_is_counted():
    extremes, made = Extremes(1.5, -0.5, 1.5, 1e-12, {}), Plan(("inner1",), 6, 10, 3, 1, 1)
    metrics, reasons = definitions.of(
        facts.of_extremes(extremes, made, Convention.BLOCK, 0.7, Certificate("proved", "how", negative=2))
    )
    assert (metrics["percent_negative"], metrics["n_negative"], metrics["n_positive"]) == (20, 2, 5)
    assert metrics["stiffness_index"] == -3
    assert reasons["stiffness_ratio"] == facts.NEEDS_NEGATIVE


def test_without_a_proof_there_is_no_count():
    extremes, made = Extremes(1.5, 0.0, 1.5, 1e-12, {}), Plan(("inner1",), 6, 10, 3, 1, 1)
    metrics, reasons = definitions.of(
        facts.of_extremes(extremes, made, Convention.BLOCK, 0.7, Certificate("none", "no condition held"))
    )
    assert math.isnan(metrics["percent_negative"])
    assert reasons["percent_negative"].status is Status.NOT_COMPUTED
    assert reasons["percent_negative"] == facts.NEEDS_COUNTS


def test_noise_around_zero_is_neither_negative_nor_outside():
    noise = 1e-13 * np.exp(2j * np.pi * np.arange(8) / 8 + 0.1j)
    metrics, reasons = definitions.of(facts.of_spectrum(_spectrum([*noise, 0.5, 1]), 1.0))
    assert metrics["outside_euler"] == pytest.approx(0.2)
    assert metrics["n_undetermined"] == 8
    assert reasons["stiffness_index"] == facts.INDISTINGUISHABLE


@pytest.mark.parametrize("name", ["forward-euler", "rk4", "backward-euler"])
def test_an_eigenvalue_on_the_imaginary_axis_up_to_rounding_is_judged_on_it(name):
    """Noise in Re λ decides nothing: at |Im λ| = 1e-6 the border of forward Euler's disc lies within the noise."""
    made = [
        spectrum_stability.of_method(np.array([noise + 1e-6j, noise - 1e-6j, -1]), 1, tolerance=1e-11, name=name)
        for noise in (-9e-12, 0.0, 9e-12)
    ]
    assert made[0] == made[1] == made[2]
    assert made[0]["share_outside"] == (0.5 if name == "forward-euler" else 0)
    assert made[0]["share_positive"] == 0
    assert made[0]["largest_stable_step"] == pytest.approx({"forward-euler": 2, "rk4": 2.785293563}.get(name, np.inf))


def test_blocks_that_are_not_square_have_singular_values_only():
    singular = SingularValues(np.array([2.0, 0.5]), True, 7, {})
    metrics, reasons = definitions.of(facts.of_singular_values(singular, 4, 8, Convention.BLOCK, 0.5))
    assert metrics["condition_number"] == 4
    assert metrics["n_zero"] == 7
    assert math.isnan(metrics["stiffness_index"])
    assert reasons["stiffness_index"].status is Status.NOT_SQUARE
    assert str(reasons["stiffness_index"]) == "undefined: not square (4 × 8)"


def test_every_nan_has_a_reason_and_every_reason_a_nan():
    spectra = [_spectrum([1.0], Convention.BLOCK), _spectrum([-1.0]), _spectrum([2.0], zeros=1)]
    for metrics, reasons in (definitions.of(facts.of_spectrum(spectrum, 1.0)) for spectrum in spectra):
        assert {name for name, value in metrics.items() if math.isnan(value)} == set(reasons)


SLICES = SliceSpectrum(100, 40, 10, 50, 0, 1.5, -0.5, 2.0, 0.5, -0.25)


def test_slices_have_their_baselines_and_no_ratio_without_every_eigenvalue():
    metrics, reasons = definitions.of(facts.of_slices(SLICES, 0.5, 12.0, True))
    assert (metrics["percent_negative"], metrics["stiffness_index"]) == (10, -3)
    assert (metrics["expected_percent_negative"], metrics["stiffness_index_without_skip"]) == (12, -2)
    assert reasons["stiffness_ratio"] == facts.NEEDS_SPECTRUM
    for name in ("outside_euler", "largest_stable_step", "share_positive"):
        assert reasons[name] == definitions.ONLY_BRANCH
    poorer, reasons = definitions.of(facts.of_slices(replace(SLICES, min_re_without_skip=0.0), 0.5, 12.0, False))
    assert reasons["percent_negative"] == reasons["n_negative"] == facts.NEEDS_COUNTS
    assert reasons["stiffness_index_without_skip"] == facts.NOTHING_NEGATIVE
    assert poorer.keys() == metrics.keys()


@pytest.mark.parametrize(
    ("values", "complete", "convention", "name", "why"),
    [
        ([], True, "block", "largest_singular_value", "undefined: no live output"),
        ([], True, "branch", "condition_number", "undefined: no live inner unit"),
        ([2.0, 0.0], True, "block", "condition_number", "undefined: the smallest singular value is 0"),
        (
            [2.0, math.nan],
            False,
            "block",
            "smallest_singular_value",
            "not computed: Lanczos' iteration did not reach it",
        ),
        (
            [2.0, math.nan],
            False,
            "branch",
            "condition_number",
            "not computed: only the largest one is, for a block of this size",
        ),
    ],
)
def test_why_there_is_no_singular_value(values, complete, convention, name, why):
    singular = SingularValues(np.array(values), complete, 7, {})
    _, reasons = definitions.of(facts.of_singular_values(singular, 4, 8, Convention(convention), 0.5))
    assert str(reasons[name]) == why


STORED = (  # the order of every stored or shipped result
    "stiffness_index percent_negative stiffness_ratio max_re min_re stiffness_indicator log_norm_lower log_norm_upper "
    "norm_branch norm_block spectral_radius live_fraction outside_euler "
    "largest_stable_step share_positive n_eigenvalues n_negative n_zero n_one n_positive n_undetermined"
)
BASELINES = " expected_percent_negative stiffness_index_without_skip"
SINGULAR = " largest_singular_value smallest_singular_value condition_number"


def test_a_result_lists_its_metrics_in_the_order_of_those_that_are_stored():
    singular = SingularValues(np.array([2.0, 0.5]), True, 7, {})
    found = {
        "square": (facts.of_spectrum(_spectrum([-1.0]), 1.0), STORED),
        "slices": (facts.of_slices(SLICES, 0.5, 12.0, True), STORED + BASELINES),
        "not square": (facts.of_singular_values(singular, 4, 8, Convention.BRANCH, 0.5), STORED + SINGULAR),
    }
    for known, names in found.values():
        assert list(definitions.of(known)[0]) == names.split()


def test_the_texts_that_are_stored_do_not_change():
    """Shipped rows hold them."""
    texts = {
        facts.NOTHING_NEGATIVE: "undefined: no eigenvalue has a negative real part",
        facts.INDISTINGUISHABLE: "undefined: no eigenvalue's negative real part is distinguishable from zero",
        facts.NEEDS_COUNTS: "not computed: needs the full spectrum (level counts)",
        facts.NEEDS_SPECTRUM: "not computed: needs every eigenvalue, of which the smallest are next to zero (level spectrum)",
        facts.NEEDS_NEGATIVE: "not computed: needs every negative eigenvalue, and only their number is proved (level spectrum)",
        definitions.ONLY_BRANCH: "undefined: forward Euler's step concerns the ODE right-hand side (branch)",
        definitions.ONLY_SLICES: "undefined: geometry's P belongs to slices",
    }
    assert {str(missing): text for missing, text in texts.items()} == {text: text for text in texts.values()}
