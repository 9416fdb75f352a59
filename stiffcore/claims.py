"""What the paper claims, and whether it holds: in its own tables, and in our rows under each convention. Needs no torch."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from stiffcore import catalogue, correlation, published, tables
from stiffcore.tables import ALL, SHOWN

S, P = SHOWN
HOLDS, FAILS, NOT_SHOWN, UNDEFINED, NOT_COMPUTED = ANSWERS = (
    "holds",
    "does not hold",
    "not shown",  # the sign is right or open, but chance is not excluded
    "undefined",
    "not computed",
)
SMALL_RATIO = 0.05  # of the variance between labels to that between blocks: "labels differ little"
WEAK = 0.1  # |r| up to which stiffness "says almost nothing"


@dataclass(frozen=True)
class Evidence:
    """What a claim is judged by: the paper's tables or ours.

    by_block: (block, metric) -> mean. by_label: (label, metric) -> mean. r: (block, measure, outcome) -> (r, p), ours
    with the adjusted p. What is missing is not in them; undefined: the (block, metric) without any defined image.
    """

    network: str
    by_block: dict[tuple, float] = field(default_factory=dict)
    by_label: dict[tuple, float] = field(default_factory=dict)
    r: dict[tuple, tuple[float, float]] = field(default_factory=dict)
    undefined: frozenset = frozenset()
    n_images: int | None = None  # None: the paper's

    def values(self, metric: str) -> dict[int, float]:
        """Block -> mean, in the order of the blocks."""
        return {block: v for (block, m), v in self.by_block.items() if m == metric and block != ALL}

    @property
    def last(self) -> int:
        return len(catalogue.blocks(self.network))


@dataclass(frozen=True)
class Verdict:
    """answer: one of ANSWERS; sentence: why, with the numbers."""

    answer: str
    sentence: str


@dataclass(frozen=True)
class Claim:
    """One claim; judge takes the evidence of its network, or of all networks where networks is empty."""

    text: str
    where: str
    judge: Callable[..., Verdict]
    networks: tuple[str, ...] = published.NETWORKS
    joint: bool = False  # judged over its networks together
    of_geometry: bool = False  # the same for every reading


def of_paper(network: str) -> Evidence:
    """The paper's own tables as evidence."""
    cells = published.table(network, "correlation")
    return Evidence(
        network,
        _defined(published.table(network, "by_block"), "block", "published"),
        _defined(published.table(network, "by_label"), "label", "published"),
        {(c.block, c.measure, c.outcome): (c.published, c.published_p) for c in cells.itertuples()},
    )


def of_rows(rows: pd.DataFrame | None, network: str) -> Evidence:
    """Our rows, of one network, set of weights and convention, as evidence."""
    if rows is None or rows.empty:
        return Evidence(network, n_images=0)
    cells = correlation.table(rows, SHOWN, resamples=0)
    cells = cells[np.isfinite(cells["r"])]
    by_block = tables.by_block(rows)
    nowhere = by_block[(by_block["n"] == 0) & (by_block["n_undefined"] > 0)]
    kept = rows[rows["block"].isin(published.blocks(catalogue.architecture(network)))]
    return Evidence(
        network,
        _defined(by_block, "block", "mean"),
        _defined(tables.by_label(kept), "label", "mean"),
        {(c.block, c.measure, c.outcome): (c.r, c.p_adjusted) for c in cells.itertuples()},
        frozenset(zip(nowhere["block"], nowhere["metric"])),
        int(rows["image"].nunique()),
    )


def _defined(frame: pd.DataFrame, name: str, value: str) -> dict[tuple, float]:
    frame = frame[frame[value].notna()]
    return dict(zip(zip(frame[name], frame["metric"]), frame[value].astype(float)))


def _incomplete(evidence: Evidence, needed: Iterable[int], metric: str) -> Verdict | None:
    """What stands in the way of judging: a needed block without a value."""
    lacking = [block for block in needed if (block, metric) not in evidence.by_block]
    symbol, undefined = tables.SYMBOLS[metric], [b for b in lacking if (b, metric) in evidence.undefined]
    if not lacking:
        return None
    if len(undefined) == len(lacking):
        return Verdict(UNDEFINED, f"{symbol} is undefined at every image for {_blocks(undefined)}.")
    computed = [block for block in lacking if block not in undefined]
    return Verdict(NOT_COMPUTED, f"{symbol} is not computed for {_blocks(computed)}.")


def _blocks(numbers: list[int]) -> str:
    return f"block {numbers[0]}" if len(numbers) == 1 else f"blocks {', '.join(map(str, numbers))}"


def _over(evidence: Evidence, metric: str) -> str:
    """How much of the network a sentence rests on, where it is not all."""
    found, whole = len(evidence.values(metric)), evidence.last
    return "" if found == whole else f" (over the {found} of {whole} blocks that have a value)"


def last_block_stands_out(evidence: Evidence) -> Verdict:
    missing = _incomplete(evidence, [evidence.last], S)
    if missing or len(evidence.values(S)) < 2:
        return missing or Verdict(NOT_COMPUTED, "S is computed for one block only.")
    size = {block: abs(value) for block, value in evidence.values(S).items()}
    first, second = sorted(size, key=size.get, reverse=True)[:2]
    answer = HOLDS if first == evidence.last else FAILS
    return Verdict(
        answer,
        f"|S| is largest in block {first} ({size[first]:.2f}), then in block {second} ({size[second]:.2f}){_over(evidence, S)}.",
    )


def _spikes(metric: str) -> Callable[[Evidence], Verdict]:
    def judge(evidence: Evidence) -> Verdict:
        last_three = range(evidence.last - 2, evidence.last + 1)
        size = {block: abs(value) for block, value in evidence.values(metric).items()}
        earlier = [value for block, value in size.items() if block not in last_three]
        missing = _incomplete(evidence, last_three, metric)
        if missing or not earlier:
            return missing or Verdict(NOT_COMPUTED, f"{tables.SYMBOLS[metric]} is not computed for the earlier blocks.")
        symbol, mean = tables.SYMBOLS[metric].replace("S", "|S|"), float(np.mean(earlier))
        low = [block for block in last_three if size[block] <= mean]
        shown = ", ".join(f"{size[block]:.2f}" for block in last_three)
        tail = f"; {_blocks(low)} not above it" if low else ""
        return Verdict(
            FAILS if low else HOLDS,
            f"{symbol} of the last three blocks is {shown}, the mean of the earlier ones {mean:.2f}{tail}{_over(evidence, metric)}.",
        )

    return judge


def negative_share_grows(evidence: Evidence) -> Verdict:
    values = evidence.values(P)
    early, late = ([v for b, v in values.items() if (b <= evidence.last // 2) == first] for first in (True, False))
    if not early or not late:
        return _incomplete(evidence, range(1, evidence.last + 1), P) or Verdict(NOT_COMPUTED, "P is not computed.")
    early, late = float(np.mean(early)), float(np.mean(late))
    sentence = f"P averages {late:.1f} % over the second half of the blocks and {early:.1f} % over the first{_over(evidence, P)}."
    return Verdict(HOLDS if late > early else FAILS, sentence)


def deeper_is_stiffer(evidence: dict[str, Evidence]) -> Verdict:
    for each in evidence.values():
        missing = _incomplete(each, [each.last], S)
        if missing:
            return Verdict(missing.answer, f"{published.network_title(each.network)}: {missing.sentence}")
    size = [abs(each.by_block[each.last, S]) for each in evidence.values()]
    shown = ", ".join(f"{published.network_title(name)} {value:.2f}" for name, value in zip(evidence, size))
    return Verdict(HOLDS if size == sorted(size) else FAILS, f"|S| of the last block: {shown}.")


def label_ratio(evidence: Evidence, metric: str) -> float | None:
    """The variance between the labels' means by that between the blocks'; None without two of each."""
    labels = [value for (_, m), value in evidence.by_label.items() if m == metric]
    blocks = list(evidence.values(metric).values())
    if len(labels) < 2 or len(blocks) < 2 or np.var(blocks) == 0:
        return None
    return float(np.var(labels, ddof=1) / np.var(blocks, ddof=1))


def labels_differ_little(evidence: Evidence) -> Verdict:
    ratios = {metric: label_ratio(evidence, metric) for metric in SHOWN}
    ratios = {metric: ratio for metric, ratio in ratios.items() if ratio is not None}
    if not ratios:
        return Verdict(NOT_COMPUTED, "It takes two labels and two blocks with values.")
    parts = ", ".join(f"{100 * ratio:.1f} % for {tables.SYMBOLS[metric]}" for metric, ratio in ratios.items())
    sentence = f"The variance between the labels' means, as a share of that between the blocks': {parts}."
    return Verdict(HOLDS if max(ratios.values()) < SMALL_RATIO else FAILS, sentence)


def _correlates(measure: str, signs: dict[str, int]) -> Callable[[Evidence], Verdict]:
    """Whether a measure of the last block correlates with each outcome with the sign given."""

    def judge(evidence: Evidence) -> Verdict:
        found = {outcome: evidence.r.get((evidence.last, measure, outcome)) for outcome in signs}
        symbol, last = tables.SYMBOLS[measure], evidence.last
        if None in found.values():
            return _incomplete(evidence, [last], measure) or Verdict(
                UNDEFINED, f"No correlation of {symbol} is defined."
            )
        shown = ", ".join(f"r = {r:+.2f} with {outcome} (p {_p(p)})" for outcome, (r, p) in found.items())
        right = [r * signs[outcome] > 0 for outcome, (r, _) in found.items()]
        sure = [p < correlation.SIGNIFICANT for _, p in found.values()]
        answer = (
            HOLDS if all(right) and all(sure) else FAILS if any(s and not r for s, r in zip(sure, right)) else NOT_SHOWN
        )
        at = f", at {evidence.n_images:,} images" if evidence.n_images else ""
        return Verdict(answer, f"{symbol} of block {last}: {shown}{at}.")

    return judge


def _p(p: float) -> str:
    return "< 0.01" if p < 0.01 else f"= {p:.2f}"


def pooled_says_little(evidence: Evidence) -> Verdict:
    found = {(m, o): evidence.r.get((ALL, m, o)) for m in SHOWN for o in correlation.OUTCOMES}
    if None in found.values():
        return Verdict(NOT_COMPUTED, "It takes more than one block, and images right and wrong.")
    shown = ", ".join(f"{tables.SYMBOLS[m]} with {o} {r:+.2f}" for (m, o), (r, _) in found.items())
    weak = max(abs(r) for r, _ in found.values()) <= WEAK
    return Verdict(HOLDS if weak else FAILS, f"Pooled over all blocks, r of {shown}.")


def all_blocks_square(evidence: Evidence) -> Verdict:
    other = [block.block for block in catalogue.blocks(evidence.network) if not block.is_square]
    return Verdict(FAILS if other else HOLDS, f"By their sizes, {_blocks(other)} of {evidence.last} are not square.")


_BASIC = ("resnet18", "resnet34")
CLAIMS = (
    Claim("The last block is the stiffest by S.", "Tables 2 and 5", last_block_stands_out, _BASIC),
    Claim("S spikes in the last three blocks.", "§4.1, Table 2", _spikes(S), ("resnet18",)),
    Claim("P spikes in the last three blocks.", "§4.1, Table 2", _spikes(P), ("resnet18",)),
    Claim("Negative real parts are more frequent late in the network.", "Tables 2 and 5", negative_share_grows, _BASIC),
    Claim("The deeper the network, the stiffer its last block by S.", "Tables 2, 5, 8", deeper_is_stiffer, joint=True),
    Claim("Labels differ little beside blocks (variance below 5 %).", "Tables 2 to 6", labels_differ_little, _BASIC),
    Claim(
        "Higher P of the last block goes with lower accuracy and higher loss.",
        "Tables 1, 4, 7",
        _correlates(P, {"accuracy": -1, "loss": 1}),
    ),
    Claim(
        "A stiffer last block by S (more negative) goes with lower accuracy and higher loss, as the text reads its tables.",
        "text on Tables 1, 4, 7",
        _correlates(S, {"accuracy": 1, "loss": -1}),
    ),
    Claim(
        "Over all blocks pooled, stiffness says almost nothing (|r| ≤ 0.1).", "Tables 1, 4", pooled_says_little, _BASIC
    ),
    Claim("The Jacobians of all blocks are square.", "§4.1", all_blocks_square, of_geometry=True),
)


def verdicts(evidence: dict[str, dict[str, Evidence]]) -> pd.DataFrame:
    """One row per claim, network and reading: claim, where, network, reading, answer, sentence.

    evidence: reading ("the paper's tables", "slices", ...) -> network -> Evidence. A joint claim is judged once per
    reading, if all of its networks are there; its network reads "all". What follows from the sizes alone is judged once,
    its reading is "geometry".
    """
    made = []
    for claim in CLAIMS:
        for reading, by_network in list(evidence.items())[: 1 if claim.of_geometry else None]:
            reading = "geometry" if claim.of_geometry else reading
            found = {network: by_network[network] for network in claim.networks if network in by_network}
            if claim.joint and len(found) == len(claim.networks):
                judged = {ALL: claim.judge(found)}
            else:
                judged = {} if claim.joint else {network: claim.judge(each) for network, each in found.items()}
            for network, verdict in judged.items():
                made.append((claim.text, claim.where, network, reading, verdict.answer, verdict.sentence))
    return pd.DataFrame(made, columns=["claim", "where", "network", "reading", "answer", "sentence"])
