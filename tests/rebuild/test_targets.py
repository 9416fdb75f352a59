"""The list of what ships: names, order, and that it holds what the scenes draw and what the issue counts."""

import json
from dataclasses import dataclass, field

import pytest
import torch

from pages.shared.shell import scenes
from stiffcore import device
from stiffcore.commands import main as command_line
from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.images import registry as images
from stiffcore.networks import registry as networks
from stiffcore.rebuild import rows, targets
from stiffcore.rebuild.rows import Rows
from stiffcore.rebuild.spectra import Spectra
from stiffcore.rebuild.target import Need, Target, Workers
from stiffcore.sweeps import local
from stiffcore.sweeps.tasks import Errand

EVERY = targets.every()


def test_names_are_distinct_and_sources_come_first():
    names = [target.name for target in EVERY]
    assert len(set(names)) == len(names)
    for at, target in enumerate(EVERY):
        assert set(target.follows) <= set(names[:at]), target.name
        for network in target.networks:
            assert f"{network.split('-')[0]}/weights" in names[:at], target.name


def test_every_spectrum_that_a_scene_draws_is_in_the_list():
    wanted = {
        request
        for request in scenes.requests()
        if "/" not in request.network.name and "seed" not in request.network.name
    }
    listed = {request for target in EVERY if isinstance(target, Spectra) for request in target.requests()}
    assert wanted
    assert wanted <= listed


@pytest.mark.parametrize(
    ("network", "convention", "block", "count"),
    [
        ("resnet18", "slices", 1, 1000), ("resnet34", "slices", 16, 300), ("resnet50", "slices", 15, 100), ("resnet50", "slices", 16, 300),
        ("resnet18", "block", 1, 100), ("resnet34", "block", 1, 20), ("resnet50", "block", 2, 20), ("resnet18", "branch", 4, 100),
        ("resnet18", "branch", 2, 5), ("resnet18", "branch", 1, 1), ("resnet34", "branch", 15, 50), ("resnet50", "branch", 16, 50),
        ("resnet18-untrained", "slices", 8, 100), ("resnet18-shuffled", "branch", 8, 20),
    ],
)  # fmt: skip
def test_counts_of_images(network, convention, block, count):
    (target,) = [
        t for t in EVERY if isinstance(t, Rows) and (t.network, t.convention) == (network, Convention(convention))
    ]
    tasks = rows.tasks(networks.find(network), target.convention, target.parts)
    assert len({task.image for task in tasks if block in task.blocks and task.quantity == "counts"}) == count


@dataclass(frozen=True)
class Current(Target):
    """Nothing is missing, and making it would be a mistake."""

    @property
    def networks(self):
        return ()

    def need(self):
        return Need()

    def everything(self):
        return Need(("",), 1, 1.0)

    def make(self, workers):
        raise AssertionError


@dataclass(frozen=True)
class Stale(Current):
    """Made by a text in a list."""

    made: list = field(default_factory=list, compare=False)
    away: list = field(default_factory=list, compare=False)

    def need(self):
        return Need() if self.made else Need(("not there",), 2, 7200.0)

    def make(self, workers):
        if self.name == "b/fails":
            raise CannotCompute("No disk: buy one.")
        self.made.append(workers.count)

    def put_away(self):
        self.away.append(self.name)


def test_the_command_says_what_it_makes_and_makes_it_once(capsys, monkeypatch):
    made_up = [Current("a/rows"), Stale("b/rows")]
    monkeypatch.setattr(targets, "every", lambda: made_up)
    assert command_line.main(["rebuild", "--plan", "--workers", "2"]) == 0
    plan = capsys.readouterr().out
    assert [line.split() for line in plan.splitlines()[1:]] == [
        ["b/rows", "2", "60", "min", "not", "there"],
        ["1", "of", "2", "targets,", "about", "60", "min", "on", "2", "processes."],
    ]
    assert made_up[1].made == []
    assert command_line.main(["rebuild", "--workers", "2"]) == 0
    printed = capsys.readouterr()
    assert "b/rows: made in 0 s" in printed.out
    assert "1 made, 0 failed, in 0 s." in printed.err
    assert made_up[1].made == [2]
    assert command_line.main(["rebuild"]) == 0
    assert capsys.readouterr().out == "Everything is current: 2 targets.\n"
    assert made_up[1].made == [2]


def test_a_failure_has_its_reason_and_exit_code(capsys, monkeypatch):
    monkeypatch.setattr(targets, "every", lambda: [Stale("b/fails"), Stale("b/rows")])
    assert command_line.main(["rebuild", "--json", "--workers", "1"]) == 1
    made = json.loads(capsys.readouterr().out)["made"]
    assert [(one["name"], one["failed"]) for one in made] == [("b/fails", "No disk: buy one."), ("b/rows", "")]


@pytest.mark.parametrize(
    ("asked", "more", "said"),
    [
        ("cuda", [], "got a machine on which torch finds none"),
        ("nonsense", ["--workers", "1"], "Expected a device among auto"),
        ("nonsense", ["--scheduler", "tcp://127.0.0.1:1"], "Expected a device among auto"),
    ],
)
def test_a_device_is_refused_before_anything_is_put_away(capsys, monkeypatch, asked, more, said):
    stale = Stale("b/rows")
    monkeypatch.setattr(targets, "every", lambda: [stale])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert command_line.main(["rebuild", "--device", asked, *more]) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert (printed.out, stale.away, stale.made) == ("", [], [])


def test_the_devices_of_a_cluster_are_not_this_machines(capsys, monkeypatch):
    stale = Stale("b/rows")
    monkeypatch.setattr(targets, "every", lambda: [stale])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert command_line.main(["rebuild", "--device", "cuda", "--scheduler", "tcp://127.0.0.1:1"]) == 0
    assert (stale.away, stale.made) == (["b/rows"], [device.usable_cpus()])


def test_what_a_rebuild_computes_beside_a_cluster_is_computed_on_this_machines_cpu(monkeypatch):
    places = []
    monkeypatch.setattr(local, "run", lambda tasks, count, stop, where: (one for one in places.append(where) or ()))
    errand = Errand(networks.find("resnet18"), images.find(0))
    assert list(Workers(2, where="cuda").outcomes([errand], "")) == []
    assert list(Workers(2, "tcp://127.0.0.1:1", where="cuda").outcomes([errand], "")) == []
    assert places == ["cpu", "cpu"]
    assert [Workers(2, where="cuda").here, Workers(2, "tcp://127.0.0.1:1", where="cuda").here] == ["cuda", "cpu"]


def test_bad_names_are_one_line(capsys):
    assert command_line.main(["rebuild", "--plan", "--only", "resnet19"]) == 2
    assert capsys.readouterr().err.startswith(
        "Expected something that ships, got 'resnet19': choose a network, a kind, or among"
    )
