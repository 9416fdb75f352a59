"""Reads what ``torch.save`` wrote: its pickle becomes descriptions of tensors, and a tensor's numbers are read on request.

    since torch 1.6:  a zip archive of data.pkl and one entry for each storage
    before:           pickles of a magic number, a version, the machine, the object and the storages' names; then their numbers

``torch.load(weights_only=True)`` allocates any size that a file claims. Here nothing is larger than the file.
"""

import io
import zipfile
import zlib
from typing import BinaryIO, cast

import torch
from torch import Tensor

from stiffcore.checkpoints import forms, views
from stiffcore.checkpoints.forms import refused
from stiffcore.checkpoints.pickled import LARGEST_PICKLE, Interpreter
from stiffcore.checkpoints.sources import Source, Stream
from stiffcore.checkpoints.views import Described
from stiffcore.errors import CannotCompute

MOST_ENTRIES = 5000  # in the archive; ResNet50 has 330
LARGEST_DIRECTORY = 4 << 20  # bytes of the archive's list of entries
PIECE = 1 << 20  # bytes that a checksum takes at a time
MAGIC = 0x1950A86A20F9469CFC6C
VERSION = 1001
LOCAL_HEADER = 30  # bytes, before the name


class TorchArchive:
    """A zip archive, opened and checked. ``content``: the value of its pickle; ``unknown``: the first object in it that was not
    made. Raises CannotCompute for a damaged or another archive."""

    form = "PyTorch"

    def __init__(self, source: Source) -> None:
        self._source = source
        self._entries = _entries(source)
        names = list(self._entries)
        if named := forms.of_zip(names):
            raise named
        pickles = [name for name in names if name.endswith("/data.pkl") and name.count("/") == 1]
        _check(list(self._entries.values()), source.size)
        if len(pickles) != 1:
            raise refused("an archive of something else")
        self._root = pickles[0].removesuffix("data.pkl")
        if self._entries[pickles[0]].file_size > LARGEST_PICKLE:
            raise refused("one whose list of tensors is far too long")
        self._checked: set[str] = set()  # entries whose checksum is right
        order = self._entries.get(f"{self._root}byteorder")
        self._swapped = order is not None and self._read(order.filename, 0, min(order.file_size, 3)) == b"big"
        pickled = self._read(pickles[0], 0, self._entries[pickles[0]].file_size)
        interpreter = Interpreter(io.BytesIO(pickled))
        self.content, self.unknown = interpreter.value(), interpreter.unknown

    def _read(self, name: str, begin: int, end: int) -> bytes:
        """Bytes of an entry; its checksum, which torch may leave out, is compared once."""
        entry = self._entries[name]
        start = self._start(entry)
        content = self._source.read(start + begin, start + end)
        if entry.CRC and name not in self._checked:
            whole = zlib.crc32(content) if end - begin == entry.file_size else self._checksum(start, entry.file_size)
            if whole != entry.CRC:
                raise refused("a damaged archive, whose numbers do not fit their checksum")
            self._checked.add(name)
        return content

    def _checksum(self, start: int, size: int) -> int:
        crc = 0
        for at in range(start, start + size, PIECE):
            crc = zlib.crc32(self._source.read(at, min(at + PIECE, start + size)), crc)
        return crc

    def _start(self, entry: zipfile.ZipInfo) -> int:
        """Where an entry's bytes begin: behind a header of its own, which names it again."""
        begin = entry.header_offset
        header = self._source.read(begin, begin + LOCAL_HEADER)
        name = begin + LOCAL_HEADER
        length, more = int.from_bytes(header[26:28], "little"), int.from_bytes(header[28:30], "little")
        encoding = "utf-8" if entry.flag_bits & 0x800 else "cp437"
        same = self._source.read(name, name + length).decode(encoding, "replace") == entry.orig_filename
        if not header.startswith(b"PK\x03\x04") or not same:
            raise refused("a damaged archive")
        return name + length + more

    def tensor(self, described: Described) -> Tensor:
        """A copy of the tensor. Check its shape first: the copy is as large as the shape says."""
        storage, name = described.storage, f"{self._root}data/{described.storage.entry}"
        if isinstance(storage.dtype, torch.dtype) and (
            name not in self._entries or self._entries[name].file_size != storage.numel * storage.dtype.itemsize
        ):
            raise refused("a tensor whose numbers are missing or of another size")
        tensor = views.numbers(described, lambda begin, end: self._read(name, begin, end))
        return views.swapped(tensor) if self._swapped else tensor


def _entries(source: Source) -> dict[str, zipfile.ZipInfo]:
    """The archive's entries by name. Its directory is read whole, so it is limited."""
    stream = Stream(source, LARGEST_DIRECTORY, mark=b"PK\x01\x02", most=MOST_ENTRIES)
    try:
        with zipfile.ZipFile(cast(BinaryIO, stream)) as archive:
            entries = archive.infolist()
    except CannotCompute:
        raise
    except zipfile.BadZipFile as error:
        if "not a zip file" in str(error):
            raise forms.other("a damaged archive, or the beginning of one: its end is missing", forms.AGAIN) from error
        raise refused("a damaged archive") from error
    except OverflowError as error:
        raise refused("an archive of too many entries") from error
    except Exception as error:  # zipfile raises many kinds on damaged input
        raise refused("a damaged archive") from error
    if len({entry.filename for entry in entries}) != len(entries):
        raise refused("an archive with the same entry twice")
    return {entry.filename: entry for entry in entries}


def _check(entries: list[zipfile.ZipInfo], size: int) -> None:
    """Accept only entries without compression, as torch writes them: no file expands, and no two entries share bytes."""
    plain = all(e.compress_type == zipfile.ZIP_STORED and e.file_size == e.compress_size for e in entries)
    if not plain or any(e.flag_bits & 1 for e in entries):
        raise refused("a compressed or encrypted archive")
    if sum(e.file_size for e in entries) > size:
        raise refused("an archive that expands")


class OldTorchFile:
    """A file of torch before 1.6, opened and checked. ``content`` and ``unknown`` as in ``TorchArchive``."""

    form = "PyTorch before 1.6"

    def __init__(self, source: Source) -> None:
        self._source = source
        stream = io.BytesIO(source.read(0, min(source.size, LARGEST_PICKLE)))
        interpreter = Interpreter(stream)
        if interpreter.value() != MAGIC:
            raise refused("a pickle that torch.save did not write")
        version, machine = interpreter.value(), interpreter.value()
        if version != VERSION or not isinstance(machine, dict):
            raise refused("one of an unknown version")
        self.content, self.unknown = interpreter.value(), interpreter.unknown
        keys, at = interpreter.value(), stream.tell()
        if not isinstance(keys, list) or len(keys) > MOST_ENTRIES:
            raise refused("one with far more tensors than a network's")
        self._starts: dict[str, int] = {}
        for key in keys:
            if not isinstance(key, str) or key not in interpreter.storages or key in self._starts:
                raise refused("a damaged one")
            storage = interpreter.storages[key]
            if not isinstance(storage.dtype, torch.dtype):
                raise refused(f"one with numbers of type {storage.dtype}")
            if int.from_bytes(source.read(at, at + 8), "little") != storage.numel:
                raise refused("a tensor whose numbers are missing or of another size")
            self._starts[key] = at + 8
            at += 8 + storage.numel * storage.dtype.itemsize
        if at > source.size:
            raise forms.other("the beginning of a PyTorch file, which ends before its numbers do", forms.AGAIN)

    def tensor(self, described: Described) -> Tensor:
        """A copy of the tensor. Check its shape first: the copy is as large as the shape says."""
        storage = described.storage
        if isinstance(storage.dtype, torch.dtype) and storage.entry not in self._starts:
            raise refused("a tensor whose numbers are missing or of another size")
        start = self._starts.get(storage.entry, 0)
        return views.numbers(described, lambda begin, end: self._source.read(start + begin, start + end))
