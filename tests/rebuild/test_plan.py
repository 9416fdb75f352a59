"""The plan and its execution, on targets that write a text: order, reasons, resumption, what depends on what."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from stiffcore.errors import Cancelled, CannotCompute
from stiffcore.rebuild import plan
from stiffcore.rebuild.target import Need, Target, Workers
from stiffcore.rebuild.weights import Weights


@dataclass(frozen=True)
class Text(Target):
    """A file that holds what its networks' weights were, and the version, when it was made: in pieces, each kept by itself."""

    of: tuple[str, ...]
    world: "World" = field(compare=False)
    pieces: int = 3

    @property
    def networks(self):
        return self.of

    @property
    def path(self) -> Path:
        return self.world.folder / self.name.replace("/", "-")

    def current(self) -> str:
        sources = [(self.world.folder / name.replace("/", "-")).read_text() for name in self.follows]
        return f"{[self.world.weights[name] for name in self.of]} {self.world.version} {sources}"

    def need(self):
        if not self.path.exists():
            return Need(("not there",), self.pieces, 2.0)
        try:
            return Need() if self.path.read_text() == self.current() else Need(("another version",), self.pieces, 2.0)
        except OSError:
            return Need(("its source is not there",), self.pieces, 2.0)

    def everything(self):
        return Need(("",), self.pieces, 2.0)

    def put_away(self):
        self.path.unlink(missing_ok=True)

    def make(self, workers):
        for piece in range(self.pieces):
            kept = (self.name, piece, self.current())
            if kept not in self.world.kept:
                workers.step(piece, self.pieces, self.name)
                self.world.computed.append(self.name)
                self.world.kept.add(kept)
        self.path.write_text(self.current())


@dataclass(frozen=True)
class MadeUpWeights(Weights):
    world: "World" = field(compare=False, default=None)

    def changed(self):
        listed, there = self.world.weights[self.network], self.world.files[self.network]
        return {} if listed == there else {self.network: f"has {there}, not {listed}"}

    def make(self, workers):
        self.world.weights[self.network] = self.world.files[self.network]


class World:
    def __init__(self, folder: Path):
        self.folder, self.version = folder, 1
        self.weights, self.files = {"a": "a1", "b": "b1"}, {"a": "a1", "b": "b1"}
        self.kept: set = set()
        self.computed: list[str] = []
        self.targets = [
            MadeUpWeights("a/weights", "a", world=self),
            MadeUpWeights("b/weights", "b", world=self),
            Text("a/rows", ("a",), self),
            Text("b/rows", ("b",), self),
            Text("both", ("a", "b"), self, pieces=1),
            Text("table", (), self, pieces=1, follows=("a/rows", "b/rows")),
        ]

    def rebuild(self, *only, stop=lambda: False) -> list[tuple[str, str]]:
        self.computed.clear()
        chosen = plan.chosen(self.targets, only)
        return [(target.name, why) for target, why in plan.carry_out(chosen, Workers(stop=stop))]

    def stale(self) -> dict[str, str]:
        return {s.target.name: "; ".join(s.need.reasons) for s in plan.steps(self.targets) if s.need.is_stale}


@pytest.fixture
def world(tmp_path) -> World:
    return World(tmp_path)


def test_everything_is_made_once_in_order_and_a_second_run_does_nothing(world):
    assert list(world.stale()) == ["a/rows", "b/rows", "both", "table"]
    assert world.rebuild() == [(name, "") for name in ("a/rows", "b/rows", "both", "table")]
    assert world.computed == ["a/rows"] * 3 + ["b/rows"] * 3 + ["both", "table"]
    assert world.stale() == {}
    assert world.rebuild() == []
    assert world.computed == []


def test_new_weights_of_one_network_rebuild_only_theirs(world):
    world.rebuild()
    world.files["a"] = "a2"
    assert world.stale() == {
        "a/weights": "has a2, not a1",
        "a/rows": "new weights of a",
        "both": "new weights of a",
        "table": "made from a/rows",
    }
    assert [name for name, _ in world.rebuild()] == ["a/weights", "a/rows", "both", "table"]
    assert world.computed == ["a/rows"] * 3 + ["both", "table"]
    assert world.stale() == {}


def test_another_version_of_the_algorithm_rebuilds_everything_and_shows_nothing_old(world):
    world.rebuild()
    world.version = 2
    assert set(world.stale().values()) == {"another version"}
    seen = []

    def stop():
        seen.append(sorted(path.name for path in world.folder.iterdir()))
        return False

    world.rebuild(stop=stop)
    assert seen[0] == [], "what is old is put away before anything new is computed"
    assert world.stale() == {}


def test_a_missing_file_is_made_again(world):
    world.rebuild()
    (world.folder / "b-rows").unlink()
    assert world.stale() == {"b/rows": "not there", "table": "its source is not there"}
    world.kept.clear()
    world.rebuild()
    assert world.computed == ["b/rows"] * 3 + ["table"]


def test_a_rebuild_that_was_stopped_goes_on_where_it_was(world):
    asked = []

    def stop():
        asked.append(1)
        return len(asked) > 4  # in the second piece of b/rows

    with pytest.raises(Cancelled):
        world.rebuild(stop=stop)
    assert world.computed == ["a/rows"] * 3 + ["b/rows"]
    world.rebuild()
    assert world.computed == ["b/rows"] * 2 + ["both", "table"]
    assert world.stale() == {}


def test_only_some(world):
    assert world.rebuild("a") == [("a/rows", "")]
    assert "b/rows" in world.stale()
    assert [target.name for target in plan.chosen(world.targets, ["rows"])] == ["a/rows", "b/rows"]
    assert [target.name for target in plan.chosen(world.targets, ["b", "a/rows"])] == ["b/weights", "a/rows", "b/rows"]
    with pytest.raises(
        CannotCompute, match="Expected something that ships, got 'c': choose a network, a kind, or among a/w"
    ):
        plan.chosen(world.targets, ["c"])


def test_what_fails_is_told_and_stops_no_other(world, monkeypatch):
    make = Text.make

    def fails(self, workers):
        if self.name == "a/rows":
            raise CannotCompute("No memory: buy some.")
        make(self, workers)

    monkeypatch.setattr(Text, "make", fails)
    world.targets = world.targets[:-1]
    assert world.rebuild() == [("a/rows", "No memory: buy some."), ("b/rows", ""), ("both", "")]
    monkeypatch.undo()
    assert world.rebuild() == [("a/rows", "")]
