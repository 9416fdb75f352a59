"""The names of metrics and the format of their values, wherever they are shown."""

import math
from collections.abc import Mapping

from stiffcore.metrics.definitions import named
from stiffcore.metrics.metric import Bound, Unit
from stiffcore.metrics.missing import NOT_COMPUTED, Missing


def capital(text: str) -> str:
    """With its first letter in upper case; the others stay, unlike with str.capitalize."""
    return text[:1].upper() + text[1:]


def title(metric: str) -> str:
    """The heading of a column: ``P, %``."""
    return named(metric).heading


def meaning(metric: str) -> str:
    """What a metric is, in one line, with its caveat."""
    about = named(metric)
    return f"{about.title}. {about.caveat}" if about.caveat else about.title


def factor(metric: str) -> int:
    """The factor from a value to the shown number: 100 for shares, which are shown in per cent."""
    return named(metric).factor


def accuracy(share: float) -> str:
    """``84.1 % right``, of a share from 0 to 1."""
    return f"{100 * share:.1f} % right"


def in_words(metric: str, value: float | None, missing: Missing | None = None) -> str:
    """A metric as a table shows it: four digits, a whole count, or ``undefined`` or ``not computed``."""
    if value is None or math.isnan(value):
        return (missing or NOT_COMPUTED).word
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if named(metric).unit is Unit.COUNT:
        return f"{round(value):,}"
    return f"{factor(metric) * value:.4g}".replace("-", "−")


def in_bounds(metric: str, metrics: Mapping[str, float], missing: Missing | None = None) -> str:
    """A metric of one spectrum, with the bounds that its undetermined eigenvalues allow.

    k undetermined eigenvalues of n count as not negative. The true P is then between P and P + 100·k/n, the ratio is at
    least the shown value, and the largest step is at most the shown value.
    """
    value, open_, bound = metrics.get(metric), metrics.get("n_undetermined") or 0, named(metric).bound
    words = in_words(metric, value, missing)
    if value is None or not math.isfinite(value) or not open_ > 0:  # NaN: nothing was counted
        return words
    if bound is Bound.INTERVAL:
        most = named(metric).most(value, open_, metrics["n_eigenvalues"])
        return f"{words} … {in_words(metric, most)}"
    return bound.value + words
