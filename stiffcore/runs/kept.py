"""Which runs are known: those that ship, and those that this machine has swept or uploaded. Imports no torch.

In own/runs/ of the cache folder each has NAME.json; in cache/shipped each has run-NAME.json.
"""

import hashlib
import logging
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from stiffcore import files
from stiffcore.errors import CannotCompute
from stiffcore.runs import run as descriptions
from stiffcore.runs.run import NAME, Run
from stiffcore.storage import uploads
from stiffcore.storage.locations import default_folder

LARGEST = 1 << 20  # bytes of a description
OWN = "own-"  # the name of a run of this machine begins with it
MOST = 50  # that are offered, the newest first
SHIPPED = files.SHIPPED
_log = logging.getLogger(__name__)


def folder() -> Path:
    return default_folder() / "own" / "runs"


def shipped_path(name: str) -> Path:
    return SHIPPED / f"run-{name}.json"


def name_of(folders: Iterable[Path]) -> str:
    """The name of the run in some folders: a later sweep of the same folders takes its place."""
    together = "\n".join(sorted({str(folder) for folder in folders}))
    return f"{OWN}{hashlib.sha256(together.encode()).hexdigest()[:12]}"


def is_own(name: str) -> bool:
    return name.startswith(OWN)


def find(name: str) -> Run | None:
    """A run by its name; None if it is not on this machine or its description is damaged."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        return None
    path = folder() / f"{name}.json" if is_own(name) else shipped_path(name)
    try:
        facts = path.stat()
    except OSError:
        return None
    run = _read(path, facts.st_mtime_ns, facts.st_size)
    return run if run is not None and run.name == name else None


def get(name: str) -> Run:
    """The same. Raises CannotCompute if there is no such run."""
    run = find(name)
    if run is None:
        there = ", ".join(run.name for run in known()[:8]) or "none is known"
        raise CannotCompute(
            f"Expected a run on this machine ({there}), got {str(name)[:80]!r}: sweep its checkpoints with --weights first."
        )
    return run


@lru_cache(maxsize=2 * MOST)
def _read(path: Path, changed: int, size: int) -> Run | None:
    try:
        if size > LARGEST:
            raise ValueError("it is far larger than a description")
        return descriptions.from_json(path.read_bytes())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        _log.warning("The description of a run, %s, is not used: %r", path, error)
        return None


def known() -> tuple[Run, ...]:
    """The runs that ship, then those of this machine, the newest first."""
    ship = sorted(path.stem.removeprefix("run-") for path in SHIPPED.glob("run-*.json"))
    own: list[tuple[float, str]] = []
    with suppress(OSError):
        own = sorted(((path.stat().st_mtime, path.stem) for path in folder().glob(f"{OWN}*.json")), reverse=True)[:MOST]
    found = [find(name) for name in [*ship, *(name for _, name in own)]]
    return tuple(run for run in found if run is not None)


def save(run: Run) -> None:
    """Remember a run of this machine. Raises CannotCompute if the disk refuses."""
    if not is_own(run.name):
        raise ValueError(f"Expected the name of a run of this machine, got {run.name!r}.")
    path = folder() / f"{run.name}.json"
    uploads.store({path: descriptions.as_json(run)})


def remove(name: str) -> None:
    """Forget a run of this machine; its results stay stored."""
    if NAME.fullmatch(name) and is_own(name):
        with suppress(OSError):
            (folder() / f"{name}.json").unlink()
