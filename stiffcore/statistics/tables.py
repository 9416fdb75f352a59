"""Rows (one per network, image, block, convention) -> tables by block and by label, sizes, baselines. No torch.

Means leave out values that are undefined or not computed, and both are counted. Rows need not be balanced: "all" means
the ``pool``.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stiffcore.conventions import Convention
from stiffcore.images.labels import LABELS
from stiffcore.metrics import definitions
from stiffcore.networks.geometry import BlockGeometry
from stiffcore.statistics.row_values import column, convention_of, filled, is_undefined, of_one_kind, reasons

ALL = "all"
SHOWN = tuple(metric.name for metric in definitions.METRICS if metric.main)
STATISTICS = ["mean", "median", "std", "n", "n_undefined", "n_not_computed"]
BLOCKS = ["n_blocks", "of_blocks"]  # of a row over all blocks: the blocks used, of those that can have a value
SPREAD = (0.05, 0.95)  # quantiles: the middle 90 % of the images, of whiskers and bands
FEWEST_POOLED = 10  # images in common; a block with fewer than that is left out of "all"


def describe(rows: pd.DataFrame, metric: str) -> dict[str, float]:
    """Mean, median and sample standard deviation of the defined values; the numbers of defined and missing ones."""
    statistics = _statistics(column(rows, metric).to_numpy())
    undefined = int(is_undefined(reasons(rows, metric)).sum())
    return statistics | {"n_undefined": undefined, "n_not_computed": len(rows) - statistics["n"] - undefined}


def _statistics(values: np.ndarray) -> dict[str, float]:
    defined = values[np.isfinite(values)]
    return {
        "mean": float(defined.mean()) if len(defined) else np.nan,
        "median": float(np.median(defined)) if len(defined) else np.nan,
        "std": float(defined.std(ddof=1)) if len(defined) > 1 else np.nan,
        "n": len(defined),
    }


def definable(
    blocks: Sequence[BlockGeometry], convention: Convention, metric: str = "stiffness_index"
) -> tuple[int, ...]:
    """The blocks that can have a value: under ``block`` and ``branch`` only identity blocks have eigenvalues."""
    of_every = definitions.named(metric).is_of_every_block
    return tuple(b.block for b in blocks if of_every or b.n_eigenvalues(convention))


def definable_in(rows: pd.DataFrame, metric: str = "stiffness_index") -> tuple[int, ...]:
    """``definable`` for the network of the rows: from their columns ``n_blocks`` and ``square_blocks``, which cover
    blocks without a row, or else from the blocks that have rows."""
    numbers: Iterable[int]
    if "square_blocks" in rows:
        square = {int(block) for block in rows["square_blocks"].iloc[0].split(",") if block}
        numbers = range(1, int(rows["n_blocks"].iloc[0]) + 1)
    else:
        square = set(rows.loc[rows["n_in"] == rows["n_out"], "block"])
        numbers = sorted(set(rows["block"]))
    every = definitions.named(metric).is_of_every_block or not convention_of(rows).has_matrix
    return tuple(int(block) for block in numbers if every or block in square)


@dataclass(frozen=True)
class Pool:
    """What "all" means where rows are not balanced: these blocks, at the images that have a value at each of them.

    Otherwise each image would be averaged over the blocks that it happens to have, and images would differ by that
    alone. needed: the blocks that can have a value; partial: some of them are not in the pool.
    """

    blocks: tuple[int, ...]
    images: frozenset[int]
    needed: tuple[int, ...]

    @property
    def partial(self) -> bool:
        return len(self.blocks) < len(self.needed)

    def in_words(self) -> str:
        """“the 100 images that have a value at blocks 4, 6, 8, of the 5 blocks that can have one”."""
        images = "the one image that has" if len(self.images) == 1 else f"the {len(self.images):,} images that have"
        if self.partial:
            blocks = ", ".join(map(str, self.blocks)) or "none"
            return f"{images} a value at blocks {blocks}, of the {len(self.needed)} blocks that can have one"
        whole = self.needed == tuple(range(1, len(self.needed) + 1))
        return f"{images} a value at all {len(self.needed)} blocks{'' if whole else ' that can have one'}"

    def holds(self, rows: pd.DataFrame) -> pd.Series:
        """Which rows belong to it. Index as in rows."""
        return rows["block"].isin(self.blocks) & rows["image"].isin(self.images)


def pool(rows: pd.DataFrame, metric: str) -> Pool:
    """The pool of a metric. Blocks join in the order of their numbers of images, as long as FEWEST_POOLED images (or as
    many as the largest block has, if that is fewer) remain in common."""
    if rows.empty:
        return Pool((), frozenset(), ())
    defined = rows[np.isfinite(column(rows, metric))]
    images = {int(block): frozenset(part) for block, part in defined.groupby("block")["image"]}
    needed = definable_in(rows, metric)
    enough = min(FEWEST_POOLED, max(map(len, images.values()), default=0))
    blocks, common = [], frozenset(defined["image"])
    for block in sorted(images, key=lambda block: (-len(images[block]), block)):
        if len(common & images[block]) >= enough:
            blocks.append(block)
            common &= images[block]
    return Pool(tuple(sorted(blocks)), common if blocks else frozenset(), needed)


def by_block(rows: pd.DataFrame, metrics: Sequence[str] = SHOWN) -> pd.DataFrame:
    """The paper's Tables 2, 5 and 8: columns block, metric, those of STATISTICS and BLOCKS.

    The row ``all`` averages the blocks with equal weights, as the paper's does: its mean, median and std are the means
    of the blocks'; its n is the smallest of the blocks', its n_undefined and n_not_computed are their sums.
    """
    of_one_kind(rows)
    lines = []
    for metric in metrics:
        blocks = [
            {"block": int(block), "metric": metric, **describe(part, metric), "n_blocks": 1, "of_blocks": 1}
            for block, part in rows.groupby("block", sort=True)
        ]
        lines += blocks
        if len(blocks) > 1:
            of_blocks = len(definable_in(rows, metric))
            lines.append({"block": ALL, "metric": metric, **_average(blocks), "of_blocks": of_blocks})
    return pd.DataFrame(lines, columns=["block", "metric", *STATISTICS, *BLOCKS])


def _average(blocks: list[dict]) -> dict[str, float]:
    """The blocks' statistics averaged over those that have one."""
    averages: dict[str, float] = {}
    for name in ("mean", "median", "std"):
        defined = [block[name] for block in blocks if np.isfinite(block[name])]
        averages[name] = float(np.mean(defined)) if defined else np.nan
    with_value = [block["n"] for block in blocks if block["n"]]
    return averages | {
        "n": min(with_value, default=0),
        "n_undefined": sum(block["n_undefined"] for block in blocks),
        "n_not_computed": sum(block["n_not_computed"] for block in blocks),
        "n_blocks": len(with_value),
    }


def by_label(
    rows: pd.DataFrame, metrics: Sequence[str] = SHOWN, block: int | str = ALL, classes: Sequence[str] = LABELS
) -> pd.DataFrame:
    """The paper's Tables 3, 6 and 9: columns label, name, metric and those of ``by_block``.

    block: a number; or ``all``, for statistics of each image's average over the blocks of the ``pool``.
    classes: the names of the labels; a label beyond them is named by its number.
    """
    rows, lines = filled(of_one_kind(rows), metrics), []
    for metric in metrics if len(rows) else ():
        pooled = pool(rows, metric)
        kept = rows if block == ALL else rows[rows["block"] == block]
        for label, part in kept.groupby("label", sort=True):
            if block == ALL:
                statistics = _averaged(part, metric, pooled)
            else:
                statistics = describe(part, metric)
                statistics |= dict.fromkeys(BLOCKS, int(statistics["n"] > 0))
            lines.append({"label": int(label), "name": _name(int(label), classes), "metric": metric, **statistics})
    return pd.DataFrame(lines, columns=["label", "name", "metric", *STATISTICS, *BLOCKS])


def _name(label: int, classes: Sequence[str]) -> str:
    return classes[label] if label < len(classes) else str(label)


def _averaged(part: pd.DataFrame, metric: str, pooled: Pool) -> dict[str, float]:
    """As ``describe``, for the images' averages over the pool's blocks; other images are counted by reason."""
    inside, outside = part[pooled.holds(part)], part[~part["image"].isin(pooled.images)]
    averages = column(inside, metric).groupby(inside["image"]).mean()
    of_pool = outside["block"].isin(pooled.blocks or pooled.needed)
    undefined = outside.loc[of_pool & is_undefined(reasons(outside, metric)), "image"].nunique()
    return _statistics(averages.to_numpy()) | {
        "n_undefined": undefined,
        "n_not_computed": outside["image"].nunique() - undefined,
        "n_blocks": len(pooled.blocks) if len(averages) else 0,
        "of_blocks": len(pooled.needed),
    }


def sizes(blocks: Sequence[BlockGeometry]) -> pd.DataFrame:
    """The paper's Tables 10 and 11, from the geometry alone: elements of the Jacobian n_out · n_in, its slices'
    n_out · C_in · H_in eigenvalues, and the n of the matrix itself (0 where it is not square)."""
    return pd.DataFrame(
        [
            {
                "block": block.block,
                "n_in": block.n_in,
                "n_out": block.n_out,
                "jacobian_elements": block.n_in * block.n_out,
                "eigenvalues": block.n_eigenvalues(Convention.SLICES),
                "eigenvalues_of_the_matrix": block.n_eigenvalues(Convention.BLOCK),
            }
            for block in blocks
        ]
    )


def with_baselines() -> dict[str, str]:
    """metric -> its baseline."""
    return {metric.baseline_of: metric.name for metric in definitions.METRICS if metric.baseline_of}


def baselines(rows: pd.DataFrame) -> pd.DataFrame:
    """The two baselines under ``slices`` and the difference from them, by block: means over the images.

    expected_percent_negative: P for random entries on the same receptive field over the live outputs.
    stiffness_index_without_skip: S without the slices that carry the skip's 1.
    """
    of_one_kind(rows)
    lines = []
    for block, part in rows.groupby("block", sort=True):
        row: dict[str, float] = {"block": int(block)}
        for metric, baseline in with_baselines().items():
            value, expected = column(part, metric), column(part, baseline)
            row |= {metric: describe(part, metric)["mean"], baseline: describe(part, baseline)["mean"]}
            both = np.isfinite(value) & np.isfinite(expected)
            row[f"{metric}_left_over"] = float((value - expected)[both].mean()) if both.any() else np.nan
            row[f"{metric}_n"] = int(both.sum())
        lines.append(row)
    return pd.DataFrame(lines)


def per_image(rows: pd.DataFrame, metric: str, block: int | str = ALL) -> pd.DataFrame:
    """One row per image with a value: image, label, predicted, correct, loss, value (for ``all``: averaged over the
    blocks of the ``pool``, for its images)."""
    if rows.empty:
        return pd.DataFrame(columns=["image", "label", "predicted", "correct", "loss", "value"])
    rows = filled(rows, [metric])
    kept = rows[pool(rows, metric).holds(rows) if block == ALL else rows["block"] == block]
    values = kept[["image", "label", "predicted", "correct", "loss"]].assign(value=column(kept, metric))
    values = values[np.isfinite(values["value"])]
    firsts = dict.fromkeys(("label", "predicted", "correct", "loss"), "first")
    return values.groupby("image", as_index=False).agg(firsts | {"value": "mean"})


def undetermined(rows: pd.DataFrame) -> pd.DataFrame:
    """The blocks where P of some images is an interval. Columns: block, n (images whose P is an interval), and the
    means of percent_negative and percent_negative_at_most over all images with a P.

    P counts certainly negative eigenvalues; it is at most 100 · (n_negative + n_undetermined) / n_eigenvalues.
    """
    lines = []
    if "n_undetermined" in rows:
        kept = rows[np.isfinite(column(rows, "percent_negative"))]
        more = 100 * kept["n_undetermined"].fillna(0) / kept["n_eigenvalues"]
        for block, part in kept.groupby("block", sort=True):
            if (intervals := int((part["n_undetermined"] > 0).sum())) > 0:
                least = float(part["percent_negative"].mean())
                lines.append((int(block), intervals, least, least + float(more[part.index].mean())))
    return pd.DataFrame(lines, columns=["block", "n", "percent_negative", "percent_negative_at_most"])
