"""Correlation of stiffness with accuracy and loss over images (the paper's Tables 1, 4 and 7). Needs no torch.

Where a correlation is undefined (constant input, fewer than three images, nothing defined) every number is NaN and
``reason`` says why; there is no warning.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from stiffcore.imports import scipy_stats
from stiffcore.metrics import definitions
from stiffcore.metrics.missing import Missing, undefined
from stiffcore.statistics import partial, permutation, tables
from stiffcore.statistics.partial import Partial
from stiffcore.statistics.resampling import RESAMPLES, interval, weights
from stiffcore.statistics.row_values import column, filled, main_reason, of_one_kind
from stiffcore.statistics.tables import ALL

OUTCOMES = {"accuracy": "correct", "loss": "loss"}  # -> column of the rows
SIGNIFICANT = 0.05  # of the adjusted p
COVARIATE = "live_fraction"  # held constant, with the label, in ``given``
PARTIAL = {f"partial_{name}": name for name in ("r", "p", "low", "high", "reason")}  # column of ``table`` -> of Partial


@dataclass(frozen=True)
class Correlation:
    """Pearson's r with its p and a percentile-bootstrap 95 % interval, Spearman's rho with its p.

    low and high are NaN where more than a tenth of the resamples have no correlation (one wrong image among few).
    """

    r: float
    p: float
    low: float
    high: float
    spearman: float
    spearman_p: float
    n: int  # pairs used
    n_left_out: int  # pairs in which either is undefined or not computed
    reason: Missing | None = None


def correlate(
    x: np.ndarray, y: np.ndarray, groups: np.ndarray | None = None, seed: int = 0, resamples: int = RESAMPLES
) -> Correlation:
    """The correlation of two variables of shape (n,). A pair with NaN or infinity in either is left out.

    groups: shape (n,); pairs with the same value (an image's blocks) are resampled together, and count as one image,
    since they are not independent; p takes the pairs as independent, see ``pooled``. resamples: 0 for r and p alone, which
    is faster.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if x.shape != y.shape or x.ndim != 1:
        raise ValueError(f"Expected two variables of one shape (n,), got {x.shape} and {y.shape}.")
    defined = np.isfinite(x) & np.isfinite(y)
    left_out = int((~defined).sum())
    x, y = x[defined], y[defined]
    groups = np.arange(len(x)) if groups is None else np.asarray(groups)[defined]
    reason = _undefined(x, y, len(np.unique(groups)), left_out)
    if reason is not None:
        return Correlation(np.nan, np.nan, np.nan, np.nan, np.nan, np.nan, len(x), left_out, reason)
    with scipy_stats() as stats:
        pearson = stats.pearsonr(x, y)
        spearman = stats.spearmanr(x, y) if resamples else None
    r, p = float(pearson.statistic), float(pearson.pvalue)
    if spearman is None:
        return Correlation(r, p, np.nan, np.nan, np.nan, np.nan, len(x), left_out)
    low, high = _interval(x, y, groups, seed, resamples)
    return Correlation(r, p, low, high, float(spearman.statistic), float(spearman.pvalue), len(x), left_out)


def _undefined(x: np.ndarray, y: np.ndarray, images: int, left_out: int) -> Missing | None:
    if images < 3:
        also = f"; {left_out} are undefined or not computed" if left_out else ""
        return undefined(f"fewer than three images ({images}{also})")
    for variable, name in ((x, "stiffness"), (y, "outcome")):
        # scipy, too, calls the input constant below this: what varies is rounding.
        if np.linalg.norm(variable - variable.mean()) <= 1e-13 * abs(variable.mean()) * np.sqrt(len(variable)):
            return undefined(f"the {name} is the same at every image")
    return None


def _interval(x: np.ndarray, y: np.ndarray, groups: np.ndarray, seed: int, resamples: int) -> tuple[float, float]:
    """Percentile bootstrap of r. r of a resample depends on its sums only, so that one matrix product serves all of
    them: with w the weights of a resample, r = (Σw Σwxy − Σwx Σwy) / sqrt((Σw Σwxx − (Σwx)²)(Σw Σwyy − (Σwy)²))."""
    x, y = (x - x.mean()) / x.std(), (y - y.mean()) / y.std()
    _, group = np.unique(groups, return_inverse=True)
    n_groups = int(group.max()) + 1
    terms = (np.ones_like(x), x, y, x * x, y * y, x * y)
    sums = np.stack([np.bincount(group, weights=term, minlength=n_groups) for term in terms], axis=1)
    w, wx, wy, wxx, wyy, wxy = (weights(n_groups, seed, resamples) @ sums).T
    return interval(w * wxy - wx * wy, w * wxx - wx**2, w * wyy - wy**2)


def adjusted(p: np.ndarray) -> np.ndarray:
    """Benjamini and Hochberg's adjusted p; NaN stays NaN and does not count as a test."""
    p = np.asarray(p, dtype=float)
    adjusted_p, is_test = np.full_like(p, np.nan), np.isfinite(p)
    if is_test.any():
        with scipy_stats() as stats:
            adjusted_p[is_test] = stats.false_discovery_control(p[is_test], method="bh")
    return adjusted_p


def pooled(
    rows: pd.DataFrame,
    measure: str,
    outcome: str,
    seed: int = 0,
    resamples: int = RESAMPLES,
    permutations: int = permutation.TIMES,
) -> Correlation:
    """The correlation over all pairs of image and block in the measure's ``tables.pool``; other pairs are left out.

    All images of the pool have the same blocks. Otherwise the blocks that an image happens to have would correlate with
    its outcome. r and rho are those of the pairs, as in the paper; their p permute the images (``permutation``), since the
    pairs of an image are not independent. permutations: 0 for no p.
    """
    values = column(rows, measure).where(tables.pool(rows, measure).holds(rows))
    found = correlate(values, column(rows, OUTCOMES[outcome]), rows["image"], seed, resamples)
    if found.reason is not None or not permutations:
        return found if found.reason else replace(found, p=np.nan, spearman_p=np.nan)
    x, y = (
        table.to_numpy() for table in _balanced(rows, measure, column(rows, measure), column(rows, OUTCOMES[outcome]))
    )
    p = permutation.p_value(x - x.mean(), y - y.mean(), seed=seed, times=permutations)
    if not resamples:
        return replace(found, p=p)
    x, y = (_ranks(table) for table in (x, y))
    return replace(found, p=p, spearman_p=permutation.p_value(x, y, seed=seed, times=permutations))


def _balanced(rows: pd.DataFrame, measure: str, *columns: pd.Series) -> list[pd.DataFrame]:
    """Columns of the rows as tables of images × blocks over the pool; images without a value of one are left out."""
    held = tables.pool(rows, measure).holds(rows)
    kept = pd.DataFrame(dict(enumerate(columns))).assign(image=rows["image"], block=rows["block"])[held]
    made = [kept.pivot(index="image", columns="block", values=name) for name in range(len(columns))]
    known = np.all([np.isfinite(table).all(axis=1) for table in made], axis=0)
    return [table[known] for table in made]


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks of all pairs, less their mean."""
    with scipy_stats() as stats:
        ranks: np.ndarray = stats.rankdata(values).reshape(values.shape)
    return ranks - ranks.mean()


def given(
    rows: pd.DataFrame,
    measure: str,
    outcome: str,
    seed: int = 0,
    resamples: int = RESAMPLES,
    permutations: int = permutation.TIMES,
) -> Partial:
    """The partial correlation given live fraction and label: over the images of the rows of one block; over the pairs of
    the measure's pool, with regressions of each block's own, where there are several blocks.

    P under ``slices`` is nearly the live fraction, which itself goes with accuracy and loss.
    """
    names = (measure, OUTCOMES[outcome], COVARIATE)
    if rows["block"].nunique() < 2:
        x, y, live = (column(rows, name).to_numpy() for name in names)
        return partial.partial(x, y, [live], rows["label"].to_numpy(), seed, resamples)
    x, y, live = _balanced(rows, measure, *(column(rows, name) for name in names))
    if x.empty:
        return Partial(
            np.nan, np.nan, np.nan, np.nan, 0, rows["image"].nunique(), undefined("no image has a value at every block")
        )
    labels = rows.drop_duplicates("image").set_index("image")["label"][x.index].to_numpy()
    return partial.pooled(x.to_numpy(), y.to_numpy(), [live.to_numpy()], labels, seed, resamples, permutations)


def correlated() -> tuple[str, ...]:
    """The metrics that are correlated with accuracy and loss."""
    return tuple(metric.name for metric in definitions.METRICS if metric.correlated)


def table(
    rows: pd.DataFrame, measures: Sequence[str] | None = None, seed: int = 0, resamples: int = RESAMPLES
) -> pd.DataFrame:
    """One row per block (and ``all``, which is ``pooled``), measure and outcome. measures: by default those of
    ``correlated``.

    Columns: block, measure, outcome, those of ``Correlation``, those of PARTIAL (``given``), n_images, n_blocks and
    of_blocks (blocks used, of the blocks that can have a value), p_adjusted, partial_p_adjusted, significant. The family
    of an adjusted p is all blocks and both outcomes of one measure, so that a further measure does not change it;
    ``all`` is no block and stays out: its p is not adjusted.
    """
    measures = correlated() if measures is None else measures
    rows, lines = filled(of_one_kind(rows), measures), []
    blocks = list(rows.groupby("block", sort=True))
    for measure in measures:
        for block, part in blocks:
            lines += [_line(part, int(block), measure, outcome, seed, resamples) for outcome in OUTCOMES]
        if len(blocks) > 1:
            lines += [_pooled_line(rows, measure, outcome, seed, resamples) for outcome in OUTCOMES]
    names = ["block", "measure", "outcome", *Correlation.__dataclass_fields__, *PARTIAL, "n_images", *tables.BLOCKS]
    frame = pd.DataFrame(lines, columns=names)
    for name in ("p_adjusted", "partial_p_adjusted"):
        frame[name] = np.nan
        for _, family in frame[frame["block"] != ALL].groupby("measure"):
            frame.loc[family.index, name] = adjusted(family[name.removesuffix("_adjusted")].to_numpy())
    frame["significant"] = frame["p_adjusted"].where(frame["block"] != ALL, frame["p"]) < SIGNIFICANT
    return frame


def _line(part: pd.DataFrame, block: int, measure: str, outcome: str, seed: int, resamples: int) -> dict:
    cell = vars(correlate(column(part, measure), column(part, OUTCOMES[outcome]), None, seed, resamples))
    about = {"n_images": cell["n"], "n_blocks": int(cell["n"] > 0), "of_blocks": 1}
    about |= {} if cell["n"] else {"reason": main_reason(part, measure)}
    found = given(part, measure, outcome, seed, resamples)
    return {"block": block, "measure": measure, "outcome": outcome} | cell | _named(found) | about


def _pooled_line(rows: pd.DataFrame, measure: str, outcome: str, seed: int, resamples: int) -> dict:
    pool = tables.pool(rows, measure)
    about = {"n_images": len(pool.images), "n_blocks": len(pool.blocks), "of_blocks": len(pool.needed)}
    cell = vars(pooled(rows, measure, outcome, seed, resamples))
    found = given(rows, measure, outcome, seed, resamples)
    return {"block": ALL, "measure": measure, "outcome": outcome} | cell | _named(found) | about


def _named(found: Partial) -> dict:
    return {name: getattr(found, field) for name, field in PARTIAL.items()}
