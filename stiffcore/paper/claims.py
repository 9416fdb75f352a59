"""The paper's claims, and whether they hold in its own tables and in our rows. Needs no torch.

A claim is a list of findings: a statistic of resampled images, and where its interval must lie (``estimate``). It holds if
all intervals lie there, does not hold if one lies wholly elsewhere, and is not shown otherwise.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from stiffcore.conventions import Convention
from stiffcore.paper import estimate, findings, published
from stiffcore.paper.evidence import Evidence, Verdict
from stiffcore.paper.findings import Judged, P, S
from stiffcore.statistics.tables import ALL


@dataclass(frozen=True)
class Claim:
    """One claim. find: its findings in the evidence of a network, or of all its networks where it is ``joint``; a Verdict
    where they cannot be had, or follow from the sizes.

    means: what its words mean, in one line. only: the convention that it is about, where that is not the paper's.
    """

    text: str
    where: str
    means: str
    find: Callable[..., Judged]
    networks: tuple[str, ...] = published.NETWORKS
    joint: bool = False  # judged over its networks together
    of_geometry: bool = False  # follows from the sizes, so the same for every reading
    only: Convention | None = None

    def judge(self, evidence: Evidence | Mapping[str, Evidence]) -> Verdict:
        found = self.find(evidence)
        if isinstance(found, Verdict):
            return found
        all_of = list(evidence.values()) if isinstance(evidence, Mapping) else [evidence]
        sentence = "; ".join(finding.in_words() for finding in found) + _at(all_of)
        decides = estimate.deciding(found)
        return Verdict(decides.answer, f"{sentence}.", decides.in_short())

    def is_about(self, evidence: Evidence) -> bool:
        return self.only is None or (not evidence.of_paper and evidence.convention is self.only)


def _at(evidence: list[Evidence]) -> str:
    """On how many images, and over which blocks unless over all."""
    if evidence[0].of_paper:
        return ", as printed"
    counts = " and ".join(f"{count:,}" for count in dict.fromkeys(each.n_images or 0 for each in evidence))
    whole = all(len(each.definable) == each.last for each in evidence)
    return f", at {'up to ' if any(map(_differs, evidence)) else ''}{counts} images{'' if whole else ' (over the blocks that are square)'}"


def _differs(evidence: Evidence) -> bool:
    """Whether some block has fewer images than another has S."""
    counts = evidence.counts(S, evidence.definable)
    return len({count for count in counts.values() if count}) > 1


_BASIC = ("resnet18", "resnet34")
_SPIKES = (
    "“Spikes”: in each of the last three blocks the mean, without its sign, is above the mean of all earlier blocks."
)
CLAIMS = (
    Claim(
        "The last block is the stiffest by S.", "Tables 2 and 5",
        "“Stands out”: |S| of the last block is above that of every other block.", findings.last_block_stands_out, _BASIC,
    ),
    Claim("S spikes in the last three blocks.", "§5.1, Table 2", _SPIKES, findings.spikes(S), ("resnet18",)),
    Claim("P spikes in the last three blocks.", "§5.1, Table 2", _SPIKES, findings.spikes(P), ("resnet18",)),
    Claim(
        "Negative real parts are more frequent late in the network.", "Tables 2 and 5",
        "“More frequent late”: P, averaged over the second half of the blocks, is above that of the first half.",
        findings.negative_share_grows, _BASIC,
    ),
    Claim(
        "The deeper the network, the stiffer its last block by S.", "Tables 2, 5, 8",
        "“The stiffer”: |S| of each network's last block is above that of the next smaller network's.",
        findings.deeper_is_stiffer, joint=True,
    ),
    Claim(
        "The blocks, read as ODEs, are stiff by the field's definition.", "the paper's question; Söderlind, Jay and Calvo 2015",
        "“Stiff”: the factor −s·T of some block's mean s over the images is above 1, the least that could count (T = 1; s = (m + M)/2 of J_F, under branch).",
        findings.stiff_by_definition, only=Convention.BRANCH,
    ),
    Claim(
        "Labels differ little compared with blocks.", "Tables 2 to 6",
        "“Does not vary”: the variance of the labels' means is below 5 % of the variance of the blocks' means, for S and P.",
        findings.labels_differ_little, _BASIC,
    ),
    Claim(
        "Higher P of the last block goes with lower accuracy and higher loss.", "Tables 1, 4, 7",
        "“Goes with”: Pearson's r over the images lies on the claimed side of 0, for both.",
        findings.correlates(P, {"accuracy": -1, "loss": 1}),
    ),
    Claim(
        "A stiffer last block by S (more negative) goes with lower accuracy and higher loss, as the text reads its tables.",
        "text on Tables 1, 4, 7",
        "“Goes with”: Pearson's r over the images lies on the claimed side of 0, for both.",
        findings.correlates(S, {"accuracy": 1, "loss": -1}),
    ),
    Claim(
        "Over all blocks pooled, stiffness says almost nothing.", "Tables 1, 4",
        "“Almost nothing”: Pearson's r over all pairs of image and block lies between −0.1 and 0.1, for S and P with both.",
        findings.pooled_says_little, _BASIC,
    ),
    Claim(
        "The Jacobians of all blocks are square.", "§4.1", "A block's Jacobian is square if its output has its input's size.",
        findings.all_blocks_square, of_geometry=True,
    ),
)  # fmt: skip


def verdicts(evidence: Mapping[str, Mapping[str, Evidence]], claims: Sequence[Claim] = CLAIMS) -> pd.DataFrame:
    """One row per claim, network and reading: claim, where, means, network, reading, answer, interval (of the number that
    decides), sentence.

    evidence: reading ("the paper's tables", "slices", ...) -> network -> Evidence. A joint claim is judged once per
    reading, if all of its networks are there; its network is "all". A claim that follows from the sizes alone is judged
    once; its reading is "geometry". A claim about another convention is judged for readings of that one.
    """
    lines = []
    for claim in claims:
        for reading, by_network in list(evidence.items())[: 1 if claim.of_geometry else None]:
            reading = "geometry" if claim.of_geometry else reading
            of_claim = {
                network: by_network[network]
                for network in claim.networks
                if network in by_network and claim.is_about(by_network[network])
            }
            if claim.joint and len(of_claim) == len(claim.networks):
                judged = {ALL: claim.judge(of_claim)}
            else:
                judged = {} if claim.joint else {network: claim.judge(each) for network, each in of_claim.items()}
            for network, verdict in judged.items():
                lines.append(
                    (
                        claim.text,
                        claim.where,
                        claim.means,
                        network,
                        reading,
                        verdict.answer,
                        verdict.interval,
                        verdict.sentence,
                    )
                )
    return pd.DataFrame(
        lines, columns=["claim", "where", "means", "network", "reading", "answer", "interval", "sentence"]
    )
