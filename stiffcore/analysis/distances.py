"""Two results side by side: the differences of their metrics, and distances between their spectra. Needs no torch.

Every eigenvalue, structural zeros and ones included, is one unit of mass. With F_A(t), F_B(t) the shares of eigenvalues
whose real part is at most t:

    real parts:   W₁ = ∫ |F_A(t) − F_B(t)| dt                          any two spectra
    plane:        min over pairings π of (1/n) Σ |λ_k − μ_π(k)|         two spectra of n eigenvalues each

Both are 1-Wasserstein (earth mover's) distances: the mean distance that eigenvalues must move to turn one spectrum into the
other. The first is never larger than the second, and never smaller than the distance between the mean real parts.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stiffcore.analysis.results import Result
from stiffcore.metrics.missing import NOT_COMPUTED, Missing, not_computed, undefined

LARGEST_PAIRED = 1200  # eigenvalues per spectrum; about half a second on one core, growing with the cube
NO_METRIC = undefined("no metric of this convention")
BOTH_INFINITE = undefined("infinite on both sides")
Masses = tuple[np.ndarray, np.ndarray]  # values float64 (m,), how many eigenvalues each stands for float64 (m,)


@dataclass(frozen=True)
class Distance:
    """A distance: value, or NaN and the reason."""

    value: float
    reason: Missing | None = None


def differences(a: Result, b: Result, names: Iterable[str] | None = None) -> pd.DataFrame:
    """A row per metric: metric, a, b, difference (b − a); why_a, why_b, why: why each is missing, None if it is not.

    names: of metrics; None for all that either result has.
    """
    rows = []
    for name in dict.fromkeys([*a.metrics, *b.metrics]) if names is None else names:
        (value_a, why_a), (value_b, why_b) = _metric(a, name), _metric(b, name)
        why = why_a or why_b
        difference = math.nan if why else value_b - value_a
        if why is None and math.isnan(difference):
            why = BOTH_INFINITE
        rows.append((name, value_a, value_b, difference, why_a, why_b, why))
    return pd.DataFrame(rows, columns=["metric", "a", "b", "difference", "why_a", "why_b", "why"])


def _metric(result: Result, name: str) -> tuple[float, Missing | None]:
    value = float(result.metrics.get(name, math.nan))
    if not math.isnan(value):
        return value, None
    return math.nan, result.reasons.get(name, NOT_COMPUTED if name in result.metrics else NO_METRIC)


def distances(a: Result, b: Result) -> dict[str, Distance]:
    """``real_parts`` and ``plane``, or ``singular_values`` where neither block is square."""
    if all("singular_values" in result.arrays for result in (a, b)):
        if not all(result.made.get("complete", True) for result in (a, b)):
            return {
                "singular_values": Distance(math.nan, not_computed("blocks of this size have only σ max and σ min"))
            }
        return {"singular_values": Distance(wasserstein(_singular(a), _singular(b)))}
    if any("singular_values" in result.arrays for result in (a, b)):
        why = undefined("one block is not square and has singular values, the other has eigenvalues")
        return {"real_parts": Distance(math.nan, why), "plane": Distance(math.nan, why)}
    return {"real_parts": Distance(wasserstein(real_parts(a), real_parts(b))), "plane": in_the_plane(a, b)}


def real_parts(result: Result) -> Masses:
    """The real parts of all eigenvalues. ``slices``: the centres of the density's bins, and 0 for the bin of 0."""
    if "density" in result.arrays:
        edges = result.arrays["re_edges"]
        centres = (edges[1:] + edges[:-1]) / 2
        centres[np.clip(np.searchsorted(edges, 0.0, "right") - 1, 0, len(centres) - 1)] = 0.0
        return centres, result.arrays["density"].sum(0).astype(float)
    values = result.arrays["eigenvalues"].real
    return np.concatenate([values, [0.0, 1.0]]), np.concatenate([np.ones(len(values)), result.structural])


def _singular(result: Result) -> Masses:
    values = result.arrays["singular_values"]
    return np.append(values, 0.0), np.append(np.ones(len(values)), result.metrics.get("n_zero") or 0)


def wasserstein(a: Masses, b: Masses) -> float:
    """∫ |F_A − F_B| dt of two weighted sets of real numbers, each scaled to mass 1; exact, by sorting.

    The same as scipy.stats.wasserstein_distance, whose import would delay a page by a second.
    """
    values = np.concatenate([a[0], b[0]])
    mass = np.concatenate([a[1] / a[1].sum(), -b[1] / b[1].sum()])
    order = np.argsort(values, kind="stable")
    gaps = np.diff(values[order])
    return float(np.abs(np.cumsum(mass[order])[:-1]) @ gaps)


def in_the_plane(a: Result, b: Result) -> Distance:
    """The mean distance of the cheapest pairing of the eigenvalues, by scipy's linear_sum_assignment.

    Equal structural eigenvalues of the two sides are paired with each other: by the triangle inequality no other pairing
    is cheaper. Only the cores and the surplus of zeros and ones remain to be paired.
    """
    if any("eigenvalues" not in result.arrays for result in (a, b)):
        return Distance(math.nan, not_computed("the eigenvalues of slices are stored as a density only"))
    left = [_unshared(one, other) for one, other in ((a, b), (b, a))]
    total = [len(r.arrays["eigenvalues"]) + sum(r.structural) for r in (a, b)]
    if total[0] != total[1]:
        sizes = f"{total[0]:,} and {total[1]:,}"
        return Distance(math.nan, undefined(f"{sizes} eigenvalues cannot be paired one to one"))
    if len(left[0]) > LARGEST_PAIRED:
        why = f"{len(left[0]):,} pairs take too long, the limit is {LARGEST_PAIRED:,}"
        return Distance(math.nan, not_computed(why))
    if not len(left[0]):
        return Distance(0.0)
    from scipy.optimize import linear_sum_assignment  # slow to import

    cost = np.abs(left[0][:, None] - left[1][None, :])
    return Distance(float(cost[linear_sum_assignment(cost)].sum() / total[0]))


def _unshared(one: Result, other: Result) -> np.ndarray:
    """The core's eigenvalues, and the structural ones that the other side does not have as well."""
    surplus = [max(mine - theirs, 0) for mine, theirs in zip(one.structural, other.structural, strict=True)]
    return np.concatenate([one.arrays["eigenvalues"], np.zeros(surplus[0]), np.ones(surplus[1])])
