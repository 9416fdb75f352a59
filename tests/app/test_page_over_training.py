"""Over training through app.py: a planted run that ships, one of this machine, and none at all."""

import numpy as np
import pytest

from pages.shared.state import service
from stiffcore.analysis.requests import Request
from stiffcore.conventions import Convention
from stiffcore.images import registry as images
from stiffcore.runs import kept, shipping as run_shipping
from stiffcore.sweeps import shipping
from tests.app.visitor import IMAGES, cells, wait_for
from tests.made_up.runs import made_up, rows
from tests.made_up.spectra import store

PAGE = "pages/9_Over_training.py"
CAT = IMAGES[3]
pytestmark = pytest.mark.usefixtures("nothing_ships")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    for module, name in ((shipping, "FOLDER"), (kept, "SHIPPED")):
        monkeypatch.setattr(module, name, tmp_path / "shipped")


@pytest.fixture
def ships():
    """A run of three seeds with rows under slices, and spectra of block 8 under branch at one image."""
    plain = made_up(seeds=3)
    run = run_shipping.ship(plain, "made-up", "Made up")
    run_shipping.ship_rows(run, Convention.SLICES, rows(plain), "python -m stiffcore ship-run made-up")
    return run


def lines(figure) -> dict:
    return {trace.name: trace for trace in figure.data if trace.mode == "lines+markers"}


def test_without_a_run_it_says_how_to_get_one(visitor):
    page = visitor().open(PAGE, run="own-0123456789ab")
    assert "No run is known yet" in page.texts("markdown")
    assert "python -m stiffcore sweep --weights 'run/epoch-*.pt'" in page.texts("code")
    assert not page.figures


def test_a_metric_by_block_with_accuracy_and_the_spread_between_seeds(visitor, ships):
    page = visitor().open(PAGE)
    assert page.at.title[0].value == "Stiffness over training"
    (figure,) = page.figures
    assert [name for name in lines(figure) if name.startswith("block")] == ["block 2", "block 4", "block 6", "block 8"]
    assert lines(figure)["block 8"].y.tolist() == pytest.approx([-8 - step + 0.015 for step in (0, 2, 10)], rel=1e-6)
    assert lines(figure)["accuracy, %, on the images that ship"].y.tolist() == pytest.approx([10, 20, 60])
    assert "3 checkpoints" in page.texts("markdown")
    assert "at the end 60.0 % right" in page.texts("markdown")
    spread = cells(page.html())["8"]
    assert spread[:2] == ["−18.085", f"{np.std([0, 0.1, 0.2], ddof=1):.3f}"]
    assert spread[3:] == ["3", "4"]
    (python,) = page.snippets()
    assert 'sc.run_rows("made-up", "slices")' in python
    assert page.button("compute") is None


def test_choices_are_checked_on_the_server(visitor, ships):
    page = visitor().open(PAGE, run="own-nothing", lines="8,77", metric="speed", vertical="log", training="all")
    for said in (
        "Expected run among made-up",
        "Expected lines among 1, 2",
        "Expected metric among",
        "Expected vertical among",
        "Expected training among",
    ):
        assert said in page.texts("warning")
    assert {name: page.url[name] for name in ("run", "lines", "vertical")} == {
        "run": "made-up",
        "lines": "2,4,6,8",
        "vertical": "linear",
    }


def test_a_block_without_eigenvalues_says_why(visitor, ships):
    run_shipping.ship_rows(ships, Convention.BRANCH, rows(made_up(seeds=3), "branch"), "x")
    page = visitor().open(PAGE, convention="branch", lines="3,8")
    (figure,) = page.figures
    assert "Block 3, everywhere: undefined: not square" in page.texts("caption")
    assert np.isnan(lines(figure)["block 3"].y).all()


def test_what_does_not_ship_is_not_offered(visitor, ships):
    page = visitor().open(PAGE, convention="block")
    assert "No row of Made up under Whole block (block) is computed" in page.texts("info")
    assert "The weights of this run do not ship" in page.texts("caption")
    assert page.button("compute") is None
    page = visitor().open(PAGE, training="spectrum", convention="branch", images="7")
    assert "The weights of this run do not ship, and this spectrum does not either" in page.texts("info")


def test_a_spectrum_is_played_with_the_step_and_the_accuracy(visitor, ships):
    for checkpoint in ships.drawn:
        store(Request(ships.network(checkpoint), images.find(CAT), 8, Convention.BRANCH, "spectrum"))
    page = visitor().open(PAGE, training="spectrum", convention="branch", step="2")
    (figure,) = page.figures
    assert [frame.name for frame in figure.frames] == ["0", "2", "10"]
    assert figure.layout.sliders[0].active == 1
    assert any(note.text.startswith("<b>Epoch 2</b> · 20.0 % right") for note in figure.layout.annotations)
    assert not page.texts("warning")
    page = visitor().open(PAGE, training="spectrum", convention="branch", step="3")
    assert "Expected one of the steps 0, 2, 10, got '3'" in page.texts("warning")
    assert page.url["step"] == "0"


def test_many_checkpoints_are_played_in_part(visitor):
    run = made_up(steps=tuple(range(100)), path="/nowhere.pt")
    kept.save(run)
    store(Request(run.network(run.checkpoints[0]), images.find(CAT), 8, Convention.BRANCH, "spectrum"))
    page = visitor().open(PAGE, training="spectrum", convention="branch")
    steps = [int(frame.name) for frame in page.figures[0].frames]
    assert (len(steps), steps[0], steps[-1]) == (30, 0, 99)
    assert "30 of the 100 checkpoints" in page.texts("caption")
    assert "29 results are not stored yet" in page.texts("markdown")


def test_an_own_run_computes_what_is_missing(visitor, engine):
    run = made_up(path="/nowhere/epoch.pt")
    kept.save(run)
    page = visitor().open(PAGE, lines="8", convention="branch")
    assert "3 results are not stored yet" in page.texts("markdown")
    assert "sweep --weights 'nowhere/*.pt' --images 0:20 --blocks 8 --convention branch" in page.texts("code")
    engine.go.set()
    page.run(page.button("compute").click())
    wanted = [Request(run.network(one), images.find(CAT), 8, Convention.BRANCH, "counts") for one in run.drawn]
    wait_for(lambda: (job := service.find(wanted)) and job.status == "done")
    assert [(one.network.name, one.block, one.quantity) for one in engine.asked[0]] == [
        (checkpoint.network, 8, "counts") for checkpoint in run.drawn
    ]
    page.run()
    assert lines(page.figures[0])["block 8"].y.tolist() == pytest.approx([-0.25] * 3, rel=0.01)
    assert page.button("compute") is None


def test_another_run_starts_with_its_own_blocks_and_steps(visitor, ships):
    other = made_up(steps=(5, 7), path="/nowhere.pt")
    kept.save(other)
    page = visitor().open(PAGE, run="made-up", lines="1", training="metric")
    assert page.url["lines"] == "1"
    page.run(next(box for box in page.at.selectbox if box.key == "choice-run").set_value(other.name))
    assert page.url["run"] == other.name
    assert page.url["lines"] == "2,4,6,8"
    assert not page.texts("warning")


def test_two_runs_of_one_title_are_told_apart(visitor):
    for name in ("own-0123456789ab", "own-0123456789cd"):
        kept.save(made_up(name=name, path="/nowhere.pt"))
    page = visitor().open(PAGE)
    (box,) = (box for box in page.at.selectbox if box.key == "choice-run")
    assert sorted(box.options) == ["made up (89ab)", "made up (89cd)"]
