"""Sweeps on cards and cores: who computes where, and that rows say so."""

import pytest
import torch

from stiffcore import device
from stiffcore.analysis import compute as analysis
from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.images import registry as images
from stiffcore.networks import registry as networks
from stiffcore.storage import cache as result_cache, shipped as shipped_results
from stiffcore.sweeps import local, tasks as sweep_tasks, together, travel
from stiffcore.sweeps.local import Place
from stiffcore.sweeps.tasks import Task


@pytest.fixture
def two_cards(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(device, "usable_cpus", lambda: 4)


@pytest.mark.parametrize(
    ("workers", "asked", "expected"),
    [
        (4, "auto", [Place("auto", 0), Place("auto", 1), Place("cpu"), Place("cpu")]),
        (1, "auto", [Place("auto", 0)]),
        (2, "cpu", [Place("cpu"), Place("cpu")]),
        (3, "cuda", [Place("cuda", 0), Place("cuda", 1), Place("cuda", 0)]),
        (2, "cuda:1", [Place("cuda:1", 1), Place("cuda:1", 1)]),
    ],
)
def test_every_card_has_a_worker_and_the_cores_have_the_others(two_cards, workers, asked, expected):
    assert local.places(workers, asked) == expected


def test_as_many_workers_as_there_is_to_compute_on(two_cards, monkeypatch):
    assert [local.default_workers(asked) for asked in ("auto", "cpu", "cuda", "cuda:1")] == [4, 4, 2, 1]
    monkeypatch.setattr(device, "usable_cpus", lambda: 1)
    assert local.default_workers() == 2
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert local.default_workers() == 1
    assert local.places(2) == [Place("cpu"), Place("cpu")]


def test_a_worker_is_told_its_place(two_cards, monkeypatch):
    """What happens in the process of each: the first ones are the cards'."""
    began = []
    monkeypatch.setattr(local.threading.Thread, "start", lambda self: None)
    monkeypatch.setattr(local.signal, "signal", lambda *_: None)
    monkeypatch.setattr(device, "use", lambda asked, card: began.append((asked, card)))
    started = local.multiprocessing.get_context("spawn").Value("i", 0)
    before = torch.get_num_threads()
    for _ in range(3):
        local._begin(started, 3, "auto", local.IN_WORKER)
    torch.set_num_threads(before)
    assert began == [("auto", 0), ("auto", 1), ("cpu", None)]


@pytest.mark.parametrize("asked", ["cuda:2", "tpu"])
def test_a_device_that_is_not_there_is_refused_before_any_worker_starts(two_cards, monkeypatch, asked):
    monkeypatch.setattr(local, "_pool", lambda *_: pytest.fail("a pool started"))
    task = Task(networks.find("resnet18"), images.find(0), (8,), Convention.BRANCH)
    with pytest.raises(CannotCompute, match=r"choose one of them\.$"):
        next(local.run([task], 1, asked=asked))


def test_a_task_takes_its_device_to_a_cluster_and_into_this_process(monkeypatch, tmp_path):
    monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path))
    monkeypatch.setattr(result_cache, "shipped", lambda: shipped_results.ShippedResults(tmp_path / "nothing ships"))
    places = []

    def compute_many(requests, progress=None, where="auto", **_):
        places.append(where)
        raise CannotCompute("Enough: this is a test.")

    monkeypatch.setattr(analysis, "compute_many", compute_many)
    task = Task(networks.find("resnet18"), images.find(0), (8,), Convention.BRANCH)
    sweep_tasks.compute(task, "cuda:1")
    assert set(places) == {"cuda:1"}
    assert (travel.packed(task)["where"], travel.packed(task, "cuda:1")["where"]) == ("auto", "cuda:1")
    with pytest.raises(CannotCompute, match="Enough"):
        together.rows(task.network, [task.image], [8], Convention.BRANCH, "extremes", 1, where="cpu")
    assert places[-1] == "cpu"


@pytest.mark.cuda
def test_a_card_and_a_core_share_a_sweep(tmp_path, monkeypatch):
    """Each of two workers computes a part; both write the same rows as the CPU alone."""
    monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path))
    # None of these ships, and the core has work for longer than the card's worker takes to start.
    network, shown = networks.find("resnet18"), [images.find(number) for number in range(100, 130)]
    tasks = [Task(network, image, (8,), Convention.BRANCH, "spectrum") for image in shown]
    outcomes = list(local.run(tasks, 2))
    assert not any(outcome.failures for outcome in outcomes)
    assert len({outcome.worker for outcome in outcomes}) == 2
    assert {row["device"] for outcome in outcomes for row in outcome.rows} == {"cpu", torch.cuda.get_device_name()}
    on_card = [outcome for outcome in outcomes if outcome.rows[0]["device"] != "cpu"]
    for outcome in on_card[:4]:
        (there,) = outcome.rows
        (request,) = outcome.task.requests
        (here,) = analysis.compute_many([request], again=True, where="cpu")
        assert there["max_re"] == pytest.approx(here.metrics["max_re"], rel=1e-10)
        assert there["n_negative"] == here.metrics["n_negative"]
