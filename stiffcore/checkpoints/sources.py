"""Where a checkpoint's bytes come from: bytes in memory (an upload), or a file, of which only the parts in use are read."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from stiffcore.errors import CannotCompute

LARGEST_FILE = 128 << 20  # bytes in memory, which an upload takes; a file on disk may have any size


class Source(Protocol):
    """Bytes that are read in parts."""

    @property
    def size(self) -> int: ...

    def read(self, begin: int, end: int) -> bytes:
        """The bytes from begin to end. Raises CannotCompute if the file is shorter, or no longer the same."""
        ...


@dataclass(frozen=True)
class InMemory:
    """An upload."""

    content: bytes

    @property
    def size(self) -> int:
        return len(self.content)

    def read(self, begin: int, end: int) -> bytes:
        _check_range(begin, end, len(self.content))
        return self.content[begin:end]


@dataclass(frozen=True)
class InFile:
    """A file on disk. It is opened for each read, so that nothing stays open, and read, not mapped into memory: a mapped file
    that is cut short ends the process. version: what shows that it is still the same."""

    path: Path
    size: int
    version: tuple[int, ...]

    def read(self, begin: int, end: int) -> bytes:
        _check_range(begin, end, self.size)
        try:
            with _open(self.path) as file:
                file.seek(begin)
                content = file.read(end - begin)
                same = _version(os.fstat(file.fileno())) == self.version
        except OSError as error:
            raise _unreadable(self.path, error) from error
        if len(content) != end - begin or not same:
            raise CannotCompute(
                f"Expected {self.path} to stay as it is, got a file that changed while it was read: try again."
            )
        return content


def of(content: "bytes | Path | Source") -> Source:
    """The bytes of an upload, or of the file of a path. Raises CannotCompute for what is too large or cannot be read."""
    if isinstance(content, Path):
        return _in_file(content)
    if not isinstance(content, bytes):
        return content
    if len(content) > LARGEST_FILE:
        raise CannotCompute(
            f"Expected a checkpoint of up to {LARGEST_FILE >> 20} MB, got {len(content) >> 20} MB: save the weights alone, in "
            "float16."
        )
    return InMemory(content)


def _in_file(path: Path) -> InFile:
    path = path.expanduser()
    try:
        with _open(path) as file:
            about = os.fstat(file.fileno())
    except OSError as error:
        raise _unreadable(path, error) from error
    return InFile(path, about.st_size, _version(about))


def _open(path: Path) -> BinaryIO:
    """The file, for reading. Raises CannotCompute for a folder, a pipe or a device, which could be endless."""
    about = path.stat()
    if stat.S_ISDIR(about.st_mode):
        raise CannotCompute(f"Expected a checkpoint in {path}, got a folder: name a file in it.")
    if stat.S_ISREG(about.st_mode):
        # Without waiting: the path may have become a pipe, into which nobody writes.
        file = os.fdopen(
            os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)), "rb", 0
        )
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return file
        file.close()
    raise CannotCompute(f"Expected a checkpoint in {path}, got a pipe or a device: copy it into a file.")


def _version(about: os.stat_result) -> tuple[int, ...]:
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns


def _unreadable(path: Path, error: OSError) -> CannotCompute:
    return CannotCompute(f"Expected a checkpoint in {path}, got {error.strerror}: name another file.")


def _check_range(begin: int, end: int, size: int) -> None:
    if not 0 <= begin <= end <= size:
        raise CannotCompute(
            f"Expected a whole checkpoint, got one that ends after {size:,} bytes: download or copy it again."
        )


class Stream:
    """A source as zipfile reads it. Raises OverflowError for a piece that is larger than largest, or has a mark more often than
    most: zipfile reads an archive's whole list of entries."""

    def __init__(self, source: Source, largest: int, mark: bytes, most: int) -> None:
        self._source = source
        self._largest, self._mark, self._most = largest, mark, most
        self._at = 0
        self.mode = "rb"

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._source.size}[whence]
        if at < 0:
            raise OSError("a position before the beginning")
        self._at = at
        return at

    def read(self, count: int = -1) -> bytes:
        left = max(0, self._source.size - self._at)
        count = left if count < 0 else min(count, left)
        if count > self._largest:
            raise OverflowError(f"a piece of {count:,} bytes")
        self._at += count
        piece = self._source.read(self._at - count, self._at)
        if piece.count(self._mark) > self._most:
            raise OverflowError(f"{self._mark!r} more than {self._most} times")
        return piece
