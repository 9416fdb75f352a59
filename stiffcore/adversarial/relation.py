"""How the smallest perturbation of an image goes with a block's stiffness at that image, by block. Needs no torch.

Spearman's r: Pearson's r of ranks. Sizes of perturbations, S and norms have heavy tails, in which a few images would decide
Pearson's r; and an image that nothing up to the limit changes simply stands last. Beside the raw r stands the partial one given live
fraction, label and margin: what stiffness says beyond them. S and P of a whole matrix are, in addition, given the share of eigenvalues
that the masks do not make zero: it is the live fraction inside the block, and P is 0.99 correlated with it. Covariates are ranks, too;
intervals resample the images.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stiffcore.adversarial.requests import HOW
from stiffcore.conventions import Convention
from stiffcore.imports import scipy_stats
from stiffcore.metrics.missing import Missing, not_computed
from stiffcore.statistics import correlation, partial
from stiffcore.statistics.resampling import RESAMPLES

OUTCOMES = {"pgd_radius": "PGD perturbation", "fgsm_step": "FGSM step"}
NETWORK = "network"  # in place of a block: a number of the whole network
GIVEN = "given live fraction, label and margin"
FEWEST = 50  # images; at an r of 0 the 95 % interval is then about ± 0.3, and nothing can be shown with fewer


COUNTED = ("stiffness_index", "percent_negative")


@dataclass(frozen=True)
class Measure:
    """What may go with robustness. convention: of the rows that hold it; None for growth, and for what robustness itself holds.

    stiffness: whether it is one of the readings of stiffness, which the verdict is about; the others are sizes.
    """

    column: str
    convention: Convention | None
    symbol: str
    stiffness: bool = False

    @property
    def counts_zeros(self) -> bool:
        """Whether eigenvalues that the masks make zero are among those that are counted."""
        return self.column in COUNTED and self.convention is not None and self.convention.has_matrix

    @property
    def given(self) -> tuple[str, ...]:
        """What the partial r holds constant, beside the zeros of masks where they count. The margin has no block, hence no live fraction."""
        return ("label",) if self.column == "margin" else ("live fraction", "label", "margin")

    @property
    def name(self) -> str:
        """In tables and in the URL: ``stiffness_index.slices``."""
        return self.column if self.convention is None else f"{self.column}.{self.convention}"

    @property
    def title(self) -> str:
        return self.symbol if self.convention is None else f"{self.symbol} ({self.convention})"


MEASURES = {
    measure.name: measure
    for measure in (
        Measure("stiffness_index", Convention.SLICES, "S", True),
        Measure("percent_negative", Convention.SLICES, "P", True),
        Measure("stiffness_index", Convention.BRANCH, "S", True),
        Measure("percent_negative", Convention.BRANCH, "P", True),
        Measure("stiffness_indicator", Convention.BRANCH, "s", True),
        Measure("log_norm_upper", Convention.BRANCH, "M"),
        Measure("norm_branch", Convention.BRANCH, "‖J_F‖"),
        Measure("norm_block", Convention.BLOCK, "‖J_block‖"),
        Measure("growth_from_image", None, "growth from the image"),
        Measure("margin", None, "margin"),
    )
}
COLUMNS = (
    "measure", "convention", "block", "r", "low", "high", "p", "p_adjusted",
    "partial_r", "partial_low", "partial_high", "partial_p", "partial_p_adjusted", "n", "reason",
)  # fmt: skip


@dataclass(frozen=True)
class Material:
    """robust: rows of ``adversarial.rows``; rows: of a sweep, by convention; growth: of ``growth.rows``. All of one network."""

    robust: pd.DataFrame
    rows: Mapping[Convention, pd.DataFrame]
    growth: pd.DataFrame

    def live_fractions(self) -> pd.DataFrame:
        """image, block, live_fraction: the same under every convention."""
        names = ["image", "block", "live_fraction"]
        known = [rows[names] for rows in self.rows.values() if len(rows) and "live_fraction" in rows]
        if not known:
            return pd.DataFrame(columns=names)
        return pd.concat(known).dropna().drop_duplicates(["image", "block"])

    def values(self, measure: Measure) -> pd.DataFrame:
        """image, block, value of a measure wherever it is defined."""
        if measure.column in self.robust:
            found = self.robust.assign(block=NETWORK)
        else:
            found = self.growth if measure.convention is None else self.rows.get(measure.convention, pd.DataFrame())
        if measure.column not in found or found.empty:
            return pd.DataFrame(columns=["image", "block", "value"])
        named = found[["image", "block"]].assign(value=found[measure.column].astype(float))
        return named[np.isfinite(named["value"])]

    def points(self, measure: Measure) -> pd.DataFrame:
        """A row per image and block where everything is known: the columns of ``robust``, block, value, live_fraction, not_zero
        (the share of eigenvalues that masks do not make zero, NaN where it has no part).

        Images that are predicted wrongly have no smallest perturbation and are left out.
        """
        attacked = self.robust[self.robust["pgd_radius"].notna() & self.robust["fgsm_step"].notna()]
        values = self.values(measure)
        if values.empty:
            return attacked.iloc[:0].assign(**dict.fromkeys(("block", "value", "live_fraction", "not_zero"), np.nan))
        found = values.merge(attacked, on="image").assign(not_zero=np.nan)
        if measure.column in self.robust:
            return found.assign(live_fraction=np.nan)
        if measure.counts_zeros and measure.convention is not None:
            names = ["image", "block", "n_zero", "n_eigenvalues"]
            rows = self.rows[measure.convention].reindex(columns=names)
            left = rows[["image", "block"]].assign(not_zero=1 - (rows["n_zero"] / rows["n_eigenvalues"]).astype(float))
            found = found.drop(columns="not_zero").merge(left.dropna(), on=["image", "block"])
        return found.merge(self.live_fractions(), on=["image", "block"])


def ranks(values: pd.Series) -> np.ndarray:
    """Ranks from 1, equal values sharing theirs; infinity is the last. Shape (n,)."""
    with scipy_stats() as stats:
        ranked: np.ndarray = stats.rankdata(values.to_numpy(dtype=float))
    return ranked


def relate(points: pd.DataFrame, measure: Measure, outcome: str, resamples: int = RESAMPLES) -> dict[str, object]:
    """r and partial r of the points' ``value`` with an outcome, over the same images. The margin itself is given the label only."""
    x, y = ranks(points["value"]), ranks(points[outcome])
    names = [name.replace(" ", "_") for name in measure.given if name != "label"]
    numbers = [ranks(points[name]) for name in [*names, *(["not_zero"] if measure.counts_zeros else [])]]
    raw = partial.partial(x, y, resamples=resamples)
    given = partial.partial(x, y, numbers, points["label"].to_numpy(), resamples=resamples)
    return {
        **{name: getattr(raw, name) for name in ("r", "low", "high", "p", "n")},
        **{f"partial_{name}": getattr(given, name) for name in ("r", "low", "high", "p")},
        "reason": too_few(raw.n) or raw.reason or given.reason,
    }


def too_few(n: int) -> str:
    """``too few: n = 5`` where so few images show nothing, else "". The numbers of such a row are kept, but not to be read."""
    return f"too few: n = {n:,}" if n < FEWEST else ""


def table(material: Material, outcome: str = "pgd_radius", resamples: int = RESAMPLES) -> pd.DataFrame:
    """A row for each measure and block, of COLUMNS; a measure without any value has one row, whose ``reason`` says why.
    A block with fewer than FEWEST images has its numbers, and a ``reason`` not to read them.

    p_adjusted: Benjamini and Hochberg's, over all rows of the table; partial_p_adjusted: likewise of the partial p.
    """
    if outcome not in OUTCOMES:
        raise ValueError(f"Expected an outcome among {', '.join(OUTCOMES)}, got {outcome!r}: choose one of them.")
    lines = []
    for measure in MEASURES.values():
        about = {"measure": measure.name, "convention": "" if measure.convention is None else str(measure.convention)}
        points = material.points(measure)
        for block, part in points.groupby("block", sort=True):
            lines.append({**about, "block": block} | relate(part, measure, outcome, resamples))
        if points.empty:
            lines.append(about | {"block": NETWORK, "n": 0, "reason": how_to_compute(material, measure)})
    frame = pd.DataFrame(lines, columns=list(COLUMNS))
    for name in ("p", "partial_p"):
        frame[f"{name}_adjusted"] = correlation.adjusted(frame[name].to_numpy(dtype=float))
    return frame


def how_to_compute(material: Material, measure: Measure) -> Missing:
    """Why a measure has no value: what would compute it."""
    network = "NETWORK" if material.robust.empty else str(material.robust["network"].iloc[0])
    return not_computed(f"`{command(network, measure)}` computes it")


def command(network: str, measure: Measure) -> str:
    """The command that computes a measure at the images that ship."""
    if measure.column == "margin":
        return f"{HOW} {network}"
    if measure.convention is None:
        return f"python -m stiffcore growth {network} --images bundled"
    level = "" if measure.column in COUNTED else " --quantity norms"
    return f"python -m stiffcore sweep {network} --convention {measure.convention}{level}"
