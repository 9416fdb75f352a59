"""A diskcache that stores only bytes, under text keys.

diskcache 5.6.3 unpickles every value that its database marks as pickled, with ``JSONDisk`` too (CVE-2025-69872), and opens
or deletes any path in the filename column. The classes here refuse every other mode, key and path.
"""

import os
import re
import sqlite3
import stat
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import diskcache
from diskcache.core import MODE_BINARY, MODE_RAW, UNKNOWN

from stiffcore.storage.encoding import DamagedEntry

TOUCH_AFTER = 60.0  # seconds; reading a value again sooner does not record its use, so that reads seldom write
_FILE_NAME = re.compile(r"[0-9a-f]{2}/[0-9a-f]{30}\.val")


class BytesDisk(diskcache.Disk):
    """Stores and returns bytes under text keys; refuses every other mode, key and file name."""

    def __init__(self, directory: str, **settings: object):
        super().__init__(directory, **settings)
        self.written = threading.local()  # .file: the file that this thread wrote last

    def put(self, key: object) -> tuple[str, bool]:
        if type(key) is not str:
            raise TypeError(f"Expected a key of type str, got {type(key).__name__}.")
        return key, True

    def get(self, key: object, raw: object) -> str:
        if not raw or type(key) is not str:
            raise DamagedEntry("its key is not text")
        return key

    def filename(self, key: object = UNKNOWN, value: object = UNKNOWN) -> tuple[str, str]:
        name = os.urandom(16).hex()
        relative = f"{name[:2]}/{name[2:]}.val"  # one level of folders: two, as in diskcache, make nearly one per file
        return relative, os.path.join(self._directory, relative)

    def store(self, value: object, read: object, key: object = UNKNOWN) -> tuple[int, int, str | None, bytes | None]:
        if type(value) is not bytes or read:
            raise TypeError(f"Expected bytes to store, got {type(value).__name__}.")
        if len(value) < self.min_file_size:
            return 0, MODE_RAW, None, value
        relative, full_path = self.filename()
        self.written.file = relative
        self._write(full_path, iter((value,)), "xb")
        return len(value), MODE_BINARY, relative, None

    def fetch(self, mode: object, filename: object, value: object, read: object) -> bytes:
        if mode == MODE_RAW and type(value) is bytes and not read:
            return value
        if mode == MODE_BINARY and not read:
            with open(self._own_file(filename), "rb") as file:
                return file.read()
        raise DamagedEntry(f"its database row has mode {mode!r}")

    def remove(self, file_path: object) -> None:
        with suppress(OSError, DamagedEntry):
            os.remove(self._own_file(file_path))

    def _own_file(self, filename: object) -> str:
        """The path of a value's file. Refuses other paths, devices and links, which a tampered row may name."""
        if not isinstance(filename, str) or not _FILE_NAME.fullmatch(filename):
            raise DamagedEntry(f"its database row names the file {filename!r}")
        path = os.path.join(self._directory, filename)
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise DamagedEntry(f"{filename} is not a regular file")
        return path


class BytesCache(diskcache.Cache):
    """Values by key; the least recently used are removed on request. Other methods are diskcache's."""

    def __init__(self, directory: str, timeout: float, size_limit: int):
        # Every setting is given: diskcache reads missing ones from the database, which may be tampered with.
        settings = diskcache.DEFAULT_SETTINGS | {
            "size_limit": size_limit,
            "eviction_policy": "least-recently-used",
            "cull_limit": 0,  # evict_oldest removes them, one by one
            "sqlite_mmap_size": 0,  # a mapped file that is truncated kills the process
        }
        self._busy_timeout = int(1000 * timeout)  # milliseconds
        super().__init__(directory, timeout=timeout, disk=BytesDisk, **settings)

    # Only the next two methods use diskcache's private attributes; because of them requirements.txt keeps it below 6.

    @property
    def _sql_retry(self) -> Callable[..., sqlite3.Cursor]:
        """Overridden: at opening, diskcache retries for a minute while another process is stuck in a write. We wait less, for
        which diskcache has no setting."""
        execute: Callable[..., sqlite3.Cursor] = self._sql
        execute(f"PRAGMA busy_timeout = {self._busy_timeout}")
        return execute

    def _rows(self, statement: str, arguments: tuple = ()) -> list[tuple]:
        """The rows of an SQL statement, on diskcache's connection of this thread, so that it is part of ``transact``.

        diskcache's own methods do not fit: they unpickle what they read, write at every read, evict without a bound, and list
        keys with one query each.
        """
        rows: list[tuple] = self._sql(statement, arguments).fetchall()
        return rows

    def read_bytes(self, key: str) -> bytes | None:
        """A value, or None. Raises DamagedEntry for a row that this program did not write."""
        rows = self._rows(
            "SELECT rowid, access_time, mode, filename, value FROM Cache WHERE key = ? AND raw = 1", (key,)
        )
        if not rows:
            return None
        rowid, used, *stored = rows[0]
        try:
            value: bytes = self.disk.fetch(*stored, False)
        except FileNotFoundError:
            return None  # evicted meanwhile
        now = time.time()
        if not isinstance(used, float) or abs(now - used) > TOUCH_AFTER:
            with suppress(sqlite3.OperationalError):  # a full disk or a busy writer: the value matters, not its time
                self._rows("UPDATE Cache SET access_time = ? WHERE rowid = ?", (now, rowid))
        return value

    def write_bytes(self, key: str, value: bytes) -> None:
        """Store a value. Raises OSError, sqlite3.Error or diskcache.Timeout; after an error no file is left."""
        self.disk.written.file = None
        try:
            self.set(key, value)
        except BaseException:
            if self.disk.written.file:
                self.disk.remove(self.disk.written.file)  # diskcache leaves it, incomplete on a full disk
            raise

    def evict_oldest(self) -> int:
        """Remove the least recently used values until the size limit holds; one always stays. Returns the number removed."""
        count = 0
        while self.volume() > self.size_limit and len(self) > 1:
            with self.transact():
                oldest = self._rows("SELECT rowid, filename FROM Cache ORDER BY access_time LIMIT 1")
                if not oldest:
                    break
                rowid, file_name = oldest[0]
                self._rows("DELETE FROM Cache WHERE rowid = ?", (rowid,))
            if file_name is not None:
                self.disk.remove(file_name)  # after the commit, so that no row names a missing file
            count += 1
        return count

    def keys(self) -> set[str]:
        """All keys with one query; iterating needs one per key."""
        return {key for (key,) in self._rows("SELECT key FROM Cache WHERE raw = 1")}

    def file_names(self) -> set[str]:
        """The files that rows refer to, relative to the folder."""
        return {name for (name,) in self._rows("SELECT filename FROM Cache WHERE filename IS NOT NULL")}

    def recount(self) -> None:
        """Recount the number and the size of the rows, which SQL triggers maintain."""
        with self.transact():
            for name, counted in (("count", "COUNT(*)"), ("size", "COALESCE(SUM(size), 0)")):
                self._rows(f"UPDATE Settings SET value = (SELECT {counted} FROM Cache) WHERE key = ?", (name,))

    def is_sound(self) -> bool:
        """SQLite's own check of the whole database."""
        return self._rows("PRAGMA quick_check(1)") == [("ok",)]
