"""Two groups of images over planted rows, against scipy's tests called by hand."""

import numpy as np
import pytest
from scipy import stats

from stiffcore.metrics.missing import undefined as undefined_because
from stiffcore.statistics import group_tests
from tests.made_up.rows import rows, undefined

P = "percent_negative"


def of_block(table, block):
    return table[table["block"] == block].iloc[0]


def test_labels_never_overlap():
    frame = rows(images=20)
    cat, rest = group_tests.of_label(frame, "cat", "all"), group_tests.of_label(frame, "all", "cat")
    assert set(cat["label"]) == {3}
    assert set(rest["label"]) == set(range(10)) - {3}
    assert len(group_tests.of_label(frame, "all", "all")) == len(frame)


def test_independent_groups_are_tested_by_welch_and_by_ranks():
    frame = rows(images=60, seed=1)
    frame.loc[frame["label"] == 5, P] += 0.4
    a, b = (group_tests.of_label(frame, label, "dog") for label in ("cat", "dog"))
    table = group_tests.by_block(a, b, P, [2, 8])
    x, y = (part.loc[part["block"] == 8, P] for part in (a, b))
    found, welch = of_block(table, 8), stats.ttest_ind(y, x, equal_var=False)
    assert found["difference"] == pytest.approx(y.mean() - x.mean())
    assert found[["p", "p_ranks"]].tolist() == pytest.approx([welch.pvalue, stats.mannwhitneyu(y, x).pvalue])
    assert found[["low", "high"]].tolist() == pytest.approx(list(welch.confidence_interval(0.95)))
    assert found["low"] < found["difference"] < found["high"]
    assert found[["n_a", "n_b", "median_a"]].tolist() == [6, 6, x.median()]
    assert np.isnan(found["n_pairs"])
    assert table["p_adjusted"].tolist() == pytest.approx(list(stats.false_discovery_control(table["p"])))


def test_the_same_images_under_two_networks_are_pairs():
    a, b = rows("resnet18", images=30), rows("resnet18-untrained", images=25, seed=2)
    b[P] = b[P] + 1
    b = undefined(b, (b["image"] == 4) & (b["block"] == 8), P)
    found = of_block(group_tests.by_block(a, b, P, [8], paired=True), 8)
    left = a[(a["block"] == 8) & (a["image"] < 25) & (a["image"] != 4)][P].to_numpy()
    right = b[(b["block"] == 8) & (b["image"] != 4)][P].to_numpy()
    assert (found["n_pairs"], found["n_a"], found["n_b"], found["n_undefined_b"]) == (24, 30, 24, 1)
    assert found["difference"] == pytest.approx((right - left).mean())
    assert found["p"] == pytest.approx(stats.ttest_rel(right, left).pvalue)
    assert found["p_ranks"] == pytest.approx(stats.wilcoxon(right - left).pvalue)


def test_too_few_values_no_spread_and_a_missing_block_say_why():
    frame = rows(images=20, blocks=[8], max_re=1.0)
    cat, dog = (group_tests.of_label(frame, label, "x") for label in ("cat", "dog"))
    few = of_block(group_tests.by_block(cat, dog, P, [8]), 8)
    assert few["reason"] == undefined_because("fewer than 3 values (2 and 2)")
    assert np.isnan(few["p"])
    assert few["difference"] == pytest.approx(dog[P].mean() - cat[P].mean())
    even, odd = frame[frame["image"] % 2 == 0], frame[frame["image"] % 2 == 1]
    assert "no spread" in str(of_block(group_tests.by_block(even, odd, "max_re", [8]), 8)["reason"])
    missing = of_block(group_tests.by_block(even, odd, P, [7]), 7)
    assert (missing["n_a"], missing["reason"]) == (0, undefined_because("fewer than 3 values (0 and 0)"))


def test_values_leave_out_what_is_undefined():
    frame = rows(images=4)
    frame = undefined(frame, (frame["image"] == 1) & (frame["block"] == 8))
    values = group_tests.values(frame, "stiffness_index", [7, 8])
    assert values.groupby("block").size().to_dict() == {7: 4, 8: 3}
    assert group_tests.values(frame.iloc[:0], P, [8]).empty


def test_a_mixture_of_networks_is_no_group():
    with pytest.raises(ValueError, match="one network"):
        group_tests.by_block(rows().assign(network=["resnet18", "resnet34"] * 80), rows(), P, [8])
