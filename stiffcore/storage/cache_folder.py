"""Bytes by key in a folder that repairs itself: opened at first use, replaced when damaged or deleted, cleaned up.

Below cache/results/: cache.db (SQLite, through bytes_disk), ab/….val (larger values), open.lock and write.lock (kernel locks),
computing/KEY.lock while a result is computed, damaged-cache.db if a damaged one was moved aside. Safe to delete at any time.
"""

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import diskcache
import filelock

from stiffcore.storage import encoding
from stiffcore.storage.bytes_disk import BytesCache, BytesDisk
from stiffcore.storage.encoding import DamagedEntry

WAIT = 10.0  # seconds to wait for a lock that other threads or processes hold while they write
RETRY_AFTER = 2.0  # seconds before opening a folder is tried again; longer if the failure took long
# SQLite's errors that come from the disk or from other processes, not from a damaged database.
_UNAVAILABLE = ("SQLITE_READONLY", "SQLITE_FULL", "SQLITE_CANTOPEN", "SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_IOERR")

_log = logging.getLogger(__name__)
T = TypeVar("T")


def _is_damage(error: Exception) -> bool:
    """Whether an error means a damaged database, not a full disk, a read-only folder or a busy process."""
    if isinstance(error, OSError | diskcache.Timeout):
        return False
    return not getattr(error, "sqlite_errorname", "").startswith(_UNAVAILABLE)


def reason(error: Exception) -> str:
    """What went wrong, in a few words."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _inode(path: Path) -> int | None:
    with suppress(OSError):
        return path.stat().st_ino
    return None


class CacheFolder:
    """Bytes by key in a folder. Safe to share among threads; several processes may use the same folder."""

    def __init__(self, folder: Path, size_limit: int):
        self.folder, self.size_limit = folder, size_limit
        self._lock = threading.RLock()  # guards the attributes below
        self._cache: BytesCache | None = None
        self._database: int | None = None  # its inode; if it changes or disappears, somebody deleted the folder
        self._suspect = False  # an error suggests damage: check the database at the next opening
        self._problem, self._retry_at = "", 0.0  # why the folder could not be opened, and when to try again
        self._notices: list[str] = []
        self._writing = threading.Lock()  # one writer in this process; a file lock excludes other processes

    def read(self, key: str) -> bytes | None:
        """The bytes, or None. Raises DamagedEntry for a row that this program did not write, and nothing else."""
        try:
            return self.attempt(lambda cache: cache.read_bytes(key))
        except DamagedEntry:
            raise
        except Exception as error:
            _log.debug("%s is read without writing, after: %s", key, error)
        with suppress(sqlite3.Error, OSError):
            return self._read_only(key)
        return None

    def write(self, key: str, blob: bytes) -> None:
        """Store bytes, and remove the least recently used beyond the limit. Raises the disk's errors."""
        if len(blob) > self.size_limit:
            raise OSError(f"the result has {len(blob):,} bytes, STIFFCORE_CACHE_GIB allows {self.size_limit:,}")
        self._opened()
        with self.write_lock():

            def write(cache: BytesCache) -> None:
                cache.write_bytes(key, blob)
                cache.evict_oldest()

            self.attempt(write)

    def attempt(self, work: Callable[[BytesCache], T]) -> T:
        """Run ``work`` on the open database; after an error that means damage, run it again on a repaired one."""
        for again in (True, False):
            cache = self._opened()
            try:
                return work(cache)
            except DamagedEntry:
                raise
            except Exception as error:
                with suppress(Exception):
                    cache.close()  # this thread's connection, which may be inside a transaction
                if not again or not _is_damage(error):
                    raise
                _log.warning("The cache in %s is reopened after an error: %s", self.folder, error)
                with self._lock:
                    if self._cache is cache:
                        self._cache, self._suspect = None, True
        raise AssertionError("unreachable")

    def clear(self) -> None:
        """Remove everything. Raises the disk's errors."""
        with self.write_lock():
            try:
                self.attempt(lambda cache: cache.clear())
            except Exception as error:
                _log.warning("The cache in %s is deleted file by file, after: %s", self.folder, error)
                for path in [*self.folder.glob("*cache.db*"), *self.folder.glob("[0-9a-f][0-9a-f]/*.val")]:
                    path.unlink(missing_ok=True)  # works on a full disk, where the database cannot change
                with self._lock:
                    self._retry_at = 0.0

    def notice(self) -> str | None:
        """A sentence about what happened to the folder; returned once."""
        with self._lock:
            return self._notices.pop(0) if self._notices else None

    def close(self) -> None:
        with self._lock:
            if self._cache is not None:
                self._cache.close()

    def tidy(self) -> None:
        """Add complete results that killed writers left without a database row, and remove their other files."""
        try:
            with self.write_lock():  # no writer has a file without its row now
                self.attempt(self._tidy)
        except Exception as error:
            _log.info("Files of killed writers in %s stay for now: %s", self.folder, error)

    def _tidy(self, cache: BytesCache) -> None:
        files = list(self.folder.glob("[0-9a-f][0-9a-f]/*.val"))  # listed before adding results creates new ones
        known = cache.file_names()
        for path in files:
            if path.relative_to(self.folder).as_posix() in known:
                continue
            with suppress(DamagedEntry, OSError):
                blob = path.read_bytes()
                orphan = encoding.key_of(blob)
                if orphan not in cache:
                    cache.write_bytes(orphan, blob)
            with suppress(OSError):
                path.unlink()
        cache.recount()
        cache.evict_oldest()

    @contextmanager
    def write_lock(self) -> Iterator[None]:
        """One writer at a time among all threads and processes, so that a file without a row must be an orphan."""
        if not self._writing.acquire(timeout=WAIT):
            raise TimeoutError("another thread is writing")
        try:
            with filelock.FileLock(self.folder / "write.lock", timeout=WAIT):
                yield
        finally:
            self._writing.release()

    @contextmanager
    def key_lock(self, key: str, waiting: Callable[[], None] | None) -> Iterator[None]:
        """A kernel lock among processes on a file named after the key; no lock if the file cannot be created."""
        lock = filelock.FileLock(self.folder / "computing" / f"{key}.lock")
        try:
            while not lock.is_locked:
                with suppress(filelock.Timeout):
                    lock.acquire(timeout=0)
                if not lock.is_locked:
                    time.sleep(0.1)
                    if waiting:
                        waiting()
        except (OSError, NotImplementedError) as error:
            _log.debug("Other processes may compute %s too: %s", key, error)
        try:
            yield
        finally:
            if lock.is_locked:
                with suppress(OSError):
                    Path(lock.lock_file).unlink()  # while held; a waiter that has opened it notices and retries
                lock.release()

    def _opened(self) -> BytesCache:
        """The open database. Raises OSError with the reason if it cannot be opened."""
        with self._lock:
            if self._cache is not None and self._database != _inode(self.folder / "cache.db"):
                self._cache = None  # somebody deleted the folder
            if self._cache is None:
                if time.monotonic() < self._retry_at:
                    raise OSError(self._problem)
                began = time.monotonic()
                try:
                    self._cache = self._open()
                except Exception as error:
                    self._problem = reason(error)
                    self._retry_at = time.monotonic() + max(RETRY_AFTER, 10 * (time.monotonic() - began))
                    # Not a warning: the caller gets a sentence that says so and what to do.
                    _log.info("The cache in %s cannot be opened: %s", self.folder, self._problem)
                    raise OSError(self._problem) from error
                threading.Thread(target=self.tidy, name="cache-tidy", daemon=True).start()
            return self._cache

    def _open(self) -> BytesCache:
        self.folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(self.folder / "open.lock", timeout=WAIT):
            try:
                cache = self._checked()
            except Exception as error:
                if not _is_damage(error):
                    raise
                _log.warning("The cache's database in %s is damaged (%s): it is moved aside.", self.folder, error)
                self._move_aside()
                cache = self._checked()
        self._suspect, self._database = False, _inode(self.folder / "cache.db")
        return cache

    def _checked(self) -> BytesCache:
        # Open cache.db only through SQLite: closing another handle would drop SQLite's locks on it (POSIX), and lose rows.
        with suppress(FileNotFoundError):
            if self._suspect and (self.folder / "cache.db").stat().st_size == 0:
                # Emptied while in use: SQLite would wait for the other processes that have it open.
                raise sqlite3.DatabaseError("it was emptied")
        cache = BytesCache(str(self.folder), WAIT, self.size_limit)
        _ = len(cache) + cache.volume()  # a database with foreign content fails here
        if self._suspect and not cache.is_sound():
            cache.close()
            raise sqlite3.DatabaseError("SQLite's check of the database failed")
        return cache

    def _move_aside(self) -> None:
        for suffix in ("", "-wal", "-shm"):
            with suppress(FileNotFoundError):
                os.replace(self.folder / f"cache.db{suffix}", self.folder / f"damaged-cache.db{suffix}")
        self._notices.append(
            f"The database in {self.folder} was damaged: it was moved to damaged-cache.db and a new one started; lost results "
            "are computed again when needed."
        )

    def _read_only(self, key: str) -> bytes | None:
        """Read from a folder that cannot be written, such as one on a read-only medium."""
        uri = (self.folder / "cache.db").as_uri()
        select = "SELECT mode, filename, value FROM Cache WHERE key = ? AND raw = 1"
        for mode in ("mode=ro", "mode=ro&immutable=1"):  # the second needs no lock file
            with (
                suppress(sqlite3.OperationalError),
                closing(sqlite3.connect(f"{uri}?{mode}", uri=True, timeout=WAIT)) as connection,
            ):
                rows = connection.execute(select, (key,)).fetchall()
                if not rows:
                    return None
                mode, filename, value = rows[0]
                return BytesDisk(str(self.folder)).fetch(mode, filename, value, False)
        return None
