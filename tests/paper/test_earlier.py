"""The first weights beside the paper's tables and today's: means, distances, verdicts; nothing where they still ship."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from stiffcore.networks import registry as networks
from stiffcore.paper import claims, earlier, published
from tests.made_up.rows import rows

NEW = replace(networks.find("resnet18"), weights_sha256="f" * 64)


def test_the_first_weights_are_known_and_those_of_other_networks_are_not(monkeypatch):
    first = earlier.earlier()["resnet18"]
    assert not earlier.is_superseded(replace(NEW, weights_sha256=first["weights"]))
    assert earlier.is_superseded(NEW)
    for name in ("resnet18-untrained", "resnet34-shuffled"):
        assert not earlier.is_superseded(networks.find(name))
    assert not earlier.is_superseded(replace(NEW, name="own-1"))


def test_all_three_stand_side_by_side():
    table = earlier.side_by_side(NEW, rows("resnet18", images=10))
    cell = table.set_index(["block", "metric"]).loc[(6, "percent_negative")]
    theirs = (
        published.table("resnet18", "by_block").set_index(["block", "metric"]).loc[(6, "percent_negative"), "published"]
    )
    assert cell["published"] == theirs == 19.73
    assert cell["earlier"] == pytest.approx(22.91, abs=0.01)
    assert 18 < cell["ours"] < 19
    assert len(table) == 18  # eight blocks and all, S and P


def test_distances_are_means_of_logarithms():
    planted = pd.DataFrame(
        [
            (1, "stiffness_index", -2.0, -2.0 * np.e, -2.0),
            (2, "stiffness_index", -4.0, -4.0 / np.e**2, -4.0 * np.e**0.5),
            (3, "stiffness_index", -1.0, 1.0, -1.0),  # of another sign: no distance
            (4, "stiffness_index", np.nan, -1.0, -1.0),  # not published
            ("all", "stiffness_index", -2.0, -9.0, -9.0),  # no block
            (1, "percent_negative", 10.0, 20.0, 10.0),
        ],
        columns=["block", "metric", "published", "earlier", "ours"],
    )
    found = earlier.distances(planted).set_index("metric")
    assert found.loc["stiffness_index", ["earlier", "ours", "n"]].tolist() == pytest.approx([1.5, 0.25, 2])
    assert found.loc["percent_negative", ["earlier", "ours", "n"]].tolist() == pytest.approx([np.log(2), 0, 1])


def test_the_issue_s_distances_come_out():
    """0.32 for both, by hand from the table of the first weights at 100 images; these are means of 1,000."""
    table = earlier.side_by_side(NEW, rows("resnet18", images=10))
    found = earlier.distances(table).set_index("metric")["earlier"]
    assert found.to_dict() == pytest.approx({"stiffness_index": 0.325, "percent_negative": 0.32}, abs=0.01)


def test_verdicts_stand_side_by_side():
    found = earlier.verdicts({NEW: rows("resnet18", images=20)})
    last = found[found["claim"] == "The last block is the stiffest by S."].iloc[0]
    assert (last["paper"], last["earlier"], last["ours"]) == ("holds", "holds", "holds")
    assert set(found["network"]) <= {"resnet18", "all"}
    assert "The Jacobians of all blocks are square." not in set(found["claim"])
    known = {line["claim"] for line in earlier.earlier()["resnet18"]["claims"]}
    assert known <= {claim.text for claim in claims.CLAIMS}, "take earlier_weights.json again: a claim has another text"


def test_what_is_taken_is_what_is_read():
    made = rows("resnet18", images=10)
    content = earlier.taken({NEW: made}, {"resnet18": {"accuracy": 0.5, "epochs": "1"}})["resnet18"]
    assert (content["weights"], content["images"], content["accuracy"]) == ("f" * 64, 10, 0.5)
    mean = made[made["block"] == 3]["percent_negative"].mean()
    assert {"block": 3, "metric": "percent_negative", "mean": round(mean, 4)} in content["by_block"]
    assert {line["network"] for line in content["claims"]} <= {"resnet18", "all"}
