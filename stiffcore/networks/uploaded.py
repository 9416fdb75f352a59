"""Descriptions of the networks whose weights were uploaded, without torch. ``checkpoints.register`` adds them.

A network's name is its architecture's name, ``-own-`` and the first 12 digits of the hash that names its weights. In
own/weights/ of the cache folder each has NAME.safetensors, checked as strictly as what ships, and NAME.json with what the pages need.
"""

import json
import logging
import math
import re
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

from stiffcore.errors import CannotCompute
from stiffcore.images import cifar10
from stiffcore.networks import architecture as architectures
from stiffcore.networks.architecture import Architecture
from stiffcore.networks.network import CIFAR10, Preprocessing
from stiffcore.storage import uploads
from stiffcore.storage.locations import default_folder

MOST = 8  # networks; beyond it the oldest are removed
NAME = re.compile(r"([a-z][a-z0-9-]{1,60})-own-([0-9a-f]{12})")
LONGEST_SENTENCE = 600  # characters of a reading or a doubt
LARGEST_IMAGE = 1024  # pixels of a side
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class UploadedWeights:
    """One uploaded network.

    title: the file's name, made safe to display. accuracy_bundled: share of correct predictions on the images that ship, None
    where their labels are not its classes. images, predicted, loss: of those images, in one order, or empty.
    registered: seconds since 1970. reading: how the file was read, with what was measured. doubt: why it may be another network
    than the one that was trained, or "".
    """

    network: str
    title: str
    sha256: str  # names the weights: resnets.key_sha256
    form: str  # what the file is: checkpoints.inspect.Inspection.sentence
    accuracy_bundled: float | None
    images: tuple[int, ...]
    predicted: tuple[int, ...]
    loss: tuple[float, ...]
    registered: float
    architecture: Architecture
    preprocessing: Preprocessing = CIFAR10
    reading: str = ""
    doubt: str = ""

    @property
    def classes(self) -> tuple[str, ...]:
        return class_names(self.architecture.classes)


def class_names(count: int) -> tuple[str, ...]:
    """CIFAR-10's for ten classes, else the numbers from 0; empty without a head."""
    return cifar10.LABELS if count == len(cifar10.LABELS) else tuple(map(str, range(count)))


def name_of(architecture: Architecture, sha256: str) -> str:
    return f"{architecture.name}-own-{sha256[:12]}"


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
            f"The network {network} was uploaded elsewhere or deleted: upload it again on the page Own files, or name its "
            "file with --weights."
        )
    return about


@lru_cache(maxsize=4 * MOST)
def _read(path: Path, changed: int) -> UploadedWeights | None:
    try:
        about = _described(json.loads(path.read_text("utf-8")))
        if about.network != path.stem or not _is_sound(about):
            raise ValueError("it describes something else")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        _log.warning("The description of an uploaded network, %s, is not used: %r", path, error)
        return None
    return about


def _described(values: dict) -> UploadedWeights:
    """A description from its JSON. One of before there were other networks than the paper's has no architecture."""
    made: dict = {name: tuple(values[name]) for name in ("images", "predicted", "loss")}
    if "architecture" not in values:
        values["architecture"] = architectures.CATALOGUE[values["network"].split("-")[0]].as_json()
        values["doubt"] = values.pop("hint")
    else:
        made["preprocessing"] = preprocessing(**values["preprocessing"])
    made["architecture"] = architectures.from_json(values["architecture"])
    return UploadedWeights(**values | made)


def preprocessing(mean: list, standard_deviation: list, image_size: int, resizes: bool = False) -> Preprocessing:
    """The normalisation in a description. Raises ValueError or TypeError for what is none."""
    numbers = (*mean, *standard_deviation)
    if (
        len(mean) != 3
        or len(standard_deviation) != 3
        or not all(map(_is_number, numbers))
        or min(standard_deviation) <= 0
    ):
        raise ValueError("it has no mean and standard deviation of three channels")
    if type(image_size) is not int or not 1 <= image_size <= LARGEST_IMAGE:
        raise ValueError("it has no size of its images")
    if not isinstance(resizes, bool):
        raise ValueError("it does not say whether images are resized")
    return Preprocessing(tuple(mean), tuple(standard_deviation), image_size, resizes)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_sound(about: UploadedWeights) -> bool:
    texts = (about.reading, about.doubt, about.form)
    return (
        about.network == name_of(about.architecture, about.sha256)
        and re.fullmatch(r"[0-9a-f]{64}", about.sha256) is not None
        and about.title == uploads.clean_name(about.title)
        and all(isinstance(text, str) and len(text) <= LONGEST_SENTENCE and text.isprintable() for text in texts)
        and len(about.images) == len(about.predicted) == len(about.loss)
        and all(type(seen) is int and 0 <= seen < about.architecture.classes for seen in about.predicted)
        and (not about.predicted if about.accuracy_bundled is None else _is_number(about.accuracy_bundled))
        and all(map(_is_number, (about.registered, *about.loss)))
    )


def known() -> tuple[UploadedWeights, ...]:
    """All uploaded networks, the newest first."""
    with suppress(OSError):
        networks = [find(path.stem) for path in folder().glob("*-own-*.json")]
        return tuple(sorted((about for about in networks if about), key=lambda about: -about.registered))
    return ()


def save(about: UploadedWeights, tensors: bytes) -> list[str]:
    """Store a checked network. Returns the titles of the oldest, removed for it. Raises CannotCompute if the disk refuses."""
    description = json.dumps(asdict(about)).encode()
    uploads.store({tensors_path(about.network): tensors, folder() / f"{about.network}.json": description})
    oldest = [other for other in known() if other.network != about.network][MOST - 1 :]
    for other in oldest:
        remove(other.network)
    return [other.title for other in oldest]


def remove(network: str) -> None:
    if is_name(network):
        for path in (folder() / f"{network}.json", tensors_path(network)):
            with suppress(OSError):
                path.unlink()
