"""``.ci/run`` lets a test be skipped for want of a card, and for nothing else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NO_CARD = "no CUDA device"
FILE = """
import pytest

def test_runs():
    pass

@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.skipif({skips}, reason={reason!r})
def test_skipped(n):
    pass
"""


def judged(folder: Path, **fields) -> subprocess.CompletedProcess:
    """What the check says of pytest's own log of a file."""
    (folder / "test_it.py").write_text(FILE.format(**fields), "utf-8")
    return checked(logged(folder / "log", folder, "--rootdir", str(folder), str(folder)))


def logged(log: Path, where: Path, *arguments: str) -> Path:
    """A file with what pytest says where there is no card."""
    run = [sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider", *arguments]
    environment = os.environ | {"PYTEST_ADDOPTS": "", "CUDA_VISIBLE_DEVICES": ""}
    log.write_text(subprocess.run(run, capture_output=True, text=True, cwd=where, env=environment).stdout, "utf-8")
    return log


def checked(log: Path) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, ROOT / ".ci" / "skips.py", log], capture_output=True, text=True)


@pytest.mark.parametrize(
    ("skips", "reason", "passes"),
    [
        (False, "never", True),
        (True, NO_CARD, True),
        (True, "chromium is not installed", False),
        (True, f"{NO_CARD} today", False),
        (True, f"could not import 'triton': {NO_CARD}", False),
    ],
)
def test_a_skip_passes_only_for_want_of_a_card(tmp_path, skips, reason, passes):
    found = judged(tmp_path, skips=skips, reason=reason)
    assert found.returncode == (0 if passes else 1), found.stderr
    assert passes or reason in found.stderr


@pytest.mark.parametrize(("reason", "passes"), [(NO_CARD, True), ("chromium is not installed", False)])
def test_a_coloured_log_is_read_as_a_plain_one(tmp_path, reason, passes):
    (tmp_path / "test_it.py").write_text(FILE.format(skips=True, reason=reason), "utf-8")
    log = logged(tmp_path / "log", tmp_path, "--color=yes", "--rootdir", str(tmp_path), str(tmp_path))
    assert "\x1b[33mSKIPPED" in log.read_text("utf-8")
    found = checked(log)
    assert found.returncode == (0 if passes else 1), found.stderr
    assert passes or reason in found.stderr


def test_a_skip_without_a_line_is_refused(tmp_path):
    """Without -rs nothing says why."""
    log = tmp_path / "log"
    log.write_text("======= 5 passed, 3 skipped in 10.12s (0:00:10) =======\n", "utf-8")
    assert checked(log).returncode == 1
    log.write_text("SKIPPED [3] tests/cards/test_a.py:7: no CUDA device\n" + log.read_text("utf-8"), "utf-8")
    assert checked(log).returncode == 0


def test_the_suite_s_own_skips_pass(tmp_path):
    """tests/conftest.py gives the reason that the check accepts."""
    log = logged(tmp_path / "log", ROOT, "tests/cards/test_a_card.py")
    assert f": {NO_CARD}" in log.read_text("utf-8")
    assert checked(log).returncode == 0, checked(log).stderr
