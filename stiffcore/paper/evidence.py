"""The evidence for the paper's claims: its own tables, or our rows; and whether it suffices."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from stiffcore.conventions import Convention
from stiffcore.metrics import definitions
from stiffcore.networks import catalogue
from stiffcore.networks.geometry import BlockGeometry
from stiffcore.networks.network import Network
from stiffcore.paper import published
from stiffcore.statistics import correlation, label_spread, tables
from stiffcore.statistics.row_values import convention_of
from stiffcore.statistics.tables import ALL, SHOWN

HOLDS, FAILS, NOT_SHOWN, UNDEFINED, NOT_COMPUTED = ANSWERS = (
    "holds",
    "does not hold",
    "not shown",  # the difference may be chance
    "undefined",
    "not computed",
)


@dataclass(frozen=True)
class Verdict:
    """answer: one of ANSWERS; sentence: why, with the numbers."""

    answer: str
    sentence: str


@dataclass(frozen=True)
class Evidence:
    """The numbers of one network under one reading. Missing numbers are left out.

    by_block: (block, metric) -> mean. by_label: (label, metric) -> mean. r: (block, measure, outcome) -> (r, p), ours
    with the adjusted p. pooled: (measure, outcome) -> our 95 % interval of r over all blocks. pools: metric -> what
    "all" means in by_label and r. label_p: metric -> p of the one-way analysis of variance by label. undefined: the
    (block, metric) that is defined at no image.
    """

    network: str  # the paper's name
    blocks: tuple[BlockGeometry, ...]
    by_block: dict[tuple, float] = field(default_factory=dict)
    by_label: dict[tuple, float] = field(default_factory=dict)
    r: dict[tuple, tuple[float, float]] = field(default_factory=dict)
    pooled: dict[tuple, tuple[float, float]] = field(default_factory=dict)
    pools: dict[str, tables.Pool] = field(default_factory=dict)
    label_p: dict[str, float] = field(default_factory=dict)
    undefined: frozenset = frozenset()
    n_images: int | None = None  # None: the paper's
    convention: Convention = published.CONVENTION

    def values(self, metric: str) -> dict[int, float]:
        """Block -> mean, in the order of the blocks."""
        return {block: v for (block, m), v in self.by_block.items() if m == metric and block != ALL}

    @property
    def of_paper(self) -> bool:
        return self.n_images is None

    @property
    def last(self) -> int:
        return len(self.blocks)

    @property
    def definable(self) -> tuple[int, ...]:
        """The blocks that can have eigenvalues."""
        return tables.definable(self.blocks, self.convention)


def of_paper(network: str) -> Evidence:
    """The paper's own tables as evidence."""
    cells = published.table(network, "correlation")
    return Evidence(
        network,
        catalogue.blocks(network),
        _defined(published.table(network, "by_block"), "block", "published"),
        _defined(published.table(network, "by_label"), "label", "published"),
        {(c.block, c.measure, c.outcome): (c.published, c.published_p) for c in cells.itertuples()},
    )


def of_rows(rows: pd.DataFrame | None, network: Network, convention: Convention = published.CONVENTION) -> Evidence:
    """Our rows, of one network, weights and convention, as evidence. convention: used where there are no rows."""
    if rows is None or rows.empty:
        return Evidence(network.architecture, network.blocks, n_images=0, convention=convention)
    cells = correlation.table(rows, SHOWN, resamples=0)
    cells = cells[np.isfinite(cells["r"])]
    by_block = tables.by_block(rows)
    nowhere = by_block[(by_block["n"] == 0) & (by_block["n_undefined"] > 0)]
    paper = published.blocks(network.architecture) or tuple(block.block for block in network.blocks)
    kept = rows[rows["block"].isin(paper)]
    return Evidence(
        network.architecture,
        network.blocks,
        _defined(by_block, "block", "mean"),
        _defined(tables.by_label(kept), "label", "mean") if len(kept) else {},
        {(c.block, c.measure, c.outcome): (c.r, c.p_adjusted) for c in cells.itertuples()},
        _intervals(rows),
        {metric: tables.pool(kept, metric) for metric in SHOWN},
        {metric: label_spread.spread(kept, metric).p for metric in SHOWN} if len(kept) else {},
        frozenset(zip(nowhere["block"], nowhere["metric"])),
        int(rows["image"].nunique()),
        convention_of(rows),
    )


def _intervals(rows: pd.DataFrame) -> dict[tuple, tuple[float, float]]:
    """Images, not pairs, are resampled: the pairs of one image are not independent."""
    if rows["block"].nunique() < 2:
        return {}
    cells = {(m, o): correlation.pooled(rows, m, o) for m in SHOWN for o in correlation.OUTCOMES}
    return {name: (cell.low, cell.high) for name, cell in cells.items()}


def _defined(frame: pd.DataFrame, name: str, value: str) -> dict[tuple, float]:
    frame = frame[frame[value].notna()]
    return dict(zip(zip(frame[name], frame["metric"]), frame[value].astype(float)))


def label_ratio(evidence: Evidence, metric: str) -> float | None:
    """The variance between the labels' means divided by that between the blocks'; None without two of each."""
    labels = [value for (_, m), value in evidence.by_label.items() if m == metric]
    blocks = list(evidence.values(metric).values())
    if len(labels) < 2 or len(blocks) < 2 or np.var(blocks) == 0:
        return None
    return float(np.var(labels, ddof=1) / np.var(blocks, ddof=1))


def incomplete(evidence: Evidence, metric: str, needed: Iterable[int] | None = None) -> Verdict | None:
    """Why a claim cannot be judged: a needed block has no value. needed: by default all blocks that can have one."""
    needed = evidence.definable if needed is None else needed
    symbol = definitions.named(metric).symbol
    no_square = [block for block in needed if block not in evidence.definable]
    if no_square:
        return Verdict(UNDEFINED, f"{symbol} is undefined for {named(no_square)}: not square.")
    lacking = [block for block in needed if (block, metric) not in evidence.by_block]
    undefined = [block for block in lacking if (block, metric) in evidence.undefined]
    if lacking != undefined:
        computed = [block for block in lacking if block not in undefined]
        return Verdict(NOT_COMPUTED, f"{symbol} is not computed for {named(computed)}.")
    return Verdict(UNDEFINED, f"{symbol} is undefined at every image for {named(undefined)}.") if lacking else None


def named(numbers: list[int]) -> str:
    return f"block {numbers[0]}" if len(numbers) == 1 else f"blocks {', '.join(map(str, numbers))}"


def over(evidence: Evidence) -> str:
    """The blocks that a sentence is about, unless it is about all of them."""
    return "" if len(evidence.definable) == evidence.last else " (over the blocks that are square)"


def partial(evidence: Evidence) -> Verdict | None:
    """Why a claim about all blocks cannot be judged: the pool has only some of them."""
    for metric, pool in evidence.pools.items():
        if pool.partial:
            lacking = [block for block in pool.needed if block not in pool.blocks]
            sentence = (
                f"{definitions.named(metric).symbol} of {named(lacking)} has a value at fewer than {tables.FEWEST_POOLED} of the "
                "images at which the other blocks have one."
            )
            return Verdict(NOT_COMPUTED, sentence)
    return None
