"""Is a residual network stiff? The answer by the field's own definition, and by two other readings. Needs no torch.

With m and M the lower and the upper logarithmic norm of J_F, the stiffness indicator is s = (m + M) / 2. Where s < 0 the reference time
is Δt = −1/s, and over a time T the stiffness factor is T/Δt = −s·T; a large one is necessary for stiffness (Söderlind, Jay and
Calvo, BIT 55, 2015). A block's time is T = 1: one step of forward Euler at step 1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stiffcore.networks import catalogue
from stiffcore.paper.findings import INDICATOR
from stiffcore.statistics.row_values import column

SOURCE = "Söderlind, Jay and Calvo 2015"
LARGE = 10.0  # a stiffness factor of this size would be called stiff; below 1 the reference time is longer than the block's own


Rows = Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class Indicator:
    """The stiffness indicator over blocks and images.

    lowest, highest, mean: of s. share_positive: from 0 to 1. networks, blocks (of all networks together), images (of the network that
    has most), values: how many.
    """

    lowest: float
    highest: float
    mean: float
    share_positive: float
    networks: int
    blocks: int
    images: int
    values: int

    @property
    def factor(self) -> float:
        """The largest stiffness factor −s·T over a block's time T = 1; 0 where no s is negative."""
        return max(0.0, -self.lowest)

    @property
    def word(self) -> str:
        """The answer: a factor below 1 is not stiff, one of LARGE or more is."""
        return "No" if self.factor < 1 else "Hardly" if self.factor < LARGE else "In places, yes"


def of_rows(rows: Sequence[pd.DataFrame]) -> Indicator | None:
    """The indicator over the rows under ``branch`` of several networks; None where no row has it."""
    found = []
    for part in rows:
        values = column(part, INDICATOR) if len(part) else pd.Series(dtype=float)
        part = part[np.isfinite(values)].assign(value=values[np.isfinite(values)])
        if len(part):
            found.append(part[["block", "image", "value"]])
    if not found:
        return None
    s = np.concatenate([part["value"].to_numpy() for part in found])
    return Indicator(
        float(s.min()),
        float(s.max()),
        float(s.mean()),
        float((s > 0).mean()),
        len(found),
        sum(part["block"].nunique() for part in found),
        max(part["image"].nunique() for part in found),
        len(s),
    )


def sentences(
    branch: Rows, untrained: Rows, slices: Rows, titles: Mapping[str, str], network: str = catalogue.PAPER[0]
) -> list[str]:
    """The answer in up to three sentences; those without rows are left out.

    A network's name -> its rows under ``branch``, those of its baseline ``untrained``, and those under ``slices``; titles: of the
    networks. network: of whose last block the other readings speak.
    """
    trained, said = of_rows([*branch.values()]), []
    if trained is not None:
        means = {titles[name]: mean for name, rows in branch.items() if np.isfinite(mean := over_blocks(rows))}
        said = [by_definition(trained), by_training(means, of_rows([*untrained.values()]))]
    other = by_other_readings(slices[network], branch[network], len(catalogue.blocks(network)))
    return said + ([f"The last block of {titles[network]}: {other}"] if other else [])


def over_blocks(rows: pd.DataFrame) -> float:
    """The mean over blocks of their means over images, so that no block counts more because more of its images are computed."""
    if rows.empty:
        return np.nan
    means: pd.Series = column(rows, INDICATOR).groupby(rows["block"]).mean()
    return float(means.mean())


def by_definition(trained: Indicator) -> str:
    """The answer in one sentence."""
    return (
        f"**{trained.word}, by the field's definition** ({SOURCE}): stiffness needs a large factor T/Δt = −s·T, and in {trained.blocks} "
        f"blocks of {_networks(trained)} it is at most {_number(trained.factor)} ({trained.values:,} pairs of block and image; the stiffness "
        f"indicator s of F from {_number(trained.lowest)} to {_number(trained.highest)}, T = 1 for a block)."
    )


def by_training(means: Mapping[str, float], untrained: Indicator | None) -> str:
    """What training does, in one sentence. means: a network's title -> its mean s over the blocks."""
    said = ", ".join(f"{_number(mean)} in {title}" for title, mean in means.items())
    before = (
        ""
        if untrained is None
        else f"; at a random initialisation it lies between {_number(untrained.lowest)} and {_number(untrained.highest)}"
    )
    return f"s is positive where the fastest growth outweighs the fastest decay: after training, averaged over the blocks, {said}{before}."


def by_other_readings(slices: pd.DataFrame, branch: pd.DataFrame, block: int) -> str:
    """What S as published and the eigenvalues say of one block, in one sentence; "" where no row has them.

    slices, branch: rows of one network under these conventions.
    """
    index, without = (_mean(slices, name, block) for name in ("stiffness_index", "stiffness_index_without_skip"))
    outside, positive = (_mean(branch, name, block) for name in ("outside_euler", "share_positive"))
    parts = []
    if np.isfinite(index):
        skip = f" ({_number(without)} without the slices that carry the skip's 1)" if np.isfinite(without) else ""
        parts.append(
            f"S as published, its largest real part divided by its smallest, is {_number(index)}{skip}, which compares the two ends of a "
            "spectrum and no time scales"
        )
    if np.isfinite(outside):
        growing = (
            f", and {100 * positive:.1f} % have Re λ > 0: they grow in the ODE, too" if np.isfinite(positive) else ""
        )
        parts.append(f"{100 * outside:.1f} % of the eigenvalues of F lie outside forward Euler's disc{growing}")
    return f"{'; '.join(parts)}." if parts else ""


def _mean(rows: pd.DataFrame, metric: str, block: int) -> float:
    values = column(rows[rows["block"] == block], metric) if len(rows) else pd.Series(dtype=float)
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else np.nan


def _networks(found: Indicator) -> str:
    return "one network" if found.networks == 1 else f"{found.networks} networks"


def _number(value: float) -> str:
    """Two decimals with a true minus sign."""
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "−")
