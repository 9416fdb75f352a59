"""What every test shares: `--full` for the long variants, one thread, and a cache of its own."""

import os
import tempfile
from pathlib import Path

# Before torch, numpy and numba start their thread pools, and before anything asks where the cache is.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[variable] = "1"
_session_folder = tempfile.TemporaryDirectory(prefix="stiffcore-tests-")
os.environ["STIFFCORE_CACHE"] = str(Path(_session_folder.name) / "cache")
os.environ["STIFFCORE_DATA"] = str(Path(_session_folder.name) / "data")  # only the images that ship

import pytest  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="the long variants: more kills, larger blocks, more images")


@pytest.fixture(scope="session")
def full(request) -> bool:
    """Whether the long variants were asked for."""
    return request.config.getoption("--full")


def pytest_unconfigure():
    _session_folder.cleanup()
