"""Our tables beside the published ones."""

import numpy as np
import pytest

from stiffcore.conventions import Convention
from stiffcore.metrics.missing import NOT_SQUARE
from stiffcore.networks import registry as networks
from stiffcore.paper import comparison, published
from tests.made_up.paper_tables import kinds_and_networks
from tests.made_up.rows import rows, undefined

RESNET18, RESNET50 = map(networks.find, ("resnet18", "resnet50"))


def cell(table, **names):
    found = table[np.logical_and.reduce([table[name] == value for name, value in names.items()])]
    assert len(found) == 1
    return found.iloc[0]


@pytest.mark.parametrize(("number", "kind", "network"), kinds_and_networks())
def test_without_rows_every_published_cell_is_there_and_not_computed(number, kind, network):
    table = comparison.side_by_side(networks.find(network), kind, None)
    assert len(table) == len(published.table(network, kind))
    assert set(table["agreement"]) == ({"equal"} if kind == "sizes" else {"not computed"})


def test_the_papers_own_numbers_agree_with_themselves():
    theirs = published.table("resnet18", "by_block").pivot(index="block", columns="metric", values="published")
    frame = rows(images=3)
    frame = frame.assign(**{metric: frame["block"].map(theirs[metric]) for metric in theirs})
    table = comparison.side_by_side(RESNET18, "by_block", frame)
    assert set(table["agreement"]) == {"close"}
    assert table["difference"].abs().max() < 0.006
    assert table["block"].tolist() == [*range(1, 9), "all"] * 2


@pytest.mark.parametrize(
    ("factor", "agreement"), [(1.2, "close"), (1 / 1.9, "comparable"), (3, "apart"), (-1, "apart")]
)
def test_agreement_of_means_is_by_factor(factor, agreement):
    frame = rows(images=3, blocks=[8], stiffness_index=-12.99 * factor)
    table = comparison.side_by_side(RESNET18, "by_block", frame)
    assert cell(table, block=8, metric="stiffness_index")["agreement"] == agreement
    assert cell(table, block=7, metric="stiffness_index")["agreement"] == "not computed"


def test_an_average_over_some_blocks_is_called_partial():
    table = comparison.side_by_side(RESNET18, "by_block", rows(images=3, blocks=[7, 8]))
    assert cell(table, block="all", metric="percent_negative")["agreement"] == "partial"
    table = comparison.side_by_side(RESNET18, "by_label", rows(images=20, blocks=[7, 8]))
    assert set(table["agreement"]) == {"partial"}


def test_undefined_is_not_the_same_as_not_computed():
    frame = rows(images=3, blocks=[7, 8], convention="block")
    table = comparison.side_by_side(RESNET18, "by_block", undefined(frame, frame.block == 7))
    assert cell(table, block=7, metric="stiffness_index")["agreement"] == "undefined"


def test_resnet50_labels_rest_on_the_last_block_as_the_papers_do():
    frame = rows("resnet50", images=20, blocks=[15, 16])
    table = comparison.side_by_side(RESNET50, "by_label", frame)
    expected = frame.query("block == 16 and label == 0")["percent_negative"].mean()
    assert cell(table, label=0, metric="percent_negative")["ours"] == pytest.approx(expected)
    by_block = comparison.side_by_side(RESNET50, "by_block", frame)
    assert cell(by_block, block=15, metric="percent_negative")["agreement"] == "not published"


def test_agreement_of_r_is_by_our_interval():
    frame = rows(images=400, blocks=[8])
    frame["percent_negative"] = np.random.default_rng(1).normal(size=400) + 0.38 * frame["loss"]
    table = comparison.side_by_side(RESNET18, "correlation", frame)
    found = cell(table, block=8, measure="percent_negative", outcome="loss")
    assert found["low"] < found["published"] < found["high"]
    assert found["agreement"] == "close"
    flipped = frame.assign(percent_negative=-frame["percent_negative"])
    table = comparison.side_by_side(RESNET18, "correlation", flipped)
    assert cell(table, block=8, measure="percent_negative", outcome="loss")["agreement"] == "apart"
    assert set(table["agreement"]) <= set(comparison.AGREEMENTS)


def planted_r(strength, images):
    """P of block 8 that goes with the loss, r about strength / sqrt(1 + strength²)."""
    frame = rows(images=images, blocks=[8])
    loss = (frame["loss"] - frame["loss"].mean()) / frame["loss"].std()
    frame["percent_negative"] = 20 + strength * loss + np.random.default_rng(3).normal(size=images)
    return frame


def test_a_wide_interval_hides_no_contradiction():
    """Published: r of P with loss at block 8 is 0.34."""
    at = {"block": 8, "measure": "percent_negative", "outcome": "loss"}
    found = cell(comparison.side_by_side(RESNET18, "correlation", planted_r(0.5, 25)), **at)
    assert found["high"] - found["low"] > comparison.WIDEST_INTERVAL
    assert found["low"] < found["published"] < found["high"]
    assert found["agreement"] == "uncertain"
    found = cell(comparison.side_by_side(RESNET18, "correlation", planted_r(-0.7, 25)), **at)
    assert found["high"] - found["low"] > comparison.WIDEST_INTERVAL
    assert found["high"] < found["published"]
    assert found["agreement"] == "apart"
    found = cell(comparison.side_by_side(RESNET18, "correlation", planted_r(2, 400)), **at)
    assert found["low"] > found["published"]
    assert found["agreement"] == "comparable"


@pytest.mark.parametrize("convention", [Convention.BLOCK, Convention.BRANCH])
@pytest.mark.parametrize("kind", ["by_block", "correlation"])
def test_blocks_that_are_not_square_are_undefined_with_and_without_rows(kind, convention):
    without = comparison.side_by_side(RESNET18, kind, None, convention)
    some = comparison.side_by_side(RESNET18, kind, rows(images=12, blocks=[4, 8], convention=convention))
    for table in (without, some):
        changes = table[table["block"].isin([3, 5, 7])]
        assert set(changes["agreement"]) == set(changes["state"]) == {"undefined"}
        assert set(changes["reason"]) == {NOT_SQUARE}
        assert set(table[table["block"].isin([1, 2])]["agreement"]) == {"not computed"}


def test_what_is_constant_is_undefined_where_the_paper_has_no_value_either():
    """ResNet50's blocks 1 to 15: all of their ten images are right, and Table 7 has block 16 alone."""
    table = comparison.side_by_side(RESNET50, "correlation", rows("resnet50", images=12, blocks=[1, 16], correct=True))
    found = cell(table, block=1, measure="percent_negative", outcome="accuracy")
    assert (found["agreement"], found["state"]) == ("not published", "undefined")
    assert "outcome is the same" in str(found["reason"])


def test_other_readings_are_not_judged_by_the_published_numbers():
    frame = rows(images=12, blocks=[8], convention="branch", percent_negative=21.9)
    found = cell(comparison.side_by_side(RESNET18, "by_block", frame), block=8, metric="percent_negative")
    assert (found["agreement"], found["difference"]) == ("other reading", pytest.approx(-0.02))


def test_what_was_not_computed_is_not_undefined():
    frame = undefined(rows(images=12, blocks=[8]), slice(None), "percent_negative", "not computed: needs counts")
    for kind in ("by_block", "correlation"):
        table = comparison.side_by_side(RESNET18, kind, frame)
        states = table[table["block"] == 8].set_index("metric" if kind == "by_block" else "measure")["state"]
        assert set(states["percent_negative"] if kind == "correlation" else [states["percent_negative"]]) == {
            "not computed"
        }


def test_along_depth_has_every_block_whether_computed_or_not():
    frame = undefined(rows(images=10, blocks=[6, 7, 8]), slice(None))
    table = comparison.along_depth(RESNET18, frame, "stiffness_index").set_index("block")
    assert table["state"].tolist() == ["not computed"] * 5 + ["undefined"] * 3
    table = comparison.along_depth(RESNET18, frame, "percent_negative").set_index("block")
    last = frame[frame["block"] == 8]["percent_negative"]
    assert table.loc[8, ["mean", "low", "high"]].tolist() == pytest.approx(
        [last.mean(), last.quantile(0.05), last.quantile(0.95)]
    )
    assert table.loc[8, "baseline"] == 16
    assert table["keeps_shape"].tolist() == [True, True, False, True, False, True, False, True]
    assert comparison.along_depth(RESNET50, None, "percent_negative")["state"].eq("not computed").all()


def test_along_depth_knows_what_is_not_square_without_rows():
    for frame in (None, rows(images=3, blocks=[8], convention="branch")):
        table = comparison.along_depth(RESNET18, frame, "percent_negative", Convention.BRANCH).set_index("block")
        assert table.loc[[3, 5, 7], "reason"].eq(NOT_SQUARE).all()
        assert table.loc[[1, 2, 4, 6], "state"].eq("not computed").all()
    live = comparison.along_depth(RESNET18, None, "live_fraction", Convention.BRANCH)
    assert live["state"].eq("not computed").all()  # every block has outputs
