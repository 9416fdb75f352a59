"""Results on disk by key: never wrong, always optional. Other modules read and write cache/ only through this one.

A key is the SHA-256 of what determines a result. A value is one blob of ``encoding`` with its own checksum; ``cache_folder``
stores the blobs. A disk error makes a read a miss and a write a notice; the result is shown anyway.
"""

import logging
import math
import os
import shutil
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import numpy as np

from stiffcore.errors import CannotCompute
from stiffcore.storage import encoding
from stiffcore.storage.cache_folder import CacheFolder, reason
from stiffcore.storage.encoding import DamagedEntry, Entry, key, numbers_from_json, numbers_to_json
from stiffcore.storage.locations import default_folder
from stiffcore.storage.shipped import shipped, write_shipped

__all__ = ["Entry", "ResultCache", "default", "key", "numbers_from_json", "numbers_to_json", "shipped", "write_shipped"]

SIZE_LIMIT = 4 * 2**30  # bytes; STIFFCORE_CACHE_GIB changes it
UNWRITTEN_LIMIT = 128 * 2**20  # bytes of results kept in memory because they could not be written

_log = logging.getLogger(__name__)


def default_size_limit() -> int:
    """Bytes, from STIFFCORE_CACHE_GIB if that is a positive number."""
    given = os.environ.get("STIFFCORE_CACHE_GIB", "")
    try:
        limit = float(given) * 2**30 if given else SIZE_LIMIT
        if not 0 < limit < math.inf:
            raise ValueError
    except ValueError:
        _log.warning("Expected STIFFCORE_CACHE_GIB to be a positive number of GiB, got %r: it is ignored.", given)
        return SIZE_LIMIT
    return int(limit)


def default() -> "ResultCache":
    """This process's cache in the default folder."""
    return _shared(default_folder())


@cache
def _shared(folder: Path) -> "ResultCache":
    return ResultCache(folder)


class ResultCache:
    """Results on disk by key. Safe to share among threads; several processes may use the same folder.

    folder: None for ``default_folder()``. size_limit: bytes, None for ``default_size_limit()``; beyond it the least
    recently used results are removed. Opened at first use; only ``clear`` raises after a disk error.
    """

    def __init__(self, folder: Path | None = None, size_limit: int | None = None):
        limit = default_size_limit() if size_limit is None else size_limit
        self._disk = CacheFolder(Path(folder or default_folder()).expanduser().absolute(), limit)
        self._lock = threading.Lock()  # guards the attributes below
        self._counts = dict.fromkeys(("hits", "misses", "damaged", "unwritten"), 0)
        self._unwritten: OrderedDict[str, bytes] = OrderedDict()  # what could not be written
        self._computing: dict[str, list] = {}  # key -> [lock, number of threads that hold or want it]

    @property
    def folder(self) -> Path:
        return self._disk.folder

    def get(self, key: str) -> Entry | None:
        """The entry; None if it is not stored, or if it is damaged, altered, swapped or foreign, which is logged."""
        entry = None
        try:
            with self._lock:
                blob = self._unwritten.get(key)
            if blob is None:
                blob = self._disk.read(key)
            if blob is not None:
                entry = encoding.decode(key, blob)
        except DamagedEntry as error:
            _log.warning("Stored result %s in %s is not used, because %s.", key, self.folder, error)
            self._count("damaged")
            with suppress(Exception):
                self._disk.attempt(lambda cache: cache.delete(key))
        self._count("misses" if entry is None else "hits")
        return entry

    def keys(self) -> frozenset[str]:
        """All stored keys, to see quickly what is missing; empty if the folder cannot be read."""
        with self._lock:
            unwritten = set(self._unwritten)
        try:
            return frozenset(unwritten | self._disk.attempt(lambda cache: cache.keys()))
        except Exception as error:
            _log.debug("The keys in %s cannot be listed: %s", self.folder, error)
            return frozenset(unwritten)

    def put(self, key: str, header: Mapping, arrays: Mapping[str, np.ndarray]) -> str | None:
        """Store an entry. Returns None, or a sentence for the user about what went wrong. Raises only for an invalid entry."""
        blob = encoding.encode(key, Entry(dict(header), dict(arrays)))
        try:
            self._disk.write(key, blob)
        except Exception as error:  # of the disk, sqlite3, diskcache or filelock: none may cost the user a result
            self._keep_unwritten(key, blob)
            _log.info("Result %s could not be stored in %s: %s", key, self.folder, error)  # the notice is for the user
            return (
                f"Cannot write to the cache folder {self.folder} (“{reason(error)}”): the result is shown but not stored; free "
                "space there or set STIFFCORE_CACHE to another folder."
            )
        with self._lock:
            self._unwritten.pop(key, None)
        return self._disk.notice()

    @contextmanager
    def computed_once(self, key: str, waiting: Callable[[], None] | None = None) -> Iterator[None]:
        """Hold a key while its result is looked up, computed and stored; other threads and processes wait.

        Look the key up inside the block: a caller that waited finds the result. Not re-entrant. ``waiting`` is called ten
        times a second while others hold the key, and may raise to give up. The kernel releases the lock of a killed process.
        """
        with self._lock:
            held = self._computing.setdefault(key, [threading.Lock(), 0])
            held[1] += 1
        try:
            while not held[0].acquire(timeout=0.1):
                if waiting:
                    waiting()
            try:
                with self._disk.key_lock(key, waiting):
                    yield
            finally:
                held[0].release()
        finally:
            with self._lock:
                held[1] -= 1
                if not held[1]:
                    del self._computing[key]

    def health(self) -> dict[str, object]:
        """Folder, number and size of the results, and what went wrong since this process started.

        folder, size_limit (bytes), entries, bytes, free_disk (bytes), problem ("" or why the folder cannot be used), and counts:
        hits, misses, damaged, unwritten.
        """
        facts: dict[str, object] = {"folder": str(self.folder), "size_limit": self._disk.size_limit, "problem": ""}
        try:
            facts |= self._disk.attempt(lambda cache: {"entries": len(cache), "bytes": cache.volume()})
        except Exception as error:
            facts |= {"entries": 0, "bytes": 0, "problem": reason(error)}
        existing = next(folder for folder in (self.folder, *self.folder.parents) if folder.exists())
        with self._lock:
            return facts | {"free_disk": shutil.disk_usage(existing).free} | self._counts

    def clear(self) -> None:
        """Delete every result. Raises CannotCompute if the disk refuses."""
        with self._lock:
            self._unwritten.clear()
        try:
            self._disk.clear()
        except Exception as error:
            raise CannotCompute(
                f"Cannot delete the results in {self.folder} (“{reason(error)}”): delete the folder by hand."
            ) from error

    def tidy(self) -> None:
        """Clean up after killed writers; also runs in the background whenever the folder is opened."""
        self._disk.tidy()

    def close(self) -> None:
        """Close this thread's connection to the database; any later use opens it again."""
        self._disk.close()

    def _count(self, what: str) -> None:
        with self._lock:
            self._counts[what] += 1

    def _keep_unwritten(self, key: str, blob: bytes) -> None:
        """Keep in memory what could not be written, so that it is not computed again at every request."""
        with self._lock:
            self._counts["unwritten"] += 1
            self._unwritten[key] = blob
            while sum(map(len, self._unwritten.values())) > UNWRITTEN_LIMIT:
                self._unwritten.popitem(last=False)
