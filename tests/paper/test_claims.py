"""Verdicts on planted rows and on the paper's own tables."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from stiffcore.conventions import Convention
from stiffcore.networks import registry as networks
from stiffcore.paper import claims, estimate, evidence, findings, published, resampled
from stiffcore.paper.estimate import ANSWERS, Rule
from stiffcore.statistics import label_spread, tables
from stiffcore.statistics.partial import partial
from stiffcore.sweeps import shipping
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
        "slices", {network: resampled.of_rows(None, networks.find(network)) for network in published.NETWORKS}
    )
    assert {answer for (claim, _), answer in found.items() if "square" not in claim} == {"not computed"}


def test_planted_rows():
    frame = rows(images=200)
    frame["percent_negative"] = 3.0 * frame["block"] + frame["loss"] - 3 * frame["correct"]
    found = answers("slices", {"resnet18": resampled.of_rows(frame, networks.find("resnet18"))})
    assert found["The last block is the stiffest by S", "resnet18"] == "holds"
    assert found["Negative real parts are more frequent late in the network", "resnet18"] == "holds"
    assert found["Higher P of the last block goes with lower accuracy and higher loss", "resnet18"] == "holds"
    assert found["A stiffer last block by S", "resnet18"] == "not shown"  # random
    assert found["Labels differ little compared with blocks", "resnet18"] == "holds"
    assert ("The deeper the network", "all") not in found  # takes the three networks


def of(frame, network="resnet18"):
    return resampled.of_rows(frame, networks.find(network))


def judge(find, evidence_of_rows):
    """A claim about one network by its finder."""
    return claims.Claim("", "", "", find).judge(evidence_of_rows)


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
    verdict = judge(findings.last_block_stands_out, of(undefined(frame, frame.block == 8)))
    assert (verdict.answer, verdict.sentence) == ("undefined", "S is undefined at every image for block 8.")
    spikes = next(claim for claim in claims.CLAIMS if claim.text.startswith("P spikes"))
    verdict = spikes.judge(of(frame))
    assert (verdict.answer, verdict.sentence) == ("undefined", "P is undefined for block 7: not square.")


def test_sentences_say_over_which_blocks():
    verdict = judge(findings.last_block_stands_out, of(squares("block")))
    assert verdict.answer == "holds"
    assert "(over the blocks that are square)" in verdict.sentence


@pytest.mark.parametrize("convention", [Convention.SLICES, Convention.BLOCK, Convention.BRANCH])
@pytest.mark.parametrize("lacking", [1, 4])
def test_no_verdict_on_all_blocks_from_some_of_them(convention, lacking):
    frame = squares(convention, 60, [lacking]).assign(stiffness_indicator=0.5)
    judged = claims.verdicts({"ours": {"resnet18": of(frame)}}).set_index("claim")
    about_all = judged[~judged.index.str.contains("Higher P|stiffer last block by S|square")]
    if convention != "slices":
        about_all = about_all[~about_all.index.str.contains("spikes")]  # block 7 is not square
    assert len(about_all) >= 4
    assert set(about_all["answer"]) == {"not computed"}
    assert about_all["sentence"].str.contains(f"block {lacking}").all()


def test_a_block_at_few_images_is_no_verdict_on_the_pool():
    frame = squares("branch", 40)
    frame = frame[(frame["block"] != 2) | (frame["image"] < 5)]
    for find in (findings.pooled_says_little, findings.labels_differ_little):
        verdict = judge(find, of(frame))
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
    verdict = judge(findings.pooled_says_little, of(frame))
    assert verdict.answer == answer
    assert "95 % interval" in verdict.sentence
    assert f"at {images:,} images" in verdict.sentence


def test_few_images_a_label_do_not_make_labels_differ():
    """Random P: the labels' means scatter by chance, which is no difference between labels."""
    noise = np.random.default_rng(1).normal(size=240)
    frame = rows(images=30).assign(percent_negative=lambda made: noise + 0.25 * made["block"])
    found = of(frame)
    assert found.label_ratio("percent_negative").value > findings.SMALL_RATIO
    assert judge(findings.labels_differ_little, found).answer == "not shown"
    planted = frame.assign(percent_negative=frame["percent_negative"] + 3 * frame["label"])
    assert judge(findings.labels_differ_little, of(planted)).answer == "does not hold"
    assert judge(findings.labels_differ_little, of(rows(images=30))).answer == "holds"


@pytest.mark.parametrize("convention", Convention)
@pytest.mark.parametrize("metric", tables.SHOWN)
def test_the_ratio_of_labels_to_blocks_is_one_number(convention, metric):
    """The Labels page and the verdict, on the rows that ship: once they were 8.98 % and 7.95 %."""
    frame = shipping.rows(networks.find("resnet18"), convention)
    page, verdict = label_spread.spread(frame, metric).ratio, of(frame).label_ratio(metric).value
    assert verdict == pytest.approx(page, nan_ok=True)
    assert np.isfinite(page) or convention is not Convention.SLICES


def test_interval_of_a_mean_is_scipys_bootstrap():
    frame = rows(images=60, blocks=[8])
    frame["max_re"] = np.random.default_rng(0).exponential(size=60)
    means = of(frame).means("max_re", [8])[:, 0]
    theirs = stats.bootstrap(
        (frame["max_re"].to_numpy(),), np.mean, method="percentile", n_resamples=5000, rng=1
    ).confidence_interval
    assert means[0] == pytest.approx(frame["max_re"].mean())
    assert np.quantile(means[1:], (0.025, 0.975)) == pytest.approx([theirs.low, theirs.high], abs=0.02)


def test_a_difference_within_chance_is_not_shown():
    """Block 8 above block 6 by much less than its interval's width, then by much more."""
    frame = rows(images=25, blocks=None)
    noise = pd.Series(np.random.default_rng(3).normal(size=200))
    noise -= noise.groupby(frame["block"]).transform("mean")
    frame["stiffness_index"] = np.where(frame["block"].isin([6, 8]), -10.0, -1.0) + noise
    for more, answer in ((0.05, "not shown"), (3.0, "holds"), (-3.0, "does not hold")):
        moved = frame.assign(stiffness_index=frame["stiffness_index"] - more * (frame["block"] == 8))
        verdict = judge(findings.last_block_stands_out, of(moved))
        assert verdict.answer == answer
        assert "95 % interval" in verdict.sentence
        assert " to " in verdict.interval


def test_one_image_has_no_interval():
    verdict = judge(findings.negative_share_grows, of(rows(images=2)))
    assert verdict.answer == "not shown"
    assert "no interval: too few images" in verdict.sentence


@pytest.mark.parametrize(
    ("of_last", "of_others", "answer", "said"),
    [
        (-1.0, -8.0, "does not hold", "the largest of blocks 4, 6, with 10 images or more (block "),
        (-8.0, -1.0, "not shown", "no interval: too few images at blocks 1, 2 (1 and 5)), at up to 40 images"),
    ],
)
def test_blocks_short_of_images_are_named_and_one_that_refutes_decides(of_last, of_others, answer, said):
    frame = squares("branch", 40)
    frame = frame[~((frame["block"] == 1) & (frame["image"] > 0)) & ~((frame["block"] == 2) & (frame["image"] > 4))]
    noise = np.random.default_rng(0).normal(0, 0.1, len(frame))
    frame["stiffness_index"] = np.where(frame["block"] == 8, of_last, of_others) + noise
    verdict = judge(findings.last_block_stands_out, of(frame))
    assert verdict.answer == answer
    assert said in verdict.sentence


@pytest.mark.parametrize(("s", "answer"), [(-3.0, "holds"), (0.5, "not shown")])
def test_one_block_with_enough_images_can_show_that_blocks_are_stiff(s, answer):
    """Block 8 is above 1, whatever block 1 is; no block above 1 says nothing about block 1."""
    frame = squares("branch", 40)
    frame = frame[(frame["block"] != 1) | (frame["image"] < 1)]
    noise = np.random.default_rng(0).normal(0, 0.01, len(frame))
    frame["stiffness_indicator"] = np.where(frame["block"] == 8, s, 0.5) + noise
    verdict = judge(findings.stiff_by_definition, of(frame))
    assert verdict.answer == answer
    assert ("among blocks" in verdict.sentence) == (answer == "holds")
    assert ("too few images at block 1 (1)" in verdict.sentence) == (answer == "not shown")


def test_a_claim_about_another_metric_and_convention():
    """As the definition of stiffness needs: a metric of ``branch``, judged for readings of that convention only."""

    def find(each):
        if missing := evidence.incomplete(each, "max_re"):
            return missing
        means = each.means("max_re", each.definable)
        return [
            estimate.Finding(f"max Re λ of block {block}", estimate.percentile(of_block), Rule(high=-1.0))
            for block, of_block in zip(each.definable, means.T)
        ]

    claim = claims.Claim("Negative", "here", "below −1", find, ("resnet18",), only=Convention.BRANCH)
    frame = squares("branch", 20, max_re=-2.0)
    readings = {
        "paper": {"resnet18": evidence.of_paper("resnet18")},
        "slices": {"resnet18": of(rows(images=20))},
        "branch": {"resnet18": of(frame)},
    }
    (line,) = claims.verdicts(readings, [claim]).to_dict("records")
    assert (line["reading"], line["answer"]) == ("branch", "holds")
    frame.loc[frame["block"] == 4, "max_re"] = np.linspace(-2.0, 1.0, 20)
    (line,) = claims.verdicts({"branch": {"resnet18": of(frame)}}, [claim]).to_dict("records")
    assert line["answer"] == "does not hold"
    assert line["interval"].startswith("−0.5 (")


def test_every_claim_says_what_its_words_mean():
    assert all(claim.means.endswith(".") for claim in claims.CLAIMS)
    where = {claim.text: claim.where for claim in claims.CLAIMS}
    assert where["S spikes in the last three blocks."] == "§5.1, Table 2"
    assert next(slip for slip in published.ERRATA if "last three blocks" in slip.text).where == "§5.1"


def test_sentences_name_the_kind_of_p_and_have_true_signs():
    frame = rows(images=60)
    table = claims.verdicts({"paper": {"resnet18": evidence.of_paper("resnet18")}, "ours": {"resnet18": of(frame)}})
    of_r = table[table["sentence"].str.contains("Pearson")]
    last = of_r[of_r["sentence"].str.contains("of block 8")]
    assert last["sentence"].str.contains("95 % interval").tolist() == (last["reading"] == "ours").tolist()
    assert "Pearson's r of P of block 8 with accuracy: −0.36 (p < 0.01)" in " ".join(of_r["sentence"])
    assert not table["sentence"].str.contains(r"-\d|[−-]0\.00").any()


def test_the_partial_r_stands_beside_r():
    frame = rows(images=80, live_fraction=np.random.default_rng(2).random(640))
    frame["correct"] = np.random.default_rng(3).random(80).repeat(8) > 0.3
    sentence = judge(findings.correlates("percent_negative", {"loss": 1}), of(frame)).sentence
    last = frame[frame["block"] == 8]
    left = partial(last["percent_negative"], last["loss"], [last["live_fraction"]], last["label"])
    assert f"given live fraction and label {estimate.signed(left.r)}, {estimate.signed(left.low)} to" in sentence


@pytest.mark.parametrize("network", published.NETWORKS)
def test_every_answer_is_a_known_one_with_a_sentence(network):
    table = claims.verdicts(
        {
            "paper": {network: evidence.of_paper(network)},
            "none": {network: resampled.of_rows(None, networks.find(network))},
        }
    )
    assert isinstance(table, pd.DataFrame)
    assert set(table["answer"]) <= set(ANSWERS)
    assert table["sentence"].str.endswith(".").all()


@pytest.mark.parametrize(("s", "answer"), [(0.5, "does not hold"), (-0.9, "does not hold"), (-1.2, "holds")])
def test_stiff_by_the_fields_definition_follows_from_the_indicator_under_branch(s, answer):
    frame = rows("resnet18", Convention.BRANCH, 40, [1, 2, 4, 6, 8])
    noise = np.random.default_rng(0).normal(0, 0.01, len(frame))
    frame["stiffness_indicator"] = np.where(frame["block"] == 8, s, 0.5) + noise
    reading = {"resnet18": of(frame)}
    table = claims.verdicts({"branch": reading}).set_index("claim")
    row = table.loc["The blocks, read as ODEs, are stiff by the field's definition."]
    assert row["answer"] == answer
    if s < 0:
        assert "block 8" in row["sentence"]
        assert float(row["interval"].split()[0].replace("−", "-")) == pytest.approx(-s, abs=0.02)
    slices = claims.verdicts({"slices": {"resnet18": of(rows(images=20))}})
    assert not slices["claim"].str.contains("definition").any(), "slices have no logarithmic norms"


def test_without_the_indicator_stiffness_by_definition_is_not_computed():
    found = judge(findings.stiff_by_definition, of(rows("resnet18", Convention.BRANCH, 20, [1, 2, 4, 6, 8])))
    assert found.answer == "not computed"
