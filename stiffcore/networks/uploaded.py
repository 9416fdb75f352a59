"""Descriptions of the networks whose weights were uploaded, without torch. ``checkpoints.register`` adds them.

A network's name is ``resnet18-own-`` and the first 12 digits of the SHA-256 of its tensors. In own/weights/ of the cache folder
each has NAME.safetensors, checked as strictly as what ships, and NAME.json with what the pages need.
"""

import json
import logging
import re
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from stiffcore.errors import CannotCompute
from stiffcore.files import write_replaced
from stiffcore.storage import uploads
from stiffcore.storage.locations import default_folder

MOST = 8  # networks; beyond it the oldest are removed
NAME = re.compile(r"(resnet\d\d)-own-([0-9a-f]{12})")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class UploadedWeights:
    """One uploaded network.

    title: the file's name, made safe to display. accuracy_bundled: share of correct predictions on the images that ship; hint: why it
    may be near chance, or empty. images, predicted, loss: of those images, in one order. registered: seconds since 1970.
    """

    network: str
    title: str
    sha256: str  # of the tensors
    form: str  # how the file was read: checkpoints.inspect.Inspection.sentence
    accuracy_bundled: float
    hint: str
    images: tuple[int, ...]
    predicted: tuple[int, ...]
    loss: tuple[float, ...]
    registered: float

    @property
    def architecture(self) -> str:
        return self.network.split("-")[0]


def name_of(architecture: str, sha256: str) -> str:
    return f"{architecture}-own-{sha256[:12]}"


def is_name(network: object) -> bool:
    """Whether this is a name of an uploaded network, whether or not the network is on this machine."""
    return isinstance(network, str) and NAME.fullmatch(network) is not None


def folder() -> Path:
    return default_folder() / "own" / "weights"


def tensors_path(network: str) -> Path:
    """Call it only with a name that ``is_name`` accepts."""
    return folder() / f"{network}.safetensors"


def find(network: str) -> UploadedWeights | None:
    """The description of an uploaded network; None if the network is missing or its description is damaged."""
    if not is_name(network):
        return None
    path = folder() / f"{network}.json"
    try:
        changed = path.stat().st_mtime_ns
        tensors_path(network).stat()
    except OSError:
        return None
    return _read(path, changed)


def get(network: str) -> UploadedWeights:
    """The same. Raises CannotCompute if the network is not on this machine."""
    about = find(network)
    if about is None:
        raise CannotCompute(
            f"The network {network} was uploaded elsewhere or deleted: upload it again on the page Own files."
        )
    return about


@lru_cache(maxsize=4 * MOST)
def _read(path: Path, changed: int) -> UploadedWeights | None:
    try:
        values = json.loads(path.read_text("utf-8"))
        lists = {name: tuple(values[name]) for name in ("images", "predicted", "loss")}
        about = UploadedWeights(**values | lists)
        sound = (
            about.network == path.stem
            and about.network == name_of(about.architecture, about.sha256)
            and about.title == uploads.clean_name(about.title)
            and len(about.images) == len(about.predicted) == len(about.loss)
            and all(type(seen) is int and 0 <= seen <= 9 for seen in about.predicted)
            and all(
                isinstance(number, int | float) for number in (about.accuracy_bundled, about.registered, *about.loss)
            )
        )
        if not sound:
            raise ValueError("it describes something else")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        _log.warning("The description of an uploaded network, %s, is not used: %r", path, error)
        return None
    return about


def known() -> tuple[UploadedWeights, ...]:
    """All uploaded networks, the newest first."""
    with suppress(OSError):
        networks = [find(path.stem) for path in folder().glob("resnet*.json")]
        return tuple(sorted((about for about in networks if about), key=lambda about: -about.registered))
    return ()


def save(about: UploadedWeights, tensors: bytes) -> list[str]:
    """Store a checked network. Returns the titles of the oldest, removed for it. Raises CannotCompute if the disk refuses."""
    try:
        write_replaced(tensors_path(about.network), tensors)
        write_replaced(folder() / f"{about.network}.json", json.dumps(asdict(about)).encode())
    except OSError as error:
        raise CannotCompute(
            f"Cannot write to the cache folder {folder()} (“{error.strerror or error}”): free space there or set "
            "STIFFCORE_CACHE to another folder."
        ) from error
    oldest = [other for other in known() if other.network != about.network][MOST - 1 :]
    for other in oldest:
        remove(other.network)
    return [other.title for other in oldest]


def remove(network: str) -> None:
    if is_name(network):
        for path in (folder() / f"{network}.json", tensors_path(network)):
            with suppress(OSError):
                path.unlink()
