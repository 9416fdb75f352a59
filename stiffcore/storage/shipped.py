"""The results that come with the project: cache/shipped/spectra*.parquet, tracked and read-only.

Columns: ``key`` (string), ``header`` (string, JSON), ``arrays`` (binary, .npz), ``sha256`` (string, hexadecimal; see
encoding.digest). At first only the keys are read; a row is read, and its checksum verified, when it is requested.
"""

import logging
import threading
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from stiffcore import files
from stiffcore.storage import encoding
from stiffcore.storage.encoding import DamagedEntry, Entry

ROW_GROUP = 16  # rows that are read together; a spectrum has some 100 kB

_log = logging.getLogger(__name__)


class ShippedResults:
    """Read-only results by key. Safe to share among threads; a damaged file or row is logged and counts as a miss."""

    def __init__(self, folder: Path = files.SHIPPED):
        self.folder = Path(folder)
        self._lock = threading.Lock()
        self._places: dict[str, tuple[Path, int, int]] | None = None  # key -> file, row group, row in it

    def _index(self) -> dict[str, tuple[Path, int, int]]:
        if self._places is None:
            self._places = {}
            for path in sorted(self.folder.glob("spectra*.parquet")):
                try:
                    self._places |= _places(path)
                except Exception as error:  # pyarrow raises many types
                    _log.warning("Shipped results in %s cannot be read (%s): they are left out.", path, error)
        return self._places

    def keys(self) -> frozenset[str]:
        with self._lock:
            return frozenset(self._index())

    def get(self, key: str) -> Entry | None:
        """The entry; None if it is missing or damaged."""
        with self._lock:
            place = self._index().get(key)
        if place is None:
            return None
        try:
            return _read(key, *place)
        except Exception as error:
            _log.warning("Shipped result %s in %s is damaged (%s): it is left out.", key, place[0], error)
            return None


def entries_in(path: Path) -> dict[str, Entry]:
    """All entries of one file by key; empty if there is no such file. For maintainers."""
    places = _places(path) if Path(path).exists() else {}
    return {key: _read(key, *place) for key, place in places.items()}


def keys_in(path: Path) -> frozenset[str]:
    """The keys of one file; none if there is no such file. For maintainers."""
    return frozenset(_places(path)) if Path(path).exists() else frozenset()


def _places(path: Path) -> dict[str, tuple[Path, int, int]]:
    import pyarrow.parquet

    places: dict[str, tuple[Path, int, int]] = {}
    with pyarrow.parquet.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            keys = file.read_row_group(group, columns=["key"]).column("key").to_pylist()
            places |= {key: (path, group, row) for row, key in enumerate(keys)}
    return places


def _read(key: str, path: Path, group: int, row: int) -> Entry:
    import pyarrow.parquet

    # A ParquetFile must not be shared among threads; opening one costs less than a millisecond.
    with pyarrow.parquet.ParquetFile(path) as file:
        table = file.read_row_group(group, columns=["key", "header", "arrays", "sha256"], use_threads=False)
    stored = table.slice(row, 1).to_pylist()[0]
    header, arrays = stored["header"].encode(), stored["arrays"]
    if stored["key"] != key or stored["sha256"] != encoding.digest(key, header, arrays).hex():
        raise DamagedEntry("its checksum does not match")
    return encoding.decode_parts(header, arrays)


@cache
def shipped() -> ShippedResults:
    """The results that come with the project."""
    return ShippedResults()


def write_shipped(path: Path, entries: Iterable[tuple[str, Entry]]) -> int:
    """Write a file of shipped results, in the order of their keys; returns their number. For maintainers."""
    import pyarrow
    import pyarrow.parquet

    columns: dict[str, list] = {"key": [], "header": [], "arrays": [], "sha256": []}
    for key, entry in sorted(entries, key=lambda pair: pair[0]):
        header, arrays = encoding.canonical_json(entry.header), encoding.encode_arrays(entry.arrays)
        checksum = encoding.digest(key, header.encode(), arrays).hex()
        for column, value in zip(columns.values(), (key, header, arrays, checksum), strict=True):
            column.append(value)
    if len(set(columns["key"])) != len(columns["key"]) or not all(map(encoding.is_key, columns["key"])):
        raise ValueError("Expected distinct keys made by cache.key.")
    types = [("key", pyarrow.string()), ("header", pyarrow.string())]
    types += [("arrays", pyarrow.binary()), ("sha256", pyarrow.string())]
    table = pyarrow.table(columns, schema=pyarrow.schema(types))
    with files.replaced(path) as partial:
        pyarrow.parquet.write_table(table, partial, row_group_size=ROW_GROUP, compression="zstd")
    return int(table.num_rows)
