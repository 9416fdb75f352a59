"""Partial correlations against regressions by numpy, a case worked out by hand, and a planted cause."""

import numpy as np
import pytest
from scipy import stats

from stiffcore.statistics.correlation import correlate
from stiffcore.statistics.partial import partial, pooled


def by_regression(x, y, numbers, labels):
    """The slow, direct way: two regressions on all columns, dummies included. Returns r and p."""
    dummies = [] if labels is None else [labels == label for label in np.unique(labels)[1:]]
    covariates = np.column_stack([np.ones(len(x)), *numbers, *dummies]).astype(float)
    left = [v - covariates @ np.linalg.lstsq(covariates, v, rcond=None)[0] for v in (x, y)]
    r = left[0] @ left[1] / np.sqrt((left[0] @ left[0]) * (left[1] @ left[1]))
    freedom = len(x) - 2 - (np.linalg.matrix_rank(covariates) - 1)
    return r, 2 * stats.t.sf(abs(r) * np.sqrt(freedom / (1 - r * r)), freedom)


def test_by_hand():
    """Of r_xy = 1/2, r_xz = 1/2, r_yz = 1/2: (1/2 − 1/4) / (1 − 1/4) = 1/3. With n = 4 there is one degree of freedom,
    t = (1/3) / √(8/9) = 1 / √8, and p = 1 − (2/π) arctan t."""
    corners = np.array([[1, 1, 1, 1], [1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]]) / 2.0
    x, y, z = np.linalg.cholesky(np.full((3, 3), 0.5) + 0.5 * np.eye(3)) @ corners[1:]
    found = partial(x, y, [z])
    assert found.r == pytest.approx(1 / 3)
    assert found.p == pytest.approx(1 - 2 / np.pi * np.arctan(1 / np.sqrt(8)))


@pytest.mark.parametrize("n", [20, 400])
@pytest.mark.parametrize("how_many", [0, 1, 3])
@pytest.mark.parametrize("labelled", [False, True])
def test_against_regressions(n, how_many, labelled):
    rng = np.random.default_rng(n + how_many)
    numbers = list(rng.normal(size=(how_many, n)) + 100)
    labels = rng.integers(4, size=n) if labelled else None
    x = rng.normal(size=n) + sum(numbers) + (0 if labels is None else 2 * labels)
    y = 0.4 * x + rng.normal(size=n)
    found = partial(x, y, numbers, labels)
    assert (found.r, found.p) == pytest.approx(by_regression(x, y, numbers, labels), rel=1e-9)
    assert found.low < found.r < found.high


def test_without_covariates_it_is_the_correlation():
    x, y = np.random.default_rng(0).normal(size=(2, 80))
    found, raw = partial(x, x + y), correlate(x, x + y)
    assert (found.r, found.p, found.low, found.high) == pytest.approx((raw.r, raw.p, raw.low, raw.high))


def test_resamples_repeat_both_regressions():
    """The interval against 300 regressions on drawn images, labels that are not drawn included."""
    rng = np.random.default_rng(5)
    x, y, z = rng.normal(size=(3, 25))
    labels = np.repeat(np.arange(9), 3)[:25]
    x, y = x + z, y + z + labels
    drawn = np.random.default_rng(7).integers(25, size=(300, 25))
    direct = [by_regression(x[d], y[d], [z[d]], labels[d])[0] for d in drawn]
    found = partial(x, y, [z], labels, seed=7, resamples=300)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(direct, (0.025, 0.975))), abs=1e-6)


def test_a_planted_common_cause_is_taken_away_and_a_planted_link_stays():
    rng = np.random.default_rng(1)
    labels = rng.integers(10, size=500)
    cause, a, b = np.linalg.qr(np.column_stack([labels[:, None] == range(10), rng.normal(size=(500, 3))]))[0].T[10:]
    x, y = 3 * cause + labels / 50 + a, 3 * cause + labels / 50 + b
    assert correlate(x, y).r > 0.9
    apart = partial(x, y, [cause], labels)
    assert apart.r == pytest.approx(0, abs=1e-12)
    assert apart.low < 0 < apart.high
    linked = partial(x, y - b + 0.8 * b + 0.6 * a, [cause], labels)
    assert linked.r == pytest.approx(0.6)
    assert 0.5 < linked.low < 0.6 < linked.high < 0.7


def test_interval_covers_the_truth_and_is_seeded():
    rng, covered = np.random.default_rng(2), 0
    labels = np.arange(100) % 10
    for _ in range(200):
        x, e, z = rng.normal(size=(3, 100))
        found = partial(x + z, 0.6 * x + 0.8 * e - z, [z], labels, resamples=300)
        covered += found.low <= 0.6 <= found.high
    assert 176 <= covered <= 199  # 95 % of 200 is 190, three standard deviations are 9; percentile intervals are narrow
    again = partial(x + z, e, [z], labels, resamples=300)
    assert again == partial(x + z, e, [z], labels, resamples=300)
    assert again.low != partial(x + z, e, [z], labels, seed=1, resamples=300).low


def test_a_redundant_covariate_costs_no_degree_of_freedom():
    x, y, z = np.random.default_rng(3).normal(size=(3, 30))
    alone = partial(x, y, [z])
    for more in (np.full(30, 0.3), 2 * z + 1):
        found = partial(x, y, [z, more])
        assert (found.r, found.p) == pytest.approx((alone.r, alone.p))


@pytest.mark.parametrize(
    ("x", "y", "numbers", "labels", "reason"),
    [
        ([1, 2, 3], [3, 1, 2], [[1, 2, 4]], None, "too few images for so many covariates (3)"),
        ([1, 2, 3, 5], [3, 1, 2, 2], [], [0, 1, 2, 3], "too few images"),
        ([], [], [], None, "too few images"),
        ([1, 2, 3, 4, 5], [3, 1, 2, 2, 0], [[2, 4, 6, 8, 10]], None, "the stiffness does not vary"),
        ([1, 2, 3, 5, 5, 1], [0, 0, 1, 1, 1, 0], [], [0, 0, 1, 1, 1, 0], "the outcome does not vary"),
        ([np.nan, 2, 3, 7], [3, 1, 2, 2], [[1, np.inf, 4, 0]], None, "2; 2 are undefined or not computed"),
    ],
)
def test_undefined_is_nan_with_a_reason(x, y, numbers, labels, reason):
    found = partial(x, y, numbers, labels)
    assert np.isnan([found.r, found.p, found.low, found.high]).all()
    assert reason in str(found.reason)


def test_images_without_a_covariate_are_left_out_and_counted():
    x, y, z = np.random.default_rng(4).normal(size=(3, 30))
    whole = partial(x[3:], y[3:], [z[3:]])
    x[0], y[1], z[2] = np.nan, np.inf, np.nan
    found = partial(x, y, [z])
    assert (found.r, found.n, found.n_left_out) == (pytest.approx(whole.r), 27, 3)


def test_variables_of_other_shapes_are_refused():
    with pytest.raises(ValueError, match="one shape"):
        partial(np.ones(3), np.ones(4))
    with pytest.raises(ValueError, match="a label for each of 3 images"):
        partial(np.ones(3), np.ones(3), labels=np.ones(2))


def blocks_of_images(images=60, seed=8):
    """x, y, z of shape (images, 3) and labels; y is the image's, as a loss is."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(images, 3)) * [1, 2, 3] + [10, 20, 30]
    y = np.repeat(rng.normal(size=(images, 1)) + z.sum(axis=1, keepdims=True) / 3, 3, axis=1)
    x = z * [1, -2, 0.5] + rng.normal(size=(images, 3)) + 0.4 * y
    return x, y, z, np.arange(images) % 5


def test_pooled_is_the_correlation_of_each_blocks_residuals():
    x, y, z, labels = blocks_of_images()
    e_x, e_y = np.empty_like(x), np.empty_like(y)
    for block in range(3):
        design = np.column_stack([labels[:, None] == range(5), z[:, block]]).astype(float)
        for left, v in ((e_x, x), (e_y, y)):
            left[:, block] = v[:, block] - design @ np.linalg.lstsq(design, v[:, block], rcond=None)[0]
    found = pooled(x, y, [z], labels)
    assert found.r == pytest.approx(np.corrcoef(e_x.ravel(), e_y.ravel())[0, 1])
    assert found.low < found.r < found.high
    assert found.p < 0.01
    assert pooled(x, y, [z], labels, permutations=0, resamples=0).r == found.r


def test_pooled_over_one_block_is_the_partial_correlation():
    x, y, z, labels = (v[:, :1] if v.ndim > 1 else v for v in blocks_of_images())
    one, alone = pooled(x, y, [z], labels), partial(x[:, 0], y[:, 0], [z[:, 0]], labels)
    assert (one.r, one.low, one.high, one.n) == pytest.approx((alone.r, alone.low, alone.high, alone.n))
    assert one.p == pytest.approx(alone.p, abs=0.02)


def test_pooled_p_is_uniform_where_the_covariates_explain_all():
    """The outcome goes with the covariate, and so does the stiffness: alone they correlate, given it they do not."""
    found = []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        z = rng.normal(size=(40, 2))
        y = np.repeat(z.sum(axis=1, keepdims=True) + rng.normal(size=(40, 1)), 2, axis=1)
        found.append(pooled(z + rng.normal(size=(40, 2)), y, [z], np.arange(40) % 4, resamples=0, permutations=199).p)
    assert stats.kstest(found, "uniform").pvalue > 0.01


def test_pooled_leaves_out_images_without_a_value_or_a_label():
    x, y, z, labels = blocks_of_images()
    whole = pooled(x[2:], y[2:], [z[2:]], labels[2:], permutations=0)
    x[0, 2], labels = np.nan, labels.astype(object)
    labels[1] = None
    found = pooled(x, y, [z], labels, permutations=0)
    assert (found.r, found.n, found.n_left_out) == (pytest.approx(whole.r), 58, 2)
    assert "fewer" not in str(found.reason)
    assert "outcome does not vary" in str(pooled(x, np.ones_like(y), [z], labels).reason)
