"""What the paper's claims say about S, P and their correlations, as findings in the evidence. Needs no torch."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from stiffcore.metrics import definitions
from stiffcore.paper import estimate, published
from stiffcore.paper.estimate import FAILS, HOLDS, NOT_COMPUTED, NOT_SHOWN, UNDEFINED, Finding, Rule, signed
from stiffcore.paper.evidence import Evidence, Verdict, few, incomplete, named, partial, short_of_images
from stiffcore.statistics import correlation
from stiffcore.statistics.tables import ALL, FEWEST_POOLED, SHOWN

S, P, INDICATOR = "stiffness_index", "percent_negative", "stiffness_indicator"
SMALL_RATIO = 0.05  # of the variance between labels to that between blocks: "labels differ little"
WEAK = 0.1  # largest |r| at which stiffness "says almost nothing"
MORE, POSITIVE, NEGATIVE = Rule(low=1.0), Rule(low=0.0), Rule(high=0.0)

Judged = Verdict | Sequence[Finding]


def _size(metric: str) -> str:
    return definitions.named(metric).symbol.replace("S", "|S|")


def last_block_stands_out(evidence: Evidence) -> Judged:
    if missing := incomplete(evidence, S):
        return missing
    others = [block for block in evidence.definable if block != evidence.last]
    return [_decided(evidence, S, others, _last_over, FAILS)]


def _last_over(evidence: Evidence, others: Sequence[int], which: str) -> Finding:
    """|S| of the last block over the largest of others."""
    size = np.abs(evidence.means(S, [evidence.last, *others]))
    of_last, of_others = size[:, 0], size[:, 1:]
    largest = int(np.argmax(of_others[0]))
    text = (
        f"|S| of block {evidence.last} ({of_last[0]:.2f}) divided by the largest of {which or 'the others'} "
        f"(block {others[largest]}, {of_others[0, largest]:.2f})"
    )
    estimated = estimate.percentile(of_last / of_others.max(axis=1), few(evidence, S, [evidence.last, *others]))
    return Finding(text, estimated, MORE)


def _decided(
    evidence: Evidence,
    metric: str,
    blocks: Sequence[int],
    find: Callable[[Evidence, Sequence[int], str], Finding],
    answer: str,
) -> Finding:
    """The finding over all of the blocks; where that is not shown, the one over those with enough images, if it gives
    the answer that holds whatever the others are."""
    over_all = find(evidence, blocks, "")
    short = short_of_images(evidence, metric, blocks)
    enough = [block for block in blocks if block not in short]
    if over_all.answer != NOT_SHOWN or not short or not enough:
        return over_all
    over_some = find(evidence, enough, f"{named(enough)}, with {FEWEST_POOLED} images or more")
    return over_some if over_some.answer == answer else over_all


def spikes(metric: str) -> Callable[[Evidence], Judged]:
    def find(evidence: Evidence) -> Judged:
        last_three = range(evidence.last - 2, evidence.last + 1)
        if missing := incomplete(evidence, metric, last_three) or incomplete(evidence, metric):
            return missing
        earlier = [block for block in evidence.definable if block not in last_three]
        mean = np.abs(evidence.means(metric, earlier)).mean(axis=1)
        size = np.abs(evidence.means(metric, last_three))
        return [
            Finding(
                f"{_size(metric)} of block {block} ({of_block[0]:.2f}) divided by the mean of the earlier ones ({mean[0]:.2f})",
                estimate.percentile(of_block / mean, few(evidence, metric, [*earlier, block])),
                MORE,
            )
            for block, of_block in zip(last_three, size.T)
        ]

    return find


def negative_share_grows(evidence: Evidence) -> Judged:
    if missing := incomplete(evidence, P):
        return missing
    half = evidence.last // 2
    early, late = (
        evidence.means(P, [block for block in evidence.definable if (block > half) == is_late]).mean(axis=1)
        for is_late in (False, True)
    )
    short = few(evidence, P, evidence.definable)
    text = f"P of the second half of the blocks ({late[0]:.1f} %) less that of the first ({early[0]:.1f} %), in percentage points"
    return [Finding(text, estimate.percentile(late - early, short), POSITIVE)]


def deeper_is_stiffer(evidence: Mapping[str, Evidence]) -> Judged:
    for each in evidence.values():
        if missing := incomplete(each, S, [each.last]):
            return Verdict(missing.answer, f"{published.network_title(each.network)}: {missing.sentence}")
    size = {published.network_title(name): np.abs(each.means(S, [each.last])[:, 0]) for name, each in evidence.items()}
    return [
        Finding(
            f"|S| of the last block of {deeper} ({size[deeper][0]:.2f}) divided by {other}'s ({size[other][0]:.2f})",
            estimate.percentile(size[deeper] / size[other]),
            MORE,
        )
        for other, deeper in zip(size, list(size)[1:])
    ]


def stiff_by_definition(evidence: Evidence) -> Judged:
    """The largest stiffness factor −s·T of the blocks, over a block's time T = 1."""
    if missing := incomplete(evidence, INDICATOR):
        return missing
    return [_decided(evidence, INDICATOR, evidence.definable, _largest_factor, HOLDS)]


def _largest_factor(evidence: Evidence, blocks: Sequence[int], which: str) -> Finding:
    factors = -evidence.means(INDICATOR, blocks)
    block = blocks[int(np.argmax(factors[0]))]
    among = f" among {which}" if which else ""
    text = f"the largest −s·T of a block's mean s{among} (block {block}; T = 1, a block's own time)"
    return Finding(text, estimate.percentile(factors.max(axis=1), few(evidence, INDICATOR, blocks)), MORE)


def labels_differ_little(evidence: Evidence) -> Judged:
    if missing := incomplete(evidence, S) or incomplete(evidence, P) or partial(evidence):
        return missing
    ratios = {metric: evidence.label_ratio(metric) for metric in SHOWN}
    if any(np.isnan(ratio.value) for ratio in ratios.values()):
        return Verdict(NOT_COMPUTED, "This needs values at two labels and two blocks.")
    return [
        Finding(
            f"{definitions.named(metric).symbol}, variance of the labels' means as a share of that of the blocks'",
            ratio,
            Rule(high=SMALL_RATIO),
            lambda share: f"{100 * share:.2g} %",
        )
        for metric, ratio in ratios.items()
    ]


def correlates(measure: str, signs: dict[str, int]) -> Callable[[Evidence], Judged]:
    """A measure of the last block correlates with each outcome, with the given signs."""

    def find(evidence: Evidence) -> Judged:
        symbol, last = definitions.named(measure).symbol, evidence.last
        if missing := incomplete(evidence, measure, [last]):
            return missing
        r = {outcome: evidence.r(last, measure, outcome) for outcome in signs}
        return (
            [
                Finding(
                    f"Pearson's r of {symbol} of block {last} with {outcome}",
                    found,
                    POSITIVE if signs[outcome] > 0 else NEGATIVE,
                    signed,
                )
                for outcome, found in r.items()
                if found is not None
            ]
            if all(r.values())
            else Verdict(UNDEFINED, f"No correlation of {symbol} is defined.")
        )

    return find


def pooled_says_little(evidence: Evidence) -> Judged:
    if missing := incomplete(evidence, S) or incomplete(evidence, P) or partial(evidence):
        return missing
    cells = [(measure, outcome) for measure in SHOWN for outcome in correlation.OUTCOMES]
    r = {cell: evidence.r(ALL, *cell) for cell in cells}
    return (
        [
            Finding(
                f"Pearson's r of {definitions.named(measure).symbol} with {outcome}, all blocks",
                found,
                Rule(-WEAK, WEAK),
                signed,
            )
            for (measure, outcome), found in r.items()
            if found is not None
        ]
        if all(r.values())
        else Verdict(UNDEFINED, "This needs images that are predicted right and images that are predicted wrong.")
    )


def all_blocks_square(evidence: Evidence) -> Verdict:
    other = [block.block for block in evidence.blocks if not block.is_square]
    return Verdict(FAILS if other else HOLDS, f"By their sizes, {named(other)} of {evidence.last} are not square.")
