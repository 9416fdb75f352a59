"""Fetching the full data set: from a host that disconnects, from folders, and what must be refused."""

import hashlib
import http.server
import io
import os
import pickle
import tarfile
import threading
import zipfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from stiffcore.errors import CannotCompute
from stiffcore.images import cifar10, fetch as cifar10_archive
from stiffcore.images.fetch import Archive

FOLDER_IN_ARCHIVE = "cifar-10-batches-py"


def quiet(done: int, total: int, what: str) -> None:
    """Ignores progress."""


def batch(images: np.ndarray, labels: np.ndarray) -> bytes:
    """A batch like the official ones: channels first, in rows of 3,072 bytes."""
    rows = np.ascontiguousarray(images.transpose(0, 3, 1, 2)).reshape(len(images), 3072)
    return pickle.dumps({"data": rows, "labels": labels.tolist()}, protocol=3)


@pytest.fixture(scope="module")
def batches() -> dict[str, bytes]:
    """A small training set, and a test set of the official size with the bundled images at their indices."""
    random = np.random.default_rng(0)
    test, labels = random.integers(0, 256, (10_000, 32, 32, 3), dtype=np.uint8), random.integers(0, 10, 10_000)
    for index in cifar10.bundled():
        test[index], labels[index] = cifar10.image(index), cifar10.label(index)
    made = {f"data_batch_{i}": batch(test[10 * i : 10 * i + 3], labels[10 * i : 10 * i + 3]) for i in (1, 2)}
    return made | {"test_batch": batch(test, labels)}


def packed(batches: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz", compresslevel=0) as tar:
        for name, content in batches.items():
            member = tarfile.TarInfo(f"{FOLDER_IN_ARCHIVE}/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return stream.getvalue()


@pytest.fixture(scope="module")
def content(batches) -> bytes:
    return packed(batches)


def archive_of(batches: dict[str, bytes], content: bytes, url: str = "http://127.0.0.1:1/closed") -> Archive:
    md5 = {name: hashlib.md5(value).hexdigest() for name, value in batches.items()}
    return Archive(url, hashlib.sha256(content).hexdigest(), md5, len(content))


@pytest.fixture(autouse=True)
def data_folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("STIFFCORE_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@contextmanager
def host(content: bytes, break_off_at: int | None = None, ranges: bool = True):
    """A host of one file; the first response ends early on request. Yields its address and the requested ranges."""
    asked, left = [], [break_off_at]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.headers.get("Range"))
            start = int(asked[-1].removeprefix("bytes=").rstrip("-")) if asked[-1] and ranges else 0
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            end, left[0] = left[0], None
            self.wfile.write(content[start:end])

        def log_message(self, *_):
            """Nothing on stderr."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/cifar-10-python.tar.gz", asked
    finally:
        server.shutdown()
        server.server_close()


def check_fetched(path: Path) -> None:
    """The bundled images have their indices, all others are available, no archive is left."""
    assert path == cifar10.full_set_path()
    unshipped = next(i for i in range(10_000) if i not in cifar10.bundled())
    assert cifar10.image(unshipped).shape == (32, 32, 3)
    assert cifar10.parse_images("all") == list(range(10_000))
    assert cifar10.load_arrays(path)["train_images"].shape == (6, 32, 32, 3)
    assert {file.name for file in path.parent.iterdir()} - {"cifar10.lock"} == {"cifar10.npz"}


def test_an_interrupted_download_goes_on_where_it_stopped(batches, content, data_folder):
    half = len(content) // 2
    with host(content, break_off_at=half) as (url, asked):
        archive = archive_of(batches, content, url)
        with pytest.raises(CannotCompute, match="run the command again to resume, or use `--from FOLDER`"):
            cifar10_archive.fetch(archive, None, quiet)
        kept = (data_folder / "cifar-10-python.tar.gz.partial").stat().st_size
        assert 0 < kept <= half
        seen = []
        check_fetched(cifar10_archive.fetch(archive, None, lambda *step: seen.append(step)))
    assert asked == [None, f"bytes={kept}-"]
    assert (len(content), len(content), "downloading") in seen


def test_a_host_without_ranges_sends_everything_anew(batches, content):
    with host(content, break_off_at=1000, ranges=False) as (url, _):
        archive = archive_of(batches, content, url)
        with pytest.raises(CannotCompute):
            cifar10_archive.fetch(archive, None, quiet)
        check_fetched(cifar10_archive.fetch(archive, None, quiet))


def test_what_was_fetched_is_not_fetched_again(batches, content, tmp_path):
    (tmp_path / "mine.tar.gz").write_bytes(content)
    archive = archive_of(batches, content)  # its host does not answer
    first = cifar10_archive.fetch(archive, tmp_path / "mine.tar.gz", quiet)
    changed = first.stat().st_mtime_ns
    assert cifar10_archive.fetch(archive, None, quiet) == first
    assert first.stat().st_mtime_ns == changed


@pytest.mark.parametrize("damage", ["truncated", "short", "in another order"])
def test_a_damaged_data_set_is_replaced_and_kept_aside(damage, batches, content, data_folder, caplog):
    """The archive is in the same folder; the damaged file is not used as a source."""
    archive = archive_of(batches, content)
    arrays = cifar10_archive._from_batches(archive, batches.get, data_folder, quiet)
    if damage != "truncated":
        arrays["test_images"] = (
            arrays["test_images"][::-1] if damage == "in another order" else arrays["test_images"][:10]
        )
        arrays["test_labels"] = arrays["test_labels"][: len(arrays["test_images"])]
    data_folder.mkdir()
    path = data_folder / "cifar10.npz"
    np.savez(path, **arrays)
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:1_000_000])
    damaged = path.read_bytes()
    with pytest.raises(CannotCompute, match=r"Connection refused.*--from FOLDER"):
        cifar10_archive.fetch(archive, None, quiet)
    assert path.read_bytes() == damaged  # without another it stays
    (data_folder / "mine.npz").write_bytes(damaged)
    with pytest.raises(CannotCompute):
        cifar10_archive.fetch(archive, data_folder, quiet)
    (data_folder / "mine.npz").unlink()
    with pytest.raises(CannotCompute, match=r"under any name, in .*, got cifar10.lock, cifar10.npz: name the folder"):
        cifar10_archive.fetch(archive, data_folder, quiet)
    (data_folder / "cifar-10-python.tar.gz").write_bytes(content)
    assert cifar10_archive.fetch(archive, data_folder, quiet) == path
    assert cifar10_archive._is_whole(path)
    assert (data_folder / "cifar10.npz.damaged").read_bytes() == damaged
    assert "kept as cifar10.npz.damaged" in caplog.text


def test_without_a_network_the_sentence_names_the_other_way(batches, content):
    with pytest.raises(CannotCompute, match=r"failed .*Connection refused.*--from FOLDER"):
        cifar10_archive.fetch(archive_of(batches, content), None, quiet)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/x", "nonsense"])
def test_only_web_addresses_are_opened(url, batches, content):
    with pytest.raises(CannotCompute, match="not http or https"):
        cifar10_archive.fetch(archive_of(batches, content, url), None, quiet)


def test_a_download_with_a_wrong_hash_is_thrown_away(batches, content, data_folder):
    with host(content[:-1] + b"!") as (url, _), pytest.raises(CannotCompute, match="Expected the archive with SHA-256"):
        cifar10_archive.fetch(archive_of(batches, content, url), None, quiet)
    assert not list(data_folder.glob("cifar*.gz*"))


def test_the_official_hash_guards_an_archive_of_ones_own(content, tmp_path):
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(content)
    with pytest.raises(CannotCompute, match="Expected the archive with SHA-256 6d958be07457"):
        cifar10_archive.fetch(cifar10_archive.official(), tmp_path, quiet)


@pytest.mark.parametrize("form", ["archive", "folder with the archive", "batches", "folder with batches", "npz"])
def test_files_of_ones_own_in_any_form(form, batches, content, tmp_path):
    mine = tmp_path / "mine"
    folder = mine / FOLDER_IN_ARCHIVE if form == "folder with batches" else mine
    folder.mkdir(parents=True)
    if "batches" in form:
        for name, value in batches.items():
            (folder / name).write_bytes(value)
    elif "archive" in form:
        (mine / "cifar-10-python.tar.gz").write_bytes(content)
    else:
        np.savez(
            mine / "anything.npz",
            **cifar10_archive._from_batches(archive_of(batches, content), batches.get, mine, quiet),
        )
    source = mine / "cifar-10-python.tar.gz" if form == "archive" else mine
    check_fetched(cifar10_archive.fetch(archive_of(batches, content), source, quiet))


@pytest.mark.parametrize(
    "name", ["cifar10 (1).tgz", "data.tar.gz", "archive of last year", "deeper/still/a.tar.gz", "packed again.tgz", "unpacked.tar"]
)  # fmt: skip
def test_an_archive_is_found_under_any_name_among_others(name, batches, content, tmp_path):
    """By its size, then by its hash, or by the hashes of what is in it."""
    mine = tmp_path / "mine"
    (mine / name).parent.mkdir(parents=True)
    if name in ("packed again.tgz", "unpacked.tar"):
        with tarfile.open(mine / name, "w:gz" if name.endswith("tgz") else "w") as tar:
            for batch_name, value in {"readme.html": b"<html>", **batches}.items():
                member = tarfile.TarInfo(f"./elsewhere/{batch_name}")
                member.size = len(value)
                tar.addfile(member, io.BytesIO(value))
    else:
        (mine / name).write_bytes(content)
    (mine / "aaa.tar.gz").write_bytes(b"no archive" + bytes(len(content) - 10))  # of the same size
    (mine / "cifar-10-python.tar.gz").write_bytes(content[: len(content) // 3])
    (mine / "notes.txt").write_text("nothing")
    np.savez(mine / "other.npz", pictures=np.zeros(3))
    (mine / "damaged.npz").write_bytes(b"PK\x03\x04")
    check_fetched(cifar10_archive.fetch(archive_of(batches, content), mine, quiet))
    assert (mine / name).exists()


def test_a_folder_of_batches_may_have_any_name_and_be_damaged_beside_a_good_one(batches, content, tmp_path):
    for folder, damage in {"a": b"!", "b": b""}.items():
        (tmp_path / "mine" / folder).mkdir(parents=True)
        for name, value in batches.items():
            (tmp_path / "mine" / folder / name).write_bytes(value + damage)
    check_fetched(cifar10_archive.fetch(archive_of(batches, content), tmp_path / "mine", quiet))


def test_one_s_own_archive_in_the_folder_of_the_data_stays(batches, content, data_folder):
    data_folder.mkdir()
    (data_folder / "cifar-10-python.tar.gz").write_bytes(content)
    cifar10_archive.fetch(archive_of(batches, content), data_folder, quiet)
    assert (data_folder / "cifar-10-python.tar.gz").read_bytes() == content


def test_what_was_looked_at_is_listed_if_nothing_fits(batches, content, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    with pytest.raises(
        CannotCompute, match=r"Expected cifar-10-python.tar.gz, .* got an empty folder: name the folder"
    ):
        cifar10_archive.fetch(archive_of(batches, content), mine, quiet)
    for at in range(9):
        (mine / f"{at}.txt").write_text("x")
    with pytest.raises(
        CannotCompute, match=r"got 0.txt, 1.txt, 2.txt, 3.txt, 4.txt, 5.txt and 3 more: name the folder"
    ):
        cifar10_archive.fetch(archive_of(batches, content), mine, quiet)
    (mine / "x.tgz").write_bytes(bytes(len(content)))
    (mine / "y.npz").write_bytes(b"PK\x03\x04")
    with pytest.raises(CannotCompute, match=r"got something else in each place that was looked at, x.tgz, y.npz: name"):
        cifar10_archive.fetch(archive_of(batches, content), mine, quiet)


@pytest.mark.skipif(os.name == "nt", reason="has no pipes among its files")
def test_pipes_are_not_waited_for(batches, content, tmp_path):
    mine = tmp_path / "mine"
    mine.mkdir()
    for name in ("cifar-10-python.tar.gz", "a.npz", "test_batch", "data_batch_1"):
        os.mkfifo(mine / name)
    with pytest.raises(CannotCompute, match="something that is no batch"):
        cifar10_archive.fetch(archive_of(batches, content), mine, quiet)
    with pytest.raises(CannotCompute, match="got a pipe or device: name another"):
        cifar10_archive.fetch(archive_of(batches, content), mine / "a.npz", quiet)


def test_an_npz_that_claims_huge_arrays_is_not_read(batches, content, tmp_path):
    """By its list of contents: 40 kB would unpack to gigabytes."""
    mine = tmp_path / "mine"
    mine.mkdir()
    with zipfile.ZipFile(mine / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as file:
        for name in cifar10.ARRAYS:
            file.writestr(f"{name}.npy", bytes(1000))
    listing = bytearray((mine / "bomb.npz").read_bytes())
    at = listing.rindex(b"PK\x01\x02")
    listing[at + 24 : at + 28] = b"\xff\xff\xff\x7f"
    (mine / "bomb.npz").write_bytes(listing)
    with pytest.raises(CannotCompute, match=r"under any name, in .*, got bomb.npz: name the folder"):
        cifar10_archive.fetch(archive_of(batches, content), mine, quiet)


def test_a_changed_batch_is_refused_before_it_is_read(batches, content, tmp_path):
    """Its pickle would run code, so it is never opened."""

    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    for name, value in batches.items():
        (tmp_path / name).write_bytes(value)
    (tmp_path / "data_batch_2").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(CannotCompute, match="Expected data_batch_2 with MD5"):
        cifar10_archive.fetch(archive_of(batches, content), tmp_path, quiet)
    assert not (tmp_path / "executed").exists()


def test_even_with_the_right_hash_a_pickle_makes_arrays_only(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    with pytest.raises(pickle.UnpicklingError, match="Expected numpy arrays only"):
        cifar10_archive._ArraysOnly(io.BytesIO(pickle.dumps(Trap()))).load()
    assert not (tmp_path / "executed").exists()


def test_a_test_set_in_another_order_is_refused(batches, content, tmp_path):
    arrays = cifar10_archive._from_batches(archive_of(batches, content), batches.get, tmp_path, quiet)
    arrays["test_images"] = arrays["test_images"][::-1]
    np.savez(tmp_path / "mine.npz", **arrays)
    with pytest.raises(CannotCompute, match="in the official order"):
        cifar10_archive.fetch(archive_of(batches, content), tmp_path, quiet)
    assert not cifar10.full_set_path().exists()


def test_a_folder_that_cannot_be_written_is_named(batches, content, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("STIFFCORE_DATA", str(tmp_path / "file" / "data"))
    with pytest.raises(CannotCompute, match="set STIFFCORE_DATA to another folder"):
        cifar10_archive.fetch(archive_of(batches, content), None, quiet)


def test_two_at_once_do_not_get_in_each_others_way(batches, content, data_folder):
    data_folder.mkdir()
    with (
        cifar10_archive.FileLock(data_folder / "cifar10.lock"),
        pytest.raises(CannotCompute, match="Another fetch-data is running"),
    ):
        cifar10_archive.fetch(archive_of(batches, content), None, quiet)


def test_the_official_archive_is_torchvisions():
    official = cifar10_archive.official()
    assert official.url.endswith("/cifar-10-python.tar.gz")
    assert list(official.batches) == [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
