"""Tables by block and by label against values worked out by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from stiffcore.conventions import Convention
from stiffcore.networks import catalogue, registry as networks
from stiffcore.statistics import label_spread, tables
from tests.made_up.rows import rows, undefined


def one(frame, **cell):
    """The only row with these values."""
    found = frame[np.logical_and.reduce([frame[name] == value for name, value in cell.items()])]
    assert len(found) == 1
    return found.iloc[0]


def hand_worked():
    """Blocks 1 and 2 at images 0, 1, 2: S of block 1 is 1, 2, 6; of block 2 it is 4, undefined, not computed."""
    frame = rows(images=3, blocks=[1, 2], stiffness_index=[1.0, 4.0, 2.0, 0.0, 6.0, 0.0])
    frame = undefined(frame, (frame.block == 2) & (frame.image == 1))
    return undefined(frame, (frame.block == 2) & (frame.image == 2), reason="not computed: only extremes")


def test_by_block_means_medians_spreads_and_counts():
    table = tables.by_block(hand_worked(), ["stiffness_index"])
    first, second = one(table, block=1), one(table, block=2)
    assert (first["mean"], first["median"], first["n"]) == (3.0, 2.0, 3)
    assert first["std"] == pytest.approx(np.sqrt((4 + 1 + 9) / 2))
    assert (second["mean"], second["n"], second["n_undefined"], second["n_not_computed"]) == (4.0, 1, 1, 1)
    assert np.isnan(second["std"])


def test_all_row_averages_the_blocks_not_the_pairs():
    row = one(tables.by_block(hand_worked(), ["stiffness_index"]), block="all")
    assert row["mean"] == 3.5  # (3 + 4) / 2; the four pairs' mean is 3.25
    assert (row["median"], row["n"], row["n_undefined"], row["n_not_computed"], row["n_blocks"]) == (3.0, 1, 1, 1, 2)


def test_a_block_without_any_value_is_left_out_of_the_all_row():
    frame = rows(images=4, blocks=[7, 8])
    table = tables.by_block(undefined(frame, frame.block == 7), ["stiffness_index"])
    assert np.isnan(one(table, block=7)["mean"])
    assert one(table, block="all")["mean"] == one(table, block=8)["mean"]
    assert one(table, block="all")["n_blocks"] == 1


def test_by_label_averages_the_blocks_of_its_images():
    frame = rows(images=20, blocks=[1, 8])
    row = one(tables.by_label(frame, ["percent_negative"]), label=3)
    of_label = frame[frame.label == 3].groupby("block")["percent_negative"].mean()
    assert row["name"] == "cat"
    assert row["n"] == 2
    assert row["mean"] == pytest.approx(of_label.mean())
    only = one(tables.by_label(frame, ["percent_negative"], block=8), label=3)
    assert only["mean"] == pytest.approx(of_label[8])


def test_mixtures_and_repeated_rows_are_refused():
    frame = rows(images=3, blocks=[8])
    with pytest.raises(ValueError, match="one convention"):
        tables.by_block(pd.concat([frame, rows(images=3, blocks=[8], convention="block")]))
    with pytest.raises(ValueError, match="one weights"):
        tables.by_block(pd.concat([frame, frame.assign(weights="other")]))
    with pytest.raises(ValueError, match="twice"):
        tables.by_block(pd.concat([frame, frame]))


def thin():
    """ResNet50 as it ships: 40 images at block 16, S = -14; twelve of them at every other block too, S = -6 there."""
    frame = rows("resnet50", images=40)
    frame["stiffness_index"] = np.where(frame["block"] == 16, -14.0, -6.0)
    return frame[(frame["block"] == 16) | (frame["image"] < 12)]


def test_all_takes_only_images_that_have_every_block():
    """Else the images with block 16 alone would stand 7.5 lower than the others, by composition."""
    frame = thin()
    pooled = tables.pool(frame, "stiffness_index")
    assert (pooled.blocks, pooled.images, pooled.partial) == (tuple(range(1, 17)), frozenset(range(12)), False)
    values = tables.per_image(frame, "stiffness_index")
    assert values["image"].tolist() == list(range(12))
    assert values["value"].to_numpy() == pytest.approx(-(15 * 6 + 14) / 16)
    table = tables.by_label(frame, ["stiffness_index"])
    assert table["mean"].to_numpy() == pytest.approx(-6.5)
    assert table["n"].tolist() == [2, 2, *[1] * 8]
    assert table["n_not_computed"].tolist() == [2, 2, *[3] * 8]
    assert set(zip(table["n_blocks"], table["of_blocks"])) == {(16, 16)}
    assert len(tables.per_image(frame, "stiffness_index", 16)) == 40


def test_a_block_at_few_images_is_left_out_of_the_pool():
    """branch of ResNet18 as it ships: blocks 4, 6, 8 at 100 images, block 2 at 5; block 1 at none, 3, 5, 7 not square."""
    frame = rows(convention="branch", images=100, blocks=[2, 4, 6, 8])
    frame = frame[(frame["block"] != 2) | (frame["image"] < 5)]
    pooled = tables.pool(frame, "percent_negative")
    assert (pooled.blocks, len(pooled.images), pooled.needed) == ((4, 6, 8), 100, (1, 2, 4, 6, 8))
    assert pooled.partial
    cat = one(tables.by_label(frame, ["percent_negative"]), label=3)
    assert (cat["n_blocks"], cat["of_blocks"], cat["n"]) == (3, 5, 10)
    row = one(tables.by_block(frame, ["percent_negative"]), block="all")
    assert (row["n_blocks"], row["of_blocks"], row["n"]) == (4, 5, 5)


def test_images_with_an_undefined_block_are_counted_not_averaged():
    frame = rows(images=20, blocks=[7, 8])
    frame = undefined(frame, (frame["block"] == 8) & (frame["image"] == 3))
    row = one(tables.by_label(frame, ["stiffness_index"]), label=3)
    assert (row["n"], row["n_undefined"], row["n_not_computed"]) == (1, 1, 0)
    assert 3 not in tables.per_image(frame, "stiffness_index")["image"].to_list()


def test_a_block_that_is_never_defined_does_not_empty_the_pool():
    frame = rows(convention="block", images=12)
    squares = tables.definable(networks.find("resnet18").blocks, Convention.BLOCK)
    frame = undefined(frame, ~frame["block"].isin(squares), reason="undefined: not square")
    pooled = tables.pool(frame, "stiffness_index")
    assert (pooled.blocks, len(pooled.images)) == (squares, 12) == ((1, 2, 4, 6, 8), 12)
    assert tables.definable(networks.find("resnet18").blocks, Convention.BLOCK, "live_fraction") == tuple(range(1, 9))


def test_undetermined_counts_are_intervals():
    frame = rows(images=4, blocks=[7, 8], percent_negative=10.0, n_undetermined=0, n_eigenvalues=100)
    assert tables.undetermined(frame).empty
    frame.loc[(frame["block"] == 8) & (frame["image"] == 2), "n_undetermined"] = 8
    found = tables.undetermined(frame)
    assert found.to_numpy().tolist() == [[8, 1, 10.0, 12.0]]


@pytest.mark.parametrize("network", catalogue.SHIPPED)
def test_sizes_are_products_of_the_shapes(network):
    blocks = networks.find(network).blocks
    table = tables.sizes(blocks).set_index("block")
    for block in blocks:
        (c, h, _), n_out = block.input_shape, block.n_out
        assert table.loc[block.block, "eigenvalues"] == n_out * c * h
        assert table.loc[block.block, "jacobian_elements"] == n_out * block.n_in


def test_baselines_and_what_is_left_over():
    table = tables.baselines(rows(images=4, blocks=[2, 5], percent_negative=7.0, stiffness_index=-3.0)).set_index(
        "block"
    )
    assert table.loc[2, "percent_negative_left_over"] == 3.0
    assert table.loc[5, "percent_negative_left_over"] == -3.0
    assert table.loc[5, "stiffness_index_left_over"] == -2.0


def test_spread_is_the_variance_of_means_and_the_analysis_of_variance():
    frame = rows(images=40, blocks=[1, 8])
    frame["percent_negative"] += 0.3 * frame["label"]  # planted
    found = label_spread.spread(frame, "percent_negative")
    per_image = frame.groupby(["label", "image"])["percent_negative"].mean()
    groups = [part.to_numpy() for _, part in per_image.groupby(level=0)]
    F, p = stats.f_oneway(*groups)
    assert (found.F, found.p) == (pytest.approx(F), pytest.approx(p))
    means = frame.groupby("block")["percent_negative"].mean()
    assert found.between_blocks == pytest.approx(np.var(means, ddof=1))
    assert found.between_labels == pytest.approx(np.var([g.mean() for g in groups], ddof=1))
    assert found.ratio == found.between_labels / found.between_blocks
    assert 0.8 < found.label_share < 1


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (rows(images=5, blocks=[1, 8]), "one image a label"),
        (rows(images=30, blocks=[1, 8], percent_negative=4.0), "same value"),
    ],
)
def test_spread_without_variance_has_a_reason(frame, reason):
    found = label_spread.spread(frame, "percent_negative")
    assert np.isnan([found.label_share, found.F, found.p]).all()
    assert reason in str(found.reason)


def test_labels_that_explain_everything():
    frame = rows(images=30, blocks=[8])
    found = label_spread.spread(frame.assign(percent_negative=frame["label"].astype(float)), "percent_negative")
    assert (found.label_share, found.F, found.p) == (1.0, np.inf, 0.0)
