"""What the training recipe changes: the paper's tables beside the weights that shipped first and those that ship now. Needs no torch.

data/earlier_weights.json has the first weights' block means and the verdicts on the paper's claims, taken from their shipped rows under
``slices``; ``python -m stiffcore.commands.maintainers.earlier`` takes them. It is shown once other weights ship.
"""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd

from stiffcore.networks.network import Network
from stiffcore.paper import claims, evidence, published, resampled
from stiffcore.statistics import tables
from stiffcore.statistics.tables import ALL, SHOWN

PATH = Path(__file__).parents[1] / "data" / "earlier_weights.json"
SIDES = ("earlier", "ours")


@cache
def earlier() -> dict[str, dict]:
    """Network -> weights (hash), accuracy, images, recipe (a sentence's part), by_block (a list of block, metric, mean) and claims (a list of
    claim and answer)."""
    content: dict[str, dict] = json.loads(PATH.read_text("utf-8"))
    return content


def is_superseded(network: Network) -> bool:
    """Whether a network's own weights ship now that are others than the first ones; baselines and own files have no earlier weights."""
    known = earlier().get(network.name)
    return known is not None and known["weights"] != network.weights_sha256


def side_by_side(network: Network, rows: pd.DataFrame) -> pd.DataFrame:
    """Columns block (or "all"), metric, published, earlier, ours: block means of S and P under ``slices``; NaN where there is none."""
    theirs = published.table(network.architecture, "by_block")
    before = pd.DataFrame(earlier()[network.name]["by_block"]).rename(columns={"mean": "earlier"})
    ours = tables.by_block(rows)[["block", "metric", "mean"]].rename(columns={"mean": "ours"})
    keys = ["block", "metric"]
    both = before.merge(ours.assign(block=ours["block"].astype(object)), how="left", on=keys)
    return both.merge(theirs.assign(block=theirs["block"].astype(object)), how="left", on=keys)[
        [*keys, "published", *SIDES]
    ]


def distances(table: pd.DataFrame) -> pd.DataFrame:
    """The mean over the blocks of |log ours − log published|, of absolute values: columns metric, earlier, ours, n (blocks).

    A block counts where all three are there and not 0, of one sign; the natural logarithm.
    """
    lines = []
    for metric, part in table[table["block"] != ALL].groupby("metric", sort=False):
        both = part[[*SIDES, "published"]].astype(float)
        both = both[(both.mul(both["published"], axis=0) > 0).all(axis=1)]
        apart = {side: np.abs(np.log(both[side] / both["published"])) for side in SIDES}
        lines.append({"metric": metric} | {side: apart[side].mean() for side in SIDES} | {"n": len(both)})
    return pd.DataFrame(lines, columns=["metric", *SIDES, "n"])


def verdicts(rows: dict[Network, pd.DataFrame]) -> pd.DataFrame:
    """The claims under ``slices``: columns claim, where, network ("all" for joint ones), paper, earlier, ours: answers.

    rows: of the networks of today; a claim that follows from the sizes alone is left out.
    """
    by_reading: dict[str, dict[str, evidence.Evidence]] = {
        "paper": {network.name: evidence.of_paper(network.name) for network in rows},
        "ours": {network.name: resampled.of_rows(frame, network) for network, frame in rows.items()},
    }
    found = claims.verdicts(by_reading)
    wide = found[found["reading"] != "geometry"].pivot(
        index=["claim", "where", "network"], columns="reading", values="answer"
    )
    order = list(dict.fromkeys(zip(found["claim"], found["where"], found["network"], strict=True)))
    known = {
        (line["claim"], line["network"]): line["answer"]
        for network in rows
        for line in earlier()[network.name]["claims"]
    }
    lines = [
        {"claim": claim, "where": where, "network": network, **wide.loc[(claim, where, network)].to_dict()}
        | {"earlier": known.get((claim, network), evidence.NOT_COMPUTED)}
        for claim, where, network in order
        if (claim, where, network) in wide.index
    ]
    return pd.DataFrame(lines, columns=["claim", "where", "network", "paper", *SIDES])


def taken(rows: dict[Network, pd.DataFrame], about: dict[str, dict]) -> dict[str, dict]:
    """The content of the file for these rows. about: network -> accuracy and recipe."""
    answers = claims.verdicts(
        {"ours": {network.name: resampled.of_rows(frame, network) for network, frame in rows.items()}}
    )
    answers = answers[answers["reading"] == "ours"]
    content = {}
    for network, frame in rows.items():
        means = tables.by_block(frame, SHOWN)[["block", "metric", "mean"]]
        of_network = answers[answers["network"].isin([network.name, ALL])]
        content[network.name] = {
            "weights": network.weights_sha256,
            **about[network.name],
            "images": int(frame["image"].nunique()),
            "by_block": [
                line
                | {
                    "block": line["block"] if line["block"] == ALL else int(line["block"]),
                    "mean": round(line["mean"], 4),
                }
                for line in means.to_dict("records")
            ],
            "claims": of_network[["claim", "network", "answer"]].to_dict("records"),
        }
    return content
