"""Variance between labels against variance between blocks, for the paper's Tables 3, 6 and 9. Needs no torch."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from stiffcore.imports import scipy_stats
from stiffcore.metrics.missing import Missing, undefined
from stiffcore.statistics import tables
from stiffcore.statistics.tables import ALL


@dataclass(frozen=True)
class Spread:
    """The labels' variance, the blocks' variance, and what a label explains.

    between_labels, between_blocks: variances of the labels' and of the blocks' means (ddof = 1). ratio: the first
    divided by the second. label_share: η², the share of the variance over images (of the image's average over the
    blocks, or of one block) that the label explains; F, p: one-way analysis of variance of the same. NaN where reason
    says why.
    """

    between_labels: float
    between_blocks: float
    ratio: float
    label_share: float
    F: float
    p: float
    n: int
    reason: Missing | None = None


def spread(rows: pd.DataFrame, metric: str, block: int | str = ALL) -> Spread:
    """Between-label against between-block variance of a metric; ``block`` restricts the labels' side to one block.

    For ``all`` both sides use the ``pool``.
    """
    labels = tables.by_label(rows, (metric,), block)["mean"].to_numpy()
    same = rows[tables.pool(rows, metric).holds(rows)] if block == ALL else rows
    blocks = tables.by_block(same, (metric,)).query("block != 'all'")["mean"].to_numpy()
    values = tables.per_image(rows, metric, block)
    groups = [part.to_numpy() for _, part in values.groupby("label")["value"]]
    share, F, p, reason = _analysis_of_variance(groups)
    between_labels, between_blocks, of_both = (
        float(number) for number in (_variance(labels), _variance(blocks), ratio(labels, blocks))
    )
    return Spread(between_labels, between_blocks, of_both, share, F, p, len(values), reason)


def ratio(labels: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    """The variance of the labels' means divided by the variance of the blocks' means (ddof = 1), over the last axis.

    NaN entries are left out; NaN with fewer than two labels or blocks, or if all blocks have one mean. The one definition:
    for the paper's printed means, for ours, and for resamples of the images. Both means are over the same images.
    """
    of_labels, of_blocks = _variance(labels), _variance(blocks)
    return np.where(of_blocks > 0, of_labels / np.where(of_blocks > 0, of_blocks, 1.0), np.nan)


def _variance(means: np.ndarray) -> np.ndarray:
    """The sample variance of the finite entries over the last axis; NaN with fewer than two."""
    known = np.isfinite(means)
    count = known.sum(axis=-1, keepdims=True)
    kept = np.where(known, means, 0.0)
    away = np.where(known, means - kept.sum(axis=-1, keepdims=True) / np.maximum(count, 1), 0.0)
    squares: np.ndarray = (away**2).sum(axis=-1)
    return np.where(count[..., 0] > 1, squares / np.maximum(count[..., 0] - 1, 1), np.nan)


def _analysis_of_variance(groups: list[np.ndarray]) -> tuple[float, float, float, Missing | None]:
    """η² = SS_between / SS_total, F and p. SS: sum of squares."""
    if len(groups) < 2 or sum(map(len, groups)) <= len(groups):
        return np.nan, np.nan, np.nan, undefined("fewer than two labels, or one image a label")
    everything = np.concatenate(groups)
    total = float(((everything - everything.mean()) ** 2).sum())
    if np.ptp(everything) == 0:
        return np.nan, np.nan, np.nan, undefined("every image has the same value")
    between = float(sum(len(g) * (g.mean() - everything.mean()) ** 2 for g in groups))
    within, df_between, df_within = total - between, len(groups) - 1, len(everything) - len(groups)
    if within <= 1e-12 * total:
        return between / total, np.inf, 0.0, None
    F = (between / df_between) / (within / df_within)
    with scipy_stats() as stats:
        return between / total, F, float(stats.f.sf(F, df_between, df_within)), None
