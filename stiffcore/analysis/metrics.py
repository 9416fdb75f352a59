"""From spectra to named metrics. Undefined is a value, and so is "not computed"; both are NaN with a reason.

Eigenvalues λ include the structural zeros and ones. Sources: the paper's Eq. 10 (stiffness_index) and Eq. 11
(percent_negative, read as its text says: Re λ < 0); stiffness_ratio after Lambert, "Numerical Methods for Ordinary
Differential Systems" (1991), ch. 6, over the eigenvalues with Re λ < 0 only; forward Euler for the last two.
"""

import math

import numpy as np

from stiffcore.conventions import Convention
from stiffcore.odes import stability

METRICS = (
    "stiffness_index",  # max Re λ / min Re λ
    "percent_negative",  # 100 · #{Re λ < 0} / #λ
    "stiffness_ratio",  # max |Re λ| / min |Re λ| over Re λ < 0
    "max_re",
    "min_re",
    "spectral_radius",  # max |λ|
    "live_fraction",  # a / n_out: outputs of the outer ReLU that are positive
    "outside_euler",  # share of branch eigenvalues with |1 + λ| > 1
    "largest_stable_step",  # min −2 Re λ / |λ|² over Re λ < 0, branch
    "share_positive",  # share of branch eigenvalues with Re λ > 0, which no step of forward Euler stabilises
)
COUNTS = ("n_eigenvalues", "n_negative", "n_zero", "n_one", "n_positive", "n_undetermined")
SINGULAR = ("largest_singular_value", "smallest_singular_value", "condition_number", "n_zero")
BASELINES = ("expected_percent_negative", "stiffness_index_without_skip")  # slices only

NOTHING_NEGATIVE = "undefined: no eigenvalue has a negative real part"
UNTOLD = "undefined: no eigenvalue's negative real part is told from zero"
NOT_SQUARE = "undefined: not square"
ONLY_BRANCH = "undefined: forward Euler's step concerns the ODE right-hand side (branch)"
NEEDS_COUNTS = "not computed: needs the full spectrum (level counts)"
NEEDS_SPECTRUM = "not computed: needs every eigenvalue, of which the smallest are next to zero (level spectrum)"
NEEDS_NEGATIVE = "not computed: needs every negative eigenvalue, and only their number is proved (level spectrum)"

Metrics = tuple[dict[str, float], dict[str, str]]  # values, and a reason for each NaN


def stiffness_index(max_re: float, min_re: float, tolerance: float = 0.0) -> float:
    """max Re λ / min Re λ (paper, Eq. 10); NaN where min Re λ ≥ 0, or is not told from 0 at this tolerance."""
    return max_re / min_re if min_re < -tolerance else math.nan


def of_spectrum(spectrum, live_fraction: float) -> Metrics:
    """All metrics of a spectrum.Spectrum."""
    values, tolerance = spectrum.eigenvalues, spectrum.tolerance
    negative = values[values.real < -tolerance]
    undetermined = int((np.abs(values.real) <= tolerance).sum())
    structural = [0.0] * (spectrum.zeros > 0) + [1.0] * (spectrum.ones > 0)
    reals = np.concatenate([values.real, structural])
    metrics = {
        "max_re": float(reals.max()),
        "min_re": float(reals.min()),
        "spectral_radius": float(np.abs(np.concatenate([values, structural])).max()),
        "percent_negative": 100 * len(negative) / spectrum.n,
        "live_fraction": live_fraction,
        "n_eigenvalues": spectrum.n,
        "n_negative": len(negative),
        "n_zero": spectrum.zeros,
        "n_one": spectrum.ones,
        "n_positive": spectrum.n - len(negative) - spectrum.zeros - undetermined,
        "n_undetermined": undetermined,
    }
    metrics["stiffness_index"] = stiffness_index(metrics["max_re"], metrics["min_re"], tolerance)
    sizes = -negative.real
    metrics["stiffness_ratio"] = float(sizes.max() / sizes.min()) if len(sizes) else math.nan
    if spectrum.convention.is_right_hand_side:
        metrics |= of_forward_euler(spectrum)
    return _with_reasons(metrics, spectrum.convention, UNTOLD if undetermined else NOTHING_NEGATIVE)


def of_forward_euler(spectrum) -> dict[str, float]:
    """What forward Euler at h = 1 makes of x' = F(x), and the largest step that keeps every decaying mode stable."""
    made = of_method(spectrum.eigenvalues, spectrum.zeros, spectrum.ones, spectrum.tolerance)
    return {"outside_euler": made.pop("share_outside")} | made


def of_method(
    eigenvalues: np.ndarray,  # of the core, shape: (m,)
    zeros: int,
    ones: int = 0,
    tolerance: float = 0.0,
    step: float = 1.0,
    name: str = "forward-euler",
) -> dict[str, float]:
    """What a one-step method with step h makes of x' = F(x), structural zeros and ones included.

    share_outside: of the eigenvalues, those with |R(hλ)| > 1; largest_stable_step: see `stability`; share_positive: those
    with Re λ > 0, which no small step stabilises. Shares are of all m + zeros + ones, from 0 to 1.
    tolerance: what |λ| or |Re λ| does not exceed is taken for 0, since rounding moves it to either side. With Re λ = 0 an
    eigenvalue neither decays nor grows; it is outside where the method's region leaves the imaginary axis at h Im λ.
    """
    total = len(eigenvalues) + zeros + ones
    told = eigenvalues[np.abs(eigenvalues) > tolerance]
    told = np.where(np.abs(told.real) > tolerance, told, 1j * told.imag)
    at_zero = zeros + len(eigenvalues) - len(told)
    decaying = eigenvalues[eigenvalues.real < -tolerance]
    growing = int((eigenvalues.real > tolerance).sum()) + ones
    return {
        "share_outside": stability.share_outside(told, total, at_zero, ones, step, name),
        "largest_stable_step": stability.largest_stable_step(decaying, name),
        "share_positive": growing / total if total else math.nan,
    }


def of_extremes(extremes, made, convention: Convention, live_fraction: float, certificate=None) -> Metrics:
    """Metrics of a spectrum.Extremes and a deflation.Plan; counts only where it is proved how many are negative."""
    metrics = {
        "max_re": extremes.max_re,
        "min_re": extremes.min_re,
        "spectral_radius": extremes.spectral_radius,
        "live_fraction": live_fraction,
        "stiffness_index": stiffness_index(extremes.max_re, extremes.min_re, extremes.tolerance),
        "n_eigenvalues": made.n,
        "n_zero": made.zeros,
        "n_one": made.ones,
    }
    reasons = {}
    if certificate is not None and certificate.kind == "proved":
        negative = certificate.negative
        metrics |= {"percent_negative": 100 * negative / made.n, "n_negative": negative, "n_undetermined": 0}
        metrics["n_positive"] = made.n - made.zeros - negative
        reasons["stiffness_ratio"] = NEEDS_NEGATIVE if negative else NOTHING_NEGATIVE
    if math.isnan(metrics["stiffness_index"]):
        reasons["stiffness_index"] = NOTHING_NEGATIVE if extremes.min_re >= 0 else UNTOLD
    missing = NEEDS_COUNTS
    if certificate is not None and certificate.kind == "estimated":
        missing = f"not computed: estimated that nothing is negative ({certificate.how}); level counts would prove it"
    return _with_reasons(metrics, convention, missing, reasons)


def of_slices(
    slices, live_fraction: float, expected: float, without_skip: tuple[float, float], counted: bool
) -> Metrics:
    """Metrics of a slices.SliceSpectrum and its two baselines; counted: whether its counts were computed."""
    total = slices.n_eigenvalues
    metrics = {
        "max_re": slices.max_re,
        "min_re": slices.min_re,
        "spectral_radius": slices.spectral_radius,
        "live_fraction": live_fraction,
        "stiffness_index": stiffness_index(slices.max_re, slices.min_re),
        "n_eigenvalues": total,
        "n_zero": slices.n_zero,
        "n_one": 0,
        "expected_percent_negative": expected,
        "stiffness_index_without_skip": stiffness_index(*without_skip),
    }
    if counted:
        metrics |= {
            "percent_negative": 100 * slices.n_negative / total,
            "n_negative": slices.n_negative,
            "n_positive": slices.n_positive,
            "n_undetermined": slices.n_undetermined,
        }
    reasons = {
        name: NOTHING_NEGATIVE
        for name in ("stiffness_index", "stiffness_index_without_skip")
        if math.isnan(metrics[name])
    }
    if slices.stiffness_ratio is not None:
        metrics["stiffness_ratio"] = slices.stiffness_ratio
    reasons["stiffness_ratio"] = NEEDS_SPECTRUM if slices.stiffness_ratio is None else NOTHING_NEGATIVE
    return _with_reasons(metrics, Convention.SLICES, NEEDS_COUNTS, reasons)


def of_singular_values(singular, n_out: int, n_in: int, convention: Convention, live_fraction: float) -> Metrics:
    """Singular values of a block that is not square; every metric of eigenvalues is undefined."""
    values = singular.values
    largest, smallest = (float(values[0]), float(values[-1])) if len(values) else (math.nan, math.nan)
    metrics = {
        "live_fraction": live_fraction,
        "n_eigenvalues": 0,
        "n_zero": singular.structural_zeros,
        "largest_singular_value": largest,
        "smallest_singular_value": smallest,
        "condition_number": largest / smallest if smallest > 0 else math.nan,
    }
    reasons = {}
    for name in ("largest_singular_value", "smallest_singular_value", "condition_number"):
        if math.isnan(metrics[name]):
            reasons[name] = _why_no_singular_value(singular, convention)
    return _with_reasons(metrics, convention, f"{NOT_SQUARE} ({n_out} × {n_in})", reasons)


def _why_no_singular_value(singular, convention: Convention) -> str:
    if not len(singular.values):
        return "undefined: no live output" if convention.has_skip else "undefined: no live inner unit"
    if singular.complete:
        return "undefined: the smallest singular value is 0"
    if not convention.has_skip:
        return "not computed: only the largest one is, for a block of this size"
    return "not computed: Lanczos' iteration did not reach it"


def _with_reasons(metrics: dict, convention: Convention, missing: str, reasons: dict | None = None) -> Metrics:
    """Every metric and count, in their order, NaN where it is missing, and why."""
    reasons = dict(reasons or {})
    named = [*METRICS, *COUNTS, *(BASELINES if convention.has_baselines else ())]
    complete = {name: metrics.get(name, math.nan) for name in [*named, *(n for n in metrics if n not in named)]}
    for name, value in complete.items():
        if isinstance(value, float) and math.isnan(value) and name not in reasons:
            only_branch = (
                name in ("outside_euler", "largest_stable_step", "share_positive") and not convention.is_right_hand_side
            )
            square = NOT_SQUARE not in missing
            reasons[name] = ONLY_BRANCH if only_branch and square else missing
    return complete, {name: reason for name, reason in reasons.items() if math.isnan(complete[name])}
