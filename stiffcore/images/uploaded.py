"""Images that did not come with CIFAR-10: uploaded, or made from another image. Each has a number, as a test image has.

    number = 1,000,000 + the first 28 bits of the SHA-256 of the 3,072 bytes in (row, column, channel) order

so that every place that takes the index of a test image takes it too, and the same pixels have the same number everywhere.
They lie in own/images/ of the cache folder, one checksummed blob each (``storage.encoding``), and in memory: where the disk
refuses, this process still has them.
"""

import hashlib
import json
import logging
import os
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np

from stiffcore.errors import CannotCompute
from stiffcore.files import write_replaced
from stiffcore.images.image import Image
from stiffcore.storage import encoding, uploads
from stiffcore.storage.locations import default_folder

SHAPE = (32, 32, 3)
FIRST = 1_000_000
LAST = FIRST + 0xFFFFFFF
MOST = 500  # images; beyond it those go that nobody looked at for the longest time
LOOKED_AT_AGAIN = 3600.0  # seconds after which another look is noted on disk
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class UploadedImage:
    """pixels: uint8 (32, 32, 3), read-only. label: 0 to 9, or None. about: whatever else was said when it was registered."""

    number: int
    pixels: np.ndarray
    sha256: str
    name: str
    kind: str  # upload, fgsm, noise ...
    label: int | None
    registered: float  # seconds since 1970
    predicted: dict[str, int]  # SHA-256 of weights -> the label that they see
    about: dict

    def as_image(self) -> Image:
        """What everything else takes it by; it remembers what networks see in it."""
        noted = partial(note_prediction, self.number)
        return Image(self.name, self.sha256, self.pixels, self.label, self.number, on_prediction=noted)


def is_number(index: object) -> bool:
    """Whether this is the number of an own image, whether or not it is here."""
    return isinstance(index, int | np.integer) and not isinstance(index, bool) and bool(FIRST <= index <= LAST)


def number_of(pixels: np.ndarray) -> int:
    """The number that uint8 (32, 32, 3) pixels have, whether or not they are kept."""
    return _number(_sha256(pixels))


def register(pixels: np.ndarray, about: Mapping) -> int:
    """Keep an image and return its number; the same pixels again replace what was said about them.

    pixels: uint8 (32, 32, 3). about: JSON values; ``name`` (shown to people, made harmless here), ``kind``, ``label`` (0 to 9
    or None), and whatever else says how it was made (source, network, epsilon, seed ...). Raises ValueError for anything else.
    """
    return default().register(pixels, about)


def get(number: int) -> UploadedImage:
    """An own image. Raises CannotCompute where it is not on this machine."""
    found = default().find(number)
    if found is None:
        raise CannotCompute(
            f"Expected an own image that is on this machine, got {number}, which was uploaded elsewhere or deleted: "
            "upload it again on the page Own files."
        )
    return found


def known() -> tuple[int, ...]:
    """The numbers of all own images, the newest first."""
    return default().known()


def remove(number: int) -> None:
    default().remove(number)


def note_prediction(number: int, weights: str, label: int) -> None:
    """Remember what a network sees in an image; weights: their SHA-256."""
    default().note_prediction(number, weights, label)


def notice() -> str | None:
    """A sentence about images that could not be written to disk, once."""
    return default().notice()


def default() -> "UploadedImages":
    return _shared(default_folder() / "own" / "images")


@cache
def _shared(folder: Path) -> "UploadedImages":
    return UploadedImages(folder)


class UploadedImages:
    """The images of one folder. Safe to share among threads; several processes may use the same folder."""

    def __init__(self, folder: Path, most: int = MOST):
        self.folder, self.most = folder, most
        self._lock = threading.RLock()
        self._kept: dict[int, tuple[UploadedImage, int]] = {}  # with its file's time of change in ns; 0: not on disk
        self._notices: list[str] = []

    def register(self, pixels: np.ndarray, about: Mapping) -> int:
        if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape != SHAPE:
            raise ValueError(f"Expected one uint8 image of shape (32, 32, 3), got {np.shape(pixels)}.")
        sha256 = _sha256(pixels)
        header = {"kind": "upload", "label": None} | dict(about)
        header["name"] = uploads.clean_name(str(header.get("name") or ""), "own image")
        with self._lock:
            before = self.find(_number(sha256))
            seen = before.predicted if before and before.sha256 == sha256 else {}
            image = _image(sha256, header | {"registered": time.time(), "predicted": seen}, pixels)
            self._keep(image)
        return image.number

    def find(self, number: int) -> UploadedImage | None:
        """The image, or None; of a file that is damaged or was deleted, too."""
        if not is_number(number):
            return None
        path = self._path(number)
        try:
            status = path.stat()
        except OSError:
            status = None
        with self._lock:
            image, changed = self._kept.get(number, (None, 0))
            if image is not None and changed in (0, status and status.st_mtime_ns):
                return self._looked_at(image, path, status)
            self._kept.pop(number, None)
            return None if status is None else self._looked_at(self._read(path, status.st_mtime_ns), path, status)

    def known(self) -> tuple[int, ...]:
        with self._lock:
            numbers = set(self._kept)
        with suppress(OSError):
            numbers |= {int(path.stem) for path in self.folder.glob("*.image") if path.stem.isdecimal()}
        there = [image for number in numbers if (image := self.find(number))]
        return tuple(image.number for image in sorted(there, key=lambda image: -image.registered))

    def remove(self, number: int) -> None:
        with self._lock:
            self._kept.pop(number, None)
            with suppress(OSError):
                self._path(number).unlink()

    def note_prediction(self, number: int, weights: str, label: int) -> None:
        with self._lock:
            image = self.find(number)
            if image is not None and image.predicted.get(weights) != label:
                newest = dict(list(image.predicted.items())[-31:]) | {weights: int(label)}
                self._keep(_image(image.sha256, _header(image) | {"predicted": newest}, image.pixels))

    def notice(self) -> str | None:
        with self._lock:
            return self._notices.pop(0) if self._notices else None

    def _path(self, number: int) -> Path:
        return self.folder / f"{number}.image"

    def _keep(self, image: UploadedImage) -> None:
        """In memory and on disk; where the disk refuses, a notice."""
        entry = encoding.Entry(_header(image), {"pixels": image.pixels})
        blob, path, changed = encoding.encode(image.sha256, entry), self._path(image.number), 0
        with self._lock:
            try:
                write_replaced(path, blob)
                changed = path.stat().st_mtime_ns
            except OSError as error:
                _log.warning("Own image %s could not be stored in %s: %s", image.number, self.folder, error)
                self._notices = [
                    f"Expected a cache folder that can be written, got “{error.strerror or error}” at {self.folder}: the image is "
                    "there until the server ends; free space there or set STIFFCORE_CACHE to another folder."
                ]
            self._kept[image.number] = image, changed
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        times: dict[int, float] = {}
        for path in self.folder.glob("*.image"):
            with suppress(OSError, ValueError):
                times[int(path.stem)] = path.stat().st_mtime
        times = {number: image.registered for number, (image, changed) in self._kept.items() if not changed} | times
        for number in sorted(times, key=times.__getitem__)[: max(0, len(times) - self.most)]:
            self.remove(number)

    def _read(self, path: Path, changed: int) -> UploadedImage | None:
        try:
            blob = path.read_bytes()
            sha256 = encoding.key_of(blob)
            entry = encoding.decode(sha256, blob)
            image = _image(sha256, entry.header, entry.arrays["pixels"])
            if image.number != int(path.stem) or _sha256(image.pixels) != sha256:
                raise ValueError("it holds another image")
        except (OSError, KeyError, TypeError, ValueError) as error:
            _log.warning("Own image %s is not used, because it cannot be read: %r", path, error)
            return None
        self._kept[image.number] = image, changed
        return image

    def _looked_at(
        self, image: UploadedImage | None, path: Path, status: os.stat_result | None
    ) -> UploadedImage | None:
        """The image; notes the look on disk, so that others go before it."""
        if image is not None and status is not None and time.time() - status.st_mtime > LOOKED_AT_AGAIN:
            with suppress(OSError):
                os.utime(path)
                self._kept[image.number] = image, path.stat().st_mtime_ns
        return image


def _sha256(pixels: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()


def _number(sha256: str) -> int:
    return FIRST + int(sha256[:7], 16)


def _image(sha256: str, header: dict, pixels: np.ndarray) -> UploadedImage:
    """Raises KeyError, TypeError or ValueError for what is none."""
    about = json.loads(encoding.canonical_json(header))
    name, kind, label = about.pop("name"), about.pop("kind"), about.pop("label")
    registered, predicted = about.pop("registered"), about.pop("predicted")
    pixels = np.ascontiguousarray(pixels).copy()
    if label is not None and not (type(label) is int and 0 <= label <= 9):
        raise ValueError(f"Expected a label from 0 to 9 or None, got {label!r}.")
    if pixels.dtype != np.uint8 or pixels.shape != SHAPE or not all(isinstance(text, str) for text in (name, kind)):
        raise ValueError("Expected an image with a name and a kind, got something else.")
    if not all(type(seen) is int and 0 <= seen <= 9 for seen in predicted.values()):
        raise ValueError(f"Expected predicted labels from 0 to 9, got {predicted!r}.")
    pixels.flags.writeable = False
    return UploadedImage(_number(sha256), pixels, sha256, name, kind, label, float(registered), predicted, about)


def _header(image: UploadedImage) -> dict:
    names = ("name", "kind", "label", "registered", "predicted")
    return image.about | {name: getattr(image, name) for name in names}
