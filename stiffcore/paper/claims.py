"""What the paper claims, and whether it holds: in its own tables, and in our rows under each convention. Needs no torch."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stiffcore.metrics import definitions
from stiffcore.paper import published
from stiffcore.paper.evidence import (
    FAILS,
    HOLDS,
    NOT_COMPUTED,
    NOT_SHOWN,
    UNDEFINED,
    Evidence,
    Verdict,
    incomplete,
    label_ratio,
    named,
    over,
    partial,
)
from stiffcore.statistics import correlation
from stiffcore.statistics.tables import ALL, SHOWN

S, P = "stiffness_index", "percent_negative"
SMALL_RATIO = 0.05  # of the variance between labels to that between blocks: "labels differ little"
WEAK = 0.1  # largest |r| at which stiffness "says almost nothing"


@dataclass(frozen=True)
class Claim:
    """One claim; judge takes the evidence of its network, or of all networks where networks is empty."""

    text: str
    where: str
    judge: Callable[..., Verdict]
    networks: tuple[str, ...] = published.NETWORKS
    joint: bool = False  # judged over its networks together
    of_geometry: bool = False  # follows from the sizes, so the same for every reading


def last_block_stands_out(evidence: Evidence) -> Verdict:
    missing = incomplete(evidence, S)
    if missing:
        return missing
    size = {block: abs(value) for block, value in evidence.values(S).items()}
    first, second = sorted(size, key=size.__getitem__, reverse=True)[:2]
    answer = HOLDS if first == evidence.last else FAILS
    return Verdict(
        answer,
        f"|S| is largest in block {first} ({size[first]:.2f}), then in block {second} ({size[second]:.2f}){over(evidence)}.",
    )


def _spikes(metric: str) -> Callable[[Evidence], Verdict]:
    def judge(evidence: Evidence) -> Verdict:
        last_three = range(evidence.last - 2, evidence.last + 1)
        missing = incomplete(evidence, metric, last_three) or incomplete(evidence, metric)
        if missing:
            return missing
        size = {block: abs(value) for block, value in evidence.values(metric).items()}
        mean = float(np.mean([value for block, value in size.items() if block not in last_three]))
        symbol = definitions.named(metric).symbol.replace("S", "|S|")
        low = [block for block in last_three if size[block] <= mean]
        shown = ", ".join(f"{size[block]:.2f}" for block in last_three)
        tail = f"; {named(low)}: not above the mean" if low else ""
        sentence = f"{symbol} of the last three blocks is {shown}, the mean of the earlier ones {mean:.2f}{tail}."
        return Verdict(FAILS if low else HOLDS, sentence)

    return judge


def negative_share_grows(evidence: Evidence) -> Verdict:
    missing = incomplete(evidence, P)
    if missing:
        return missing
    values, half = evidence.values(P), evidence.last // 2
    early = float(np.mean([value for block, value in values.items() if block <= half]))
    late = float(np.mean([value for block, value in values.items() if block > half]))
    sentence = (
        f"P averages {late:.1f} % over the second half of the blocks and {early:.1f} % over the first{over(evidence)}."
    )
    return Verdict(HOLDS if late > early else FAILS, sentence)


def deeper_is_stiffer(evidence: dict[str, Evidence]) -> Verdict:
    for each in evidence.values():
        missing = incomplete(each, S, [each.last])
        if missing:
            return Verdict(missing.answer, f"{published.network_title(each.network)}: {missing.sentence}")
    size = [abs(each.by_block[each.last, S]) for each in evidence.values()]
    shown = ", ".join(f"{published.network_title(name)} {value:.2f}" for name, value in zip(evidence, size))
    return Verdict(HOLDS if size == sorted(size) else FAILS, f"|S| of the last block: {shown}.")


def labels_differ_little(evidence: Evidence) -> Verdict:
    missing = incomplete(evidence, S) or incomplete(evidence, P) or partial(evidence)
    if missing:
        return missing
    ratios = {metric: ratio for metric in SHOWN if (ratio := label_ratio(evidence, metric)) is not None}
    if not ratios:
        return Verdict(NOT_COMPUTED, "This needs values at two labels and two blocks.")
    parts = ", ".join(f"{100 * ratio:.1f} % for {definitions.named(metric).symbol}" for metric, ratio in ratios.items())
    sentence = (
        f"The variance between the labels' means, as a share of that between the blocks': {parts}{over(evidence)}."
    )
    large = [metric for metric, ratio in ratios.items() if ratio >= SMALL_RATIO]
    # Few images per label scatter the labels' means, too: a large ratio counts only where the labels differ significantly.
    sure = [
        metric for metric in large if evidence.of_paper or evidence.label_p.get(metric, 1) < correlation.SIGNIFICANT
    ]
    return Verdict(FAILS if sure else NOT_SHOWN if large else HOLDS, sentence)


def _correlates(measure: str, signs: dict[str, int]) -> Callable[[Evidence], Verdict]:
    """Whether a measure of the last block correlates with each outcome, with the given signs."""

    def judge(evidence: Evidence) -> Verdict:
        symbol, last = definitions.named(measure).symbol, evidence.last
        r_and_p = {
            outcome: evidence.r[last, measure, outcome] for outcome in signs if (last, measure, outcome) in evidence.r
        }
        if len(r_and_p) < len(signs):
            return incomplete(evidence, measure, [last]) or Verdict(
                UNDEFINED, f"No correlation of {symbol} is defined."
            )
        name = "p" if evidence.of_paper else "adjusted p"
        shown = ", ".join(f"r = {_signed(r)} with {outcome} ({name} {_p(p)})" for outcome, (r, p) in r_and_p.items())
        right = [r * signs[outcome] > 0 for outcome, (r, _) in r_and_p.items()]
        sure = [p < correlation.SIGNIFICANT for _, p in r_and_p.values()]
        contradicted = any(significant and not sign for significant, sign in zip(sure, right))
        answer = HOLDS if all(right) and all(sure) else FAILS if contradicted else NOT_SHOWN
        return Verdict(answer, f"{symbol} of block {last}: {shown}{_at(evidence)}.")

    return judge


def _at(evidence: Evidence) -> str:
    return f", at {evidence.n_images:,} images" if evidence.n_images else ""


def _p(p: float) -> str:
    return "< 0.01" if p < 0.01 else f"= {p:.2f}"


def _signed(r: float) -> str:
    """Two decimals with a true sign, none on a zero."""
    rounded = round(r, 2) + 0.0
    return f"{rounded:+.2f}".replace("-", "−") if rounded else "0.00"


def pooled_says_little(evidence: Evidence) -> Verdict:
    """For the paper, judged by r itself; for ours, by the 95 % interval, all of which has to lie inside or outside ± WEAK."""
    missing = incomplete(evidence, S) or incomplete(evidence, P) or partial(evidence)
    cells = [(m, o) for m in SHOWN for o in correlation.OUTCOMES]
    pooled = {cell: evidence.r[ALL, *cell][0] for cell in cells if (ALL, *cell) in evidence.r}
    if missing or len(pooled) < len(cells):
        return missing or Verdict(
            UNDEFINED, "This needs images that are predicted right and images that are predicted wrong."
        )
    shown = ", ".join(
        f"{definitions.named(m).symbol} with {o} {_signed(r)}{_interval(evidence, m, o)}"
        for (m, o), r in pooled.items()
    )
    bounds = [evidence.pooled.get(cell, (np.nan, np.nan)) for cell in cells]
    if evidence.of_paper:
        bounds = [(r, r) for r in pooled.values()]
    inside = all(low >= -WEAK and high <= WEAK for low, high in bounds)
    outside = any(low > WEAK or high < -WEAK for low, high in bounds)
    answer = HOLDS if inside else FAILS if outside else NOT_SHOWN
    return Verdict(answer, f"Pooled over all blocks{over(evidence)}, r of {shown}{_at_pooled(evidence)}.")


def _interval(evidence: Evidence, measure: str, outcome: str) -> str:
    low, high = evidence.pooled.get((measure, outcome), (np.nan, np.nan))
    return "" if np.isnan(low) else f" (95 % interval {_signed(low)} to {_signed(high)})"


def _at_pooled(evidence: Evidence) -> str:
    counts = sorted({len(pool.images) for pool in evidence.pools.values()})
    return f", at {' and '.join(f'{count:,}' for count in counts)} images" if counts else ""


def all_blocks_square(evidence: Evidence) -> Verdict:
    other = [block.block for block in evidence.blocks if not block.is_square]
    return Verdict(FAILS if other else HOLDS, f"By their sizes, {named(other)} of {evidence.last} are not square.")


_BASIC = ("resnet18", "resnet34")
CLAIMS = (
    Claim("The last block is the stiffest by S.", "Tables 2 and 5", last_block_stands_out, _BASIC),
    Claim("S spikes in the last three blocks.", "§4.1, Table 2", _spikes(S), ("resnet18",)),
    Claim("P spikes in the last three blocks.", "§4.1, Table 2", _spikes(P), ("resnet18",)),
    Claim("Negative real parts are more frequent late in the network.", "Tables 2 and 5", negative_share_grows, _BASIC),
    Claim("The deeper the network, the stiffer its last block by S.", "Tables 2, 5, 8", deeper_is_stiffer, joint=True),
    Claim(
        "Labels differ little compared with blocks (variance below 5 %).", "Tables 2 to 6", labels_differ_little, _BASIC
    ),
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
    reading, if all of its networks are there; its network is "all". A claim that follows from the sizes alone is judged
    once; its reading is "geometry".
    """
    lines = []
    for claim in CLAIMS:
        for reading, by_network in list(evidence.items())[: 1 if claim.of_geometry else None]:
            reading = "geometry" if claim.of_geometry else reading
            of_claim = {network: by_network[network] for network in claim.networks if network in by_network}
            if claim.joint and len(of_claim) == len(claim.networks):
                judged = {ALL: claim.judge(of_claim)}
            else:
                judged = {} if claim.joint else {network: claim.judge(each) for network, each in of_claim.items()}
            for network, verdict in judged.items():
                lines.append((claim.text, claim.where, network, reading, verdict.answer, verdict.sentence))
    return pd.DataFrame(lines, columns=["claim", "where", "network", "reading", "answer", "sentence"])
