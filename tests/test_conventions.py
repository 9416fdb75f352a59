"""A convention is written once: no other file enumerates or compares its name, and every list of conventions is complete."""

import ast
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import get_type_hints

import pytest

from pages.shared.state import controls
from pages.shared.widgets import statistics
from stiffcore import conventions
from stiffcore.commands import main
from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.figures.axes import AXES
from stiffcore.figures.odes import stability_regions
from tests.made_up.asked import asked

ROOT = Path(__file__).parent.parent
NAMES = {convention.value for convention in Convention}
QUESTIONS = {name: kind for name, kind in get_type_hints(Convention).items() if not name.startswith("_")}
COLUMN = "block"  # is also the name of a column of tables, of which these ask
ABOUT_COLUMNS = {
    ("stiffcore/paper/tables_text.py", "'block' in table"),
    ("stiffcore/statistics/tables.py", "{'block': int(block)}"),
    ("stiffcore/paper/comparison.py", "name == 'block'"),
    ("pages/shared/published/tables.py", "'block' in table"),
    ("pages/shared/published/tables.py", "of == 'block'"),
    ("pages/shared/published/tables.py", "{'block': name}"),
}


def sources() -> list[Path]:
    found = [*ROOT.glob("stiffcore/**/*.py"), *ROOT.glob("pages/**/*.py"), ROOT / "app.py"]
    return sorted(path for path in found if path != Path(conventions.__file__))


def name_of(node: ast.AST | None) -> str | None:
    """The name behind a constant or an attribute like Convention.BLOCK."""
    if isinstance(node, ast.Attribute) and ast.unparse(node) in {f"Convention.{one.name}" for one in Convention}:
        return Convention[node.attr]
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in NAMES:
        return node.value
    return None


def uses(tree: ast.Module) -> Iterator[ast.AST]:
    """Comparisons, cases, dict displays and look-ups by a convention's name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            parts = [part for side in sides for part in getattr(side, "elts", [side])]
            if any(map(name_of, parts)):
                yield node
        elif isinstance(node, ast.MatchValue) and name_of(node.value):
            yield node
        elif isinstance(node, ast.Dict):
            names = [name_of(key) for key in node.keys]
            if set(names) - {None, COLUMN} or (names and None not in names):  # a row has other columns beside the block
                yield node
        elif isinstance(node, ast.Subscript):
            parts = getattr(node.slice, "elts", [node.slice])
            if {name_of(part) for part in parts} - {None, COLUMN}:
                yield node


@cache
def found_uses() -> frozenset[tuple[str, str]]:
    return frozenset(
        (str(path.relative_to(ROOT)), ast.unparse(node))
        for path in sources()
        for node in uses(ast.parse(path.read_text("utf-8"), str(path)))
    )


def test_no_other_file_compares_a_convention_s_name():
    assert found_uses() == ABOUT_COLUMNS


@pytest.mark.parametrize(
    "code",
    [
        "convention == 'slices'",
        "'block' != request.convention",
        "convention in (None, 'block', 'branch')",
        "convention is Convention.BRANCH",
        "{'slices': 1, 'other': 2}",
        "{Convention.BLOCK: 1}",
        "{'block': 1}",
        "rows[network, 'slices']",
        "match convention:\n    case 'branch':\n        pass",
    ],
)
def test_the_search_for_comparisons_finds_them(code):
    assert list(uses(ast.parse(code)))


@pytest.mark.parametrize("code", ["{'block': 1, 'image': 2}", "row['block']", "asked(8, 'branch')", "1 == 2"])
def test_the_search_for_comparisons_finds_nothing_else(code):
    assert not list(uses(ast.parse(code)))


@pytest.mark.parametrize("convention", Convention)
def test_a_convention_answers_every_question(convention):
    """On the member itself, so that a new one cannot inherit another's answer by accident."""
    answers = {name: value for name, value in vars(convention).items() if not name.startswith("_")}
    assert set(answers) == set(QUESTIONS)
    for name, kind in QUESTIONS.items():
        assert isinstance(answers[name], getattr(kind, "__origin__", kind)), name


@pytest.mark.parametrize("convention", Convention)
def test_its_answers_agree_with_each_other_and_with_the_figures(convention):
    assert convention.default_axes in AXES
    assert set(convention.default_regions) <= set(convention.regions) <= set(stability_regions.TITLES)
    assert bool(convention.default_regions) == bool(convention.regions)
    assert bool(convention.about_regions) == (set(convention.regions) != set(stability_regions.TITLES))
    assert convention.is_right_hand_side == (not convention.has_skip and not convention.masks_outputs)
    assert convention.has_matrix or not (convention.is_right_hand_side or convention.regions)
    assert convention.title.endswith(f"({convention})")


def test_a_convention_is_stored_as_its_name():
    assert json.dumps({Convention.SLICES: [Convention.BLOCK]}) == '{"slices": ["block"]}'
    assert f"{Convention.BRANCH} {Convention.BRANCH!r}" == "branch 'branch'"  # a snippet's Request takes the name
    assert {"branch": 1}[Convention.BRANCH] == 1


def test_a_name_from_outside_becomes_the_convention():
    assert Convention("branch") is Convention.BRANCH
    assert asked("resnet18", 0, 8, "block").convention is Convention.BLOCK
    for name in ("Slices", "", None, "SLICES"):
        with pytest.raises(CannotCompute, match="Expected a convention among slices, block, branch, got"):
            Convention(name)


def test_only_a_convention_with_a_matrix_has_modes_and_norms_of_its_own():
    Convention.BLOCK.check_matrix()
    with pytest.raises(CannotCompute, match="got slices: choose block or branch"):
        Convention.SLICES.check_matrix()


def table(path: Path, head: str) -> list[list[str]]:
    """The cells of a Markdown table, below its head."""
    _, _, rest = path.read_text("utf-8").partition(f"{head}\n|---")
    lines = rest.partition("\n")[2].partition("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_readme_has_every_convention_with_its_title_and_its_question():
    expected = [[one.title.replace(f"({one})", f"(`{one}`)"), one.question] for one in Convention]
    assert table(ROOT / "README.md", "| in the app | question |") == expected


def test_the_tour_has_every_convention_and_says_how_many_eigenvalues_there_are():
    rows = table(ROOT / "stiffcore" / "README.md", "| convention | matrix | eigenvalues |")
    assert [row[0] for row in rows] == [f"`{one}`" for one in Convention]
    for one, (_, _, eigenvalues) in zip(Convention, rows, strict=True):
        assert eigenvalues == ("`n`, identity blocks only" if one.has_matrix else "`n_out · C_in · H_in`")


def test_the_commands_list_every_convention(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")  # so that argparse does not break lines
    listed = ", ".join(Convention), ", ".join(f"{one} ({one.title})" for one in Convention)
    for command in ("analyse", "spectrum", "sweep", "tables", "ship"):
        with pytest.raises(SystemExit):
            main.parser().parse_args([command, "--help"])
        said = capsys.readouterr().out
        assert any(text in said for text in listed), command


@pytest.mark.parametrize("command", ["analyse", "spectrum --image 0 --block 8 --out x.npz", "sweep", "tables", "ship"])
def test_the_commands_refuse_a_convention_that_there_is_not(command, capsys):
    name, *options = command.split()
    assert main.main([name, "resnet18", *options, "--convention", "matrix"]) == main.BAD_INPUT
    assert "Expected a convention among slices, block, branch, got 'matrix'" in capsys.readouterr().err


def test_the_pages_list_every_convention():
    assert list(controls.CONVENTION_TITLES.items()) == [(one.value, one.title) for one in Convention]
    assert {one.title: (one, "") for one in Convention}.items() <= statistics.READINGS.items()
