"""Verdicts on planted rows and on the paper's own tables."""

import pandas as pd
import pytest
from rows_made_up import rows, undefined

from stiffcore import claims, published


def answers(reading, evidence):
    table = claims.verdicts({reading: evidence})
    return {(row.claim.split(",")[0].split(" (")[0].rstrip("."), row.network): row.answer for row in table.itertuples()}


def test_the_papers_tables_contradict_three_sentences_of_its_text():
    found = answers("paper", {network: claims.of_paper(network) for network in published.NETWORKS})
    assert found["The last block is the stiffest by S", "resnet18"] == "holds"
    assert found["The deeper the network", "all"] == "holds"
    assert found["S spikes in the last three blocks", "resnet18"] == "does not hold"  # block 7
    assert found["P spikes in the last three blocks", "resnet18"] == "holds"
    assert found["A stiffer last block by S", "resnet34"] == "does not hold"  # the sign
    assert found["Higher P of the last block goes with lower accuracy and higher loss", "resnet50"] == "does not hold"
    assert found["The Jacobians of all blocks are square", "resnet18"] == "does not hold"


def test_nothing_computed_is_said_so():
    found = answers("slices", {network: claims.of_rows(None, network) for network in published.NETWORKS})
    assert {answer for (claim, _), answer in found.items() if "square" not in claim} == {"not computed"}


def test_planted_rows():
    frame = rows(images=200)
    frame["percent_negative"] = 3.0 * frame["block"] + frame["loss"] - 3 * frame["correct"]
    found = answers("slices", {"resnet18": claims.of_rows(frame, "resnet18")})
    assert found["The last block is the stiffest by S", "resnet18"] == "holds"
    assert found["Negative real parts are more frequent late in the network", "resnet18"] == "holds"
    assert found["Higher P of the last block goes with lower accuracy and higher loss", "resnet18"] == "holds"
    assert found["A stiffer last block by S", "resnet18"] == "not shown"  # random
    assert found["Labels differ little beside blocks", "resnet18"] == "holds"
    assert ("The deeper the network", "all") not in found  # takes the three networks


def test_undefined_is_said_so():
    frame = rows(images=5, convention="block")
    evidence = claims.of_rows(undefined(frame, frame.block == 8), "resnet18")
    verdict = claims.last_block_stands_out(evidence)
    assert verdict.answer == "undefined"
    assert "block 8" in verdict.sentence


def test_sentences_say_over_which_blocks():
    frame = rows(images=5, convention="block")
    verdict = claims.last_block_stands_out(claims.of_rows(undefined(frame, frame.block == 7), "resnet18"))
    assert "over the 7 of 8 blocks" in verdict.sentence


@pytest.mark.parametrize("network", published.NETWORKS)
def test_every_answer_is_a_known_one_with_a_sentence(network):
    table = claims.verdicts({"paper": {network: claims.of_paper(network)}, "none": {network: claims.Evidence(network)}})
    assert isinstance(table, pd.DataFrame)
    assert set(table["answer"]) <= set(claims.ANSWERS)
    assert table["sentence"].str.endswith(".").all()
