"""Readings of files that were measured before, in own/readings/ of the cache folder: the same file is not tested twice."""

import hashlib
import json
import logging
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from torch import Tensor

from stiffcore.files import write_replaced
from stiffcore.images import cifar10
from stiffcore.networks import resnets
from stiffcore.storage.locations import default_folder

VERSION = 1  # raise it when readings are measured otherwise
MOST = 200  # files, of about 20 kB
LONGEST = 600  # characters of a sentence
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kept:
    """chosen: the position among the candidates. predicted, loss: of the images that ship in their order, or empty."""

    chosen: int
    sentence: str
    doubt: str
    accuracy: float | None
    predicted: tuple[int, ...]
    loss: tuple[float, ...]


def folder() -> Path:
    return default_folder() / "own" / "readings"


def key(state: dict[str, Tensor], candidates: Sequence[str]) -> str:
    """Of the tensors, and of all ways to read them that were compared."""
    parts = [str(VERSION), resnets.tensors_sha256(state), *candidates, *map(str, cifar10.bundled())]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def find(key: str, candidates: int) -> Kept | None:
    """The reading of this key; None if there is none, or a damaged one."""
    path = folder() / f"{key}.json"
    try:
        values = json.loads(path.read_text("utf-8"))
        kept = Kept(**values | {name: tuple(values[name]) for name in ("predicted", "loss")})
        if not _is_sound(kept, candidates):
            raise ValueError("it describes something else")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        _log.warning("The stored reading %s is not used: %r", path, error)
        return None
    return kept


def _is_sound(kept: Kept, candidates: int) -> bool:
    texts = (kept.sentence, kept.doubt)
    numbers = kept.loss if kept.accuracy is None else (*kept.loss, kept.accuracy)
    return (
        type(kept.chosen) is int
        and 0 <= kept.chosen < candidates
        and all(isinstance(text, str) and len(text) <= LONGEST and (text.isprintable() or not text) for text in texts)
        and len(kept.predicted) == len(kept.loss)
        and len(kept.loss) in (0, len(cifar10.bundled()))
        and all(type(seen) is int and 0 <= seen < len(cifar10.LABELS) for seen in kept.predicted)
        and all(type(number) in (int, float) and math.isfinite(number) for number in numbers)
    )


def keep(key: str, kept: Kept) -> None:
    """Store a reading, and remove the oldest of too many. A disk that refuses only costs another test."""
    with suppress(OSError):
        write_replaced(folder() / f"{key}.json", json.dumps(asdict(kept)).encode())
        oldest = sorted(folder().glob("*.json"), key=lambda path: -path.stat().st_mtime_ns)[MOST:]
        for path in oldest:
            path.unlink()
