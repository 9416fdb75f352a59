"""Images that are not CIFAR-10's: uploaded, or made from another image. Each has a number, like a test image.

    number = 1,000,000 + the first 28 bits of the SHA-256 of the 3,072 bytes in (row, column, channel) order

The number is accepted wherever the index of a test image is, and equal pixels have the same number on every machine. The
images are stored in own/images/ of the cache folder, one checksummed blob each (``storage.encoding``), and in memory: if the
disk fails, this process still has them.
"""

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
from stiffcore.images.image import Image, pixels_sha256
from stiffcore.storage import encoding, uploads
from stiffcore.storage.locations import default_folder

SHAPE = (32, 32, 3)
FIRST = 1_000_000
LAST = FIRST + 0xFFFFFFF
MOST = 500  # images; beyond it the least recently viewed are removed
MOST_CLASSES = 1_000_000  # of a network that predicts
TOLD = 5  # names of removed images in a sentence
LOOKED_AT_AGAIN = 3600.0  # seconds after which another view is recorded on disk
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class UploadedImage:
    """pixels: uint8 (32, 32, 3), read-only. label: 0 to 9, or None. about: the other fields of its registration."""

    number: int
    pixels: np.ndarray
    sha256: str
    name: str
    kind: str  # upload, fgsm, noise ...
    label: int | None
    registered: float  # seconds since 1970
    predicted: dict[str, int]  # SHA-256 of weights -> predicted label
    about: dict

    def as_image(self) -> Image:
        """The object that the rest of the package takes; predictions are recorded here."""
        record = partial(note_prediction, self.number)
        return Image(self.name, self.sha256, self.pixels, self.label, self.number, on_prediction=record)


def is_number(index: object) -> bool:
    """Whether this is a number of an uploaded image, whether or not the image is on this machine."""
    return isinstance(index, int | np.integer) and not isinstance(index, bool) and bool(FIRST <= index <= LAST)


def number_of(pixels: np.ndarray) -> int:
    """The number of uint8 (32, 32, 3) pixels, whether or not they are stored."""
    return _number(pixels_sha256(pixels))


def register(pixels: np.ndarray, about: Mapping) -> int:
    """Store an image and return its number; registering the same pixels again replaces their fields.

    pixels: uint8 (32, 32, 3). about: JSON values; ``name`` (made safe to display here), ``kind``, ``label`` (0 to 9 or None),
    and how the image was made (source, network, epsilon, seed ...). Raises ValueError for anything else.
    """
    return default().register(pixels, about)


def get(number: int) -> UploadedImage:
    """An uploaded image. Raises CannotCompute if it is not on this machine."""
    image = default().find(number)
    if image is None:
        raise CannotCompute(
            f"The image {number} was uploaded elsewhere or deleted: upload it again on the page Own files."
        )
    return image


def known() -> tuple[int, ...]:
    """The numbers of all uploaded images, the newest first."""
    return default().known()


def remove(number: int) -> None:
    default().remove(number)


def note_prediction(number: int, weights: str, label: int) -> None:
    """Record a network's predicted label of an image; weights: their SHA-256."""
    default().note_prediction(number, weights, label)


def notice() -> str | None:
    """Sentences about images that could not be written to disk or had to make room; returned once."""
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
        self._kept: dict[int, tuple[UploadedImage, int]] = {}  # with its file's modification time in ns; 0: not on disk
        self._disk_notice = ""
        self._removed: list[str] = []  # names of images that had to make room, until they are told

    def register(self, pixels: np.ndarray, about: Mapping) -> int:
        if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.shape != SHAPE:
            raise ValueError(f"Expected one uint8 image of shape (32, 32, 3), got {np.shape(pixels)}.")
        sha256 = pixels_sha256(pixels)
        header = {"kind": "upload", "label": None} | dict(about)
        header["name"] = uploads.clean_name(str(header.get("name") or ""), "uploaded image")
        with self._lock:
            before = self.find(_number(sha256))
            seen = before.predicted if before and before.sha256 == sha256 else {}
            image = _image(sha256, header | {"registered": time.time(), "predicted": seen}, pixels)
            self._keep(image)
        return image.number

    def find(self, number: int) -> UploadedImage | None:
        """The image; None if it is unknown, deleted or damaged."""
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
        images = [image for number in numbers if (image := self.find(number))]
        return tuple(image.number for image in sorted(images, key=lambda image: -image.registered))

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
            sentences, removed = [self._disk_notice] if self._disk_notice else [], self._removed
            if removed:
                more = f" and {len(removed) - TOLD:,} more" if len(removed) > TOLD else ""
                sentences.append(
                    f"Only {self.most} images are kept; the least recently viewed ones were removed: "
                    f"{', '.join(removed[:TOLD])}{more}."
                )
            self._disk_notice, self._removed = "", []
            return " ".join(sentences) or None

    def _path(self, number: int) -> Path:
        return self.folder / f"{number}.image"

    def _keep(self, image: UploadedImage) -> None:
        """Keep an image in memory and on disk; if the disk refuses, add a notice."""
        entry = encoding.Entry(_header(image), {"pixels": image.pixels})
        blob, path, changed = encoding.encode(image.sha256, entry), self._path(image.number), 0
        with self._lock:
            try:
                write_replaced(path, blob)
                changed = path.stat().st_mtime_ns
            except OSError as error:
                _log.warning("Uploaded image %s could not be stored in %s: %s", image.number, self.folder, error)
                self._disk_notice = (
                    f"Cannot write to the cache folder {self.folder} (“{error.strerror or error}”): the image is kept only until "
                    "the server ends; free space there or set STIFFCORE_CACHE to another folder."
                )
            self._kept[image.number] = image, changed
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        times: dict[int, float] = {}
        for path in self.folder.glob("*.image"):
            with suppress(OSError, ValueError):
                times[int(path.stem)] = path.stat().st_mtime
        times = {number: image.registered for number, (image, changed) in self._kept.items() if not changed} | times
        for number in sorted(times, key=times.__getitem__)[: max(0, len(times) - self.most)]:
            image = self.find(number)
            self._removed.append(image.name if image else str(number))
            self.remove(number)

    def _read(self, path: Path, changed: int) -> UploadedImage | None:
        try:
            blob = path.read_bytes()
            sha256 = encoding.key_of(blob)
            entry = encoding.decode(sha256, blob)
            image = _image(sha256, entry.header, entry.arrays["pixels"])
            if image.number != int(path.stem) or pixels_sha256(image.pixels) != sha256:
                raise ValueError("it holds another image")
        except (OSError, KeyError, TypeError, ValueError) as error:
            _log.warning("Uploaded image %s is not used, because it cannot be read: %r", path, error)
            return None
        self._kept[image.number] = image, changed
        return image

    def _looked_at(
        self, image: UploadedImage | None, path: Path, status: os.stat_result | None
    ) -> UploadedImage | None:
        """The image; records the view on disk, so that others are removed first."""
        if image is not None and status is not None and time.time() - status.st_mtime > LOOKED_AT_AGAIN:
            with suppress(OSError):
                os.utime(path)
                self._kept[image.number] = image, path.stat().st_mtime_ns
        return image


def _number(sha256: str) -> int:
    return FIRST + int(sha256[:7], 16)


def _image(sha256: str, header: dict, pixels: np.ndarray) -> UploadedImage:
    """Raises KeyError, TypeError or ValueError for invalid fields or pixels."""
    about = json.loads(encoding.canonical_json(header))
    name, kind, label = about.pop("name"), about.pop("kind"), about.pop("label")
    registered, predicted = about.pop("registered"), about.pop("predicted")
    pixels = np.ascontiguousarray(pixels).copy()
    if label is not None and not (type(label) is int and 0 <= label <= 9):
        raise ValueError(f"Expected a label from 0 to 9 or None, got {label!r}.")
    if pixels.dtype != np.uint8 or pixels.shape != SHAPE or not all(isinstance(text, str) for text in (name, kind)):
        raise ValueError("Expected an image with a name and a kind, got something else.")
    if not all(type(seen) is int and 0 <= seen < MOST_CLASSES for seen in predicted.values()):
        raise ValueError(f"Expected predicted labels from 0, got {predicted!r}.")
    pixels.flags.writeable = False
    return UploadedImage(_number(sha256), pixels, sha256, name, kind, label, float(registered), predicted, about)


def _header(image: UploadedImage) -> dict:
    names = ("name", "kind", "label", "registered", "predicted")
    return image.about | {name: getattr(image, name) for name in names}
