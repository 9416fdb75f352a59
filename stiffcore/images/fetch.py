"""Fetches the full CIFAR-10 data set, from its host or from a folder, and converts it to ``cifar10.npz``.

The official archive contains pickles. They are read once, after a check of their hash, by an unpickler that accepts only
numpy arrays. Nothing else in the project unpickles.
"""

import hashlib
import http.client
import io
import logging
import pickle
import shutil
import tarfile
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from stiffcore import files
from stiffcore.errors import CannotCompute
from stiffcore.images import cifar10
from stiffcore.progress import Progress
from stiffcore.torchvision_compat import torchvision

PATIENCE = 30.0  # seconds without a byte from the host
CHUNK = 1 << 18  # bytes
DISK_NEEDED = 600 << 20  # bytes: the archive and the arrays side by side
FOLDER_IN_ARCHIVE = "cifar-10-batches-py"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Archive:
    """The official archive's address, and the hashes that verify it. batches: file -> MD5, the test batch last."""

    url: str
    sha256: str
    batches: dict[str, str]


def official(url: str = "") -> Archive:
    """The archive that torchvision names, at another address if one is given; the SHA-256 must be the same."""
    known = torchvision("datasets").CIFAR10
    return Archive(
        url or known.url,
        "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
        {name: md5 for name, md5 in known.train_list + known.test_list},
    )


def fetch(archive: Archive, source: Path | None, progress: Progress) -> Path:
    """Put the full data set at ``cifar10.full_set_path()`` and return that path; does nothing if it is already there.

    A damaged or foreign file there is moved aside once the new one is complete.

    source: a folder with the archive, with the extracted batches, or with an ``.npz``, or one of these files; None
    downloads. Raises CannotCompute without network, on a wrong hash, on a full disk, and for foreign files.
    """
    path = cifar10.full_set_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock"), timeout=0):
            if path.exists() and _is_whole(path):
                return path
            if (free := shutil.disk_usage(path.parent).free) < DISK_NEEDED:
                raise CannotCompute(
                    f"Not enough disk space in {path.parent} ({free >> 20} MB free, {DISK_NEEDED >> 20} MB needed): make room, "
                    "or set STIFFCORE_DATA to a folder elsewhere."
                )
            arrays = _from_files(archive, source, progress) if source else _from_host(archive, path.parent, progress)
            _check(arrays, source or archive.url)
            progress(0, 0, "writing")
            _write(path, arrays)
    except Timeout:
        raise CannotCompute(f"Another fetch-data is running in {path.parent}: wait until it has finished.") from None
    except OSError as error:
        raise CannotCompute(
            f"Cannot write the data to {path.parent} ({error}): make it writable, or set STIFFCORE_DATA to another folder."
        ) from error
    return path


def _is_whole(path: Path) -> bool:
    """Whether the complete data set is there already."""
    try:
        _check(cifar10.load_arrays(path), path)
    except CannotCompute:
        return False
    return True


def _write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with files.replaced(path) as partial:
        with partial.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        if path.exists():
            aside = path.with_name(path.name + ".damaged")  # not .npz, so that it is not read as data
            path.replace(aside)
            _log.warning(
                "The data in %s were damaged or foreign: they were replaced, and are kept as %s.", path, aside.name
            )
    (path.parent / "cifar-10-python.tar.gz").unlink(missing_ok=True)  # only a downloaded archive is there


def _check(arrays: dict[str, np.ndarray], source: object) -> None:
    """Refuse a test set that is not the official one: 10,000 images, those that ship at their indices."""
    indices, images, labels = list(cifar10.bundled()), arrays["test_images"], arrays["test_labels"]
    if len(images) != cifar10.TEST_IMAGES or any(
        not np.array_equal(images[i], cifar10.image(i)) or labels[i] != cifar10.label(i) for i in indices
    ):
        raise CannotCompute(
            f"Expected CIFAR-10 with its test set in the official order, got another one in {source}: use the official "
            "files."
        )


def _from_host(archive: Archive, folder: Path, progress: Progress) -> dict[str, np.ndarray]:
    path = folder / "cifar-10-python.tar.gz"
    if not path.exists():
        download(archive, path, progress)
    return _from_archive(archive, path, progress)


def _from_files(archive: Archive, source: Path, progress: Progress) -> dict[str, np.ndarray]:
    """From whatever form the user has; extracted batches first."""
    batches = [source / FOLDER_IN_ARCHIVE, source]
    candidates = [source] if source.is_file() else [source / "cifar-10-python.tar.gz", *sorted(source.glob("*.npz"))]
    mine = cifar10.full_set_path()  # the file to be replaced is not a source
    candidates = [file for file in candidates if not (file.exists() and mine.exists() and file.samefile(mine))]
    for folder in batches:
        if (folder / "test_batch").is_file():
            return _from_batches(archive, _reader(folder), folder, progress)
    for file in candidates:
        if file.suffix == ".npz" and file.is_file():
            return cifar10.load_arrays(file)
        if file.is_file():
            return _from_archive(archive, file, progress)
    raise CannotCompute(
        f"Expected cifar-10-python.tar.gz, {FOLDER_IN_ARCHIVE} or an .npz file in {source}, got none of them: name the "
        "folder that holds one."
    )


def _from_archive(archive: Archive, path: Path, progress: Progress) -> dict[str, np.ndarray]:
    progress(0, 0, "checking")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != archive.sha256:
        raise CannotCompute(
            f"Expected the archive with SHA-256 {archive.sha256[:12]}…, got {digest[:12]}… in {path}: remove it and fetch again."
        )
    with tarfile.open(path, "r:gz") as tar:  # members are read by name; nothing is extracted to disk
        return _from_batches(archive, lambda name: _member(tar, name), path, progress)


def _reader(folder: Path) -> Callable[[str], bytes]:
    return lambda name: (folder / name).read_bytes()


def _member(tar: tarfile.TarFile, name: str) -> bytes:
    file = tar.extractfile(f"{FOLDER_IN_ARCHIVE}/{name}")
    if file is None:
        raise KeyError(f"{name} is not a regular file")
    return file.read()


def _from_batches(
    archive: Archive, read: Callable[[str], bytes], source: Path, progress: Progress
) -> dict[str, np.ndarray]:
    """The arrays of the batches; the hash of each is checked first."""
    images, labels = [], []
    for done, (name, md5) in enumerate(archive.batches.items()):
        progress(done, len(archive.batches), "converting")
        try:
            content = read(name)
        except (OSError, KeyError) as error:
            raise CannotCompute(f"Expected {name} in {source}, got none ({error}): use the whole data set.") from error
        digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
        if digest != md5:
            raise CannotCompute(
                f"Expected {name} with MD5 {md5}, got {digest} in {source}: use the official files, or fetch them again."
            )
        batch = _ArraysOnly(io.BytesIO(content), encoding="latin1").load()
        images.append(batch["data"].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
        labels.append(np.array(batch["labels"], np.uint8))
    return {
        "train_images": np.concatenate(images[:-1]),
        "train_labels": np.concatenate(labels[:-1]),
        "test_images": np.ascontiguousarray(images[-1]),
        "test_labels": labels[-1],
    }


class _ArraysOnly(pickle.Unpickler):
    """Accepts only what a pickled numpy array needs."""

    def find_class(self, module: str, name: str) -> object:
        if name == "_reconstruct" and module in ("numpy.core.multiarray", "numpy._core.multiarray"):
            return np._core.multiarray._reconstruct  # type: ignore[attr-defined]  # private: the stubs leave it out
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        raise pickle.UnpicklingError(f"Expected numpy arrays only, got {module}.{name}.")


def download(archive: Archive, path: Path, progress: Progress) -> None:
    """Download to ``path``, resuming an interrupted download, and check the hash."""
    partial = path.with_name(path.name + ".partial")
    try:
        _receive(archive.url, partial, progress)
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError, ValueError) as error:
        have = f" after {partial.stat().st_size >> 20} MB" if partial.exists() else ""
        raise CannotCompute(
            f"The download of {archive.url} failed{have} ({getattr(error, 'reason', error)}): run the command again to resume, "
            "or use `--from FOLDER` with files that you already have."
        ) from error
    with partial.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != archive.sha256:
        partial.unlink()
        raise CannotCompute(
            f"Expected the archive with SHA-256 {archive.sha256[:12]}…, got {digest[:12]}… from {archive.url}: run the command "
            "again, or use `--from FOLDER` with files that you already have."
        )
    partial.replace(path)


def _receive(url: str, partial: Path, progress: Progress) -> None:
    """Append the missing part of ``url`` to ``partial``; a host without range requests sends everything again."""
    if not url.startswith(("https://", "http://")):
        raise ValueError("the address is not http or https")
    have = partial.stat().st_size if partial.exists() else 0
    headers = {"User-Agent": "stiffcore", **({"Range": f"bytes={have}-"} if have else {})}
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=PATIENCE)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing is missing; the hash decides
            return
        raise
    with response:
        resumed = response.status == 206
        done = have if resumed else 0
        total = done + int(response.headers.get("Content-Length") or 0)
        with partial.open("ab" if resumed else "wb") as file:
            while chunk := response.read(CHUNK):
                file.write(chunk)
                done += len(chunk)
                progress(done, total, "downloading")
    if done < total:
        raise ConnectionError(f"only {done:,} of {total:,} bytes")
