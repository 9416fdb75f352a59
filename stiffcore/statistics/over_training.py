"""Rows of a run (several checkpoints of one training) -> tables by step and block, and the spread between seeds. No torch.

Rows are those of a sweep with the columns seed, step and checkpoint. Means leave out values that are undefined or not computed.
"""

import numpy as np
import pandas as pd

from stiffcore.metrics.missing import NOT_COMPUTED, NOT_SQUARE
from stiffcore.statistics import tables
from stiffcore.statistics.row_values import column, main_reason

COLUMNS = ["seed", "step", "checkpoint", "block", "mean", "median", "std", "low", "high",
           "n", "n_undefined", "n_not_computed", "state", "reason"]  # fmt: skip
STEPS = ["seed", "step", "checkpoint", "images", "accuracy", "loss", "accuracy_bundled", "loss_bundled"]
SEEDS = ["block", "mean", "std_seeds", "std_images", "n_seeds", "n_images", "reason"]


def table(rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    """A metric by seed, step and block, over the images.

    Columns: those of COLUMNS. low, high: 5 and 95 % of the images. state: "", "undefined" or "not computed"; reason: a
    Missing or None.
    """
    _check(rows)
    if rows.empty:
        return pd.DataFrame(columns=COLUMNS)
    able = set(tables.definable_in(rows, metric))
    lines = []
    for (seed, step, block), part in rows.groupby(["seed", "step", "block"], sort=True):
        values = column(part, metric)
        defined = values[np.isfinite(values)]
        low, high = np.quantile(defined, tables.SPREAD) if len(defined) else (np.nan, np.nan)
        reason = None if len(defined) else main_reason(part, metric) if block in able else NOT_SQUARE
        place = {"seed": int(seed), "step": int(step), "checkpoint": part["checkpoint"].iloc[0], "block": int(block)}
        state = "" if reason is None else reason.word
        lines.append(
            place | tables.describe(part, metric) | {"low": low, "high": high, "state": state, "reason": reason}
        )
    return pd.DataFrame(lines, columns=COLUMNS)


def by_step(rows: pd.DataFrame) -> pd.DataFrame:
    """Accuracy and mean loss of each checkpoint. Columns: those of STEPS.

    accuracy, loss: over the images that have rows; accuracy_bundled, loss_bundled: over the images that ship, NaN if they
    were not measured.
    """
    _check(rows)
    if rows.empty:
        return pd.DataFrame(columns=STEPS)
    lines = []
    for (seed, step), part in rows.groupby(["seed", "step"], sort=True):
        of_images = part.drop_duplicates("image")
        right = of_images["correct"].map({True: 1.0, False: 0.0}).astype(float)
        place = {
            "seed": int(seed),
            "step": int(step),
            "checkpoint": part["checkpoint"].iloc[0],
            "images": len(of_images),
        }
        whole = {name: float(part[name].iloc[0]) for name in ("accuracy_bundled", "loss_bundled") if name in part}
        lines.append(place | {"accuracy": right.mean(), "loss": of_images["loss"].astype(float).mean()} | whole)
    return pd.DataFrame(lines, columns=STEPS)


def between_seeds(rows: pd.DataFrame, metric: str) -> pd.DataFrame:
    """A metric of the last checkpoint of every seed: how far seeds differ, beside how far images differ. By block.

    mean: of the seeds' block means; std_seeds: their sample standard deviation; std_images: within a seed, the root of the
    mean variance over the images. Over the images that have a value at that block for every seed. Columns: those of SEEDS.
    """
    _check(rows)
    if rows.empty:
        return pd.DataFrame(columns=SEEDS)
    last = rows[rows["step"] == rows.groupby("seed")["step"].transform("max")]
    lines = []
    for block, part in last.groupby("block", sort=True):
        lines.append({"block": int(block), **_spread(part, metric, last["seed"].nunique())})
    return pd.DataFrame(lines, columns=SEEDS)


def _spread(part: pd.DataFrame, metric: str, seeds: int) -> dict[str, object]:
    values = part.assign(value=column(part, metric))
    wide = values[np.isfinite(values["value"])].pivot_table(index="image", columns="seed", values="value")
    common = wide.dropna() if wide.shape[1] == seeds else wide.iloc[:0]
    if common.empty:
        return {
            "mean": np.nan, "std_seeds": np.nan, "std_images": np.nan, "n_seeds": wide.shape[1], "n_images": 0,
            "reason": main_reason(part, metric) or NOT_COMPUTED,
        }  # fmt: skip
    means = common.mean()
    return {
        "mean": float(means.mean()),
        "std_seeds": float(means.std(ddof=1)) if seeds > 1 else np.nan,
        "std_images": float(np.sqrt(common.var(ddof=1).mean())) if len(common) > 1 else np.nan,
        "n_seeds": seeds,
        "n_images": len(common),
        "reason": None,
    }


def _check(rows: pd.DataFrame) -> None:
    """Raises ValueError for rows of several runs or conventions, and for rows without steps."""
    if rows.empty:
        return
    if lacking := [name for name in ("seed", "step", "checkpoint") if name not in rows]:
        raise ValueError(
            f"Expected rows of a run, got rows without {', '.join(lacking)}: sweep its checkpoints together."
        )
    if rows["convention"].nunique() > 1:
        raise ValueError(f"Expected rows of one convention, got {sorted(map(str, rows['convention'].unique()))}.")
    if rows.duplicated(["seed", "step", "image", "block"]).any():
        raise ValueError("Expected each step, image and block once, got some of them twice.")
