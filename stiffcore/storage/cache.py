"""The only reader and writer of cache/: results by key, on disk, never wrong, always optional.

A key is the SHA-256 of what determines a result, a value is one blob of result_format with its own checksum; cache_folder keeps
the blobs. Whatever goes wrong on disk, reading becomes a miss and writing a notice: a result is shown all the same.
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
UNWRITTEN_LIMIT = 128 * 2**20  # bytes of results kept in memory because the disk refused them

_log = logging.getLogger(__name__)


def default_size_limit() -> int:
    """Bytes, from STIFFCORE_CACHE_GIB where that is a positive number."""
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

    folder: None for ``default_folder()``. size_limit: bytes, None for ``default_size_limit()``; beyond it the results that
    were not used for the longest time go. Opened at first use; nothing here but ``clear`` raises for the disk's sake.
    """

    def __init__(self, folder: Path | None = None, size_limit: int | None = None):
        limit = default_size_limit() if size_limit is None else size_limit
        self._disk = CacheFolder(Path(folder or default_folder()).expanduser().absolute(), limit)
        self._lock = threading.Lock()  # guards the attributes below
        self._counts = dict.fromkeys(("hits", "misses", "damaged", "unwritten"), 0)
        self._unwritten: OrderedDict[str, bytes] = OrderedDict()  # what the disk refused
        self._computing: dict[str, list] = {}  # key -> [lock, number of threads that hold or want it]

    @property
    def folder(self) -> Path:
        return self._disk.folder

    def get(self, key: str) -> Entry | None:
        """The entry, or None: not stored, or damaged, altered, swapped or foreign, which is logged."""
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
        """What is stored, to tell quickly what is not; empty where the folder cannot be read."""
        with self._lock:
            unwritten = set(self._unwritten)
        try:
            return frozenset(unwritten | self._disk.attempt(lambda cache: cache.keys()))
        except Exception as error:
            _log.debug("The keys in %s cannot be listed: %s", self.folder, error)
            return frozenset(unwritten)

    def put(self, key: str, header: Mapping, arrays: Mapping[str, np.ndarray]) -> str | None:
        """Store an entry; None, or a sentence for the user about what went wrong. Raises only for what is no entry."""
        blob = encoding.encode(key, Entry(dict(header), dict(arrays)))
        try:
            self._disk.write(key, blob)
        except Exception as error:  # OSError, sqlite3's, diskcache's, filelock's: none of them costs the user a result
            self._keep_unwritten(key, blob)
            _log.info("Result %s could not be stored in %s: %s", key, self.folder, error)  # the notice is for the user
            return (
                f"Expected a cache folder that can be written, got “{reason(error)}” at {self.folder}: the result is shown but not "
                "stored; free space there or set STIFFCORE_CACHE to another folder."
            )
        with self._lock:
            self._unwritten.pop(key, None)
        return self._disk.notice()

    @contextmanager
    def computed_once(self, key: str, waiting: Callable[[], None] | None = None) -> Iterator[None]:
        """Hold a key while its result is looked up, computed and stored; other threads and processes wait.

        Look the key up inside: whoever had to wait finds the result. Not re-entrant. ``waiting`` is called ten times a second
        while others hold the key, and may raise to give up. The lock is the kernel's: a killed holder frees it.
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
        """Where, how many, how large, and what went wrong since the start of this process.

        folder, size_limit (bytes), entries, bytes, free_disk (bytes), problem ("" or why it cannot be used), and counts:
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
        """Forget every result. Raises CannotCompute where the disk does not let go of them."""
        with self._lock:
            self._unwritten.clear()
        try:
            self._disk.clear()
        except Exception as error:
            raise CannotCompute(
                f"Expected a cache folder that can be written, got “{reason(error)}” at {self.folder}: delete the folder by hand."
            ) from error

    def tidy(self) -> None:
        """Remove what killed writers left; happens by itself, in the background, whenever the folder is opened."""
        self._disk.tidy()

    def close(self) -> None:
        """Close this thread's connection to the database; any later use opens it again."""
        self._disk.close()

    def _count(self, what: str) -> None:
        with self._lock:
            self._counts[what] += 1

    def _keep_unwritten(self, key: str, blob: bytes) -> None:
        """Keep in memory what the disk refused, so that it is not computed again at every look."""
        with self._lock:
            self._counts["unwritten"] += 1
            self._unwritten[key] = blob
            while sum(map(len, self._unwritten.values())) > UNWRITTEN_LIMIT:
                self._unwritten.popitem(last=False)
