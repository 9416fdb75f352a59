"""Our tables beside the published ones."""

import numpy as np
import pytest
from rows_made_up import rows, undefined

from stiffcore import comparison, published


def cell(table, **names):
    found = table[np.logical_and.reduce([table[name] == value for name, value in names.items()])]
    assert len(found) == 1
    return found.iloc[0]


@pytest.mark.parametrize(("number", "kind", "network"), published.kinds_and_networks())
def test_without_rows_every_published_cell_is_there_and_not_computed(number, kind, network):
    table = comparison.side_by_side(network, kind, None)
    assert len(table) == len(published.table(network, kind))
    assert set(table["agreement"]) == ({"equal"} if kind == "sizes" else {"not computed"})


def test_the_papers_own_numbers_agree_with_themselves():
    theirs = published.table("resnet18", "by_block").pivot(index="block", columns="metric", values="published")
    frame = rows(images=3)
    frame = frame.assign(**{metric: frame["block"].map(theirs[metric]) for metric in theirs})
    table = comparison.side_by_side("resnet18", "by_block", frame)
    assert set(table["agreement"]) == {"close"}
    assert table["difference"].abs().max() < 0.006
    assert table["block"].tolist() == [*range(1, 9), "all"] * 2


@pytest.mark.parametrize(
    ("factor", "agreement"), [(1.2, "close"), (1 / 1.9, "comparable"), (3, "apart"), (-1, "apart")]
)
def test_agreement_of_means_is_by_factor(factor, agreement):
    frame = rows(images=3, blocks=[8], stiffness_index=-12.99 * factor)
    table = comparison.side_by_side("resnet18", "by_block", frame)
    assert cell(table, block=8, metric="stiffness_index")["agreement"] == agreement
    assert cell(table, block=7, metric="stiffness_index")["agreement"] == "not computed"


def test_an_average_over_some_blocks_is_called_partial():
    table = comparison.side_by_side("resnet18", "by_block", rows(images=3, blocks=[7, 8]))
    assert cell(table, block="all", metric="percent_negative")["agreement"] == "partial"
    table = comparison.side_by_side("resnet18", "by_label", rows(images=20, blocks=[7, 8]))
    assert set(table["agreement"]) == {"partial"}


def test_undefined_is_not_the_same_as_not_computed():
    frame = rows(images=3, blocks=[7, 8], convention="block")
    table = comparison.side_by_side("resnet18", "by_block", undefined(frame, frame.block == 7))
    assert cell(table, block=7, metric="stiffness_index")["agreement"] == "undefined"


def test_resnet50_labels_rest_on_the_last_block_as_the_papers_do():
    frame = rows("resnet50", images=20, blocks=[15, 16])
    table = comparison.side_by_side("resnet50", "by_label", frame)
    expected = frame.query("block == 16 and label == 0")["percent_negative"].mean()
    assert cell(table, label=0, metric="percent_negative")["ours"] == pytest.approx(expected)
    by_block = comparison.side_by_side("resnet50", "by_block", frame)
    assert cell(by_block, block=15, metric="percent_negative")["agreement"] == "not published"


def test_agreement_of_r_is_by_our_interval():
    frame = rows(images=400, blocks=[8])
    frame["percent_negative"] = np.random.default_rng(1).normal(size=400) + 0.38 * frame["loss"]
    table = comparison.side_by_side("resnet18", "correlation", frame)
    found = cell(table, block=8, measure="percent_negative", outcome="loss")
    assert found["low"] < found["published"] < found["high"]
    assert found["agreement"] == "close"
    flipped = frame.assign(percent_negative=-frame["percent_negative"])
    table = comparison.side_by_side("resnet18", "correlation", flipped)
    assert cell(table, block=8, measure="percent_negative", outcome="loss")["agreement"] == "apart"
    assert set(table["agreement"]) <= set(comparison.AGREEMENTS)


def test_wide_is_the_papers_form():
    table = comparison.wide(comparison.side_by_side("resnet18", "by_block", rows(images=4, stiffness_index=-5.0)))
    assert table["block"].tolist() == [*range(1, 9), "all"]
    assert table["S, theirs"].tolist()[:2] == [-2.28, -5.12]
    assert table["S, difference"].tolist()[:2] == pytest.approx([-2.72, 0.12])
    assert table["n"].tolist() == [4] * 9
    labels = comparison.wide(comparison.side_by_side("resnet18", "by_label", None))
    assert labels["label"].tolist()[3] == "cat"
    r = comparison.wide(comparison.side_by_side("resnet34", "correlation", None))
    assert r.shape == (17, 1 + 8 + 1)
    assert r["P with loss, theirs"].tolist()[-2:] == [0.35, 0.05]


def test_a_wide_interval_says_nothing_of_agreement():
    table = comparison.side_by_side("resnet18", "correlation", rows(images=25, blocks=[8]))
    assert set(table.query("block == 8")["agreement"]) == {"uncertain"}


def test_along_depth_has_every_block_whether_computed_or_not():
    frame = undefined(rows(images=10, blocks=[6, 7, 8]), slice(None))
    table = comparison.along_depth("resnet18", frame, "stiffness_index").set_index("block")
    assert table["state"].tolist() == ["not computed"] * 5 + ["undefined"] * 3
    table = comparison.along_depth("resnet18", frame, "percent_negative").set_index("block")
    last = frame[frame["block"] == 8]["percent_negative"]
    assert table.loc[8, ["mean", "low", "high"]].tolist() == pytest.approx(
        [last.mean(), last.quantile(0.05), last.quantile(0.95)]
    )
    assert table.loc[8, "baseline"] == 16
    assert table["keeps_shape"].tolist() == [True, True, False, True, False, True, False, True]
    assert comparison.along_depth("resnet50", None, "percent_negative")["state"].eq("not computed").all()
