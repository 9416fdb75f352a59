"""The cache never returns a wrong result and never costs one: damage, tampering, killed writers, full and read-only disks."""

import math
import os
import pickle
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing, contextmanager
from pathlib import Path

import diskcache
import numpy as np
import pytest

from stiffcore.errors import Cancelled, CannotCompute
from stiffcore.storage import bytes_disk, cache as result_cache, cache_folder, encoding
from stiffcore.storage.cache import Entry, ResultCache
from tests.storage import cache_processes as cache_processes
from tests.storage.cache_processes import same

PROJECT = Path(__file__).resolve().parents[2]
KEY = result_cache.key({"block": 8, "image": 0})
OTHER = result_cache.key({"block": 7, "image": 0})
HEADER = {"metrics": {"max_re": 1.25, "min_re": None}, "seconds": 0.5}
SMALL = {"eigenvalues": np.array([1 + 2j, 1 - 2j, -0.5])}  # kept in the database
LARGE = {"eigenvalues": np.random.default_rng(0).standard_normal(20_000).view(complex)}  # kept in a file


@pytest.fixture
def cache(tmp_path) -> ResultCache:
    return ResultCache(tmp_path / "results")


@contextmanager
def database(cache: ResultCache):
    """The cache's database on a separate connection."""
    with closing(sqlite3.connect(cache.folder / "cache.db", isolation_level=None)) as connection:
        yield connection.execute


def value_files(cache: ResultCache) -> list[Path]:
    return sorted(cache.folder.glob("*/*.val"))


# Storing


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((0, 3), np.int64),
        np.array(1.5),
        np.arange(6, dtype=np.float32).reshape(2, 3).T,
        np.array([np.nan, -0.0, np.inf]),
        np.array([True, False]),
        np.array(["a", "bc"]),
    ],
)
def test_arrays_come_back_bit_for_bit(cache, array):
    assert cache.put(KEY, HEADER, {"file": array, "": array}) is None  # names that np.savez would refuse
    assert same(cache.get(KEY), HEADER, {"file": array, "": array})


@pytest.mark.parametrize(
    ("header", "arrays"),
    [({"S": math.nan}, {}), ({"S": object()}, {}), ({}, {"a": np.array([object()])}), ({}, {"a": np.array([{}])})],
)
def test_what_is_no_entry_is_refused_loudly(cache, header, arrays):
    with pytest.raises((ValueError, TypeError)):
        cache.put(KEY, header, arrays)
    assert cache.get(KEY) is None


def test_put_refuses_a_key_that_is_none(cache):
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        cache.put("resnet18", HEADER, SMALL)


@pytest.mark.parametrize("arrays", [{}, SMALL, LARGE])
def test_an_entry_comes_back_also_in_another_process(cache, arrays):
    assert cache.get(KEY) is None
    assert cache.put(KEY, HEADER, arrays) is None
    assert same(cache.get(KEY), HEADER, arrays)
    assert same(ResultCache(cache.folder).get(KEY), HEADER, arrays)
    assert cache.get(OTHER) is None
    assert cache.health() | {"bytes": 0, "free_disk": 0} == {
        "folder": str(cache.folder), "size_limit": result_cache.SIZE_LIMIT, "problem": "", "entries": 1, "bytes": 0,
        "free_disk": 0, "hits": 1, "misses": 2, "damaged": 0, "unwritten": 0,
    }  # fmt: skip


def test_a_new_value_replaces_the_old_one_and_its_file(cache):
    cache.put(KEY, HEADER, LARGE)
    cache.put(KEY, {"new": True}, LARGE)
    assert cache.get(KEY).header == {"new": True}
    assert len(value_files(cache)) == 1


def test_clear_forgets_everything(cache):
    cache.put(KEY, HEADER, SMALL)
    cache.put(OTHER, HEADER, LARGE)
    cache.clear()
    assert cache.get(KEY) is None
    assert cache.get(OTHER) is None
    assert value_files(cache) == []


def test_the_environment_moves_the_cache_and_limits_it(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("STIFFCORE_CACHE_GIB", "0.5")
    assert result_cache.default() is result_cache.default()
    assert result_cache.default().folder == tmp_path / "elsewhere"
    assert ResultCache().health()["size_limit"] == 2**29
    for nonsense in ("much", "-1", "inf", "nan"):
        monkeypatch.setenv("STIFFCORE_CACHE_GIB", nonsense)
        assert ResultCache().health()["size_limit"] == result_cache.SIZE_LIMIT
        assert nonsense in caplog.records[-1].getMessage()
    monkeypatch.delenv("STIFFCORE_CACHE")
    assert ResultCache().folder == PROJECT / "cache" / "results"


def test_the_least_recently_used_go_first(tmp_path, monkeypatch):
    monkeypatch.setattr(bytes_disk, "TOUCH_AFTER", 0.0)
    cache = ResultCache(tmp_path, size_limit=1_000_000)
    keys = [result_cache.key({"number": number}) for number in range(12)]
    for key in keys:
        assert cache.put(key, {}, LARGE) is None  # about 150,000 bytes each
        time.sleep(0.002)
        assert cache.get(keys[0]) is not None  # used at every turn
    kept = [key for key in keys if cache.get(key) is not None]
    assert 3 <= len(kept) <= 6
    assert kept == [keys[0], *keys[-len(kept) + 1 :]]
    assert cache.health()["bytes"] <= 1_000_000
    assert len(value_files(cache)) == len(kept)


def test_a_result_beyond_the_limit_is_kept_in_memory_with_a_notice(tmp_path):
    cache = ResultCache(tmp_path, size_limit=100_000)
    assert "100,000" in cache.put(KEY, HEADER, LARGE)
    assert same(cache.get(KEY), HEADER, LARGE)


# Damage and tampering


def damage_file(change):
    """Apply ``change`` to the bytes of the one value file."""

    def apply(cache):
        (path,) = value_files(cache)
        path.write_bytes(change(path.read_bytes()))

    return apply


def flip(position: float):
    def change(data: bytes) -> bytes:
        at = int(position * (len(data) - 1))
        return data[:at] + bytes([data[at] ^ 16]) + data[at + 1 :]

    return change


FILE_DAMAGE = {
    "truncated": damage_file(lambda data: data[:-100]),
    "empty": damage_file(lambda data: b""),
    "first bit": damage_file(flip(0)),
    "bit in the middle": damage_file(flip(0.5)),
    "last bit": damage_file(flip(1)),
    "zeros, as after a power cut": damage_file(lambda data: bytes(len(data))),
    "foreign": damage_file(lambda data: b"PK\3\4" + data),
    "longer": damage_file(lambda data: data + data),
}


@pytest.mark.parametrize("damage", FILE_DAMAGE.values(), ids=FILE_DAMAGE.keys())
def test_a_damaged_file_is_a_miss_logged_and_computed_again(cache, caplog, damage):
    cache.put(KEY, HEADER, LARGE)
    damage(cache)
    assert cache.get(KEY) is None
    assert "is not used, because" in caplog.text
    assert cache.health()["damaged"] == 1
    assert value_files(cache) == []
    assert cache.put(KEY, HEADER, LARGE) is None
    assert same(cache.get(KEY), HEADER, LARGE)


def test_a_deleted_file_is_a_miss(cache):
    cache.put(KEY, HEADER, LARGE)
    value_files(cache)[0].unlink()
    assert cache.get(KEY) is None


def test_swapped_files_are_misses(cache):
    cache.put(KEY, HEADER, LARGE)
    (first,) = value_files(cache)
    cache.put(OTHER, HEADER, LARGE)
    (second,) = set(value_files(cache)) - {first}
    one, two = first.read_bytes(), second.read_bytes()
    first.write_bytes(two)
    second.write_bytes(one)
    assert cache.get(KEY) is None
    assert cache.get(OTHER) is None


def test_swapped_rows_are_misses(cache):
    cache.put(KEY, HEADER, SMALL)
    cache.put(OTHER, HEADER, SMALL)
    with database(cache) as sql:
        sql("UPDATE Cache SET key = 'aside' WHERE key = ?", (KEY,))
        sql("UPDATE Cache SET key = ? WHERE key = ?", (KEY, OTHER))
        sql("UPDATE Cache SET key = ? WHERE key = 'aside'", (OTHER,))
    assert cache.get(KEY) is None
    assert cache.get(OTHER) is None
    assert cache.health()["damaged"] == 2


@pytest.mark.parametrize("position", [0.0, 0.3, 0.7, 1.0])
def test_a_flipped_bit_in_a_row_is_a_miss(cache, position):
    cache.put(KEY, HEADER, SMALL)
    with database(cache) as sql:
        ((value,),) = sql("SELECT value FROM Cache").fetchall()
        sql("UPDATE Cache SET value = ?", (flip(position)(value),))
    assert cache.get(KEY) is None
    assert cache.get(KEY) is None  # the row is gone


class Intruder:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def test_diskcache_itself_would_run_what_a_tampered_row_holds(tmp_path):
    """The reason for bytes_disk (CVE-2025-69872); if this fails, diskcache has been repaired."""
    with (
        diskcache.Cache(tmp_path / "plain") as plain,
        closing(sqlite3.connect(tmp_path / "plain" / "cache.db")) as other,
    ):
        plain.set("key", b"value")
        other.execute("UPDATE Cache SET mode = 4, value = ?", (pickle.dumps(Intruder(tmp_path / "mark")),))
        other.commit()
        plain.get("key")
    assert (tmp_path / "mark").exists()


@pytest.mark.parametrize("arrays", [SMALL, LARGE], ids=["row", "file"])
def test_a_row_marked_as_pickled_runs_nothing(cache, tmp_path, arrays):
    cache.put(KEY, HEADER, arrays)
    attack = pickle.dumps(Intruder(tmp_path / "mark"))
    for path in value_files(cache):
        path.write_bytes(attack)
    with database(cache) as sql:
        sql("UPDATE Cache SET mode = 4, value = ?", (None if value_files(cache) else attack,))
    assert cache.get(KEY) is None
    with database(cache) as sql:  # a key that is marked as pickled
        sql("UPDATE Cache SET mode = 4, raw = 0, key = ?, value = ?", (attack, attack))
    assert cache.get(KEY) is None
    cache.tidy()
    assert cache.put(KEY, HEADER, arrays) is None
    assert same(cache.get(KEY), HEADER, arrays)
    cache.clear()
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("mode", [0, 1, 3, 4, 5, -1, None, "2", b"2"])
def test_every_other_mode_is_refused(cache, mode):
    cache.put(KEY, HEADER, LARGE)
    with database(cache) as sql:
        sql("UPDATE Cache SET mode = ?", (mode,))
    entry = cache.get(KEY)
    assert entry is None or (mode == "2" and same(entry, HEADER, LARGE))  # the column's affinity makes "2" a 2


@pytest.mark.parametrize("absolute", [True, False])
def test_a_row_cannot_read_or_delete_another_file(cache, tmp_path, absolute):
    cache.put(KEY, HEADER, LARGE)
    precious = tmp_path / "precious.val"
    precious.write_bytes(value_files(cache)[0].read_bytes())  # even the right bytes are refused there
    with database(cache) as sql:
        sql("UPDATE Cache SET filename = ?", (str(precious) if absolute else "../precious.val",))
    assert cache.get(KEY) is None
    cache.clear()
    assert precious.exists()


def test_links_and_pipes_in_place_of_a_value_are_refused(cache, tmp_path):
    cache.put(KEY, HEADER, LARGE)
    (path,) = value_files(cache)
    path.rename(tmp_path / "moved")
    path.symlink_to(tmp_path / "moved")
    assert cache.get(KEY) is None
    cache.put(KEY, HEADER, LARGE)
    (path,) = (path for path in value_files(cache) if not path.is_symlink())
    path.unlink()
    os.mkfifo(path)  # opening it would wait forever
    assert cache.get(KEY) is None


# A damaged database


def overwrite_database(data: bytes, at: int | None = None):
    def damage(folder: Path) -> None:
        path = folder / "cache.db"
        old = path.read_bytes()
        path.write_bytes(data if at is None else old[:at] + data + old[at + len(data) :])

    return damage


def execute(*statements: str):
    def damage(folder: Path) -> None:
        with closing(sqlite3.connect(folder / "cache.db", isolation_level=None)) as connection:
            for statement in statements:
                connection.execute(statement)

    return damage


DATABASE_DAMAGE = {
    "noise": overwrite_database(np.random.default_rng(2).bytes(8192)),
    "text": overwrite_database(b"not a database"),
    "header": overwrite_database(bytes(40), at=0),
    "schema": overwrite_database(bytes(2000), at=100),
    "another program's": execute("DROP TABLE Cache", "CREATE TABLE Cache (x)"),
    "settings of another kind": execute("INSERT INTO Settings VALUES ('disk_evil', 1)"),
    "settings gone": execute("DROP TABLE Settings", "CREATE TABLE Settings (x)"),
    "count is text": execute("UPDATE Settings SET value = 'many' WHERE key = 'count'"),
}


@pytest.mark.parametrize("damage", DATABASE_DAMAGE.values(), ids=DATABASE_DAMAGE.keys())
def test_a_damaged_database_is_moved_aside_with_a_notice(cache, caplog, damage):
    cache.put(KEY, HEADER, SMALL)
    cache.put(OTHER, HEADER, LARGE)
    with database(cache) as sql:
        sql("PRAGMA wal_checkpoint(TRUNCATE)")
    cache.close()
    damage(cache.folder)
    fresh = ResultCache(cache.folder)
    assert fresh.get(KEY) is None
    notice = fresh.put(KEY, HEADER, SMALL)
    assert "damaged-cache.db" in notice
    assert fresh.put(KEY, HEADER, SMALL) is None  # said once
    assert same(fresh.get(KEY), HEADER, SMALL)
    assert (cache.folder / "damaged-cache.db").exists()
    assert "moved aside" in caplog.text
    fresh.tidy()
    assert same(fresh.get(OTHER), HEADER, LARGE)  # added again: its file contains its key


def test_an_empty_database_file_is_a_new_one(tmp_path):
    (tmp_path / "cache.db").touch()
    cache = ResultCache(tmp_path)
    assert cache.put(KEY, HEADER, SMALL) is None
    assert same(cache.get(KEY), HEADER, SMALL)


def test_a_database_damaged_while_in_use_is_replaced(cache):
    for number in range(200):
        cache.put(*cache_processes.planted(2 * number))
    with database(cache) as sql:
        sql("PRAGMA wal_checkpoint(TRUNCATE)")
    size = (cache.folder / "cache.db").stat().st_size
    with open(cache.folder / "cache.db", "r+b") as file:
        file.seek(4096)
        file.write(np.random.default_rng(3).bytes(size - 4096))
    for number in range(200):
        key, header, arrays = cache_processes.planted(2 * number)
        entry = cache.get(key)
        assert entry is None or same(entry, header, arrays)
    notices = [cache.put(*cache_processes.planted(number)) for number in range(3)]
    assert [notice for notice in notices if notice and "damaged-cache.db" not in notice] == []
    assert same(cache.get(cache_processes.planted(0)[0]), *cache_processes.planted(0)[1:])


def test_the_folder_may_be_deleted_at_any_time(cache):
    cache.put(KEY, HEADER, LARGE)
    shutil.rmtree(cache.folder)
    assert cache.get(KEY) is None
    assert cache.put(KEY, HEADER, LARGE) is None
    assert same(ResultCache(cache.folder).get(KEY), HEADER, LARGE)


# A disk that cannot be written


def assert_shown_but_not_stored(cache: ResultCache, arrays: dict) -> None:
    notice = cache.put(KEY, HEADER, arrays)
    assert notice.startswith("Cannot write to the cache folder ")
    assert "STIFFCORE_CACHE" in notice
    assert same(cache.get(KEY), HEADER, arrays)  # from memory: it is not computed again at every request
    with cache.computed_once(KEY):
        pass
    assert cache.health()["unwritten"] == 1


def test_a_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "file").touch()
    cache = ResultCache(tmp_path / "file" / "results")
    assert_shown_but_not_stored(cache, SMALL)
    assert cache.health()["problem"]
    with pytest.raises(CannotCompute, match=r"Cannot delete the results in .*: delete the folder by hand"):
        cache.clear()


@contextmanager
def an_ordinary_user():
    """root may write everywhere, so tests that run as root become nobody within the block."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_folder():
    """A folder that every user can reach, unlike tmp_path, which only its owner can."""
    folder = Path(tempfile.mkdtemp(prefix="stiffcore-tests-"))
    folder.chmod(0o755)
    yield folder
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o755)
    shutil.rmtree(folder)


def test_a_read_only_folder_is_read_and_not_written(open_folder):
    writer = ResultCache(open_folder / "results")
    writer.put(OTHER, HEADER, LARGE)
    writer.tidy()
    writer.close()
    for path in [*open_folder.rglob("*"), open_folder]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    with an_ordinary_user():
        cache = ResultCache(open_folder / "results")
        assert same(cache.get(OTHER), HEADER, LARGE)
        assert_shown_but_not_stored(cache, SMALL)
        assert same(cache.get(OTHER), HEADER, LARGE)


def test_a_folder_that_cannot_be_made(open_folder):
    open_folder.chmod(0o555)
    with an_ordinary_user():
        assert_shown_but_not_stored(ResultCache(open_folder / "results"), SMALL)


@contextmanager
def files_at_most(size: int):
    """The kernel lets no file of this process grow beyond this size: a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_takes_no_more(cache):
    cache.put(OTHER, HEADER, LARGE)
    cache.tidy()
    files = value_files(cache)
    with files_at_most(50_000):
        assert_shown_but_not_stored(cache, LARGE)
        assert value_files(cache) == files  # no half file stays
        assert same(cache.get(OTHER), HEADER, LARGE)
    assert cache.put(KEY, HEADER, LARGE) is None  # there is room again
    assert same(ResultCache(cache.folder).get(KEY), HEADER, LARGE)


def test_a_database_that_takes_no_more(cache):
    cache.put(OTHER, HEADER, LARGE)
    with files_at_most(10):
        assert cache.put(KEY, HEADER, SMALL)
        assert same(cache.get(OTHER), HEADER, LARGE)
        assert same(cache.get(KEY), HEADER, SMALL)
        fresh = ResultCache(cache.folder)  # cannot even be opened for writing
        assert same(fresh.get(OTHER), HEADER, LARGE)
    assert cache.put(KEY, HEADER, SMALL) is None
    assert same(ResultCache(cache.folder).get(KEY), HEADER, SMALL)


def test_clear_works_where_the_database_takes_no_change(cache):
    cache.put(KEY, HEADER, LARGE)
    with files_at_most(10):
        cache.clear()
    assert value_files(cache) == []
    assert cache.get(KEY) is None
    assert cache.put(KEY, HEADER, LARGE) is None


def test_results_in_memory_are_bounded(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    cache = ResultCache(tmp_path / "file" / "results")
    monkeypatch.setattr(result_cache, "UNWRITTEN_LIMIT", 400_000)
    keys = [result_cache.key({"number": number}) for number in range(6)]
    for key in keys:
        cache.put(key, HEADER, LARGE)
    assert [cache.get(key) is not None for key in keys] == [False] * 4 + [True] * 2


# Many threads, many processes


def assert_computed_once_by_twelve_threads(cache: ResultCache) -> None:
    computed, seen = [], []

    def viewer():
        with cache.computed_once(KEY):
            if cache.get(KEY) is None:
                computed.append(threading.get_ident())
                time.sleep(0.1)
                cache.put(KEY, HEADER, SMALL)
        seen.append(same(cache.get(KEY), HEADER, SMALL))

    threads = [threading.Thread(target=viewer) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(computed) == 1
    assert seen == [True] * 12


def test_one_computation_among_threads(cache):
    assert_computed_once_by_twelve_threads(cache)
    assert list((cache.folder / "computing").iterdir()) == []  # no lock files stay


def test_one_computation_among_threads_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").touch()
    assert_computed_once_by_twelve_threads(ResultCache(tmp_path / "file" / "results"))


def test_other_keys_do_not_wait(cache):
    with cache.computed_once(KEY):
        done = threading.Event()

        def other():
            with cache.computed_once(OTHER):
                done.set()

        threading.Thread(target=other).start()
        assert done.wait(5)


def test_waiting_for_a_key_can_be_given_up(cache):
    def cancelled():
        raise Cancelled

    for other in (cache, ResultCache(cache.folder)):  # held by a thread of this cache; by another process's lock
        with cache.computed_once(KEY), pytest.raises(Cancelled), other.computed_once(KEY, cancelled):
            pass
    with cache.computed_once(KEY):
        pass


def test_a_computation_that_fails_lets_the_next_one_in(cache):
    with pytest.raises(ZeroDivisionError), cache.computed_once(KEY):
        _ = 1 / 0
    with cache.computed_once(KEY):
        pass


def test_many_threads_read_and_write(cache):
    wrong = []

    def visitor(number: int):
        random = np.random.default_rng(number)
        for choice in random.integers(0, 10, 40):
            key, header, arrays = cache_processes.planted(int(choice))
            if random.random() < 0.3 and cache.put(key, header, arrays) is not None:
                wrong.append("not stored")
            entry = cache.get(key)
            if entry is not None and not same(entry, header, arrays):
                wrong.append(key)

    threads = [threading.Thread(target=visitor, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert cache.health()["damaged"] == 0


def run_process(*arguments: object, **settings) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, cache_processes.__file__, *map(str, arguments)], **settings)


def test_one_computation_among_processes(tmp_path):
    processes = [run_process("compute", tmp_path / "results", tmp_path / "marks") for _ in range(4)]
    assert [process.wait(60) for process in processes] == [0] * 4
    assert len((tmp_path / "marks").read_text().splitlines()) == 1


def test_a_killed_writer_leaves_no_wrong_result(tmp_path, full):
    random = np.random.default_rng(4)
    found = 0
    for _ in range(50 if full else 5):
        writer = run_process("write", tmp_path / "results", stdout=subprocess.PIPE)
        assert writer.stdout.readline() == b"writing\n"
        time.sleep(random.uniform(0.0, 0.2))
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        cache = ResultCache(tmp_path / "results")
        began = time.monotonic()
        with cache.computed_once(cache_processes.HELD):  # the kernel has freed what the writer held
            assert time.monotonic() - began < 2
        for number in range(cache_processes.COUNT):
            key, header, arrays = cache_processes.planted(number)
            entry = cache.get(key)
            assert entry is None or same(entry, header, arrays)
            found += entry is not None
        assert cache.health()["damaged"] == 0
        assert cache.put(KEY, HEADER, LARGE) is None
        cache.tidy()
        with database(cache) as sql:
            known = {name for (name,) in sql("SELECT filename FROM Cache WHERE filename IS NOT NULL")}
        assert {str(path.relative_to(cache.folder)) for path in value_files(cache)} == known
    assert found


def test_many_files_without_rows_are_all_taken_in(cache):
    entries = [cache_processes.planted(2 * number + 1) for number in range(30)]  # large ones
    for entry in entries:
        cache.put(*entry)
    with database(cache) as sql:
        sql("DELETE FROM Cache")
    cache.tidy()
    assert all(same(cache.get(key), header, arrays) for key, header, arrays in entries)
    assert len(value_files(cache)) == cache.health()["entries"] == 30


def test_files_of_killed_writers_are_taken_in_or_removed(cache):
    cache.put(OTHER, HEADER, LARGE)
    whole, half = cache.folder / "ab" / f"{'0' * 30}.val", cache.folder / "cd" / f"{'0' * 30}.val"
    blob = encoding.encode(KEY, Entry(HEADER, LARGE))
    with cache._disk.write_lock():  # as a writer does
        for path, data in ((whole, blob), (half, blob[:1000])):
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
    fresh = ResultCache(cache.folder)
    fresh.health()  # opening starts the tidying in the background
    deadline = time.monotonic() + 10
    while (whole.exists() or half.exists()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not whole.exists()
    assert not half.exists()
    assert same(fresh.get(KEY), HEADER, LARGE)
    assert same(fresh.get(OTHER), HEADER, LARGE)


def test_a_busy_database_delays_nothing_for_ever(cache, monkeypatch):
    cache.put(KEY, HEADER, SMALL)
    monkeypatch.setattr(cache_folder, "WAIT", 0.2)
    other = ResultCache(cache.folder)
    other.get(KEY)
    with database(cache) as sql:
        sql("BEGIN IMMEDIATE")  # another process writes and does not finish
        began = time.monotonic()
        assert same(other.get(KEY), HEADER, SMALL)
        assert "Cannot write to the cache folder" in other.put(OTHER, HEADER, SMALL)
        assert same(ResultCache(cache.folder).get(KEY), HEADER, SMALL)  # one that is only opened now
        assert time.monotonic() - began < 5
        sql("ROLLBACK")
    assert other.put(OTHER, HEADER, SMALL) is None


def test_nothing_slow_is_imported():
    code = "import sys, stiffcore.storage.cache; print(*{'torch', 'pandas', 'pyarrow', 'scipy', 'streamlit'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
