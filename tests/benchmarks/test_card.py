"""The table of a card beside the host, with the CPU in a card's place: what it measures, what it refuses, and how it is shown."""

import functools
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from stiffcore import device
from stiffcore.benchmarks import card, card_sides, card_text, main as benchmark, sweep
from stiffcore.benchmarks.timing import Answer, Comparison, Contender, Run
from stiffcore.commands import main as command_line, terminal
from stiffcore.conventions import Convention
from stiffcore.jacobians import deflation
from stiffcore.jacobians.linearise import BlockState
from stiffcore.networks import manifest
from stiffcore.spectra import full as full_spectra
from tests.cards.fake_card import NAME, fake_card
from tests.made_up import blocks as small_blocks

ROW = card.Row("resnet18", 8, card.ALL, card.ALL)
ONE_BLOCK = card.Extent((), (ROW,), (3, 4), (), 600)
STATES = {block.name: block.state for block in small_blocks.small_blocks()}
SIDE = deflation.plan(STATES["basic-identity"], Convention.BLOCK).side
of_weights = card._states


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """A small block in the place of every network's, small products, one thread."""
    device.use_one_thread()
    monkeypatch.setattr(
        card, "_states", lambda network, stem="": {n: numbered(STATES["basic-identity"], n) for n in (8, 16)}
    )
    monkeypatch.setattr(card_sides, "RATE_SIDES", {"cpu": 128})


@pytest.fixture
def no_sweep(monkeypatch):
    """Sweeps start processes, and have a test of their own."""
    found = Comparison("5", "sweep of planted", {"what": "sweep", "title": "planted"}, [Contender("a", None), Contender("b", None)], [("b", ("a",))])  # fmt: skip
    found.runs |= {
        name: [Run(None, None, seconds, Answer({"n": (1, 1)}))] for name, seconds in (("a", 0.1), ("b", 2.0))
    }
    monkeypatch.setattr(sweep, "with_cards", lambda *_: found)


def numbered(state: BlockState, block: int) -> BlockState:
    return replace(state, geometry=replace(state.geometry, block=block))


def reported(monkeypatch, extent: card.Extent, where: str = "cpu", seconds: float | None = None) -> dict:
    """The report of item 5 as JSON has it."""
    monkeypatch.setattr(card, "SHORT", extent)
    report = benchmark.run(False, lambda line: None, ["5"], where=where, seconds=seconds)
    return json.loads(json.dumps(terminal.plain(report), allow_nan=False))


def test_a_block_is_measured_on_both_sides_and_shown(monkeypatch, no_sweep):
    report = reported(monkeypatch, ONE_BLOCK)
    assert (benchmark.exit_code(report), report["card"]["failures"], report["card"]["left_out"]) == (0, [], [])
    by_what = {part["facts"]["what"]: part for part in report["comparisons"]}
    assert set(by_what) == {*card.ALL, "sweep"}
    for what in card.ALL:
        assert [contender["name"] for contender in by_what[what]["contenders"]] == ["on cpu", "on the host, 2 threads"]
        (ratio,) = by_what[what]["ratios"]
        card_side, host = (contender["together"]["median"] for contender in by_what[what]["contenders"])
        assert ratio["ratio"]["median"] == pytest.approx(host / card_side)
    forming = by_what[card.FORMING]
    rate = forming["facts"]["gflop"] / forming["contenders"][0]["together"]["median"]
    text = benchmark.as_text(report)
    row = next(line for line in text.splitlines() if line.startswith(f"| ResNet18, block 8 | {SIDE} |"))
    assert row.count("×") == 5
    assert f"{100 * rate / report['card']['gflop_per_second']['card']:.0f} % |" in row
    assert "| sweep of planted under slices, images a minute | 600 | 30 | 20× |" in text


def test_on_a_card_every_part_agrees_with_the_host(monkeypatch, no_sweep):
    """A card that is not there, whose tensors refuse to be mixed with the host's."""
    monkeypatch.setattr(card_sides, "RATE_SIDES", {"cpu": 128, "cuda": 128})
    with fake_card():
        report = reported(monkeypatch, replace(ONE_BLOCK, sliced=("resnet18",)), "auto")
    assert report["card"]["name"] == NAME
    assert (benchmark.exit_code(report), report["card"]["failures"], report["card"]["left_out"]) == (0, [], [])
    assert all(ratio["ratio"] for part in report["comparisons"] for ratio in part["ratios"])
    assert [part["facts"]["what"] for part in report["comparisons"]] == [card.SLICES, *card.ALL, "sweep"]


def test_what_a_side_does_is_what_a_request_would_find():
    state = STATES["basic-identity"]
    core = deflation.form_core(state, Convention.BLOCK)
    answers = {}
    for what in card.ALL:
        solve, answer = card_sides.of_core(state, what, torch.device("cpu"), 1)
        answers[what] = answer(solve())
    spectrum = full_spectra.full_spectrum(state, Convention.BLOCK)
    assert answers[card.FORMING].extremes["norm"] == pytest.approx(float(core.matrix.norm()))
    for what in (card.EIGENVALUES, card.CHECKED, card.EXTREMES):
        assert answers[what].extremes["max_re"] == pytest.approx(spectrum.complete().real.max(), abs=1e-9)
    assert answers[card.PROOF].counts == {"negative": (0, 0)}
    assert card_sides.gflop(state) > 0
    before = torch.get_num_threads()
    assert card_sides.on_threads(2, torch.get_num_threads) == 2
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("what", [card.FORMING, card.EIGENVALUES, card.EXTREMES, card.PROOF])
def test_a_side_that_is_wrong_has_no_ratio(monkeypatch, no_sweep, what):
    """What the card has is another block: the last layer ten times as large."""
    of_core = card_sides.of_core
    sides = iter(("card", "host"))

    def one_wrong(state, part, place, threads):
        if next(sides) == "card":
            first, *rest, last = state.layers
            state = replace(state, layers=(first, *rest, replace(last, weight=10 * last.weight)))
        return of_core(state, part, place, threads)

    monkeypatch.setattr(card_sides, "of_core", one_wrong)
    report = reported(monkeypatch, replace(ONE_BLOCK, rows=(replace(ROW, parts=(what,)),)))
    (part,) = [part for part in report["comparisons"] if part["facts"]["what"] == what]
    assert part["ratios"][0]["ratio"] is None
    assert benchmark.exit_code(report) == 1
    text = benchmark.as_text(report)
    assert "no ratio, the sides differ" in text
    assert f"{part['title']}: {part['ratios'][0]['disagreement'][0]}" in text


def test_a_mistake_costs_one_part_and_is_told(monkeypatch, no_sweep):
    def broken(*_, **__):
        raise RuntimeError("CUDA error: planted")

    monkeypatch.setattr(full_spectra, "extremes", broken)
    rows = (replace(ROW, parts=(card.EXTREMES, card.PROOF), on_host=(card.PROOF,)),)
    report = reported(monkeypatch, replace(ONE_BLOCK, rows=rows))
    (failure,) = report["card"]["failures"]
    assert failure == "extremes of ResNet18, block 8, on cpu: RuntimeError: CUDA error: planted: see the log."
    assert failure in benchmark.as_text(report)
    assert benchmark.exit_code(report) == 1
    proof = next(part for part in report["comparisons"] if part["facts"]["what"] == card.PROOF)
    assert proof["ratios"][0]["ratio"]


def test_a_part_that_cannot_be_made_is_a_failure(monkeypatch, no_sweep):
    def broken(*_):
        raise torch.OutOfMemoryError("CUDA out of memory, planted")

    monkeypatch.setattr(card_sides, "gflop", broken)
    report = reported(monkeypatch, replace(ONE_BLOCK, rows=(replace(ROW, parts=(card.FORMING, card.PROOF)),)))
    (failure,) = report["card"]["failures"]
    assert failure.startswith("forming of block 8 of ResNet18: OutOfMemoryError: CUDA out of memory, planted")
    assert benchmark.exit_code(report) == 1
    assert failure in benchmark.as_text(report)


def test_what_the_time_does_not_suffice_for_is_named(monkeypatch, no_sweep):
    report = reported(monkeypatch, ONE_BLOCK, seconds=-1.0)
    assert report["comparisons"] == []
    assert report["card"]["left_out"][0].startswith("Left out, because 0 of -1 s were used up: ")
    assert [note.split(": ", 1)[1] for note in report["card"]["left_out"]] == [
        *(f"{what} of block 8 of ResNet18." for what in card.ALL),
        "sweep of ResNet18.",
    ]


def test_what_takes_long_begins_early_enough_or_not_at_all(monkeypatch, no_sweep):
    rows = (replace(ROW, parts=(card.PROOF,), seconds=1000), replace(ROW, parts=(card.FORMING,)))
    report = reported(monkeypatch, replace(ONE_BLOCK, rows=rows))
    assert [part["facts"]["what"] for part in report["comparisons"]] == [card.FORMING, "sweep"]
    (note,) = report["card"]["left_out"]
    assert note.endswith(" of 600 s were used up: proved count of block 8 of ResNet18.")


def test_weights_that_are_missing_are_named(monkeypatch, tmp_path, no_sweep):
    """Slices are those of the untrained network instead."""
    (tmp_path / "manifest.json").symlink_to(manifest.FOLDER / "manifest.json")
    monkeypatch.setattr(manifest, "FOLDER", tmp_path)
    small = card._states

    def states(network, stem=""):
        return small(network) if network.endswith("untrained") else of_weights(network, stem)

    monkeypatch.setattr(card, "_states", states)
    rows = (card.Row("resnet50", 16, (card.PROOF,), ()),)
    report = reported(monkeypatch, replace(ONE_BLOCK, sliced=("resnet50",), rows=rows))
    slices, proof = report["card"]["left_out"]
    assert slices.startswith("Slices of ResNet50 are those of the untrained network: Expected weights in ")
    assert proof.startswith("Left out: proved count of block 16 of ResNet50: Expected weights in ")
    assert report["comparisons"][0]["facts"]["network"] == "resnet50-untrained"
    assert report["comparisons"][0]["ratios"][0]["ratio"]
    assert benchmark.exit_code(report) == 0


def test_the_slices_of_two_blocks_agree_on_both_sides():
    states = [numbered(STATES[name], block) for name, block in (("basic-downsampling", 7), ("basic-identity", 8))]
    found = []
    for threads in (1, 2):
        solve, answer = card_sides.all_slices(states, torch.device("cpu"), threads)
        found.append(answer(solve()))
    assert found[0] == found[1]
    assert {name.split(" in ")[1] for name in found[0].counts} == {"block 7", "block 8"}


def test_the_sides_of_the_table():
    """From about 1,000 to 16,000, and what the goals name on both sides: 4,000 and 8,000."""
    rows = (*card.WHOLE.rows, *card.WHOLE.large)
    sides, states = {}, functools.cache(of_weights)
    for row in rows:
        if row.network != "resnet50":  # its forward pass takes seconds, and its block is among the small ones
            state = states(row.network, row.stem)[row.block]
            sides[deflation.plan(state, Convention.BLOCK).side] = row
    assert min(sides) < 1000
    assert max(sides) > 16_000
    for goal in (4000, 8000):
        (row,) = [row for side, row in sides.items() if abs(side / goal - 1) < 0.05]
        assert card.EIGENVALUES in row.on_host
    assert all(set(row.on_host) <= set(row.parts) for row in rows)
    assert {*card.SHORT.rows} <= {*rows}


def test_without_a_card_the_item_is_a_note(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    report = reported(monkeypatch, ONE_BLOCK, where="auto")
    assert report["card"] == {}
    assert report["notes"][0] == "Item 5, a card beside the host, is left out: there is no CUDA device."
    assert benchmark.exit_code(report) == 0


def test_a_device_that_is_not_there_is_refused(capsys):
    assert command_line.main(("benchmark", "--items", "5", "--device", "cuda:99")) == command_line.BAD_INPUT
    assert "cuda:99" in capsys.readouterr().err


def test_what_ships_is_shown_and_nothing_where_nothing_does(tmp_path, monkeypatch, no_sweep):
    path = tmp_path / "gpu.json"
    assert card_text.kept(path) == ""
    report = reported(monkeypatch, replace(ONE_BLOCK, rows=(replace(ROW, parts=(card.PROOF,)),)))
    tests = {"passed": 3, "skipped": 0, "failed": ["a"], "seconds": 1.0}
    path.write_text(json.dumps(report | {"tests": tests, "notes": ["The machine was busy."]}), "utf-8")
    text = card_text.kept(path)
    assert text.startswith("3 tests that need a card passed on it, 1 failed. cpu beside 2 threads of ")
    assert text.endswith("|\n\nThe machine was busy.\n")
    assert str(Path(card_text.KEPT).parent).endswith("benchmarks")


def test_rates_have_units():
    assert card_text._flops(56_000) == "56 Tflop/s"
    assert card_text._flops(87.4) == "87.4 Gflop/s"
