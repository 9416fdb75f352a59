"""The tables of a card from its report: what they say of the tests, and what was left out apart from notes."""

import json

import pytest

from stiffcore.benchmarks import card, card_text, main as benchmark
from stiffcore.benchmarks.timing import Answer, Comparison, Contender, Run

NONE = {"passed": 0, "skipped": 0, "failed": [], "seconds": 0.0}


@pytest.fixture
def report(monkeypatch):
    """Of a run that measured no more than a sweep."""
    found = Comparison("5", "sweep of planted", {"what": "sweep", "title": "planted"}, [Contender("a", None), Contender("b", None)], [("b", ("a",))])  # fmt: skip
    found.runs |= {name: [Run(None, None, seconds, Answer({"n": (1, 1)}))] for name, seconds in (("a", 0.1), ("b", 2))}
    monkeypatch.setattr(card, "measured", lambda *_: card.Table([found], {"card": 64_000.0, "host": 90.0}))
    return benchmark.run(True, lambda line: None, ["5"], where="cpu")


@pytest.mark.parametrize(
    ("tests", "said"),
    [
        (NONE, ""),
        (NONE | {"skipped": 2}, ""),
        (NONE | {"failed": ["a", "b"]}, "0 tests that need a card passed on it, 2 failed. "),
        (NONE | {"passed": 3, "skipped": 1}, "3 tests that need a card passed on it, 1 skipped. "),
        (NONE | {"passed": 3, "failed": ["a"], "skipped": 2}, "3 tests that need a card passed on it, 1 failed, 2 skipped. "),
    ],
)  # fmt: skip
def test_tests_are_told_wherever_one_ran(report, tests, said):
    assert card_text.as_markdown(report | {"tests": tests}).startswith(f"{said}cpu beside 2 threads of ")


def test_notes_stand_apart_from_what_was_not_measured(report):
    assert (report["card"]["notes"], report["card"]["left_out"]) == ([], [])
    plain = card_text.as_markdown(report)
    assert plain.endswith("|\n")
    report["card"] |= {"left_out": ["A part."], "failures": ["A mistake."], "notes": ["A second run.", "Another."]}
    end = "\nNot measured:\n\n- A part.\n- A mistake.\n\nNotes:\n\n- A second run.\n- Another.\n"
    assert card_text.as_markdown(report) == plain + end
    report["card"] |= {"left_out": [], "failures": []}
    assert card_text.as_markdown(report) == plain + end[end.index("\nNotes:") :]


def test_a_report_without_a_card_has_no_table(report, tmp_path):
    path = tmp_path / "gpu.json"
    path.write_text(json.dumps(report | {"card": {}, "comparisons": []}, default=str), "utf-8")
    assert card_text.kept(path) == ""


def test_item_5_has_one_round(report):
    assert report["environment"]["extent"] == "full"
    assert report["environment"]["rounds"] == 1


def test_what_ships_has_one_round_and_says_of_no_number_that_it_was_not_measured():
    kept = json.loads(card_text.KEPT.read_text("utf-8"))
    assert kept["environment"]["rounds"] == 1
    assert all(len(side["together"]["rounds"]) == 1 for part in kept["comparisons"] for side in part["contenders"] if side["together"])  # fmt: skip
    sides = [f"{part['facts'].get('core_side', 0):,}" for part in kept["comparisons"]]
    assert "8,222" in sides
    assert not [note for note in kept["card"]["left_out"] if any(f"side of {side} " in note for side in sides)]
