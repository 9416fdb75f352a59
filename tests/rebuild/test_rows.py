"""Rows and spectra as targets, on made-up results of one block at a few images: reasons, put away, made, resumed."""

import json

import pandas as pd
import pytest

from stiffcore.analysis import compute as analysis
from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.images import registry as images
from stiffcore.networks import registry as networks
from stiffcore.rebuild import rows as targets, seconds
from stiffcore.rebuild.rows import IDENTITY, Part, Rows
from stiffcore.rebuild.spectra import Spectra
from stiffcore.rebuild.target import Workers
from stiffcore.storage import cache as result_cache
from stiffcore.storage.shipped import ShippedResults
from stiffcore.sweeps import shipping, tasks as sweep_tasks
from tests.made_up.asked import asked
from tests.made_up.spectra import made_up, store

BRANCH, SLICES = Convention.BRANCH, Convention.SLICES  # made-up results have no norms, which rows of matrices need
TARGET = Rows("resnet18/slices", "resnet18", SLICES, (Part(3, (8,)), Part(2, (6,), "extremes")))


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    """Empty folders of what ships and of what is stored; results are made up."""
    monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(shipping, "FOLDER", tmp_path / "shipped")
    monkeypatch.setattr(result_cache, "shipped", lambda: ShippedResults(tmp_path / "shipped"))
    monkeypatch.setattr(seconds, "PATH", tmp_path / "seconds.json")
    monkeypatch.setattr(seconds.measured, "__defaults__", (tmp_path / "seconds.json",))
    monkeypatch.setattr(seconds.note, "__defaults__", (tmp_path / "seconds.json",))
    monkeypatch.setattr(analysis, "compute_many", lambda requests, **_: (keep(request) for request in requests))
    return tmp_path


def keep(request):
    result = made_up(request)
    assert result_cache.default().put(request.key, result.header(), result.arrays) is None
    return result


def test_levels_and_blocks_become_tasks_and_the_richest_level_answers():
    network = networks.find("resnet18")
    parts = (Part(2, (6, 8), "extremes"), Part(1, (8,), "counts"), Part(1, IDENTITY, "extremes"))
    found = [(task.image.number, task.blocks, task.quantity) for task in targets.tasks(network, BRANCH, parts)]
    assert found == [(0, (8,), "counts"), (0, (6,), "extremes"), (1, (6, 8), "extremes"), (0, (1, 2, 4), "extremes")]


def test_it_is_made_and_then_current():
    need = TARGET.need()
    assert (need.reasons, need.missing) == (("rows-resnet18-slices.parquet is not there",), 5)
    assert need.seconds > 0
    TARGET.make(Workers())
    found = shipping.rows(networks.find("resnet18"), SLICES)
    assert sorted(zip(found["image"], found["block"])) == [(0, 6), (0, 8), (1, 6), (1, 8), (3, 8)]
    assert not TARGET.need().is_stale
    assert shipping.about()["rows-resnet18-slices.parquet"]["commands"] == [TARGET.command]
    assert set(json.loads(seconds.PATH.read_text())["resnet18 slices counts"]) == {"6", "8"}


def test_what_a_stopped_run_stored_is_not_computed_again(monkeypatch):
    asked_for = []

    def compute(task):
        asked_for.append(task.image.number)
        if len(asked_for) == 3:
            raise KeyboardInterrupt
        return sweep_tasks.compute(task)

    monkeypatch.setattr(sweep_tasks.Task, "carried_out", compute)
    with pytest.raises(KeyboardInterrupt):
        TARGET.make(Workers())
    need = TARGET.need()
    assert need.reasons == ("rows-resnet18-slices.parquet is not there", "2 of them are stored on this machine")
    assert need.missing == 3
    asked_for.append("again")
    TARGET.make(Workers())
    assert asked_for == [0, 1, 3, "again", 3, 0, 1]
    assert not TARGET.need().is_stale


def test_more_images_or_a_richer_level_are_missing_rows():
    TARGET.make(Workers())
    more = Rows("resnet18/slices", "resnet18", SLICES, (Part(4, (8,)), Part(2, (6,), "counts")))
    need = more.need()
    assert need.reasons[0] == "1 of 6 rows are missing", "made-up results are whole counts"
    assert need.missing == 1


def test_rows_of_an_older_algorithm_are_named_put_away_and_made_again(monkeypatch):
    TARGET.make(Workers())
    for module in (targets, shipping):
        monkeypatch.setattr(module, "ALGORITHM", 99)
    monkeypatch.setattr("stiffcore.analysis.requests.ALGORITHM", 99)
    assert TARGET.need().reasons[0].startswith("computed by version")
    assert TARGET.need().reasons[0].endswith("of the algorithm, now 99")
    TARGET.put_away()
    assert shipping.rows(networks.find("resnet18"), SLICES).empty
    assert shipping.about() == {}


def test_rows_of_other_weights_are_named():
    TARGET.make(Workers())
    path = shipping.rows_path("resnet18", SLICES)
    shipping.write(pd.read_parquet(path).assign(weights="0" * 64), path)
    shipping.note(path, shipping.about()[path.name] | {"weights": "0" * 64}, "other")
    said = f"other weights of resnet18: 00000000, now {networks.find('resnet18').weights_sha256[:8]}"
    assert TARGET.need().reasons == (said, "5 of them are stored on this machine")


def test_a_failure_is_told_after_the_rest_is_shipped(monkeypatch):
    def compute(task):
        outcome = sweep_tasks.compute(task)
        bad = task.image.number == 1
        return sweep_tasks.Outcome(task, () if bad else outcome.rows, {8: "No memory: buy some."} if bad else {})

    monkeypatch.setattr(sweep_tasks.Task, "carried_out", compute)
    target = Rows("resnet18/slices", "resnet18", SLICES, (Part(3, (8,)),))
    with pytest.raises(CannotCompute, match=r"1 result could not be computed. First, image 1, block 8: No memory"):
        target.make(Workers())
    assert len(shipping.rows(networks.find("resnet18"), SLICES)) == 2


def test_spectra_ship_and_what_is_stored_is_not_computed(monkeypatch):
    target = Spectra("resnet18/spectra-branch", "resnet18", BRANCH, (Part(2, (8,)),))
    store(asked("resnet18", 0, 8, "branch", "spectrum"))
    need = target.need()
    assert (need.reasons, need.missing) == (("spectra-resnet18-branch.parquet is not there",), 1)
    target.make(Workers())
    assert not target.need().is_stale
    assert {request.key for request in target.requests()} == ShippedResults(shipping.FOLDER).keys()
    (shipping.FOLDER / target.file).write_bytes(b"damaged")
    assert target.need().is_stale


def test_images_are_the_first_of_each_label():
    assert [image.number for image in images.balanced(3)] == [0, 1, 3]
    hundred = images.balanced(100)
    assert [sum(image.label == label for image in hundred) for label in range(10)] == [10] * 10
    assert {image.number for image in images.balanced(20)} < {image.number for image in hundred}
    for bad in (0, 15, 2000):
        with pytest.raises(CannotCompute, match="Expected 1 to 9 images, or whole tens up to 1000"):
            images.balanced(bad)
