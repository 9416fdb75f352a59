"""Rows of the cache: current results only, each once, and only what is new is read."""

from dataclasses import replace

import pytest

from stiffcore.analysis import compute
from stiffcore.conventions import Convention
from stiffcore.images import cifar10, registry as images
from stiffcore.metrics.missing import not_computed
from stiffcore.networks import manifest, registry as networks
from stiffcore.statistics import row_values
from stiffcore.storage import cache as result_cache
from stiffcore.sweeps.stored_rows import StoredRows
from tests.made_up.asked import asked
from tests.made_up.spectra import made_up, store

REQUESTS = [asked("resnet18", cifar10.bundled()[at], block, "branch") for at in (0, 1) for block in (6, 8)]


def of(stored, network, convention):
    """Its rows at the images that ship."""
    return stored.rows(networks.find(network), Convention(convention), images.bundled())


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path))


def test_rows_of_one_network_and_convention():
    store(*REQUESTS, asked("resnet18", 0, 8, "slices"), asked("resnet34", 0, 8, "branch"))
    found = of(StoredRows(), "resnet18", Convention.BRANCH)
    assert found[["image", "block"]].to_numpy().tolist() == [[r.image.number, r.block] for r in REQUESTS]
    assert found["percent_negative"].eq(12.5).all()
    assert of(StoredRows(), "resnet50", Convention.BLOCK).empty


def test_the_richest_quantity_stands_for_an_image_and_block():
    poor = replace(REQUESTS[0], quantity="extremes")
    result = made_up(poor)
    reasons = result.reasons | {"percent_negative": not_computed("needs the full spectrum")}
    metrics, made = result.metrics | {"percent_negative": float("nan")}, result.made | {"quantity": "extremes"}
    header = replace(result, reasons=reasons, metrics=metrics, made=made).header()
    result_cache.default().put(poor.key, header, {})
    assert of(StoredRows(), "resnet18", Convention.BRANCH)["quantity"].tolist() == ["extremes"]
    store(REQUESTS[0])
    assert of(StoredRows(), "resnet18", Convention.BRANCH)["quantity"].tolist() == ["counts"]


def test_only_what_is_new_is_read_and_what_is_gone_is_dropped(monkeypatch):
    store(*REQUESTS[:2])
    rows, read, get = StoredRows(), [], result_cache.default().get
    monkeypatch.setattr(result_cache.default(), "get", lambda key: read.append(key) or get(key))
    assert len(of(rows, "resnet18", Convention.BRANCH)) == 2
    read.clear()
    store(REQUESTS[2])
    assert len(of(rows, "resnet18", Convention.BRANCH)) == 3
    assert set(read) == {REQUESTS[2].key}
    result_cache.default().clear()
    assert of(rows, "resnet18", Convention.BRANCH).empty


def test_results_of_other_weights_and_foreign_entries_have_no_row(monkeypatch):
    store(REQUESTS[0])
    result_cache.default().put("0" * 64, {"something": "else"}, {})
    entry = manifest.entry("resnet18")
    other = manifest.Entry("resnet18", "1" * 64, None, 0.0, {}, entry.predicted, entry.loss)
    monkeypatch.setattr(manifest, "entry", lambda network: other)
    assert of(StoredRows(), "resnet18", Convention.BRANCH).empty


def test_a_result_of_level_norms_has_a_row_with_s_alone():
    """From the computation to the table, at a block that is square and one that is not."""
    requests = [asked("resnet18", cifar10.bundled()[0], block, "branch", "norms") for block in (7, 8)]
    seventh, eighth = compute.compute_many(requests, again=True)
    found = of(StoredRows(), "resnet18", Convention.BRANCH).set_index("block")
    assert found["quantity"].tolist() == ["norms", "norms"]
    assert found.loc[8, "stiffness_indicator"] == eighth.metrics["stiffness_indicator"] < 0
    assert found["norm_branch"].tolist() == [result.metrics["norm_branch"] for result in (seventh, eighth)]
    rows = found.reset_index()
    assert str(row_values.main_reason(rows, "percent_negative")).startswith("undefined: not square")
    of_8 = rows[rows["block"] == 8]
    assert str(row_values.main_reason(of_8, "percent_negative")).endswith("(level extremes)")
    assert (
        str(row_values.main_reason(rows[rows["block"] == 7], "stiffness_indicator"))
        == "undefined: not square (2048 × 4096)"
    )
    assert row_values.main_reason(rows, "norm_branch") is None
