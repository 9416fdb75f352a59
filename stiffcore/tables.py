"""Rows (one per network, image, block, convention) -> stiffness by block and by label, sizes, baselines. Needs no torch.

A value that is missing is either undefined ("undefined: no eigenvalue has a negative real part") or not computed;
``reasons``, a JSON object in each row, says which. Neither enters a mean; both are counted.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stiffcore import catalogue

ALL = "all"
SHOWN = ("stiffness_index", "percent_negative")
SYMBOLS = {"stiffness_index": "S", "percent_negative": "P", "absolute_stiffness_index": "|S|"}
BASELINES = {"percent_negative": "expected_percent_negative", "stiffness_index": "stiffness_index_without_skip"}
STATISTICS = ["mean", "median", "std", "n", "n_undefined", "n_not_computed"]
ROW_IS = ["network", "weights", "convention", "image", "block"]  # what makes a row unique


def of_one_kind(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows, if they are of one network, one set of weights and one convention, each image and block once.

    Raises ValueError otherwise: a mean over such a mixture says nothing.
    """
    for name in ("network", "weights", "convention"):
        if rows[name].nunique() > 1:
            raise ValueError(f"Expected rows of one {name}, got {sorted(rows[name].unique())}.")
    if rows.duplicated(ROW_IS).any():
        raise ValueError("Expected each image and block once, got some of them twice.")
    return rows


def reasons(rows: pd.DataFrame, metric: str) -> pd.Series:
    """Why a row has no value of a metric; an empty string where it has one. Index as in rows."""
    if metric == "absolute_stiffness_index":
        metric = "stiffness_index"
    values = pd.Series("", index=rows.index, dtype=object)
    missing = ~np.isfinite(column(rows, metric))
    if not missing.any():
        return values
    if "reasons" not in rows:
        values[missing] = "not computed"
        return values
    parsed = {text: json.loads(text or "{}") for text in rows.loc[missing, "reasons"].unique()}
    values[missing] = [parsed[text].get(metric, "not computed") for text in rows.loc[missing, "reasons"]]
    return values


def column(rows: pd.DataFrame, metric: str) -> pd.Series:
    """A metric as float64, NaN where there is none. Also ``absolute_stiffness_index`` |S| and
    ``percent_negative_beyond_geometry``, P minus what random entries on the same receptive field give."""
    if metric == "absolute_stiffness_index":
        return column(rows, "stiffness_index").abs()
    if metric == "percent_negative_beyond_geometry":
        return column(rows, "percent_negative") - column(rows, "expected_percent_negative")
    if metric not in rows:
        return pd.Series(np.nan, index=rows.index)
    return rows[metric].astype(float)


def describe(rows: pd.DataFrame, metric: str) -> dict[str, float]:
    """Mean, median and sample standard deviation of what is defined; how many that is, and how many are not."""
    values = column(rows, metric).to_numpy()
    defined = values[np.isfinite(values)]
    undefined = int(reasons(rows, metric).str.startswith("undefined").sum())
    return {
        "mean": float(defined.mean()) if len(defined) else np.nan,
        "median": float(np.median(defined)) if len(defined) else np.nan,
        "std": float(defined.std(ddof=1)) if len(defined) > 1 else np.nan,
        "n": len(defined),
        "n_undefined": undefined,
        "n_not_computed": len(values) - len(defined) - undefined,
    }


def by_block(rows: pd.DataFrame, metrics: Sequence[str] = SHOWN) -> pd.DataFrame:
    """The paper's Tables 2, 5 and 8: columns block, metric, mean, median, std, n, n_undefined, n_not_computed, n_blocks.

    The row ``all`` averages the blocks, as the paper's does: its mean is the mean of the blocks' means, likewise its
    median and std; its n is the smallest of the blocks', its n_undefined and n_not_computed are their sums.
    """
    of_one_kind(rows)
    made = []
    for metric in metrics:
        blocks = [
            {"block": int(block), "metric": metric, **describe(part, metric), "n_blocks": 1}
            for block, part in rows.groupby("block", sort=True)
        ]
        made += blocks
        if len(blocks) > 1:
            made.append({"block": ALL, "metric": metric, **_average(blocks)})
    return pd.DataFrame(made, columns=["block", "metric", *STATISTICS, "n_blocks"])


def _average(blocks: list[dict]) -> dict[str, float]:
    """The blocks' statistics averaged over those that have one."""
    made = {}
    for name in ("mean", "median", "std"):
        defined = [block[name] for block in blocks if np.isfinite(block[name])]
        made[name] = float(np.mean(defined)) if defined else np.nan
    with_value = [block["n"] for block in blocks if block["n"]]
    return made | {
        "n": min(with_value, default=0),
        "n_undefined": sum(block["n_undefined"] for block in blocks),
        "n_not_computed": sum(block["n_not_computed"] for block in blocks),
        "n_blocks": len(with_value),
    }


def by_label(rows: pd.DataFrame, metrics: Sequence[str] = SHOWN, block: int | str = ALL) -> pd.DataFrame:
    """The paper's Tables 3, 6 and 9: columns label, name, metric and those of ``by_block``.

    ``block``: a number, or ``all`` for the average over the blocks.
    """
    of_one_kind(rows)
    if block != ALL:
        rows = rows[rows["block"] == block]
    made = []
    for metric in metrics:
        for label, part in rows.groupby("label", sort=True):
            blocks = [describe(of_block, metric) for _, of_block in part.groupby("block")]
            name = catalogue.LABELS[int(label)]
            made.append({"label": int(label), "name": name, "metric": metric, **_average(blocks)})
    return pd.DataFrame(made, columns=["label", "name", "metric", *STATISTICS, "n_blocks"])


def sizes(network: str) -> pd.DataFrame:
    """The paper's Tables 10 and 11, from the geometry alone: elements of the Jacobian n_out · n_in, its slices'
    n_out · C_in · H_in eigenvalues, and the n of the matrix itself (0 where it is not square)."""
    return pd.DataFrame(
        [
            {
                "block": block.block,
                "n_in": block.n_in,
                "n_out": block.n_out,
                "jacobian_elements": block.n_in * block.n_out,
                "eigenvalues": block.n_eigenvalues("slices"),
                "eigenvalues_of_the_matrix": block.n_eigenvalues("block"),
            }
            for block in catalogue.blocks(network)
        ]
    )


def baselines(rows: pd.DataFrame) -> pd.DataFrame:
    """The two baselines under ``slices`` and what is left over, by block, means over the images.

    expected_percent_negative: P for random entries on the same receptive field over the live outputs.
    stiffness_index_without_skip: S without the slices that carry the skip's 1.
    """
    of_one_kind(rows)
    made = []
    for block, part in rows.groupby("block", sort=True):
        row = {"block": int(block)}
        for metric, baseline in BASELINES.items():
            value, expected = column(part, metric), column(part, baseline)
            row |= {metric: describe(part, metric)["mean"], baseline: describe(part, baseline)["mean"]}
            both = np.isfinite(value) & np.isfinite(expected)
            row[f"{metric}_left_over"] = float((value - expected)[both].mean()) if both.any() else np.nan
            row[f"{metric}_n"] = int(both.sum())
        made.append(row)
    return pd.DataFrame(made)


def per_image(rows: pd.DataFrame, metric: str, block: int | str = ALL) -> pd.DataFrame:
    """One row per image with a value: image, label, predicted, correct, loss, value (averaged over the blocks for ``all``)."""
    if rows.empty:
        return pd.DataFrame(columns=["image", "label", "predicted", "correct", "loss", "value"])
    kept = rows if block == ALL else rows[rows["block"] == block]
    values = kept[["image", "label", "predicted", "correct", "loss"]].assign(value=column(kept, metric))
    values = values[np.isfinite(values["value"])]
    firsts = dict.fromkeys(("label", "predicted", "correct", "loss"), "first")
    return values.groupby("image", as_index=False).agg(firsts | {"value": "mean"})


@dataclass(frozen=True)
class Spread:
    """How far labels and blocks are apart: what the paper asks of its Tables 3, 6 and 9.

    between_labels, between_blocks: variances of the labels' and of the blocks' means (ddof = 1).
    ratio: the first by the second. label_share: the part of the variance over images (of the image's average over
    the blocks, or of one block) that its label explains, η²; F, p: one-way analysis of variance of the same.
    NaN where reason says why.
    """

    between_labels: float
    between_blocks: float
    ratio: float
    label_share: float
    F: float
    p: float
    n: int
    reason: str = ""


def spread(rows: pd.DataFrame, metric: str, block: int | str = ALL) -> Spread:
    """Between-label against between-block variance of a metric; ``block`` restricts the labels' side to one block."""
    labels = by_label(rows, (metric,), block)["mean"]
    blocks = by_block(rows, (metric,)).query("block != 'all'")["mean"]
    between_labels, between_blocks = (
        float(np.var(v.dropna(), ddof=1)) if v.count() > 1 else np.nan for v in (labels, blocks)
    )
    values = per_image(rows, metric, block)
    groups = [part.to_numpy() for _, part in values.groupby("label")["value"]]
    share, F, p, reason = _analysis_of_variance(groups)
    ratio = between_labels / between_blocks if between_blocks > 0 else np.nan
    return Spread(between_labels, between_blocks, ratio, share, F, p, len(values), reason)


def _analysis_of_variance(groups: list[np.ndarray]) -> tuple[float, float, float, str]:
    """η² = SS_between / SS_total, F and p. SS: sum of squares."""
    if len(groups) < 2 or sum(map(len, groups)) <= len(groups):
        return np.nan, np.nan, np.nan, "undefined: fewer than two labels, or one image a label"
    everything = np.concatenate(groups)
    total = float(((everything - everything.mean()) ** 2).sum())
    if np.ptp(everything) == 0:
        return np.nan, np.nan, np.nan, "undefined: every image has the same value"
    between = float(sum(len(g) * (g.mean() - everything.mean()) ** 2 for g in groups))
    within, df_between, df_within = total - between, len(groups) - 1, len(everything) - len(groups)
    if within <= 1e-12 * total:
        return between / total, np.inf, 0.0, ""
    from scipy import stats  # takes a moment

    F = (between / df_between) / (within / df_within)
    return between / total, F, float(stats.f.sf(F, df_between, df_within)), ""
