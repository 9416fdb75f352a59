"""The rows of the results in this machine's cache, for the pages about many images. Needs no torch."""

import logging
import threading
from collections.abc import Iterable

import pandas as pd

from stiffcore.analysis import compute as analysis
from stiffcore.analysis.requests import QUANTITIES, Request
from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.images.image import Image
from stiffcore.networks.network import Network
from stiffcore.storage import cache as result_cache
from stiffcore.sweeps import tasks as sweep_tasks

_log = logging.getLogger(__name__)


class StoredRows:
    """Rows of the cache's current results. Reads only results that are new since the last call.

    A result is current if its key is the one that its request has today: same weights, image, algorithm and format.
    Safe to share between threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # key -> the request in its header, and the hash of its weights; empty: not a block's result
        self._requests: dict[str, tuple[dict, str]] = {}
        self._rows: dict[str, dict[Network, dict | None]] = {}  # key -> its row; None: not current for that network

    def rows(self, network: Network, convention: Convention, images: Iterable[Image]) -> pd.DataFrame:
        """The rows of a network and a convention at some images, with the richest quantity of each image and block; may
        be empty."""
        by_number = {image.in_rows: image for image in images}
        with self._lock:
            self._update()
            candidates = [self._row(key, network, by_number) for key in self._asked(network, convention, by_number)]
        rows = [row for row in candidates if row]
        rows.sort(key=lambda row: (row["image"], row["block"], QUANTITIES.index(row["quantity"])))
        return pd.DataFrame({(row["image"], row["block"]): row for row in rows}.values())

    def _update(self) -> None:
        """Forget the results that left the cache, and read the headers of new ones."""
        keys = result_cache.default().keys()
        for gone in self._requests.keys() - keys:
            del self._requests[gone]
            self._rows.pop(gone, None)
        for new in keys - self._requests.keys():
            entry = result_cache.default().get(new)
            self._requests[new] = ({}, "") if entry is None else _asked_in(entry.header)

    def _asked(self, network: Network, convention: Convention, images: dict) -> list[str]:
        # By the weights, not by the name: the same file may have been swept under another one.
        wanted = (network.weights_sha256, convention)
        return [
            key
            for key, (asked, weights) in self._requests.items()
            if (weights, asked.get("convention")) == wanted and asked.get("image") in images
        ]

    def _row(self, key: str, network: Network, images: dict) -> dict | None:
        of_networks = self._rows.setdefault(key, {})
        if network not in of_networks:
            of_networks[network] = _row(key, self._requests[key][0], network, images)
        return of_networks[network]


def _asked_in(header: dict) -> tuple[dict, str]:
    """The request of a block's result and the hash of its weights; nothing of another kind of result."""
    asked, made = header.get("request"), header.get("made")
    if not (isinstance(asked, dict) and isinstance(made, dict) and "convention" in asked):
        return {}, ""
    return asked, str(made.get("weights", ""))


def _row(key: str, asked: dict, network: Network, images: dict) -> dict | None:
    try:
        convention = Convention(asked["convention"])  # a header has its name
        objects = {"network": network, "image": images[asked["image"]], "convention": convention}
        request = Request(**asked | objects)
        if request.key != key:
            return None
        result = analysis.stored(request)
        return None if result is None else sweep_tasks.row(result)
    except (AttributeError, KeyError, TypeError, CannotCompute) as error:
        _log.debug("Stored result %s has no row: %r", key, error)
        return None
