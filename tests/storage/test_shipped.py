"""Shipped results: complete rows are returned, altered ones are left out."""

import logging
import threading

import pytest

from stiffcore.storage import cache as result_cache, shipped as shipped_results
from stiffcore.storage.cache import Entry
from tests.storage import cache_processes as cache_processes
from tests.storage.cache_processes import same

KEY = result_cache.key({"block": 8, "image": 0})


@pytest.fixture
def shipped(tmp_path):
    entries = [cache_processes.planted(number) for number in range(40)]
    written = result_cache.write_shipped(
        tmp_path / "spectra.parquet", [(key, Entry(header, arrays)) for key, header, arrays in entries]
    )
    assert written == 40
    return shipped_results.ShippedResults(tmp_path)


def test_shipped_results_come_back(shipped):
    for number in range(40):
        key, header, arrays = cache_processes.planted(number)
        assert same(shipped.get(key), header, arrays)
    assert shipped.get(KEY) is None
    assert len(shipped.keys()) == 40


def test_shipped_results_are_shared_among_threads(shipped):
    wrong = []

    def visitor(first: int):
        for number in range(first, 40, 4):
            key, header, arrays = cache_processes.planted(number)
            if not same(shipped.get(key), header, arrays):
                wrong.append(number)

    threads = [threading.Thread(target=visitor, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("column", ["header", "arrays", "sha256"])
def test_a_shipped_row_that_was_altered_is_left_out(shipped, caplog, column):
    import pyarrow
    import pyarrow.parquet

    path = shipped.folder / "spectra.parquet"
    rows = pyarrow.parquet.read_table(path).to_pylist()
    first, second = rows[0], rows[1]
    first[column] = second[column]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    assert shipped.get(first["key"]) is None
    assert "is damaged" in caplog.text
    assert shipped.get(second["key"]) is not None


def test_a_shipped_file_that_cannot_be_read_is_left_out(shipped, caplog):
    (shipped.folder / "spectra_2.parquet").write_bytes(b"PAR1 and no more")
    assert len(shipped.keys()) == 40
    assert "spectra_2.parquet" in caplog.text


def test_equal_shipped_results_make_equal_files(shipped, tmp_path):
    entries = [cache_processes.planted(number) for number in reversed(range(40))]
    again = tmp_path / "again.parquet"
    result_cache.write_shipped(again, [(key, Entry(header, arrays)) for key, header, arrays in entries])
    assert again.read_bytes() == (tmp_path / "spectra.parquet").read_bytes()
    with pytest.raises(ValueError, match="distinct keys"):
        result_cache.write_shipped(again, [(KEY, Entry({}, {})), (KEY, Entry({}, {}))])


def test_what_the_project_ships_is_whole(caplog):
    store, keys = result_cache.shipped(), result_cache.shipped().keys()
    with caplog.at_level(logging.WARNING):
        assert all(store.get(key) is not None for key in keys)
    assert caplog.records == []
