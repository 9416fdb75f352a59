"""p by permuting images against enumeration, scipy, and planted numbers."""

from itertools import permutations

import numpy as np
import pytest
from scipy import stats

from stiffcore.statistics import permutation


def enumerated(x, y):
    """Every order of the images, the correlation of all pairs by scipy each time."""
    observed = abs(stats.pearsonr(x.ravel(), y.ravel()).statistic)
    orders = [list(order) for order in permutations(range(len(x)))]
    return np.mean([abs(stats.pearsonr(x[o].ravel(), y.ravel()).statistic) >= observed - 1e-12 for o in orders])


def centred(x):
    return x - x.mean()


@pytest.mark.parametrize("blocks", [1, 3])
@pytest.mark.parametrize("seed", range(4))
def test_five_images_against_full_enumeration(seed, blocks):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(5, blocks)) + np.arange(blocks), np.repeat(rng.normal(size=(5, 1)), blocks, axis=1)
    exact = enumerated(x, y)
    assert permutation.p_value(centred(x), centred(y)) == pytest.approx(exact)
    random = permutation.p_value(centred(x), centred(y), times=119)  # one fewer than there are orders
    assert abs(random - exact) < 4 * np.sqrt(exact * (1 - exact) / 119) + 1 / 119


def test_one_block_is_scipys_permutation_test():
    x, e = np.random.default_rng(1).normal(size=(2, 40))
    y = 0.3 * x + e
    theirs = stats.permutation_test(
        (x,), lambda a: stats.pearsonr(a, y).statistic, permutation_type="pairings", n_resamples=10_000, rng=2
    ).pvalue
    ours = permutation.p_value(centred(x)[:, None], centred(y)[:, None])
    assert ours == pytest.approx(theirs, abs=0.006)


def test_blocks_of_an_image_stay_together():
    """Eight copies of one block say no more than one: the p from the pairs would be tiny."""
    x, e = np.random.default_rng(2).normal(size=(2, 30, 1))
    y = centred(0.4 * x + e)
    once = permutation.p_value(centred(x), y)
    eightfold = permutation.p_value(centred(x).repeat(8, axis=1), y.repeat(8, axis=1))
    assert eightfold == once > 100 * stats.pearsonr(x.repeat(8), y.repeat(8)).pvalue


def test_p_of_no_relation_is_uniform():
    rng = np.random.default_rng(3)
    found = [permutation.p_value(*map(centred, rng.normal(size=(2, 20, 2))), times=199) for _ in range(200)]
    assert stats.kstest(found, "uniform").pvalue > 0.01


def test_labels_are_kept():
    """Two labels that differ in both variables: no relation within them, an apparent one over all."""
    rng = np.random.default_rng(4)
    labels = np.repeat([0, 1], 20)
    x, y = (centred(rng.normal(size=(40, 1)) + 5 * labels[:, None]) for _ in range(2))
    assert permutation.p_value(x, y) == pytest.approx(1 / 10_001)
    assert permutation.p_value(x, y, labels) > 0.05
    few = np.array([0, 0, 1, 1])
    assert permutation.p_value(x[:4], y[:4], few) in (0.25, 0.5, 0.75, 1.0)  # of the four orders


def test_seeded():
    x, y = np.random.default_rng(5).normal(size=(2, 50, 2))
    first = permutation.p_value(x, y, times=500)
    assert first == permutation.p_value(x, y, times=500) != permutation.p_value(x, y, seed=1, times=500)
