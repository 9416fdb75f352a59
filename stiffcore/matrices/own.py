"""Matrices that were uploaded, described without torch, so that pages can list them.

Their name is ``matrix-`` and the first 12 digits of the hash of their numbers. In own/matrices/ of the cache folder each upload has
NAME.safetensors, float64, and NAME.json with what the pages need.
"""

import json
import logging
import math
import re
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from stiffcore.errors import CannotCompute
from stiffcore.networks import geometry
from stiffcore.networks.network import Network
from stiffcore.storage import uploads
from stiffcore.storage.locations import default_folder

if TYPE_CHECKING:
    from stiffcore.networks.matrices import Matrices

MOST = 8  # uploads; beyond it the oldest are removed
LARGEST = 256 << 20  # bytes of an upload's matrices in float64: a side of 5,792
MOST_TOGETHER = 64  # matrices of an upload, as of any file
NAME = re.compile(r"matrix-[0-9a-f]{12}")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class UploadedMatrices:
    """The matrices of one file.

    title: the file's name, made safe to display. sides: of each matrix. names: in the file, "" where it has none. registered: seconds
    since 1970.
    """

    network: str
    title: str
    sha256: str
    sides: tuple[int, ...]
    names: tuple[str, ...]
    registered: float

    @property
    def size(self) -> str:
        """``400 × 400``, ``3 of 400 × 400`` or ``2 of 3 × 3 to 400 × 400``."""
        low, high = (f"{side:,} × {side:,}" for side in (min(self.sides), max(self.sides)))
        sizes = low if low == high else f"{low} to {high}"
        return sizes if len(self.sides) == 1 else f"{len(self.sides)} of {sizes}"


def name_of(sha256: str) -> str:
    return f"matrix-{sha256[:12]}"


def is_name(network: object) -> bool:
    """Whether this is a name of uploaded matrices, whether or not they are on this machine."""
    return isinstance(network, str) and NAME.fullmatch(network) is not None


def folder() -> Path:
    return default_folder() / "own" / "matrices"


def _path(network: str, ending: str) -> Path:
    """Call it only with a name that ``is_name`` accepts."""
    return folder() / f"{network}.{ending}"


def find(network: str) -> Network:
    """The network of uploaded matrices. Raises CannotCompute if they are not on this machine."""
    about = described(network)
    if about is None:
        raise CannotCompute(
            f"The matrices {network} were uploaded elsewhere or removed: upload their file again on the page Own files."
        )
    load = partial(_load, about.network, about.sha256)
    blocks = geometry.of_matrices(about.sides, about.names)
    return Network(about.network, about.sha256, blocks, load, classes=(), title=about.title)


def _load(network: str, sha256: str) -> "Matrices":
    from stiffcore.matrices import as_network  # torch

    return as_network.load_again(_path(network, "safetensors"), sha256)


def described(network: str) -> UploadedMatrices | None:
    """What is known about uploaded matrices; None if they are missing or their description is damaged."""
    if not is_name(network):
        return None
    path = _path(network, "json")
    try:
        changed = path.stat().st_mtime_ns
        _path(network, "safetensors").stat()
    except OSError:
        return None
    return _read(path, changed)


@lru_cache(maxsize=4 * MOST)
def _read(path: Path, changed: int) -> UploadedMatrices | None:
    try:
        values = json.loads(path.read_text("utf-8"))
        about = UploadedMatrices(**values | {name: tuple(values[name]) for name in ("sides", "names")})
        if about.network != path.stem or not _is_sound(about):
            raise ValueError("it describes something else")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        _log.warning("The description of uploaded matrices, %s, is not used: %r", path, error)
        return None
    return about


def _is_sound(about: UploadedMatrices) -> bool:
    return (
        re.fullmatch(r"[0-9a-f]{64}", about.sha256) is not None
        and about.network == name_of(about.sha256)
        and about.title == uploads.clean_name(about.title)
        and 1 <= len(about.sides) == len(about.names) <= MOST_TOGETHER
        and all(type(side) is int and side > 0 for side in about.sides)
        and 8 * sum(side**2 for side in about.sides) <= LARGEST
        and all(name == uploads.clean_name(name, "") for name in about.names)
        and type(about.registered) in (int, float)
        and math.isfinite(about.registered)
    )


def known() -> tuple[UploadedMatrices, ...]:
    """All uploads, the newest first."""
    with suppress(OSError):
        there = [described(path.stem) for path in folder().glob("matrix-*.json")]
        return tuple(sorted((about for about in there if about), key=lambda about: -about.registered))
    return ()


@dataclass(frozen=True)
class Saved:
    """A saved upload. dropped: titles of the oldest uploads, removed for it."""

    own: UploadedMatrices
    dropped: tuple[str, ...]


def save(content: bytes, file_name: str) -> Saved:
    """Read the matrices in an uploaded file and store them. Raises CannotCompute for another file, and if the disk refuses."""
    import safetensors.torch

    from stiffcore.matrices import as_network, read  # torch

    found = read.matrices(content, LARGEST)
    tensors = {f"{number:03}": tensor.contiguous() for number, (_, tensor) in enumerate(found, 1)}
    sha256 = as_network.sha256_of(list(tensors.values()))
    sides = tuple(len(tensor) for tensor in tensors.values())
    names = as_network.names_of(found)
    about = UploadedMatrices(name_of(sha256), uploads.clean_name(file_name), sha256, sides, names, time.time())
    contents = {"safetensors": safetensors.torch.save(tensors), "json": json.dumps(asdict(about)).encode()}
    uploads.store({_path(about.network, ending): content for ending, content in contents.items()})
    oldest = [other for other in known() if other.network != about.network][MOST - 1 :]
    for other in oldest:
        remove(other.network)
    return Saved(about, tuple(other.title for other in oldest))


def remove(network: str) -> None:
    if is_name(network):
        for path in (_path(network, "json"), _path(network, "safetensors")):
            with suppress(OSError):
                path.unlink()
