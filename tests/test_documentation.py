"""Whatever a reader can choose is named in a README, and whatever the READMEs name is there."""

import argparse
import re
import shlex
from functools import cache
from pathlib import Path

import pytest

from stiffcore.commands import main
from stiffcore.metrics import definitions

ROOT = Path(__file__).parent.parent
READMES = ("README.md", "stiffcore/README.md", "stiffcore/benchmarks/README.md", ".github/CONTRIBUTING.md")
NOT_TRACKED = [line.strip("/") for line in (ROOT / ".gitignore").read_text("utf-8").splitlines()]  # made when needed
ENDINGS = ("py", "json", "toml", "txt", "md", "ini", "yaml", "png", "svg")  # of a file named without its folder


@cache
def text(readme: str) -> str:
    return (ROOT / readme).read_text("utf-8")


@cache
def spans(readme: str) -> tuple[str, ...]:
    """What stands between backticks, on one line or broken over two."""
    without_fences = re.sub(r"^```.*?^```", "", text(readme), flags=re.MULTILINE | re.DOTALL)
    return tuple(" ".join(span.split()) for span in re.findall(r"`([^`]+)`", without_fences))


@cache
def code_lines(readme: str) -> tuple[str, ...]:
    """The lines of indented blocks."""
    return tuple(re.findall(r"^ {4}(\S.*)$", text(readme), re.MULTILINE))


@cache
def words() -> frozenset[str]:
    """Every word that a README sets as code."""
    return frozenset(
        word.strip(",;:()")
        for readme in READMES
        for piece in (*spans(readme), *code_lines(readme))
        for word in re.split(r"[\s=]+", piece)
    )


def commands() -> dict[str, argparse.ArgumentParser]:
    return next(action.choices for action in main.parser()._actions if isinstance(action.choices, dict))


def page_titles() -> list[str]:
    """As the pages give them to the menu: navigation.page("Title")."""
    sources = [ROOT / "app.py", *sorted((ROOT / "pages").glob("*.py"))]
    return [re.search(r'navigation\.page\("([^"]+)"', path.read_text("utf-8")).group(1) for path in sources]


def environment_variables() -> set[str]:
    sources = [*(ROOT / "stiffcore").rglob("*.py"), *(ROOT / "pages").rglob("*.py"), ROOT / "app.py"]
    return {name for path in sources for name in re.findall(r"STIFFCORE_[A-Z_]+", path.read_text("utf-8"))}


def metric_names() -> list[str]:
    return [metric.name for metric in definitions.METRICS]


def said_commands(readme: str) -> list[list[str]]:
    """The arguments of every ``python -m stiffcore …`` in a README, and of spans that begin with a command's name."""
    found = []
    for piece in (*code_lines(readme), *spans(readme)):
        parts = shlex.split(piece, comments=True) if piece.startswith("python -m stiffcore") else piece.split()
        if parts[:3] == ["python", "-m", "stiffcore"]:
            found.append(parts[3:])
        elif piece in spans(readme) and len(parts) > 1 and parts[0] in commands():
            found.append(parts)
    return found


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_command_is_named(name):
    assert name in words()


@pytest.mark.parametrize("name", page_titles())
def test_every_page_is_named(name):
    assert f"**{name}**" in text("README.md")


@pytest.mark.parametrize("name", sorted(environment_variables()))
def test_every_environment_variable_is_named(name):
    assert name in words()


@pytest.mark.parametrize("name", metric_names())
def test_every_metric_is_named(name):
    assert name in words()


def is_path(span: str) -> bool:
    return bool(re.fullmatch(r"[\w.-]+(/[\w.-]+)*/?", span)) and (
        "/" in span or span.endswith(tuple(f".{e}" for e in ENDINGS))
    )


@pytest.mark.parametrize("readme", READMES)
def test_every_path_that_a_readme_names_is_there(readme):
    """From the project's folder, or from the README's own."""
    places = ROOT, (ROOT / readme).parent
    paths = [span for span in spans(readme) if is_path(span)]
    missing = {path for path in paths if not any((place / path).exists() for place in places)}
    assert {path for path in missing if path.strip("/") not in NOT_TRACKED} == set()


def anchors(path: Path) -> set[str]:
    """As GitHub makes them from headings."""
    heads = re.findall(r"^#+ (.+)$", path.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("readme", READMES)
def test_every_link_within_the_project_leads_somewhere(readme):
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", text(readme)):
        path, _, anchor = link.partition("#")
        target = (ROOT / readme).parent / path if path else ROOT / readme
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def is_accepted(arguments: list[str]) -> bool:
    try:
        main.parser().parse_args(arguments)
    except SystemExit as end:
        return end.code == 0  # --help
    return True


@pytest.mark.parametrize("readme", READMES)
def test_the_readme_s_commands_parse(readme):
    """Those with an ellipsis need only name a command that there is."""
    for arguments in said_commands(readme):
        assert arguments[0] in commands(), arguments
        assert "…" in " ".join(arguments) or is_accepted(arguments), arguments


def test_there_is_something_to_check():
    assert sum(len(said_commands(readme)) for readme in READMES) > 15
    assert sum(is_path(span) for readme in READMES for span in spans(readme)) > 40


@pytest.mark.parametrize("file", [*READMES, ".docker/Dockerfile"])
def test_a_version_of_torch_is_the_one_that_is_pinned(file):
    pins = (ROOT / "requirements.txt").read_text("utf-8").split()
    said = re.findall(r"\btorch(?:vision)?==[\w.]+\w", (ROOT / file).read_text("utf-8"))
    assert set(said) <= set(pins)


def test_ci_finds_the_test_command():
    """.ci/run takes it from the README, by this form."""
    found = re.findall(r"^    (pip install -r tests/requirements.txt && .*)$", text("README.md"), re.MULTILINE)
    assert len(found) == 1
