"""``--device`` and ``device=``: what they accept, what they refuse, and that results say where they were computed."""

import json

import numpy as np
import pytest
import torch

import stiffcore as sc
from stiffcore import device
from stiffcore.analysis import compute as analysis, on_card, placement
from stiffcore.commands import main, terminal
from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.images import registry as images
from stiffcore.networks import registry as networks
from stiffcore.rebuild.target import Workers
from stiffcore.slices import card
from stiffcore.storage import cache as result_cache, shipped as shipped_results
from stiffcore.sweeps import cluster, local, tasks as sweep_tasks, travel
from tests.cards.fake_card import NAME, fake_card

NONE_THERE = "Expected a CUDA device for 'cuda', got a machine on which torch finds none: choose auto or cpu."
ANALYSE = ["analyse", "resnet18", "--images", "0", "--blocks", "8", "--convention", "branch", "--level", "norms"]
SPECTRUM = ["spectrum", "resnet18", "--image", "0", "--block", "8", "--convention", "branch"]
SWEEP = ["sweep", "resnet18", "--images", "0", "--blocks", "8", "--convention", "branch"]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(result_cache, "shipped", lambda: shipped_results.ShippedResults(tmp_path / "nothing ships"))


@pytest.mark.parametrize(
    "command", [ANALYSE, [*SPECTRUM, "--out", "spectrum.npz"], SWEEP], ids=lambda command: command[0]
)
def test_a_card_that_is_not_there_is_refused_in_one_line(command, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main.main([*command, "--device", "cuda"]) == main.BAD_INPUT
    assert capsys.readouterr().err.strip().splitlines()[-1] == NONE_THERE
    assert main.main([*command, "--device", "banana"]) == main.BAD_INPUT
    assert "Expected a device among auto, cpu, cuda and cuda:NUMBER, got 'banana'" in capsys.readouterr().err
    assert not result_cache.default().keys()


def test_a_row_says_where_it_was_computed_also_when_it_was_stored(capsys):
    with fake_card():
        assert main.main([*ANALYSE, "--json", "--device", "cuda:0"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["device"], row["stored"]) == (NAME, False)
    assert main.main([*ANALYSE, "--json", "--device", "cpu"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["device"], row["stored"]) == (NAME, True)


def test_a_card_without_memory_is_a_notice_of_the_command(capsys):
    with fake_card(largest=10**6):
        assert main.main([*ANALYSE, "--json", "--device", "cuda"]) == 0
    said = capsys.readouterr()
    assert (
        f"{NAME} has too little memory for block 8 of resnet18 at image 0, which was computed on the CPU." in said.err
    )
    assert json.loads(said.out)[0]["device"] == "cpu"


def test_the_file_of_a_spectrum_says_where(tmp_path):
    path = tmp_path / "spectrum.npz"
    with fake_card():
        assert main.main([*SPECTRUM, "--out", str(path), "--device", "cuda"]) == 0
    with np.load(path, allow_pickle=False) as file:
        assert json.loads(str(file["header"]))["made"]["device"] == NAME


def test_a_sweep_hands_its_device_to_its_workers(monkeypatch):
    seen = []

    def run(tasks, workers, stop, asked):
        seen.append((workers, asked))
        yield from map(sweep_tasks.compute, tasks)

    monkeypatch.setattr(local, "run", run)
    with fake_card():
        assert main.main([*SWEEP, "--quantity", "norms", "--json", "--device", "cuda"]) == 0
    assert seen == [(1, "cuda")], "one card"


def test_the_front_door_has_the_same_choice():
    with fake_card():
        there = sc.analyse("resnet18", 0, 8, "branch", "norms", device="cuda")
        with pytest.raises(CannotCompute, match="got 'cuda:3'"):
            sc.analyse("resnet18", 0, 7, "branch", "norms", device="cuda:3")
        rows = sc.sweep("resnet18", [3], [8], "branch", "norms", workers=1, device="cuda")
    assert there.made["device"] == NAME
    assert list(rows["device"]) == [NAME]
    assert sc.analyse("resnet18", 0, 8, "branch", "norms", device="cpu").stored
    (again,) = analysis.compute_many([there.request], again=True, where="cpu")
    assert again.metrics == pytest.approx(there.metrics, rel=1e-10, nan_ok=True)


@pytest.mark.parametrize(("wrong", "said"), [("nonsense", "got 'nonsense'"), (None, "got None"), (0, "got 0")])
def test_the_front_door_refuses_what_is_no_device_once_and_also_where_all_is_stored(wrong, said):
    asked = "resnet18", 0, 8, "branch", "norms"
    for _ in range(2):
        with pytest.raises(CannotCompute, match=f"^Expected a device among auto, cpu, cuda and cuda:NUMBER, {said}: "):
            sc.analyse(*asked, device=wrong)
        with pytest.raises(CannotCompute, match=f"^Expected a device among auto, cpu, cuda and cuda:NUMBER, {said}: "):
            sc.sweep("resnet18", [0], [6, 8], "branch", "norms", workers=1, device=wrong)
        sc.sweep("resnet18", [0], [6, 8], "branch", "norms", workers=1)


def test_a_sweep_on_a_cluster_refuses_what_is_no_device_before_it_connects(capsys):
    nowhere = ["--scheduler", "tcp://127.0.0.1:1", "--device", "nonsense"]
    assert main.main([*SWEEP, *nowhere]) == main.BAD_INPUT
    assert "Expected a device among auto, cpu, cuda and cuda:NUMBER, got 'nonsense'" in capsys.readouterr().err
    task = sweep_tasks.Task(networks.find("resnet18"), images.find(0), (8,), Convention.BRANCH)
    with pytest.raises(CannotCompute, match="got 'nonsense'"):
        next(cluster.run([task], nowhere[1], "nonsense"))


SMALL = f"{NAME} has too little memory for block 8 of resnet18 at image 0, which was computed on the CPU."
WITHOUT_KERNELS = "Slices are computed on the CPU: "


@pytest.fixture
def in_this_process(monkeypatch):
    """A sweep's tasks, whose processes would have no such card."""

    def run(tasks, workers, stop=None, asked="auto"):
        yield from (sweep_tasks.compute(task, asked) for task in tasks)

    monkeypatch.setattr(local, "run", run)


def test_a_sweep_says_each_notice_once_at_its_end(capsys, in_this_process):
    slices = ["sweep", "resnet18", "--images", "0,1", "--blocks", "8", "--quantity", "extremes", "--json"]
    with fake_card():
        assert main.main([*slices, "--device", "cuda"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["computed"] == 2
    (line,) = said.err.splitlines()
    assert line.startswith(WITHOUT_KERNELS)
    assert main.main(slices) == 0
    assert capsys.readouterr().err == "", "stored"


def test_of_many_notices_a_sweep_says_the_first_ones(capsys, in_this_process, monkeypatch):
    monkeypatch.setattr(terminal, "NOTICES", 1)
    many = ["sweep", "resnet18", "--images", "0,1,2", "--blocks", "8", "--convention", "branch", "--quantity", "norms"]
    with fake_card(largest=10**6):
        assert main.main([*many, "--json", "--device", "cuda"]) == 0
    assert capsys.readouterr().err.splitlines() == [SMALL, "And 2 more such notices."]


def test_the_front_door_says_the_notices_of_a_sweep_and_keeps_those_of_a_result(capsys):
    with fake_card(largest=10**6):
        sc.sweep("resnet18", [0], [8], "branch", "norms", workers=1, device="cuda")
    assert capsys.readouterr().err.splitlines() == [SMALL]
    with fake_card():
        notices = sc.analyse("resnet18", 0, 8, "slices", "extremes", device="cuda").notices
        assert sc.analyse("resnet18", 1, 8, "slices", "extremes", device="cpu").notices == ()
    (notice,) = notices
    assert notice.startswith(WITHOUT_KERNELS)


def test_a_rebuild_keeps_the_notices_of_its_results():
    tasks = [
        sweep_tasks.Task(networks.find("resnet18"), images.find(0), (8,), Convention.BRANCH, "norms"),
        sweep_tasks.Task(networks.find("resnet18"), images.find(0), (8,), Convention.SLICES, "extremes"),
    ]
    workers = Workers(1, where="cuda")
    with fake_card(largest=10**6):
        assert not any(outcome.failures for outcome in workers.outcomes(tasks, ""))
    small, kernels = workers.notices
    assert small == SMALL
    assert kernels.startswith(WITHOUT_KERNELS)


def test_notices_come_back_from_a_cluster():
    task = sweep_tasks.Task(networks.find("resnet18"), images.find(0), (8,), Convention.BRANCH, "norms")
    answer = {"rows": [], "failures": {}, "seconds": 1.0, "worker": 1, "peak_memory": 1, "entries": []}
    assert travel.arrived(task, answer | {"notices": [SMALL]}).notices == (SMALL,)


@pytest.mark.parametrize(
    ("block", "convention", "level", "asked", "may"),
    [
        (8, "branch", "counts", "auto", True),
        (8, "branch", "counts", "cpu", False),
        (8, "branch", "norms", "auto", True),
        (8, "slices", "counts", "auto", True),
    ],
)
def test_what_a_card_may_compute(block, convention, level, asked, may, monkeypatch):
    monkeypatch.setattr(on_card, "_may_scan", lambda: True)
    request = sc.request("resnet18", 0, block, convention, level)
    assert on_card.may_compute(request, asked) is may
    with fake_card():
        monkeypatch.setattr(card, "can_scan", lambda state, where: True)
        monkeypatch.setattr(device, "_is_quicker", lambda card, work, size: True)
        placed = placement.of(request, analysis.block_state(request), device.parsed(asked))
    assert (placed != device.CPU) is may


def test_a_card_is_not_promised_for_what_is_small_or_has_no_kernels(monkeypatch):
    small = sc.request(sc.matrix(np.diag([-1.0, -100.0])), 0, 1, "branch", "counts")
    assert not on_card.may_compute(small, "auto")
    assert on_card.may_compute(small, "cuda:0")
    monkeypatch.setattr(on_card, "_may_scan", lambda: False)
    assert not on_card.may_compute(sc.request("resnet18", 0, 8, "slices"), "cuda:0")


@pytest.mark.cuda
def test_a_command_on_a_card(capsys):
    assert main.main([*ANALYSE, "--json", "--device", "cuda"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["device"] == torch.cuda.get_device_name()
