"""What every test shares: `--full` for the long variants, one thread, a cache of its own, and who runs beside whom."""

import os
import tempfile
from pathlib import Path

import pytest

from tests.browser.window import CHROMIUM

# Before torch, numpy and numba start their thread pools, and before anything asks where the cache is.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[variable] = "1"
_session_folder = tempfile.TemporaryDirectory(prefix="stiffcore-tests-")
os.environ["STIFFCORE_CACHE"] = str(Path(_session_folder.name) / "cache")
os.environ["STIFFCORE_DATA"] = str(Path(_session_folder.name) / "data")  # only the images that ship
os.environ["PYTHONFAULTHANDLER"] = "1"  # a server or worker that crashes says where

TESTS = Path(__file__).parent

# Files whose tests start processes of their own: a browser and a server, or workers. Never two of them at a time.
ONE_AT_A_TIME = (
    "app/test_many_sessions.py",
    "benchmarks/test_app.py",
    "browser/",
    "commands/test_sweep.py",
    "sweeps/test_cluster.py",
    "sweeps/test_local.py",
    "sweeps/test_together.py",
    "test_readme_python.py",
)


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="the long variants: more kills, larger blocks, more images")


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(items):
    """Marks what needs a browser; without one these tests skip by name."""
    missing = pytest.mark.skipif(not CHROMIUM.exists(), reason="chromium is not installed: apt-get install chromium")
    for item in items:
        if TESTS / "browser" in item.path.parents:
            item.add_marker(pytest.mark.browser)
        if item.get_closest_marker("browser"):
            item.add_marker(missing)


@pytest.fixture(scope="session")
def full(request) -> bool:
    """Whether the long variants were asked for."""
    return request.config.getoption("--full")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config) -> int:
    """Two processes for the whole folder; a file or a single test runs without."""
    return 2 if all(Path(argument).is_dir() for argument in config.args) else 0


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """A file stays in one process, and so do all files that start processes: one of those tests runs at a time."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return "processes" if file.split("tests/")[-1].startswith(ONE_AT_A_TIME) else file

    return Scheduling(config, log)


def pytest_unconfigure():
    _session_folder.cleanup()
