"""Which files are a run's checkpoints, in which order, and at which step. Imports no torch.

A run is several checkpoints of one training. Files in several folders are several trainings of it, a seed each.
"""

import glob
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from stiffcore.errors import CannotCompute

MOST_FILES = 400  # of one run; nobody reads more points in one figure
LARGEST_STEP = 10**12
LARGEST_HEADER = 1 << 20  # bytes, as checkpoints.safetensors_file
_COUNTED = re.compile(
    r"(?:^|[^a-z])(?P<word>epochs?|ep|steps?|iters?|iterations?)[-_= ]*(?P<number>\d+)", re.IGNORECASE
)
_NUMBER = re.compile(r"\d+")


@dataclass(frozen=True)
class Placed:
    """A file with its place in a run. seed: the number of its folder, in natural order from 0."""

    path: Path
    step: int
    seed: int = 0


@dataclass(frozen=True)
class Places:
    """Files by seed and step. unit: what a step is, epoch or step; note: a sentence if steps had to be counted, or ""."""

    files: tuple[Placed, ...]
    unit: str
    note: str


def listed(patterns: Iterable[str | Path]) -> list[Path]:
    """The files that patterns like ``run/epoch-*.pt`` name, each once, in natural order. Raises CannotCompute for a
    pattern without a file, and for too many."""
    found: dict[Path, None] = {}
    for pattern in patterns:
        text = str(Path(pattern).expanduser())
        names = [text] if Path(text).is_file() else [name for name in glob.glob(text) if Path(name).is_file()]
        if not names:
            what = "is a folder" if Path(text).is_dir() else "names no file"
            raise CannotCompute(f"Expected files of weights, but {text} {what}: write a pattern like 'run/epoch-*.pt'.")
        found |= dict.fromkeys(Path(name).absolute() for name in names)
    if len(found) > MOST_FILES:
        raise CannotCompute(
            f"Expected up to {MOST_FILES} checkpoints of a run, got {len(found):,}: name fewer, for example every tenth."
        )
    return sorted(found, key=lambda path: (_natural(str(path.parent)), _natural(path.name)))


def _natural(text: str) -> list[tuple[int, int | str]]:
    """``epoch-9`` before ``epoch-10``."""
    parts = re.split(r"(\d+)", text.casefold())
    return [(1, int(part)) if part.isdecimal() and len(part) < 19 else (0, part) for part in parts]


def placed(paths: Sequence[Path]) -> Places:
    """The places of a run's files.

    A step is the first of these that tells a folder's files apart: ``epoch``, ``step`` in the metadata of its safetensors
    files, the number behind epoch, step or iteration in the names, the last number in the names, the files' order from 0.
    """
    folders: dict[Path, list[Path]] = defaultdict(list)
    for path in paths:
        folders[path.parent].append(path)
    files, units, counted = [], [], []
    for seed, (folder, inside) in enumerate(sorted(folders.items(), key=lambda pair: _natural(str(pair[0])))):
        steps, unit = _steps(inside, [_metadata(path) for path in inside])
        if not steps:
            steps = list(range(len(inside)))
            counted.append(folder.name)
        units.append(unit)
        files += [Placed(path, step, seed) for path, step in zip(inside, steps, strict=True)]
    note = f"The files in {', '.join(counted)} have no numbers that tell them apart: their steps are counted from 0."
    return Places(tuple(sorted(files, key=lambda one: (one.seed, one.step))), units[0], note if counted else "")


def of_names(names: Sequence[str]) -> tuple[list[int], str]:
    """The steps of files that are known by their names alone, in the order of the names; and what a step is."""
    paths = [Path(name) for name in names]
    steps, unit = _steps(paths, [{} for _ in paths])
    order = sorted(range(len(names)), key=lambda at: _natural(names[at]))
    return steps or [order.index(at) for at in range(len(names))], unit


def _steps(paths: Sequence[Path], from_metadata: Sequence[dict[str, int]]) -> tuple[list[int], str]:
    """Their steps by the first way that tells the files apart, none if none does; and what a step is."""
    ways: list[tuple[str, Callable[[int], int | None]]] = [
        ("epoch", lambda at: from_metadata[at].get("epoch")),
        ("step", lambda at: from_metadata[at].get("step")),
        ("epoch", lambda at: _counted(paths[at].stem, "e")),
        ("step", lambda at: _counted(paths[at].stem, "si")),
        ("step", lambda at: _last_number(paths[at].stem)),
    ]
    for unit, way in ways:
        steps = [step for at in range(len(paths)) if (step := way(at)) is not None and 0 <= step <= LARGEST_STEP]
        if len(steps) == len(paths) and len(set(steps)) == len(steps):
            return steps, unit
    return [], "step"


def _counted(stem: str, initials: str) -> int | None:
    """The number behind epoch (initials "e") or step, iteration ("si")."""
    return next((_whole(m["number"]) for m in _COUNTED.finditer(stem) if m["word"][0].lower() in initials), None)


def _last_number(stem: str) -> int | None:
    numbers = _NUMBER.findall(stem)
    return _whole(numbers[-1]) if numbers else None


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None


def _metadata(path: Path) -> dict[str, int]:
    """``epoch`` and ``step`` of a safetensors file's metadata, as far as they are whole numbers; nothing else is read."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if not 2 <= length <= LARGEST_HEADER:
                return {}
            found = json.loads(file.read(length)).get("__metadata__", {})
            texts = {name: str(found.get(name, "")) for name in ("epoch", "step")}
    except (OSError, ValueError, AttributeError, RecursionError):
        return {}
    return {name: number for name, text in texts.items() if (number := _whole(text)) is not None}
