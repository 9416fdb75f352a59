"""Differences and distances of two results, against scipy and against pairings of every single eigenvalue."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import linear_sum_assignment

from stiffcore.analysis import distances as spectral_distances
from stiffcore.analysis.results import Result
from stiffcore.metrics.facts import NOTHING_NEGATIVE
from stiffcore.metrics.missing import Status
from tests.made_up.asked import asked

REQUEST = asked("resnet18", 0, 8, "branch", "spectrum")


def result(eigenvalues=(), zeros=0, ones=0, metrics=None, reasons=None, **arrays) -> Result:
    arrays = arrays or {"eigenvalues": np.asarray(eigenvalues, complex)}
    counts = {"n_zero": zeros, "n_one": ones}
    return Result(REQUEST, counts | (metrics or {}), reasons or {}, arrays, {}, {"complete": True})


def cloud(seed: int, count: int, zeros=0, ones=0) -> Result:
    random = np.random.default_rng(seed)
    return result(random.normal(size=count) + 1j * random.normal(size=count), zeros, ones)


def everything(of: Result) -> np.ndarray:
    return np.concatenate([of.arrays["eigenvalues"], np.zeros(of.metrics["n_zero"]), np.ones(of.metrics["n_one"])])


def test_differences_are_b_minus_a_and_words_where_there_is_none():
    a = result(metrics={"max_re": 1.5, "stiffness_index": math.nan, "largest_stable_step": math.inf},
               reasons={"stiffness_index": NOTHING_NEGATIVE})  # fmt: skip
    b = result(
        metrics={"max_re": 1.0, "stiffness_index": -2.0, "largest_stable_step": math.inf, "condition_number": 3.0}
    )
    table = spectral_distances.differences(a, b).set_index("metric")
    assert table.loc["max_re", ["a", "b", "difference"]].tolist() == [1.5, 1.0, -0.5]
    assert math.isnan(table.loc["stiffness_index", "difference"])
    assert table.loc["stiffness_index", ["why_a", "why_b", "why"]].tolist() == [
        NOTHING_NEGATIVE,
        None,
        NOTHING_NEGATIVE,
    ]
    assert table.loc["condition_number", "why_a"] == spectral_distances.NO_METRIC
    assert str(table.loc["largest_stable_step", "why"]) == "undefined: infinite on both sides"
    swapped = spectral_distances.differences(b, a, ["max_re"])
    assert swapped["difference"].tolist() == [0.5]


@pytest.mark.parametrize("seed", range(5))
def test_wasserstein_is_scipys(seed):
    random = np.random.default_rng(seed)
    a, b = ((random.normal(size=n).round(1), random.integers(0, 5, n) + 0.5) for n in (30, 50))
    theirs = stats.wasserstein_distance(a[0], b[0], a[1], b[1])
    assert spectral_distances.wasserstein(a, b) == pytest.approx(theirs, rel=1e-12)


@pytest.mark.parametrize(
    ("first", "second"), [((20, 7, 0), (15, 10, 2)), ((9, 0, 4), (9, 4, 0)), ((1, 30, 0), (31, 0, 0))]
)
def test_leaving_out_what_both_have_changes_no_distance(first, second):
    a, b = cloud(1, *first), cloud(2, *second)
    cost = np.abs(everything(a)[:, None] - everything(b)[None])
    whole = cost[linear_sum_assignment(cost)].mean()
    found = spectral_distances.distances(a, b)
    assert found["plane"].value == pytest.approx(whole, rel=1e-12)
    theirs = stats.wasserstein_distance(everything(a).real, everything(b).real)
    assert found["real_parts"].value == pytest.approx(theirs, rel=1e-12)
    assert found["real_parts"].value <= found["plane"].value * (1 + 1e-12)


def test_the_pairing_is_the_cheapest_of_all():
    a, b = cloud(3, 6), cloud(4, 6)
    x, y = everything(a), everything(b)
    best = min(np.abs(x - y[list(order)]).mean() for order in itertools.permutations(range(6)))
    assert spectral_distances.in_the_plane(a, b).value == pytest.approx(best, rel=1e-12)


def test_a_shift_is_its_own_distance_and_a_spectrum_has_none_from_itself():
    a = cloud(5, 40)
    moved = result(a.arrays["eigenvalues"] + 0.25)
    turned = result(a.arrays["eigenvalues"].conj() + 0.25j)
    assert spectral_distances.distances(a, moved)["real_parts"].value == pytest.approx(0.25)
    assert spectral_distances.distances(a, moved)["plane"].value == pytest.approx(0.25)
    assert spectral_distances.distances(a, turned)["real_parts"].value == pytest.approx(0, abs=1e-12)
    assert [distance.value for distance in spectral_distances.distances(a, a).values()] == [0, 0]


def test_slices_are_as_exact_as_their_bins():
    random = np.random.default_rng(6)
    values = random.normal(size=5000)
    edges = np.linspace(-5, 5, 202)  # 0 is the middle of a bin
    density = np.histogram2d(np.zeros(5000), values, bins=([-1, 1], edges))[0].astype(np.int64)
    density[0, 100] += 3000  # structural zeros, in the bin of 0
    slices = result(zeros=3000, density=density, re_edges=edges, im_edges=np.array([-1.0, 1.0]))
    other = cloud(7, 50, zeros=20)
    exact = stats.wasserstein_distance(np.append(values, np.zeros(3000)), everything(other).real)
    found = spectral_distances.distances(slices, other)
    assert found["real_parts"].value == pytest.approx(exact, abs=np.diff(edges)[0] / 2)
    assert str(found["plane"].reason).startswith("not computed: the eigenvalues of slices are stored as a density")


def test_singular_values_against_singular_values_only():
    a, b = result(zeros=1, singular_values=np.array([3.0, 2.0])), result(singular_values=np.array([4.0, 2.0, 0.0]))
    assert spectral_distances.distances(a, b)["singular_values"].value == pytest.approx(1 / 3)
    mixed = spectral_distances.distances(a, cloud(1, 3))
    assert all(math.isnan(d.value) and "not square" in str(d.reason) for d in mixed.values())
    a.made["complete"] = False
    assert spectral_distances.distances(a, b)["singular_values"].reason.status is Status.NOT_COMPUTED


def test_what_cannot_be_paired_says_why(monkeypatch):
    assert "3 and 4 eigenvalues cannot be paired" in str(
        spectral_distances.in_the_plane(cloud(1, 3), cloud(2, 4)).reason
    )
    monkeypatch.setattr(spectral_distances, "LARGEST_PAIRED", 2)
    assert str(spectral_distances.in_the_plane(cloud(1, 3), cloud(2, 3)).reason).startswith("not computed: 3 pairs")
    assert spectral_distances.in_the_plane(cloud(1, 0, zeros=9), cloud(2, 0, zeros=9)).value == 0
