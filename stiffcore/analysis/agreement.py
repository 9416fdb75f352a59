"""Whether a result that was computed again agrees with the stored one: how far its numbers changed, in words.

Eigenvalues are matched one to one (`full.matching_distance`) and may change by the rounding error there, which is the
tolerance of both results; singular values by a relative 1e-9; counts and the bins of a density not at all.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stiffcore.analysis.requests import Request
from stiffcore.analysis.results import Result

RELATIVE = 1e-9  # relative change allowed for numbers without a tolerance of their own
COUNTED = ("n_eigenvalues", "n_zero", "n_one")  # by structure: exact
EXTREMES = ("min_re", "max_re", "spectral_radius")
WITHOUT_SPECTRUM = 1e-6  # relative change allowed for ratios where the eigenvalue closest to 0 is unknown
SIGNS = ("n_negative", "n_positive", "n_undetermined")  # exact except for signs that rounding decides


@dataclass(frozen=True)
class Agreement:
    """How a new result compares with the stored one.

    moved: the largest distance between matched eigenvalues, singular values or extremes; allowed: how large it may be.
    """

    request: Request
    moved: float
    allowed: float
    differing: tuple[str, ...]  # what differs by more, in a few words each

    @property
    def agrees(self) -> bool:
        return not self.differing


def of(old: Result, new: Result) -> Agreement:
    """The agreement of two results of the same request."""
    tolerance = max(float(result.health.get("tolerance", 0.0)) for result in (old, new))
    radius = max(abs(result.metrics.get("spectral_radius") or 0.0) for result in (old, new))
    allowed = max(tolerance, RELATIVE * (radius if math.isfinite(radius) else 0.0))
    moved, differing = _of_arrays(old.arrays, new.arrays, allowed)
    slack = _sensitivity(new, allowed)
    for name in old.metrics.keys() | new.metrics.keys():
        before, now = (float(result.metrics.get(name, math.nan)) for result in (old, new))
        if not _same(name, before, now, allowed, new, slack):
            differing.append(f"{name} was {before:.6g}, is {now:.6g}")
    for name in EXTREMES:
        change = abs(float(old.metrics.get(name, math.nan)) - float(new.metrics.get(name, math.nan)))
        moved = max(moved, change) if math.isfinite(change) else moved
    return Agreement(new.request, moved, allowed, tuple(sorted(differing)))


def _of_arrays(old: dict, new: dict, allowed: float) -> tuple[float, list[str]]:
    moved, differing = 0.0, []
    for name in old.keys() & new.keys():
        before, now = old[name], new[name]
        if before.shape != now.shape:
            differing.append(f"{name} were {before.size:,}, are {now.size:,}")
        elif name == "eigenvalues":
            from stiffcore.spectra.full import matching_distance  # imports torch, which has just computed something

            moved = matching_distance(before, now)
            if moved > allowed:
                differing.append(f"an eigenvalue changed by {moved:.2g}, but rounding explains only {allowed:.2g}")
        elif before.dtype.kind in "iu":
            if not np.array_equal(before, now):
                differing.append(f"bins of the density with other counts: {int((before != now).sum()):,}")
        else:
            change = float(np.abs(before - now).max(initial=0.0))
            moved = max(moved, change if name == "singular_values" else 0.0)
            if change > RELATIVE * np.abs(before).max(initial=1e-300):
                differing.append(f"{name} changed by {change:.2g}")
    return moved, differing


def _sensitivity(result: Result, allowed: float) -> float:
    """The relative change of a ratio that an allowed change of the smallest distinguishable |Re λ| explains."""
    if "eigenvalues" not in result.arrays:
        return WITHOUT_SPECTRUM
    sizes = np.abs(result.arrays["eigenvalues"].real)
    decided = sizes[sizes > result.health.get("tolerance", 0.0)]
    return allowed / float(decided.min()) if decided.size else 0.0


def _same(name: str, before: float, now: float, allowed: float, new: Result, slack: float) -> bool:
    if not (math.isfinite(before) and math.isfinite(now)):
        return before == now or (math.isnan(before) and math.isnan(now))
    undetermined, total = (float(new.metrics.get(key) or 0) for key in ("n_undetermined", "n_eigenvalues"))
    undetermined = undetermined if math.isfinite(undetermined) else 0.0
    if name in COUNTED:
        return before == now
    if name in SIGNS:
        return abs(before - now) <= undetermined
    if name in EXTREMES:
        return abs(before - now) <= allowed + RELATIVE * abs(before)
    of_signs = undetermined / total if total else 0.0
    return abs(before - now) <= (RELATIVE + slack) * abs(before) + 100 * of_signs


def in_words(agreements: Sequence[Agreement]) -> str:
    """One sentence about all agreements, then one for each result that does not agree."""
    several = len(agreements) > 1
    disagreeing = [agreement for agreement in agreements if not agreement.agrees]
    if not disagreeing:
        moved = max(agreement.moved for agreement in agreements)
        subject = f"all {len(agreements)} new results agree" if several else "the new result agrees"
        with_what = "the stored ones" if several else "the stored one"
        by = "no number changed" if moved == 0 else f"no number of a spectrum changed by more than {moved:.1g}"
        return f"Computed again: {subject} with {with_what}; {by}."
    lines = [
        f"block {agreement.request.block} at image {agreement.request.image.name}: {'; '.join(agreement.differing[:4])}"
        for agreement in disagreeing
    ]
    count = f"{len(disagreeing)} of {len(agreements)}"
    return f"Computed again: {count} do not agree with the stored results. " + ". ".join(lines) + "."
