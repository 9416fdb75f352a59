"""The evidence for the paper's claims, and whether it suffices: the paper's own tables; ``resampled`` has ours. No torch."""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from stiffcore.conventions import Convention
from stiffcore.metrics import definitions
from stiffcore.networks import catalogue
from stiffcore.networks.geometry import BlockGeometry
from stiffcore.paper import estimate, published
from stiffcore.paper.estimate import NOT_COMPUTED, UNDEFINED, Estimate
from stiffcore.statistics import label_spread, tables
from stiffcore.statistics.tables import ALL


@dataclass(frozen=True)
class Verdict:
    """answer: one of ``estimate.ANSWERS``; sentence: why, with the numbers; interval: the number that decides, with its
    interval; "" where there is none."""

    answer: str
    sentence: str
    interval: str = ""


@dataclass(frozen=True, eq=False)
class Evidence:
    """The numbers of one network under one reading: the paper's own tables, as printed; ``resampled.Resampled`` has ours."""

    network: str  # the paper's name
    blocks: tuple[BlockGeometry, ...]
    convention: Convention = published.CONVENTION
    n_images: int | None = None  # None: the paper's

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

    def lacking(self, metric: str, block: int) -> str:
        """ "" where the block has a mean of the metric, else UNDEFINED or NOT_COMPUTED."""
        return "" if block in self._printed("block", metric) else NOT_COMPUTED

    def counts(self, metric: str, blocks: Iterable[int]) -> dict[int, int]:
        """Block -> the number of images at which it has the metric; empty for the paper, which prints means."""
        return {}

    def means(self, metric: str, blocks: Iterable[int]) -> np.ndarray:
        """The means of blocks, shape (1 + resamples, blocks): over the images as they are, then over each resample."""
        printed = self._printed("block", metric)
        return np.array([[printed[block] for block in blocks]])

    def label_ratio(self, metric: str) -> Estimate:
        """The variance of the labels' means divided by that of the blocks'."""
        blocks = [value for block, value in self._printed("block", metric).items() if block != ALL]
        ratio = label_spread.ratio(np.array([list(self._printed("label", metric).values())]), np.array([blocks]))
        return estimate.basic(ratio)

    def r(self, block: int | str, measure: str, outcome: str) -> Estimate | None:
        """The correlation at a block or over all; None where there is none.

        The paper's is taken as printed; where its printed p is not significant it has the interval that belongs to the two.
        """
        cells = published.table(self.network, "correlation")
        cells = cells[(cells["block"] == block) & (cells["measure"] == measure) & (cells["outcome"] == outcome)]
        for cell in cells.itertuples():
            r, p = float(cell.published), float(cell.published_p)
            note = f"p {'< 0.01' if p < 0.01 else f'= {p:.2f}'}"
            half = abs(r) * NormalDist().inv_cdf(0.975) / NormalDist().inv_cdf(1 - p / 2) if 0.05 <= p < 1 else 0.0
            return Estimate(r, r - half, r + half, note)
        return None

    @property
    def pools(self) -> dict[str, tables.Pool]:
        """Metric -> what "all blocks" means; empty for the paper."""
        return {}

    def _printed(self, of: str, metric: str) -> dict:
        table = published.table(self.network, f"by_{of}")
        table = table[(table["metric"] == metric) & table["published"].notna()]
        return dict(zip(table[of], table["published"].astype(float)))


def of_paper(network: str) -> Evidence:
    """The paper's own tables as evidence."""
    return Evidence(network, catalogue.blocks(network))


def incomplete(evidence: Evidence, metric: str, needed: Iterable[int] | None = None) -> Verdict | None:
    """Why a claim cannot be judged: a needed block has no value. needed: by default all blocks that can have one."""
    needed = evidence.definable if needed is None else needed
    symbol = definitions.named(metric).symbol
    no_square = [block for block in needed if block not in evidence.definable]
    if no_square:
        return Verdict(UNDEFINED, f"{symbol} is undefined for {named(no_square)}: not square.")
    lacking = {block: why for block in needed if (why := evidence.lacking(metric, block))}
    if uncomputed := [block for block, why in lacking.items() if why == NOT_COMPUTED]:
        return Verdict(NOT_COMPUTED, f"{symbol} is not computed for {named(uncomputed)}.")
    return Verdict(UNDEFINED, f"{symbol} is undefined at every image for {named([*lacking])}.") if lacking else None


def named(numbers: list[int]) -> str:
    return f"block {numbers[0]}" if len(numbers) == 1 else f"blocks {', '.join(map(str, numbers))}"


def short_of_images(evidence: Evidence, metric: str, blocks: Iterable[int]) -> dict[int, int]:
    """The blocks with fewer images than the pool needs, with their numbers of images."""
    counts = evidence.counts(metric, blocks)
    return {block: count for block, count in counts.items() if count < tables.FEWEST_POOLED}


def few(evidence: Evidence, metric: str, blocks: Iterable[int]) -> str:
    """“too few images at blocks 1, 2 (1 and 5)”; "" where no block is short of images, or all are."""
    blocks = list(blocks)
    short = short_of_images(evidence, metric, blocks)
    counts = [f"{count}" for count in short.values()]
    numbers = " and ".join([", ".join(counts[:-1]), counts[-1]] if len(counts) > 1 else counts)
    return f"too few images at {named([*short])} ({numbers})" if 0 < len(short) < len(blocks) else ""


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
