"""Verdicts on planted rows and on the paper's own tables."""

import numpy as np
import pandas as pd
import pytest

from stiffcore.conventions import Convention
from stiffcore.networks import registry as networks
from stiffcore.paper import claims, evidence, published
from stiffcore.statistics import tables
from tests.made_up.rows import rows, undefined


def answers(reading, evidence):
    table = claims.verdicts({reading: evidence})
    return {(row.claim.split(",")[0].split(" (")[0].rstrip("."), row.network): row.answer for row in table.itertuples()}


def test_the_papers_tables_contradict_three_sentences_of_its_text():
    found = answers("paper", {network: evidence.of_paper(network) for network in published.NETWORKS})
    assert found["The last block is the stiffest by S", "resnet18"] == "holds"
    assert found["The deeper the network", "all"] == "holds"
    assert found["S spikes in the last three blocks", "resnet18"] == "does not hold"  # block 7
    assert found["P spikes in the last three blocks", "resnet18"] == "holds"
    assert found["A stiffer last block by S", "resnet34"] == "does not hold"  # the sign
    assert found["Higher P of the last block goes with lower accuracy and higher loss", "resnet50"] == "does not hold"
    assert found["The Jacobians of all blocks are square", "resnet18"] == "does not hold"


def test_nothing_computed_is_said_so():
    found = answers(
        "slices", {network: evidence.of_rows(None, networks.find(network)) for network in published.NETWORKS}
    )
    assert {answer for (claim, _), answer in found.items() if "square" not in claim} == {"not computed"}


def test_planted_rows():
    frame = rows(images=200)
    frame["percent_negative"] = 3.0 * frame["block"] + frame["loss"] - 3 * frame["correct"]
    found = answers("slices", {"resnet18": evidence.of_rows(frame, networks.find("resnet18"))})
    assert found["The last block is the stiffest by S", "resnet18"] == "holds"
    assert found["Negative real parts are more frequent late in the network", "resnet18"] == "holds"
    assert found["Higher P of the last block goes with lower accuracy and higher loss", "resnet18"] == "holds"
    assert found["A stiffer last block by S", "resnet18"] == "not shown"  # random
    assert found["Labels differ little compared with blocks", "resnet18"] == "holds"
    assert ("The deeper the network", "all") not in found  # takes the three networks


def of(frame, network="resnet18"):
    return evidence.of_rows(frame, networks.find(network))


def squares(convention, images=12, without=(), network="resnet18", **columns):
    """Rows of the blocks that can have eigenvalues, but for some."""
    kept = [
        block
        for block in tables.definable(networks.find(network).blocks, Convention(convention))
        if block not in without
    ]
    return rows(network, convention, images, kept, **columns)


def test_undefined_is_said_so():
    frame = squares("block")
    verdict = claims.last_block_stands_out(of(undefined(frame, frame.block == 8)))
    assert (verdict.answer, verdict.sentence) == ("undefined", "S is undefined at every image for block 8.")
    spikes = next(claim for claim in claims.CLAIMS if claim.text.startswith("P spikes"))
    verdict = spikes.judge(of(frame))
    assert (verdict.answer, verdict.sentence) == ("undefined", "P is undefined for block 7: not square.")


def test_sentences_say_over_which_blocks():
    verdict = claims.last_block_stands_out(of(squares("block")))
    assert verdict.answer == "holds"
    assert "(over the blocks that are square)" in verdict.sentence


@pytest.mark.parametrize("convention", [Convention.SLICES, Convention.BLOCK, Convention.BRANCH])
@pytest.mark.parametrize("lacking", [1, 4])
def test_no_verdict_on_all_blocks_from_some_of_them(convention, lacking):
    judged = claims.verdicts({"ours": {"resnet18": of(squares(convention, 60, [lacking]))}}).set_index("claim")
    about_all = judged[~judged.index.str.contains("Higher P|stiffer last block by S|square")]
    if convention != "slices":
        about_all = about_all[~about_all.index.str.contains("spikes")]  # block 7 is not square
    assert len(about_all) >= 4
    assert set(about_all["answer"]) == {"not computed"}
    assert about_all["sentence"].str.contains(f"block {lacking}").all()


def test_a_block_at_few_images_is_no_verdict_on_the_pool():
    frame = squares("branch", 40)
    frame = frame[(frame["block"] != 2) | (frame["image"] < 5)]
    for judge in (claims.pooled_says_little, claims.labels_differ_little):
        verdict = judge(of(frame))
        assert verdict.answer == "not computed"
        assert "block 2 has a value at fewer than 10" in verdict.sentence


@pytest.mark.parametrize(
    ("strength", "images", "answer"), [(0.0, 1000, "holds"), (0.35, 1000, "does not hold"), (0.14, 60, "not shown")]
)
def test_pooled_fails_only_where_the_excess_is_more_than_chance(strength, images, answer):
    """Within an image every block has the same P and S, so that r over the pairs is r over the images."""
    frame = rows(images=images)
    outcome = frame["loss"].rank() / frame["loss"].rank().std()
    noise = pd.Series(np.random.default_rng(5).normal(size=images)).repeat(8).to_numpy()
    frame["percent_negative"] = 20 + strength * outcome + noise
    frame["stiffness_index"] = np.random.default_rng(6).normal(size=len(frame))
    verdict = claims.pooled_says_little(of(frame))
    assert verdict.answer == answer
    assert "95 % interval" in verdict.sentence
    assert f"at {images:,} images" in verdict.sentence


def test_few_images_a_label_do_not_make_labels_differ():
    """Random P: the labels' means scatter by chance, which is no difference between labels."""
    frame = rows(images=30, percent_negative=np.random.default_rng(1).normal(size=240))
    found = of(frame)
    assert evidence.label_ratio(found, "percent_negative") > claims.SMALL_RATIO
    assert claims.labels_differ_little(found).answer == "not shown"
    planted = frame.assign(percent_negative=frame["percent_negative"] + 3 * frame["label"])
    assert claims.labels_differ_little(of(planted)).answer == "does not hold"


def test_sentences_name_the_kind_of_p_and_have_true_signs():
    frame = rows(images=60)
    table = claims.verdicts({"paper": {"resnet18": evidence.of_paper("resnet18")}, "ours": {"resnet18": of(frame)}})
    of_r = table[table["sentence"].str.contains("r = ")]
    assert of_r["sentence"].str.contains("adjusted p").tolist() == (of_r["reading"] == "ours").tolist()
    assert "r = −0.36 with accuracy (p < 0.01)" in " ".join(of_r["sentence"])
    assert not table["sentence"].str.contains(r"-\d|[−-]0\.00").any()


@pytest.mark.parametrize("network", published.NETWORKS)
def test_every_answer_is_a_known_one_with_a_sentence(network):
    table = claims.verdicts(
        {
            "paper": {network: evidence.of_paper(network)},
            "none": {network: evidence.Evidence(network, networks.find(network).blocks)},
        }
    )
    assert isinstance(table, pd.DataFrame)
    assert set(table["answer"]) <= set(evidence.ANSWERS)
    assert table["sentence"].str.endswith(".").all()
