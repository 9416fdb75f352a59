"""Residuals within groups against numpy's least squares; P beyond geometry has nothing left of its baseline."""

import numpy as np
import pandas as pd
import pytest

from stiffcore.conventions import Convention
from stiffcore.metrics import within
from stiffcore.networks import registry as networks
from stiffcore.statistics import tables
from stiffcore.statistics.row_values import column, filled
from stiffcore.sweeps import shipping
from tests.made_up.rows import rows

BEYOND = "percent_negative_beyond_geometry"


def test_against_least_squares_in_each_group():
    rng = np.random.default_rng(0)
    x, groups = pd.Series(rng.normal(size=60) + 50), pd.Series(np.arange(60) % 3)
    y = x * groups + rng.normal(size=60)
    y[5], x[7] = np.nan, np.inf
    found = within.residual(y, x, groups)
    assert list(found.index[found.isna()]) == [5, 7]
    for group in range(3):
        kept = (groups == group) & found.notna()
        line = np.polyval(np.polyfit(x[kept] - 50, y[kept], 1), x[kept] - 50)
        assert found[kept].to_numpy() == pytest.approx((y[kept] - line).to_numpy(), abs=1e-9)


@pytest.mark.parametrize("slope", [0.1, 3.0])
def test_what_a_line_explains_is_zero_and_not_rounding(slope):
    x, groups = pd.Series(np.random.default_rng(1).random(40)), pd.Series(np.repeat([1, 2], 20))
    assert (within.residual(slope * x + 0.3 * groups, x, groups) == 0).all()


def test_a_constant_baseline_leaves_what_differs_from_the_mean():
    y = pd.Series([1.0, 2.0, 6.0])
    found = within.residual(y, pd.Series([0.1 + 0.2, 0.3, 0.3]), pd.Series([8, 8, 8]))
    assert found.tolist() == pytest.approx([-2, -1, 3])


@pytest.mark.parametrize("network", ["resnet18", "resnet34"])
def test_p_beyond_geometry_does_not_correlate_with_its_baseline(network):
    """On the rows that ship, where P and its baseline go together almost completely; a difference of the two does."""
    frame = shipping.rows(networks.find(network), Convention.SLICES)
    left, r_of_difference = column(frame, BEYOND), []
    for _, part in frame.groupby("block"):
        baseline = part["expected_percent_negative"]
        assert abs(np.corrcoef(left[part.index], baseline)[0, 1]) < 1e-9
        r_of_difference.append(np.corrcoef(part["percent_negative"] - baseline, baseline)[0, 1])
    assert min(r_of_difference) < -0.4


def test_tables_by_label_take_the_residuals_of_whole_blocks():
    frame = rows(images=40, blocks=[2, 8])
    frame["expected_percent_negative"] = np.random.default_rng(2).random(80)
    frame["percent_negative"] = 5 * frame["expected_percent_negative"] + frame["label"]
    by_label = tables.by_label(frame, [BEYOND]).set_index("label")["mean"]
    assert by_label.to_numpy() == pytest.approx(np.arange(10) - 4.5, abs=1.0)
    assert filled(frame, [BEYOND])[BEYOND].groupby(frame["label"]).mean().to_numpy() == pytest.approx(by_label)
