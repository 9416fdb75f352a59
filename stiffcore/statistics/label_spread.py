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

    between_labels, between_blocks: variances of the labels' and of the blocks' means (ddof = 1).
    ratio: the first divided by the second. label_share: η², the share of the variance over images (of the image's average
    over the blocks, or of one block) that the label explains; F, p: one-way analysis of variance of the same.
    NaN where reason says why.
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
    labels = tables.by_label(rows, (metric,), block)["mean"]
    same = rows[tables.pool(rows, metric).holds(rows)] if block == ALL else rows
    blocks = tables.by_block(same, (metric,)).query("block != 'all'")["mean"]
    between_labels, between_blocks = (
        float(np.var(v.dropna(), ddof=1)) if v.count() > 1 else np.nan for v in (labels, blocks)
    )
    values = tables.per_image(rows, metric, block)
    groups = [part.to_numpy() for _, part in values.groupby("label")["value"]]
    share, F, p, reason = _analysis_of_variance(groups)
    ratio = between_labels / between_blocks if between_blocks > 0 else np.nan
    return Spread(between_labels, between_blocks, ratio, share, F, p, len(values), reason)


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
