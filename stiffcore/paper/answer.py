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
    branch: Mapping[str, pd.DataFrame],
    untrained: Mapping[str, pd.DataFrame],
    slices: Mapping[str, pd.DataFrame],
    network: str,
    title: str,
) -> list[str]:
    """The answer in up to three sentences; those without rows are left out.

    A network's name -> its rows under ``branch``, those of its baseline ``untrained``, and those under ``slices``. network, title: of
    whose last block the other readings speak.
    """
    trained, said = of_rows([*branch.values()]), []
    if trained is not None:
        said = [by_definition(trained), by_training(trained, of_rows([*untrained.values()]))]
    other = by_other_readings(slices[network], branch[network], len(catalogue.blocks(network)))
    return said + ([f"{title}: {other}"] if other else [])


def by_definition(trained: Indicator) -> str:
    """The answer in one sentence."""
    return (
        f"**{trained.word}, by the field's definition** ({SOURCE}): stiffness needs a large factor T/Δt = −s·T, and here it is at "
        f"most {_number(trained.factor)}, since over {trained.blocks} blocks of {_networks(trained)} the stiffness indicator s of F lies between "
        f"{_number(trained.lowest)} and {_number(trained.highest)} ({trained.values:,} blocks at images, time T of a block: 1)."
    )


def by_training(trained: Indicator, untrained: Indicator | None) -> str:
    """What training does, in one sentence."""
    grows = f"After training s is positive at {100 * trained.share_positive:.0f} % of the blocks and images, {_number(trained.mean)} on average"
    if untrained is None:
        return f"{grows}: such a block expands, and does not decay fast."
    return (
        f"{grows}: the block expands; at a random initialisation s lies between {_number(untrained.lowest)} and "
        f"{_number(untrained.highest)}, {_number(untrained.mean)} on average."
    )


def by_other_readings(slices: pd.DataFrame, branch: pd.DataFrame, block: int) -> str:
    """What S as published and the eigenvalues say of one block, in one sentence; "" where no row has them.

    slices, branch: rows of one network under these conventions.
    """
    index, without, outside = (
        _mean(rows, name, block)
        for rows, name in (
            (slices, "stiffness_index"), (slices, "stiffness_index_without_skip"), (branch, "outside_euler"),
        )
    )  # fmt: skip
    parts = []
    if np.isfinite(index):
        parts.append(
            f"S as published, the ratio of the largest to the smallest real part, is {_number(index)} in the last block"
            + (f" ({_number(without)} without the slices that carry the skip's 1)" if np.isfinite(without) else "")
            + " and compares two ends of a spectrum, not a time with another"
        )
    if np.isfinite(outside):
        parts.append(f"of the last block's eigenvalues {100 * outside:.1f} % lie outside forward Euler's disc")
    said = "; ".join(parts)
    return f"{said[0].upper()}{said[1:]}." if said else ""


def _mean(rows: pd.DataFrame, metric: str, block: int) -> float:
    values = column(rows[rows["block"] == block], metric) if len(rows) else pd.Series(dtype=float)
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else np.nan


def _networks(found: Indicator) -> str:
    return "one network" if found.networks == 1 else f"{found.networks} networks"


def _number(value: float) -> str:
    """Two decimals with a true minus sign."""
    return f"{value:.2f}".replace("-", "−")
