"""Networks whose weights were uploaded: what is known of them, without torch. ``checkpoints.register`` puts them here.

A network's name is ``resnet18-own-`` and the first 12 digits of the SHA-256 of its tensors. In own/weights/ of the cache folder
each has NAME.safetensors, checked and as strict as what ships, and beside it NAME.json with what the pages need.
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

MOST = 8  # networks; beyond it the oldest go
NAME = re.compile(r"(resnet\d\d)-own-([0-9a-f]{12})")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class UploadedWeights:
    """One uploaded network.

    title: the file's name, made harmless. accuracy_bundled: share of correct predictions on the images that ship; hint: why it
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
    """Whether this is the name of an uploaded network, whether or not it is here."""
    return isinstance(network, str) and NAME.fullmatch(network) is not None


def folder() -> Path:
    return default_folder() / "own" / "weights"


def tensors_path(network: str) -> Path:
    """Only for a name that ``is_name``."""
    return folder() / f"{network}.safetensors"


def find(network: str) -> UploadedWeights | None:
    """What is known of an uploaded network; None where it is not here, or its description is damaged."""
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
    """Raises CannotCompute where the network is not here."""
    found = find(network)
    if found is None:
        raise CannotCompute(
            f"Expected an uploaded network that is on this machine, got {network}, which was uploaded elsewhere or deleted: "
            "upload it again on the page Own files."
        )
    return found


@lru_cache(maxsize=4 * MOST)
def _read(path: Path, changed: int) -> UploadedWeights | None:
    try:
        values = json.loads(path.read_text("utf-8"))
        lists = {name: tuple(values[name]) for name in ("images", "predicted", "loss")}
        found = UploadedWeights(**values | lists)
        sound = (
            found.network == path.stem
            and found.network == name_of(found.architecture, found.sha256)
            and found.title == uploads.clean_name(found.title)
            and len(found.images) == len(found.predicted) == len(found.loss)
            and all(type(seen) is int and 0 <= seen <= 9 for seen in found.predicted)
            and all(
                isinstance(number, int | float) for number in (found.accuracy_bundled, found.registered, *found.loss)
            )
        )
        if not sound:
            raise ValueError("it describes something else")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        _log.warning("The description of an uploaded network, %s, is not used: %r", path, error)
        return None
    return found


def known() -> tuple[UploadedWeights, ...]:
    """All uploaded networks, the newest first."""
    with suppress(OSError):
        found = [find(path.stem) for path in folder().glob("resnet*.json")]
        return tuple(sorted((one for one in found if one), key=lambda one: -one.registered))
    return ()


def save(about: UploadedWeights, tensors: bytes) -> list[str]:
    """Keep a network, checked before; the titles of those that had to go for it. Raises CannotCompute where the disk refuses."""
    try:
        write_replaced(tensors_path(about.network), tensors)
        write_replaced(folder() / f"{about.network}.json", json.dumps(asdict(about)).encode())
    except OSError as error:
        raise CannotCompute(
            f"Expected a cache folder that can be written, got “{error.strerror or error}” at {folder()}: free space there or set "
            "STIFFCORE_CACHE to another folder."
        ) from error
    dropped = [one for one in known() if one.network != about.network][MOST - 1 :]
    for one in dropped:
        remove(one.network)
    return [one.title for one in dropped]


def remove(network: str) -> None:
    if is_name(network):
        for path in (folder() / f"{network}.json", tensors_path(network)):
            with suppress(OSError):
                path.unlink()
