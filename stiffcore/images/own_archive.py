"""Files of the user's own that may hold CIFAR-10, under any name: the likeliest first. Reads no content.

A folder is likely by its ``test_batch``; an archive by its size, then by its ending; an ``.npz`` by its arrays' sizes.
"""

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

from stiffcore.errors import CannotCompute
from stiffcore.images import cifar10

DEEPEST = 3  # folders below the named one that are looked into
MOST = 20_000  # entries that are looked at
LARGEST_ARRAY = 256 << 20  # bytes; the training images are 154 MB
ARCHIVES = (".tar.gz", ".tgz", ".tar")
BATCHES, ARCHIVE, ARRAYS = "batches", "archive", "npz"  # what a candidate may be


@dataclass(frozen=True)
class Candidate:
    kind: str
    path: Path


def candidates(source: Path, size: int, mine: Path) -> list[Candidate]:
    """What may be CIFAR-10 in a folder, or a named file itself.

    size: of the official archive in bytes, 0 if unknown. mine: the project's own file of the data, which is no source.
    Raises CannotCompute for a folder without any candidate, and says what is in it.
    """
    if not source.is_dir():
        kind = ARCHIVE if _begins(source)[:4] != b"PK\x03\x04" else ARRAYS
        return [Candidate(kind, source)]
    found: list[tuple[int, Candidate]] = []
    seen: list[str] = []
    for folder, folders, files in os.walk(source):
        below = len(Path(folder).relative_to(source).parts)
        folders[:] = sorted(folders) if below < DEEPEST else []
        if "test_batch" in files:
            found.append((0, Candidate(BATCHES, Path(folder))))
        for name in sorted(files):
            path = Path(folder, name)
            seen.append(str(path.relative_to(source)))
            rank = _rank(path, size)
            if rank and not (mine.exists() and path.samefile(mine)):
                found.append((rank, Candidate(ARRAYS if path.suffix == ".npz" else ARCHIVE, path)))
        if len(seen) > MOST:
            break
    if not found:
        raise CannotCompute(
            f"Expected cifar-10-python.tar.gz, cifar-10-batches-py or an .npz file, under any name, in {source}, got "
            f"{listed(seen)}: name the folder that holds one."
        )
    return [candidate for _, candidate in sorted(found, key=lambda entry: entry[0])]


def listed(names: list[str], at_most: int = 6) -> str:
    """Names in a sentence: the first ones and how many more."""
    more = f" and {len(names) - at_most:,} more" if len(names) > at_most else ""
    return f"{', '.join(names[:at_most])}{more}" if names else "an empty folder"


def _rank(path: Path, size: int) -> int:
    """How likely a file is CIFAR-10, 1 first; 0 if it is not: by its size alone for an archive of any name."""
    try:
        has = path.stat().st_size if path.is_file() else -1
    except OSError:
        return 0
    if size and has == size:
        return 1
    if path.name.lower().endswith(ARCHIVES) and has >= 0:
        if not size or size / 2 <= has <= 2.5 * size:
            return 2  # packed again, or not packed
        if "cifar" in path.name.lower():
            return 3  # perhaps half a download, which is said then
    return 4 if has >= 0 and path.suffix == ".npz" and _has_its_arrays(path) else 0


def _has_its_arrays(path: Path) -> bool:
    """Whether an ``.npz`` lists arrays of these names that fit into memory, or is damaged, which reading it will say."""
    try:
        with zipfile.ZipFile(path) as file:
            sizes = {entry.filename.removesuffix(".npy"): entry.file_size for entry in file.infolist()}
    except (OSError, zipfile.BadZipFile, ValueError):
        return True
    return {*cifar10.ARRAYS} <= sizes.keys() and max(sizes[name] for name in cifar10.ARRAYS) <= LARGEST_ARRAY


def _begins(path: Path) -> bytes:
    if not path.is_file():
        raise CannotCompute(f"Expected a file or folder in {path}, got a pipe or device: name another.")
    try:
        with path.open("rb") as file:
            return file.read(8)
    except OSError as error:
        raise CannotCompute(f"Expected a file in {path}, got {error.strerror}: name another.") from error
