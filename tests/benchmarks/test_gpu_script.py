"""tests/gpu.sh: what it installs, how it reads its arguments, and the one JSON that it writes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT, REPORT = ROOT / "tests" / "gpu.sh", ROOT / "tests" / "gpu_report.py"
ELSEWHERE = ("streamlit", "plotly", "playwright", "hypothesis", "distributed", "torchdiffeq", "xdist", "ruff", "mypy")
FILE = """
import pytest

def test_passes():
    pass

@pytest.mark.skip(reason="no CUDA device")
def test_skipped():
    pass

def test_fails():
    assert False
"""


def report(*arguments: object, without: tuple[str, ...] = ()) -> subprocess.CompletedProcess:
    """gpu_report.py in a process in which some modules are not there."""
    program = f"import runpy, sys; [sys.modules.__setitem__(name, None) for name in {without!r}]; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"  # fmt: skip
    run = [sys.executable, "-c", program, str(REPORT), *map(str, arguments)]
    return subprocess.run(run, capture_output=True, text=True, cwd=ROOT)


def test_only_what_is_missing_is_installed():
    assert report("missing").stdout == ""
    assert report("missing", without=ELSEWHERE).stdout == "", "not needed on a machine with a card"
    lines = report("missing", without=("diskcache", "PIL", "pytest")).stdout.splitlines()
    required = [
        line.split("#")[0].strip()
        for file in ("requirements.txt", "tests/requirements.txt")
        for line in (ROOT / file).read_text("utf-8").splitlines()
    ]
    assert [line.split(">")[0] for line in lines] == ["diskcache", "pillow", "pytest"]
    assert set(lines) <= set(required)


def test_torch_is_never_installed():
    found = report("missing", without=("torch", "numba"))
    assert (found.returncode, found.stdout) == (1, "")
    assert "Expected torch on this machine, got none: install the build for its driver." in found.stderr


def test_what_it_needs_is_enough():
    """The tests that need a card can be collected, and the command runs, without everything else."""
    program = (
        f"import sys; [sys.modules.__setitem__(name, None) for name in {ELSEWHERE!r}]\n"
        "import pytest\n"
        "code = pytest.main(['tests/cards', '-m', 'cuda', '-o', 'addopts=', '-W', 'default', '--collect-only', '-q'])\n"
        "from stiffcore.commands import main\n"
        "sys.exit(code or main.main(['benchmark', '--items', '5', '--device', 'nowhere']) - main.BAD_INPUT)\n"
    )
    alone = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, env=alone)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "test_a_card_multiplies_in_float64" in done.stdout
    assert "Expected a device among auto, cpu, cuda and cuda:NUMBER, got 'nowhere'" in done.stderr


def test_both_reports_become_one(tmp_path):
    (tmp_path / "test_it.py").write_text(FILE, "utf-8")
    run = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tmp_path, f"--junitxml={tmp_path / 'tests.xml'}", tmp_path]  # fmt: skip
    subprocess.run(run, capture_output=True, cwd=tmp_path, env=os.environ | {"PYTEST_ADDOPTS": ""})
    (tmp_path / "table.json").write_text('{"card": {"name": "a card"}}', "utf-8")
    done = report("join", tmp_path / "tests.xml", tmp_path / "table.json", tmp_path / "gpu.json")
    assert done.returncode == 0, done.stderr
    both = json.loads((tmp_path / "gpu.json").read_text("utf-8"))
    assert both["card"] == {"name": "a card"}
    assert (both["tests"]["passed"], both["tests"]["skipped"]) == (1, 1)
    (failed,) = both["tests"]["failed"]
    assert failed.endswith("test_it::test_fails")


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_a_benchmark_that_ended_early_leaves_no_json(tmp_path, content):
    if content is not None:
        (tmp_path / "table.json").write_text(content, "utf-8")
    done = report("join", tmp_path / "none.xml", tmp_path / "table.json", tmp_path / "gpu.json")
    assert done.returncode == 1
    assert "Expected the benchmark's JSON, got nothing" in done.stderr
    assert "pytest wrote no report" in done.stderr
    assert not (tmp_path / "gpu.json").exists()


def test_a_report_without_a_card_leaves_what_was_kept(tmp_path):
    (tmp_path / "table.json").write_text('{"card": {}, "comparisons": []}', "utf-8")
    (tmp_path / "gpu.json").write_text("of a card", "utf-8")
    done = report("join", tmp_path / "none.xml", tmp_path / "table.json", tmp_path / "gpu.json")
    assert done.returncode == 1
    assert "Expected a card in the benchmark's JSON, got none" in done.stderr
    assert (tmp_path / "gpu.json").read_text("utf-8") == "of a card"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--limit"], "Expected a whole number of seconds behind --limit, got nothing."),
        (["--limit", "--short"], "Expected a whole number of seconds behind --limit, got --short."),
        (["--limit", "0", "a.json"], "Expected a whole number of seconds behind --limit, got 0."),
        (["--device"], "Expected a device behind --device, got nothing."),
    ],
)
def test_an_option_without_its_value_is_one_sentence(arguments, said):
    done = subprocess.run(["bash", SCRIPT, *arguments], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (2, f"{said}\n", "")


@pytest.mark.parametrize("given", ["kept/gpu.json", "/elsewhere/gpu.json", ""])
def test_a_relative_json_is_in_the_callers_folder(tmp_path, given):
    """With a stand-in for Python that notes what it is asked."""
    python, calls = tmp_path / "python", tmp_path / "calls"
    python.write_text(f'#!/bin/sh\necho "$@" >>"{calls}"\n', "utf-8")
    python.chmod(0o755)
    run = ["bash", SCRIPT, "--limit", "60", *filter(None, [given])]
    done = subprocess.run(run, capture_output=True, text=True, cwd=tmp_path, env=os.environ | {"PYTHON": str(python)})
    assert done.returncode == 0, done.stderr
    # A path from the root stays as it is; without one, it is the file that ships.
    expected = tmp_path / given if given else ROOT / "stiffcore" / "benchmarks" / "gpu.json"
    assert any(line.split()[-1] == str(expected) for line in calls.read_text("utf-8").splitlines() if " join " in line)


def test_arguments_that_it_does_not_know():
    done = subprocess.run(["bash", SCRIPT, "--quick"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "got --quick" in done.stdout
    assert subprocess.run(["bash", "-n", SCRIPT]).returncode == 0
    assert os.access(SCRIPT, os.X_OK)
