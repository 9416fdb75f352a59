"""A missing value is a status with a text; stored and shipped texts are parsed in one place."""

import ast
import json
import re
from pathlib import Path

import pytest

from stiffcore.metrics import missing
from stiffcore.metrics.missing import NOT_COMPUTED, NOT_SQUARE, Missing, Status
from stiffcore.sweeps import shipping

ROOT = Path(__file__).parents[2]
READER = ROOT / "stiffcore" / "metrics" / "missing.py"
SOURCES = sorted([*ROOT.glob("stiffcore/**/*.py"), *ROOT.glob("pages/**/*.py")])


@pytest.mark.parametrize(
    ("text", "status", "word"),
    [
        ("undefined: no eigenvalue has a negative real part", Status.UNDEFINED, "undefined"),
        ("undefined: one block is not square and has singular values", Status.UNDEFINED, "undefined"),
        ("undefined: not square", Status.NOT_SQUARE, "undefined"),
        ("undefined: not square (2048 × 4096)", Status.NOT_SQUARE, "undefined"),
        ("not computed: needs the full spectrum (level counts)", Status.NOT_COMPUTED, "not computed"),
        (
            "not computed: estimated (‖(I − M/c)^k‖: 0.5); level counts would prove it",
            Status.NOT_COMPUTED,
            "not computed",
        ),
        ("not computed", Status.NOT_COMPUTED, "not computed"),
        ("undefined", Status.UNDEFINED, "undefined"),
    ],
)
def test_a_text_is_read_as_it_was_written(text, status, word):
    found = Missing.read(text)
    assert (found.status, found.word, str(found)) == (status, word, text)
    assert found.is_undefined == (word == "undefined")


def test_the_same_by_hand_and_by_reading():
    assert Missing.read("undefined: not square") == NOT_SQUARE
    assert Missing.read("not computed") == NOT_COMPUTED
    assert str(missing.not_square(4, 8)) == "undefined: not square (4 × 8)"
    reasons = {"a": NOT_SQUARE, "b": missing.not_computed("needs counts"), "c": missing.undefined("because")}
    assert missing.from_texts(json.loads(json.dumps(missing.as_texts(reasons)))) == reasons


@pytest.mark.parametrize("text", ["", "unknown: a comet", "undefinable: so", "Not computed"])
def test_other_texts_are_refused(text):
    with pytest.raises(ValueError, match="Expected a text that begins with undefined or not computed"):
        Missing.read(text)


@pytest.mark.parametrize("path", sorted(shipping.FOLDER.glob("rows-*.parquet")), ids=lambda path: path.stem)
def test_every_text_that_ships_is_read_and_written_again(path):
    import pandas as pd

    for texts in pd.read_parquet(path, columns=["reasons"])["reasons"].unique():
        assert missing.as_texts(missing.from_texts(json.loads(texts))) == json.loads(texts)


READS = {"startswith", "endswith", "removeprefix", "partition", "rpartition", "split", "find", "match", "search"}
WORDS = ("undefined", "not computed", "not square")


def _reads_a_reason(node: ast.AST) -> bool:
    """Whether a node parses the text of a reason, or compares it with a word."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in READS and node.args:
        return bool(re.search(r"reason|why|missing|undefined|not computed|not square", ast.unparse(node)))
    if isinstance(node, ast.Compare):
        constants = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant)]
        return any(isinstance(value, str) and value.startswith(WORDS) for value in constants)
    return False


@pytest.mark.parametrize(
    "line",
    [
        'reason.split(":")[0]',
        'cell.reason.partition(":")',
        'found.str.startswith("undefined")',
        'why.removeprefix("A ")',
        'smallest in ("–", "undefined")',
        'cells[name] == "not computed"',
    ],
)
def test_reading_a_reason_is_seen(line):
    assert any(map(_reads_a_reason, ast.walk(ast.parse(line))))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_reason_is_read_elsewhere(path):
    nodes = ast.walk(ast.parse(path.read_text("utf-8")))
    assert [ast.unparse(node) for node in nodes if path != READER and _reads_a_reason(node)] == []
