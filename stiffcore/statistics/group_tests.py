"""Two groups of images over the rows: label against label, trained against untrained. Needs no torch.

A group is the rows of one network, of one label or of all. Independent groups are compared by Welch's t-test (unequal
variances, with a 95 % interval of the difference of means) and by the Mann-Whitney test. The same images under two networks
are pairs: they are compared by the paired t-test and by Wilcoxon's signed-rank test on the images that both have. p is
adjusted over the blocks by Benjamini and Hochberg. Undefined and not computed values are left out, and counted.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from stiffcore.images.labels import LABELS
from stiffcore.imports import scipy_stats
from stiffcore.metrics.missing import Missing, undefined
from stiffcore.statistics import correlation, tables

FEWEST = 3  # values on a side; fewer give no useful estimate of the spread
SIDES = ("a", "b")
COLUMNS = (
    ["block", "test"]
    + [f"{name}_{side}" for name in ("mean", "median", "n", "n_undefined", "n_not_computed") for side in SIDES]
    + ["n_pairs", "difference", "low", "high", "p", "p_adjusted", "p_ranks", "reason"]
)


def of_label(rows: pd.DataFrame, label: str, other: str) -> pd.DataFrame:
    """The rows of a label by its name. ``all`` means all images; against a single label, all others, since groups do not overlap.

    other: the label of the other group.
    """
    if label == tables.ALL and other == tables.ALL:
        return rows
    if label == tables.ALL:
        return rows[rows["label"] != LABELS.index(other)]
    return rows[rows["label"] == LABELS.index(label)]


def values(rows: pd.DataFrame, metric: str, blocks: Sequence[int]) -> pd.DataFrame:
    """The defined values, for a figure: block, image, value."""
    if rows.empty:
        return pd.DataFrame(columns=["block", "image", "value"])
    kept = rows[rows["block"].isin(list(blocks))]
    drawn = kept[["block", "image"]].assign(value=tables.column(kept, metric))
    return drawn[np.isfinite(drawn["value"])].reset_index(drop=True)


def by_block(
    a: pd.DataFrame, b: pd.DataFrame, metric: str, blocks: Sequence[int], paired: bool = False
) -> pd.DataFrame:
    """One row per block: COLUMNS. difference: mean of b − mean of a; for pairs, over the images that both have. NaN where
    reason says why. paired: both are the same images, under two networks."""
    for rows in (a, b):
        if len(rows):
            tables.of_one_kind(rows)
    table = pd.DataFrame([_block(a, b, metric, block, paired) for block in blocks], columns=COLUMNS)
    table["p_adjusted"] = correlation.adjusted(table["p"].to_numpy(dtype=float))
    return table


def _block(a: pd.DataFrame, b: pd.DataFrame, metric: str, block: int, paired: bool) -> dict:
    row: dict = {"block": block, "test": "paired" if paired else "independent"}
    sides = []
    for side, rows in zip(SIDES, (a, b), strict=True):
        part = rows[rows["block"] == block] if len(rows) else pd.DataFrame({"image": pd.Series(dtype=int)})
        described = tables.describe(part, metric)
        row |= {f"{name}_{side}": described[name] for name in ("mean", "median", "n", "n_undefined", "n_not_computed")}
        column = tables.column(part, metric)
        sides.append(pd.Series(column.to_numpy(), index=part["image"])[np.isfinite(column.to_numpy())])
    return row | (_pairs(*sides) if paired else _independent(*sides))


def _independent(a: pd.Series, b: pd.Series) -> dict:
    reason = _too_few(len(a), len(b)) or _constant(a, b)
    if reason is not None:
        return _nothing(reason, float(b.mean() - a.mean()) if len(a) and len(b) else np.nan)
    with scipy_stats() as stats:
        welch = stats.ttest_ind(b, a, equal_var=False)
        low, high = welch.confidence_interval(0.95)
        ranks = stats.mannwhitneyu(b, a).pvalue
    return _numbers(float(b.mean() - a.mean()), low, high, welch.pvalue, ranks, np.nan)


def _pairs(a: pd.Series, b: pd.Series) -> dict:
    both = a.index.intersection(b.index)
    change = b[both] - a[both]
    reason = _too_few(len(both), len(both), "images that both have") or _constant(change, change)
    if reason is not None:
        return _nothing(reason, float(change.mean()) if len(both) else np.nan) | {"n_pairs": len(both)}
    with scipy_stats() as stats:
        paired = stats.ttest_rel(b[both], a[both])
        low, high = paired.confidence_interval(0.95)
        signed_ranks = stats.wilcoxon(change).pvalue
    return _numbers(float(change.mean()), low, high, paired.pvalue, signed_ranks, len(both))


def _too_few(n_a: int, n_b: int, what: str = "values") -> Missing | None:
    if min(n_a, n_b) >= FEWEST:
        return None
    counts = f"{n_a}" if what != "values" else f"{n_a} and {n_b}"
    return undefined(f"fewer than {FEWEST} {what} ({counts})")


def _constant(a: pd.Series, b: pd.Series) -> Missing | None:
    flat = all(np.ptp(side.to_numpy()) <= 1e-13 * abs(side.mean()) for side in (a, b))
    return undefined("all values of each group are equal, so there is no spread to test against") if flat else None


def _nothing(reason: Missing, difference: float) -> dict:
    return _numbers(difference, np.nan, np.nan, np.nan, np.nan, np.nan) | {"reason": reason}


def _numbers(difference: float, low: float, high: float, p: float, ranks: float, pairs: float) -> dict:
    names = ("difference", "low", "high", "p", "p_ranks", "n_pairs")
    numbers = dict(zip(names, map(float, (difference, low, high, p, ranks, pairs)), strict=True))
    return numbers | {"p_adjusted": np.nan, "reason": None}
