"""Correlations against scipy.stats and values worked out by hand."""

import numpy as np
import pytest
from scipy import stats

from stiffcore.conventions import Convention
from stiffcore.networks import registry as networks
from stiffcore.statistics import correlation
from stiffcore.statistics.correlation import adjusted, correlate
from stiffcore.statistics.partial import partial
from stiffcore.sweeps import shipping
from tests.made_up.rows import rows, undefined


def test_by_hand():
    """x = 1, 2, 3 and y = 1, 3, 2: r = 1 / 2, and so is rho; p from t = r sqrt(1 / (1 − r²)) at one degree: 2 / 3."""
    found = correlate([1, 2, 3], [1, 3, 2])
    assert found.r == pytest.approx(0.5)
    assert found.spearman == pytest.approx(0.5)
    assert found.p == pytest.approx(2 / 3)


@pytest.mark.parametrize("n", [3, 10, 400])
@pytest.mark.parametrize("planted", [0.0, 0.6, -0.95])
def test_against_scipy(n, planted):
    x, e = np.random.default_rng(n).normal(size=(2, n))
    y = planted * x + np.sqrt(1 - planted**2) * e
    found, pearson, spearman = correlate(x, y), stats.pearsonr(x, y), stats.spearmanr(x, y)
    assert (found.r, found.p) == (pytest.approx(pearson.statistic), pytest.approx(pearson.pvalue))
    assert (found.spearman, found.spearman_p) == (pytest.approx(spearman.statistic), pytest.approx(spearman.pvalue))
    assert found.n == n


def test_interval_is_scipys_percentile_bootstrap():
    x, e = np.random.default_rng(1).normal(size=(2, 150))
    y = x + 2 * e
    found = correlate(x, y, resamples=20_000)
    theirs = stats.bootstrap(
        (x, y),
        lambda a, b, axis: stats.pearsonr(a, b, axis=axis).statistic,
        paired=True,
        n_resamples=20_000,
        method="percentile",
        rng=3,
    ).confidence_interval
    assert (found.low, found.high) == (pytest.approx(theirs.low, abs=0.01), pytest.approx(theirs.high, abs=0.01))


def test_interval_is_seeded_and_covers_the_truth():
    rng, covered = np.random.default_rng(2), 0
    for _ in range(200):
        x, e = rng.normal(size=(2, 100))
        found = correlate(x, 0.6 * x + 0.8 * e, resamples=300)
        covered += found.low <= 0.6 <= found.high
    assert 180 <= covered <= 199  # 95 % of 200 is 190, three standard deviations are 9
    assert correlate(x, e) == correlate(x, e)
    assert correlate(x, e).low != correlate(x, e, seed=1).low


def test_repeated_pairs_of_one_image_do_not_narrow_the_interval():
    x, e = np.random.default_rng(3).normal(size=(2, 60))
    once = correlate(x, x + e)
    eightfold = correlate(np.repeat(x, 8), np.repeat(x + e, 8), groups=np.repeat(np.arange(60), 8))
    assert (eightfold.low, eightfold.high) == (pytest.approx(once.low), pytest.approx(once.high))


@pytest.mark.parametrize(
    ("x", "y", "reason"),
    [
        ([1, 2], [3, 4], "fewer than three"),
        ([], [], "fewer than three"),
        ([1, 1, 1, 1], [1, 2, 3, 4], "stiffness is the same"),
        ([1, 2, 3, 4], [1, 1, 1, 1], "outcome is the same"),
        ([0.1 + 0.2, 0.3, 0.3, 0.3], [1, 2, 3, 4], "stiffness is the same"),  # apart by rounding only
        ([np.nan, 2, 3, np.inf], [1, 2, 3, 4], "2 are undefined or not computed"),
    ],
)
def test_undefined_is_nan_with_a_reason(x, y, reason):
    found = correlate(x, y)
    assert np.isnan([found.r, found.p, found.low, found.high, found.spearman, found.spearman_p]).all()
    assert reason in str(found.reason)


def test_r_and_p_alone_are_the_same():
    x, y = np.random.default_rng(5).normal(size=(2, 50))
    whole, fast = correlate(x, y), correlate(x, y, resamples=0)
    assert (fast.r, fast.p, fast.n) == (whole.r, whole.p, whole.n)
    assert np.isnan([fast.low, fast.spearman]).all()


def test_undefined_pairs_are_left_out_and_counted():
    x, y = np.random.default_rng(4).normal(size=(2, 30))
    whole = correlate(x[2:], y[2:])
    x[0], y[1] = np.nan, np.inf
    found = correlate(x, y)
    assert (found.r, found.n, found.n_left_out) == (whole.r, 28, 2)


def test_one_wrong_image_of_twenty_has_r_but_no_interval():
    found = correlate(np.arange(20.0), [0] + [1] * 19)
    assert np.isfinite(found.r)
    assert np.isnan([found.low, found.high]).all()


def test_adjusted_p_by_hand():
    """p = 0.01, 0.02, 0.03, 0.5 of four tests: 0.04, 0.04, 0.04, 0.5."""
    assert adjusted([0.5, 0.01, np.nan, 0.03, 0.02]) == pytest.approx([0.5, 0.04, np.nan, 0.04, 0.04], nan_ok=True)
    assert np.isnan(adjusted([np.nan])).all()


def test_table_has_the_papers_cells_and_pools_all_pairs():
    frame = rows(images=30, blocks=[1, 6, 8])
    frame["percent_negative"] = frame["block"] + np.where(frame["block"] == 8, 5 * frame["loss"], 0)
    table = correlation.table(frame).set_index(["measure", "outcome", "block"]).sort_index()
    assert len(table) == len(correlation.correlated()) * 2 * 4
    assert table.loc["percent_negative", "loss", 8]["r"] == pytest.approx(1)
    assert "same at every image" in str(table.loc["percent_negative", "loss", 1]["reason"])
    pooled = table.loc["stiffness_index", "accuracy", "all"]
    assert pooled["n"] == 90
    assert pooled["r"] == pytest.approx(stats.pearsonr(frame["stiffness_index"], frame["correct"]).statistic)
    family = table.loc["stiffness_index"]
    of_blocks = family[family.index.get_level_values("block") != "all"]
    for p, adjusted_p in (("p", "p_adjusted"), ("partial_p", "partial_p_adjusted")):
        tests = of_blocks[of_blocks[p].notna()]
        assert len(tests) >= 3
        assert tests[adjusted_p].to_numpy() == pytest.approx(stats.false_discovery_control(tests[p]))
    assert (
        family.loc[family.index.get_level_values("block") == "all", ["p_adjusted", "partial_p_adjusted"]]
        .isna()
        .all(axis=None)
    )
    assert table.loc["absolute_stiffness_index", "loss", 8]["r"] == pytest.approx(
        -table.loc["stiffness_index", "loss", 8]["r"]
    )
    assert bool(table.loc["percent_negative", "loss", 8]["significant"])


def test_all_is_not_composition():
    """Images with block 8 alone have lower S and are mostly wrong: without the pool that is a correlation of its own."""
    frame = rows(images=60, blocks=[6, 8])
    frame["stiffness_index"] = np.where(frame["block"] == 8, -14.0, -6.0) + np.random.default_rng(0).normal(size=120)
    frame["correct"] = (frame["image"] < 20) | (frame["image"] % 4 == 0)
    frame = frame[(frame["block"] == 8) | (frame["image"] < 24)]
    naive = correlate(frame["stiffness_index"], frame["correct"])
    assert naive.p < 0.01
    cell = correlation.table(frame, ["stiffness_index"]).query("block == 'all' and outcome == 'accuracy'").iloc[0]
    kept = frame[frame["image"] < 24]
    assert cell["r"] == pytest.approx(stats.pearsonr(kept["stiffness_index"], kept["correct"]).statistic)
    assert (cell["n"], cell["n_left_out"], cell["n_images"]) == (48, 36, 24)
    assert (cell["n_blocks"], cell["of_blocks"]) == (2, 8)
    averages = kept.groupby("image")[["stiffness_index", "correct"]].mean()
    assert cell["p"] == pytest.approx(stats.pearsonr(*averages.to_numpy(float).T).pvalue, abs=0.02)
    assert cell["p"] > 5 * naive.p


def test_two_images_of_eight_blocks_are_two_images():
    x, e = np.random.default_rng(6).normal(size=(2, 16))
    found = correlate(x, e, groups=np.repeat([1, 2], 8))
    assert np.isnan(found.r)
    assert "fewer than three images (2" in str(found.reason)


def test_table_counts_what_is_undefined():
    frame = rows(images=10, blocks=[7, 8])
    frame = undefined(frame, (frame.block == 8) & (frame.image < 9))
    cell = correlation.table(frame, ["stiffness_index"]).query("block == 8 and outcome == 'loss'").iloc[0]
    assert (cell["n"], cell["n_left_out"]) == (1, 9)
    assert "fewer than three" in str(cell["reason"])


def test_pooled_p_is_that_of_the_images_not_of_the_pairs():
    """On the rows that ship: eight pairs of one image are one observation. The outcome is the image's, so that r of the
    images' averages asks the same."""
    frame = shipping.rows(networks.find("resnet18"), Convention.SLICES)
    averages = frame.groupby("image")[["stiffness_index", "loss"]].mean()
    found = correlation.pooled(frame, "stiffness_index", "loss")
    images, pairs = stats.pearsonr(*averages.to_numpy().T), stats.pearsonr(frame["stiffness_index"], frame["loss"])
    assert found.r == pytest.approx(pairs.statistic)
    assert found.p == pytest.approx(images.pvalue, abs=0.005)
    assert found.p < pairs.pvalue / 10


def test_given_is_the_partial_correlation_in_the_table():
    """P is planted to be the live fraction's, and the loss to be so, too: raw they correlate, given it they do not."""
    frame, rng = rows(images=80, blocks=[2, 8]), np.random.default_rng(0)
    frame["live_fraction"] = 0.2 + 0.1 * frame["loss"] + 0.02 * rng.normal(size=160)
    frame["percent_negative"] = 40 * frame["live_fraction"] + 0.2 * rng.normal(size=160)
    table = correlation.table(frame, ["percent_negative"]).set_index(["block", "outcome"])
    for block in (8, "all"):
        cell = table.loc[(block, "loss")]
        assert cell["r"] > 0.8
        assert cell["p"] < 0.001
        assert abs(cell["partial_r"]) < 0.25
        assert cell["partial_p"] > 0.05
        assert cell["partial_low"] < 0 < cell["partial_high"]
    last = frame[frame["block"] == 8]
    direct = partial(last["percent_negative"], last["loss"], [last["live_fraction"]], last["label"])
    assert table.loc[(8, "loss")]["partial_r"] == direct.r
    assert "outcome does not vary" in str(table.loc[(8, "accuracy")]["partial_reason"])  # right or wrong by label
