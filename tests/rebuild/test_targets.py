"""The list of what ships: names, order, and that it holds what the scenes draw and what the issue counts."""

import pytest

from pages.shared.shell import scenes
from stiffcore.commands import main as command_line
from stiffcore.conventions import Convention
from stiffcore.networks import registry as networks
from stiffcore.rebuild import rows, targets
from stiffcore.rebuild.rows import Rows
from stiffcore.rebuild.spectra import Spectra

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


def test_what_is_current_takes_no_computation(capsys, monkeypatch):
    """The spectra of the scenes ship: nothing is made, and the second line of a plan would be the first of a computation."""
    assert command_line.main(["rebuild", "--only", "resnet18-untrained/spectra-branch"]) == 0
    assert capsys.readouterr().out == "Everything is current: 1 targets.\n"


def test_bad_names_are_one_line(capsys):
    assert command_line.main(["rebuild", "--plan", "--only", "resnet19"]) == 2
    assert capsys.readouterr().err.startswith(
        "Expected something that ships, got 'resnet19': choose a network, a kind, or among"
    )
