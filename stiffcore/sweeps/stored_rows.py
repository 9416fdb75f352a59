"""The rows of what this machine's cache holds, for the pages about many images. Needs no torch."""

import logging
import threading
from functools import cache

import pandas as pd

from stiffcore.analysis import requests as analysis
from stiffcore.errors import CannotCompute
from stiffcore.images import cifar10
from stiffcore.storage import cache as result_cache
from stiffcore.sweeps import local as local_sweep

_log = logging.getLogger(__name__)


class StoredRows:
    """Rows of the cache's current results at bundled images. Only what is new since the last look is read.

    A result is current if its key is the one that its request has today: same weights, image, algorithm and format.
    Safe to share among threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: dict[str, dict | None] = {}  # key -> its row; None: of no use here

    def rows(self, network: str, convention: str) -> pd.DataFrame:
        """Those of one network and convention, the richest quantity of each image and block; maybe none."""
        with self._lock:
            self._look()
            found = [
                row
                for row in self._rows.values()
                if row and (row["network"], row["convention"]) == (network, convention)
            ]
        found.sort(key=lambda row: (row["image"], row["block"], row["quantity"] == "counts"))
        return pd.DataFrame({(row["image"], row["block"]): row for row in found}.values())

    def _look(self) -> None:
        keys = result_cache.default().keys()
        for gone in self._rows.keys() - keys:
            del self._rows[gone]
        for new in keys - self._rows.keys():
            self._rows[new] = _row(new)


@cache
def _bundled() -> frozenset[int]:
    return frozenset(cifar10.bundled())


def _row(key: str) -> dict | None:
    entry = result_cache.default().get(key)
    try:
        request = analysis.Request(**entry.header["request"])
        if request.image not in _bundled() or analysis.key(request) != key:
            return None
        result = analysis.stored(request)
        return None if result is None else local_sweep.row(result)
    except (AttributeError, KeyError, TypeError, CannotCompute) as error:
        _log.debug("Stored result %s has no row: %r", key, error)
        return None
