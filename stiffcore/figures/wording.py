"""How metrics are called and written wherever they are shown."""

import math
from collections.abc import Mapping

# metric -> short title, and what it is
METRIC_TITLES = {
    "stiffness_index": ("S", "Stiffness index: max Re λ / min Re λ"),
    "percent_negative": ("P, %", "Percentage of eigenvalues with Re λ < 0"),
    "stiffness_ratio": ("Ratio", "Stiffness ratio: max |Re λ| / min |Re λ| over Re λ < 0"),
    "max_re": ("max Re λ", "Largest real part"),
    "min_re": ("min Re λ", "Smallest real part"),
    "spectral_radius": ("max |λ|", "Spectral radius"),
    "outside_euler": ("Outside disc, %", "Share of eigenvalues with |1 + λ| > 1, outside of forward Euler's disc"),
    "largest_stable_step": ("Largest step", "Largest step at which forward Euler damps every eigenvalue with Re λ < 0"),
    "share_positive": ("Re λ > 0, %", "Share of eigenvalues with Re λ > 0, which no step of forward Euler stabilises"),
    "largest_singular_value": ("σ max", "Largest singular value"),
    "smallest_singular_value": ("σ min", "Smallest singular value over the live rows"),
    "condition_number": ("σ max / σ min", "Condition number over the live rows"),
    "expected_percent_negative": ("P if random, %", "Expected P for random entries on the same receptive field"),
    "stiffness_index_without_skip": ("S without skip", "S without the slices that carry the skip's 1"),
    "live_fraction": ("Live outputs, %", "Share of the block's outputs that are positive"),
    "n_eigenvalues": ("Eigenvalues", "How many, structural ones included"),
    "n_negative": ("Re λ < 0", "How many eigenvalues with a negative real part"),
    "n_positive": ("Re λ > 0", "How many eigenvalues with a positive real part"),
    "n_zero": ("Structural 0", "Eigenvalues that are zero by the masks: appended, never computed"),
    "n_one": ("Structural 1", "Eigenvalues that are one by the masks: appended, never computed"),
    "n_undetermined": ("Undetermined", "So near to the imaginary axis that rounding decides their sign"),
}
BRANCH_ONLY = {"outside_euler", "largest_stable_step", "share_positive"}  # forward Euler concerns I + J_F
SHARES = {"outside_euler", "share_positive", "live_fraction"}  # from 0 to 1, shown in per cent


def title(metric: str) -> str:
    return METRIC_TITLES[metric][0] if metric in METRIC_TITLES else metric


def in_words(metric: str, value: float | None, reason: str | None = None) -> str:
    """A metric as a table shows it: four digits, a whole count, or the word that stands for its absence."""
    if value is None or math.isnan(value):
        return (reason or "not computed").split(":")[0]
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if metric.startswith("n_"):
        return f"{round(value):,}"
    return f"{100 * value if metric in SHARES else value:.4g}".replace("-", "−")


def in_bounds(metric: str, metrics: Mapping[str, float], reason: str | None = None) -> str:
    """A metric of one spectrum, with what its undetermined eigenvalues leave open.

    Counted as not negative, k undetermined eigenvalues of n leave P between P and P + 100·k/n, the ratio at least, and the
    largest step at most, what is shown.
    """
    value, open_ = metrics.get(metric), metrics.get("n_undetermined") or 0
    words = in_words(metric, value, reason)
    if value is None or not math.isfinite(value) or not open_ > 0:  # NaN: nothing was counted
        return words
    shares = {"percent_negative": 100.0, "share_positive": 1.0}
    if metric in shares or metric in ("n_negative", "n_positive"):
        most = value + open_ * (shares[metric] / metrics["n_eigenvalues"] if metric in shares else 1)
        return f"{words} … {in_words(metric, most)}"
    return {"stiffness_ratio": "≥ ", "largest_stable_step": "≤ "}.get(metric, "") + words
