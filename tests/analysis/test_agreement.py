"""Results computed again: what counts as equal, and what is reported otherwise."""

from dataclasses import replace

import numpy as np
import pytest

from stiffcore.analysis import agreement, compute as analysis
from stiffcore.analysis.results import Result
from stiffcore.errors import Cancelled
from stiffcore.storage import cache as result_cache, shipped as shipped_results
from tests.made_up.asked import asked
from tests.made_up.spectra import made_up

VALUES = np.array([-1.0, 0.25 + 0.5j, 0.25 - 0.5j, 1e-9])


def result(values=VALUES, tolerance=1e-12, image=0, **metrics) -> Result:
    numbers = {
        "min_re": float(values.real.min()), "max_re": float(values.real.max()), "n_eigenvalues": 104, "n_zero": 100,
        "n_negative": 1, "n_undetermined": 0, "percent_negative": 100 / 104, "stiffness_ratio": np.nan,
    }  # fmt: skip
    request = asked("resnet18", image, 8, "branch", "spectrum")
    return Result(request, numbers | metrics, {}, {"eigenvalues": values}, {"tolerance": tolerance}, {})


def test_equal_numbers_agree_and_nothing_moved():
    found = agreement.of(result(), result())
    assert found.agrees
    assert (
        agreement.in_words([found]) == "Computed again: the new result agrees with the stored one; no number changed."
    )


def test_another_order_and_rounding_agree():
    moved = (VALUES + np.array([3e-13, 1e-13j, -1e-13j, 0]))[[2, 0, 3, 1]]
    found = agreement.of(result(), result(moved))
    assert found.agrees
    assert found.moved == pytest.approx(3e-13, rel=1e-3)
    words = agreement.in_words([found, agreement.of(result(image=1), result(image=1))])
    assert words == "Computed again: all 2 new results agree with the stored ones; no number of a spectrum changed by more than 3e-13."  # fmt: skip


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (
            result(VALUES + np.array([1e-6, 0, 0, 0])),
            "an eigenvalue changed by 1e-06, but rounding explains only 1e-12",
        ),
        (result(VALUES[:3]), "eigenvalues were 4, are 3"),
        (result(n_zero=99), "n_zero was 100, is 99"),
        (result(n_negative=2), "n_negative was 1, is 2"),
        (result(percent_negative=1.5), "percent_negative was 0.961538, is 1.5"),
        (result(stiffness_ratio=3.0), "stiffness_ratio was nan, is 3"),
    ],
)
def test_what_differs_is_named(other, said):
    found = agreement.of(result(), other)
    assert not found.agrees
    assert said in found.differing
    words = agreement.in_words([found, agreement.of(result(), result())])
    assert words.startswith("Computed again: 1 of 2 do not agree with the stored results. block 8 at image 0: ")


def test_signs_that_rounding_decides_may_change():
    changed = {"n_negative": 2, "n_undetermined": 1, "percent_negative": 200 / 104}
    assert agreement.of(result(), result(**changed)).agrees
    assert not agreement.of(result(), result(**changed | {"n_negative": 3})).agrees


def test_densities_and_singular_values():
    counts = np.arange(12).reshape(3, 4)
    old = replace(result(), arrays={"density": counts, "re_edges": np.arange(5.0)})
    assert agreement.of(old, old).agrees
    new = replace(old, arrays={"density": counts + (counts == 3), "re_edges": np.arange(5.0)})
    assert agreement.of(old, new).differing == ("bins of the density with other counts: 1",)
    old = replace(result(), arrays={"singular_values": np.array([3.0, 1.0])})
    new = replace(result(), arrays={"singular_values": np.array([3.0, 1.0 + 1e-6])})
    assert not agreement.of(old, new).agrees
    assert agreement.of(old, replace(old, arrays={"singular_values": np.array([3.0, 1.0 + 1e-10])})).agrees


# Through the cache


def test_again_replaces_what_is_stored_and_goes_before_what_ships(monkeypatch, tmp_path):
    request = asked("resnet18", 17, 8, "branch", "spectrum")
    cache = result_cache.ResultCache(tmp_path / "cache")
    monkeypatch.setattr(result_cache, "default", lambda: cache)
    planted = made_up(request)
    entry = result_cache.Entry(planted.header(), planted.arrays)
    shipped_results.write_shipped(tmp_path / "spectra-x.parquet", [(request.key, entry)])
    ships = shipped_results.ShippedResults(tmp_path)
    monkeypatch.setattr(result_cache, "shipped", lambda: ships)
    assert analysis.stored(request).metrics["max_re"] == 0.25

    def stop(done, total, what):
        raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        list(analysis.compute_many([request], stop, again=True))
    assert analysis.stored(request).metrics["max_re"] == 0.25, "nothing is lost"
    fresh = replace(planted, metrics=planted.metrics | {"max_re": 0.75})
    monkeypatch.setattr(analysis, "_states", lambda *_: {8: None})
    monkeypatch.setattr(analysis, "_anywhere", lambda request, shared, stage: fresh)
    assert [r.metrics["max_re"] for r in analysis.compute_many([request])] == [0.25], "not asked for again"
    assert [r.stored for r in analysis.compute_many([request], again=True)] == [False]
    assert analysis.stored(request).metrics["max_re"] == 0.75
    assert ships.get(request.key).header["metrics"]["max_re"] == 0.25, "what ships is as it was"
    result_cache.default().clear()
    assert analysis.stored(request).metrics["max_re"] == 0.25
