"""Fetches the full CIFAR-10 data set, from its host or from a folder, and converts it to ``cifar10.npz``.

The official archive contains pickles. They are read once, after a check of their hash, by an unpickler that accepts only
numpy arrays. Nothing else in the project unpickles.
"""

import hashlib
import io
import logging
import pickle
import shutil
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from stiffcore import files
from stiffcore.errors import CannotCompute
from stiffcore.images import cifar10, download, own_archive
from stiffcore.progress import Progress
from stiffcore.torchvision_compat import torchvision

LARGEST_BATCH = 64 << 20  # bytes; the official ones have 31 MB
DISK_NEEDED = 600 << 20  # bytes: the archive and the arrays side by side
MOST_UNPACKED = (
    1 << 30
)  # bytes of an archive's members that are read in search of the batches; all of CIFAR-10 is 186 MB

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Archive:
    """The official archive's address, and the hashes and the size that verify it. batches: file -> MD5, the test batch last."""

    url: str
    sha256: str
    batches: dict[str, str]
    size: int = 0  # bytes; 0 if unknown


def official(url: str = "") -> Archive:
    """The archive that torchvision names, at another address if one is given; the SHA-256 must be the same."""
    known = torchvision("datasets").CIFAR10
    return Archive(
        url or known.url,
        "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
        {name: md5 for name, md5 in known.train_list + known.test_list},
        170_498_071,
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
            if source is None:  # the downloaded archive; one's own stays
                (path.parent / "cifar-10-python.tar.gz").unlink(missing_ok=True)
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
        download.download(archive.url, archive.sha256, path, progress)
    return _from_archive(archive, path, progress)


def _from_files(archive: Archive, source: Path, progress: Progress) -> dict[str, np.ndarray]:
    """From whatever form the user has, under any name: the first whose content is CIFAR-10's."""
    mine = cifar10.full_set_path()  # the file to be replaced is not a source
    refusals: list[CannotCompute] = []
    looked_at = own_archive.candidates(source, archive.size, mine)
    for candidate in looked_at:
        try:
            arrays = _of_candidate(archive, candidate, progress)
            _check(arrays, candidate.path)
            return arrays
        except CannotCompute as error:
            refusals.append(error)
    if len(refusals) == 1:
        raise refusals[0]
    names = own_archive.listed([str(candidate.path.relative_to(source)) for candidate in looked_at])
    raise CannotCompute(
        f"Expected CIFAR-10 in {source}, got something else in each place that was looked at, {names}: name the folder that holds "
        "the official archive or its files."
    )


def _of_candidate(archive: Archive, candidate: own_archive.Candidate, progress: Progress) -> dict[str, np.ndarray]:
    if candidate.kind == own_archive.BATCHES:
        return _from_batches(archive, _reader(candidate.path), candidate.path, progress)
    if candidate.kind == own_archive.ARRAYS:
        return cifar10.load_arrays(candidate.path)
    return _from_archive(archive, candidate.path, progress)


def _from_archive(archive: Archive, path: Path, progress: Progress) -> dict[str, np.ndarray]:
    """From the official archive, or from one packed again: then each file's hash decides."""
    progress(0, 0, f"checking {path.name}")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    try:
        contents = _batches_in(archive, path)  # nothing is extracted to disk
        return _from_batches(archive, contents.__getitem__, path, progress)
    except (CannotCompute, tarfile.TarError, EOFError, OSError, ValueError, zlib.error) as error:
        if digest == archive.sha256:
            raise
        raise CannotCompute(
            f"Expected the archive with SHA-256 {archive.sha256[:12]}…, got {digest[:12]}… in {path}: remove it and fetch again."
        ) from error


def _batches_in(archive: Archive, path: Path) -> dict[str, bytes]:
    """The batches of a tar archive, packed or not, by their names in whatever folder; other members are passed over."""
    contents: dict[str, bytes] = {}
    passed = 0
    with tarfile.open(path, "r|*") as tar:
        for member in tar:
            name = member.name.rpartition("/")[2]
            passed += member.size
            if passed > MOST_UNPACKED:
                break
            is_batch = name in archive.batches and name not in contents and member.size <= LARGEST_BATCH
            if is_batch and (file := tar.extractfile(member)) is not None:
                contents[name] = file.read()
            if len(contents) == len(archive.batches):
                break
    return contents


def _reader(folder: Path) -> Callable[[str], bytes]:
    def read(name: str) -> bytes:
        path = folder / name
        if path.exists() and not (path.is_file() and path.stat().st_size <= LARGEST_BATCH):
            raise KeyError("something that is no batch")
        return path.read_bytes()

    return read


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
