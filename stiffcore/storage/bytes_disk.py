"""diskcache that keeps bytes under text keys and nothing else.

diskcache 5.6.3 unpickles whatever the mode column of its own database marks as pickled, ``JSONDisk`` included
(CVE-2025-69872), and opens or deletes whatever path its filename column holds. Here every other mode, key and path is refused.
"""

import os
import re
import sqlite3
import stat
import threading
import time
from contextlib import suppress

import diskcache
from diskcache.core import MODE_BINARY, MODE_RAW, UNKNOWN

from stiffcore.storage.encoding import DamagedEntry

TOUCH_AFTER = 60.0  # seconds; a value read again sooner is not noted as used, so that reading seldom writes
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
        relative = f"{name[:2]}/{name[2:]}.val"  # one level of folders: diskcache's two make nearly one a file
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
        """The path of a value's file. A tampered row may name any path, a device or a link: those are refused."""
        if not isinstance(filename, str) or not _FILE_NAME.fullmatch(filename):
            raise DamagedEntry(f"its database row names the file {filename!r}")
        path = os.path.join(self._directory, filename)
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise DamagedEntry(f"{filename} is not a regular file")
        return path


class BytesCache(diskcache.Cache):
    """Values by key, the least recently used of them removed on request. Its other methods are diskcache's."""

    def __init__(self, directory: str, timeout: float, size_limit: int):
        # Every setting is given, because diskcache takes those that are not from the database, which may be tampered with.
        settings = diskcache.DEFAULT_SETTINGS | {
            "size_limit": size_limit,
            "eviction_policy": "least-recently-used",
            "cull_limit": 0,  # evict_oldest does it, one by one
            "sqlite_mmap_size": 0,  # a mapped file that is truncated kills the process
        }
        self._busy_timeout = int(1000 * timeout)  # milliseconds
        super().__init__(directory, timeout=timeout, disk=BytesDisk, **settings)

    # diskcache's private attributes are used in the next two methods only; requirements.txt keeps it below 6 for their sake.

    @property
    def _sql_retry(self):
        """Overridden: diskcache tries what it does at opening for a minute where another process is stuck in a write; we wait
        less, and no setting of diskcache says so."""
        self._sql(f"PRAGMA busy_timeout = {self._busy_timeout}")
        return self._sql

    def _rows(self, statement: str, arguments: tuple = ()) -> list[tuple]:
        """What an SQL statement gives, over diskcache's connection of this thread, so that it counts in ``transact``.

        diskcache's own methods cannot do what is asked here: they unpickle what they read, note every look by a write, evict
        without a bound, and list keys by one query each.
        """
        return self._sql(statement, arguments).fetchall()

    def read_bytes(self, key: str) -> bytes | None:
        """A value, or None. Raises DamagedEntry for a row that this program did not write."""
        rows = self._rows(
            "SELECT rowid, access_time, mode, filename, value FROM Cache WHERE key = ? AND raw = 1", (key,)
        )
        if not rows:
            return None
        rowid, used, *stored = rows[0]
        try:
            value = self.disk.fetch(*stored, False)
        except FileNotFoundError:
            return None  # evicted meanwhile
        now = time.time()
        if not isinstance(used, float) or abs(now - used) > TOUCH_AFTER:
            with suppress(sqlite3.OperationalError):  # a full disk or a busy writer: the value counts, not the note
                self._rows("UPDATE Cache SET access_time = ? WHERE rowid = ?", (now, rowid))
        return value

    def write_bytes(self, key: str, value: bytes) -> None:
        """Store a value. Raises OSError, sqlite3.Error or diskcache.Timeout, and then leaves no file behind."""
        self.disk.written.file = None
        try:
            self.set(key, value)
        except BaseException:
            if self.disk.written.file:
                self.disk.remove(self.disk.written.file)  # diskcache leaves it, half of it on a full disk
            raise

    def evict_oldest(self) -> int:
        """Remove what was not used for the longest time until the size limit holds; the newest stays. Returns how many."""
        count = 0
        while self.volume() > self.size_limit and len(self) > 1:
            with self.transact():
                oldest = self._rows("SELECT rowid, filename FROM Cache ORDER BY access_time LIMIT 1")
                if not oldest:
                    break
                rowid, file_name = oldest[0]
                self._rows("DELETE FROM Cache WHERE rowid = ?", (rowid,))
            if file_name is not None:
                self.disk.remove(file_name)  # once the transaction is committed: no row ever names a file that is gone
            count += 1
        return count

    def keys(self) -> set[str]:
        """All keys by one query, where iterating asks once a key."""
        return {key for (key,) in self._rows("SELECT key FROM Cache WHERE raw = 1")}

    def file_names(self) -> set[str]:
        """The files that rows refer to, relative to the folder."""
        return {name for (name,) in self._rows("SELECT filename FROM Cache WHERE filename IS NOT NULL")}

    def recount(self) -> None:
        """Set what triggers keep, the number of rows and their size, to what the rows say."""
        with self.transact():
            for name, counted in (("count", "COUNT(*)"), ("size", "COALESCE(SUM(size), 0)")):
                self._rows(f"UPDATE Settings SET value = (SELECT {counted} FROM Cache) WHERE key = ?", (name,))

    def is_sound(self) -> bool:
        """SQLite's own check of the whole database."""
        return self._rows("PRAGMA quick_check(1)") == [("ok",)]
