"""A number with its 95 % interval, and what the interval says about a threshold. Needs no torch."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from stiffcore.statistics import resampling

HOLDS, FAILS, NOT_SHOWN, UNDEFINED, NOT_COMPUTED = ANSWERS = (
    "holds",
    "does not hold",
    "not shown",  # the interval has both answers in it, or there is none
    "undefined",
    "not computed",
)


@dataclass(frozen=True)
class Estimate:
    """low, high: the interval; equal to the value where it is as the paper prints it, NaN where there is none."""

    value: float
    low: float
    high: float
    note: str = ""  # stands behind the interval
    few: str = "too few images"  # why there is no interval

    @property
    def is_printed(self) -> bool:
        return self.value == self.low == self.high

    def in_words(self, show: Callable[[float], str]) -> str:
        """“1.30 (95 % interval 1.22 to 1.41)”. show: writes a number."""
        said = [] if self.is_printed else [f"no interval: {self.few}"]
        if not self.is_printed and not math.isnan(self.low):
            said = [f"95 % interval {show(self.low)} to {show(self.high)}"]
        said += [self.note] if self.note else []
        return show(self.value) + (f" ({'; '.join(said)})" if said else "")


def percentile(values: np.ndarray, few: str = "") -> Estimate:
    """The estimate of a statistic: its value at the images as they are, then at every resample; shape (1 + resamples,).

    A statistic without resamples is printed. few: which blocks have too few images, where it is known.
    """
    value = float(values[0])
    if len(values) == 1:
        return Estimate(value, value, value)
    return Estimate(value, *resampling.percentiles(values[1:]), few=few or Estimate.few)


def basic(values: np.ndarray) -> Estimate:
    """As ``percentile``, by the basic bootstrap: 2 · value − the resamples' percentiles (Davison and Hinkley 1997, ch. 5.2),
    not below 0. For a variance of means, which the scatter of few images makes larger, in a resample once more."""
    found = percentile(values)
    if found.is_printed:
        return found
    low, high = (float(np.maximum(2 * found.value - end, 0)) for end in (found.high, found.low))
    return Estimate(found.value, low, high)


def significant(value: float) -> str:
    """Three significant digits with a true minus sign."""
    return f"{value:.3g}".replace("-", "−")


@dataclass(frozen=True)
class Rule:
    """What a claim says about a number: above ``low`` and below ``high``."""

    low: float = -math.inf
    high: float = math.inf

    def answer(self, estimate: Estimate) -> str:
        """HOLDS if the whole interval is inside, FAILS if all of it is outside."""
        if math.isnan(estimate.low) or math.isnan(estimate.high):
            return NOT_SHOWN
        if estimate.low > self.low and estimate.high < self.high:
            return HOLDS
        return FAILS if estimate.high <= self.low or estimate.low >= self.high else NOT_SHOWN


@dataclass(frozen=True)
class Finding:
    """One number of a claim, in words, with what the claim says about it. show: writes the number."""

    text: str
    estimate: Estimate
    rule: Rule
    show: Callable[[float], str] = significant

    @property
    def answer(self) -> str:
        return self.rule.answer(self.estimate)

    def in_words(self) -> str:
        return f"{self.text}: {self.estimate.in_words(self.show)}"

    def in_short(self) -> str:
        """“1.85 (1.83 to 1.87)”; the value alone where it is printed or has no interval."""
        low, high = self.estimate.low, self.estimate.high
        without = self.estimate.is_printed or math.isnan(low)
        return self.show(self.estimate.value) + ("" if without else f" ({self.show(low)} to {self.show(high)})")

    @property
    def _room(self) -> float:
        """How far the interval is inside its limits; negative outside."""
        room = min(self.estimate.low - self.rule.low, self.rule.high - self.estimate.high)
        return -math.inf if math.isnan(room) else room


def deciding(findings: Sequence[Finding]) -> Finding:
    """The finding that a claim of several numbers stands or falls with: it holds if all do, and does not if one does not."""
    return min(findings, key=lambda finding: ((FAILS, NOT_SHOWN, HOLDS).index(finding.answer), finding._room))


def signed(r: float, digits: int = 2) -> str:
    """Decimals with a true sign, none on a zero."""
    rounded = round(r, digits) + 0.0
    return f"{rounded:{'+' if rounded else ''}.{digits}f}".replace("-", "−")
