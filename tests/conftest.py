"""How the suite is organised, and what every test shares: one thread, a cache of its own, who runs beside whom.

A folder here tests the folder of stiffcore/ with its name. ``app`` runs the pages through app.py without a browser, and
``browser`` in Chromium on a real server; ``cards`` tests what runs on a GPU, mostly without one. Fixtures stand in a conftest.py: here for all, else in the folder that uses them.
Helpers stand in modules without tests: ``made_up`` (results with known numbers), ``app/visitor.py``, ``browser/window.py``,
``sweeps/dask_processes.py``. No test module imports from another (test_layers.py).

``python -m pytest tests`` runs everything in two processes, in under five minutes on two idle cores. A quick loop is
``python -m pytest tests -m "not browser and not slow"``: two minutes. A file alone runs in this process, and ``--full`` adds the
long variants. Before making the suite quicker, read ``--durations=50``.
"""

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
NO_CARD = "no CUDA device"  # the one skip that .ci/run accepts, by these words

# Files whose tests start workers or servers: they stay in one process, so that no two of these tests run at a time.
ONE_AT_A_TIME = (
    "app/test_many_sessions.py",
    "benchmarks/test_app.py",
    "commands/test_sweep.py",
    "sweeps/test_cluster.py",
    "sweeps/test_local.py",
    "sweeps/test_together.py",
    "test_readme_python.py",
)
# What takes longest comes first, so that both processes end at about the same time; seconds on an idle machine.
LONG = (
    "browser/",  # 180
    *ONE_AT_A_TIME,  # 100
    "spectra/test_full.py",  # 22
    "checkpoints/test_inspect.py",  # 18
    "app/test_pages_statistics.py",  # 16
    "commands/test_main.py",  # 13
    "app/test_app.py",  # 13
    "sweeps/test_shipping.py",  # 9
    "slices/test_spectrum.py",  # 9
    "images/test_decode.py",  # 8
)


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="the long variants: more kills, larger blocks, more images")


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(items):
    """Marks what needs a browser; without one, or without a card, these tests skip by name. Then the order."""
    missing = pytest.mark.skipif(not CHROMIUM.exists(), reason="chromium is not installed: apt-get install chromium")
    for item in items:
        if TESTS / "browser" in item.path.parents:
            item.add_marker(pytest.mark.browser)
        if item.get_closest_marker("browser"):
            item.add_marker(missing)
    if (on_cards := [item for item in items if item.get_closest_marker("cuda")]) and not _has_card():
        for item in on_cards:
            item.add_marker(pytest.mark.skip(reason=NO_CARD))
    items.sort(key=lambda item: _place(item.path.relative_to(TESTS).as_posix()))


def _has_card() -> bool:
    import torch

    return torch.cuda.is_available()


def _place(file: str) -> int:
    return next((place for place, start in enumerate(LONG) if file.startswith(start)), len(LONG))


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
    """A file stays in one process. So does the browser's folder, with its server, and so do the files that start processes."""
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            path = super()._split_scope(nodeid)
            file = path.split("tests/")[-1]
            if file.startswith("browser/"):
                return "browser"
            return "processes" if file.startswith(ONE_AT_A_TIME) else path

    return Scheduling(config, log)


def pytest_unconfigure():
    _session_folder.cleanup()
