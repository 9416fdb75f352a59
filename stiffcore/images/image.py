"""The image object of the package: pixels, their hash, a name and perhaps a label.

``registry.find`` returns the ``Image`` of a number; only the command line, the URL, uploads and ``import stiffcore`` call it.
An ``Image`` made from an array works like one of CIFAR-10's.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from stiffcore.images.labels import LABELS


@dataclass(frozen=True)
class Image:
    """pixels: uint8, shape (height, width, 3), RGB, read-only. sha256: of their bytes in (row, column, channel) order.

    label: position in the network's classes, of an image with a number in CIFAR-10's; None if unlabelled. number: names the image in rows: its index in the official
    test set, or an uploaded image's number; None for an array. is_official: one of CIFAR-10's, whose label never changes.
    on_prediction: called with the SHA-256 of a network's weights and its predicted label, after every prediction.
    """

    name: str
    sha256: str
    pixels: np.ndarray = field(compare=False, repr=False)
    label: int | None = None
    number: int | None = None
    is_official: bool = False
    on_prediction: Callable[[str, int], None] | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of(cls, pixels: np.ndarray, name: str = "", label: int | None = None) -> "Image":
        """An image from an array. Raises ValueError for anything but uint8 of shape (height, width, 3), a
        name that is no text and a label that is no whole number."""
        pixels = np.asarray(pixels)
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
            raise ValueError(f"Expected uint8 pixels of shape (height, width, 3), got {pixels.dtype} {pixels.shape}.")
        if not isinstance(name, str):
            raise ValueError(f"Expected the image's name as a text, got {name!r}: write it in quotes.")
        if label is not None and (isinstance(label, bool) or not isinstance(label, int | np.integer) or label < 0):
            raise ValueError(f"Expected the label as a number from 0, got {label!r}: give its position in the classes.")
        pixels = np.ascontiguousarray(pixels).copy()
        pixels.flags.writeable = False
        sha256 = pixels_sha256(pixels)
        return cls(name or f"array {sha256[:8]}", sha256, pixels, None if label is None else int(label))

    @property
    def label_name(self) -> str:
        """``cat``, or ``no label``; of CIFAR-10's classes."""
        return self.label_among(LABELS)

    def label_in(self, classes: Sequence[str]) -> int | None:
        """The label's position in a network's classes; None if unlabelled, or if CIFAR-10's labels are not the classes."""
        is_other = self.number is not None and tuple(classes) != LABELS
        return None if is_other or self.label is None or self.label >= len(classes) else self.label

    def label_among(self, classes: Sequence[str]) -> str:
        """The label's name among a network's classes, or ``no label``."""
        position = self.label_in(classes)
        return "no label" if position is None else classes[position]

    @property
    def in_rows(self) -> int | str:
        """The value of a row's column ``image``: the number, or the name if there is none."""
        return self.name if self.number is None else self.number


def pixels_sha256(pixels: np.ndarray) -> str:
    """SHA-256 of the pixels' bytes in (row, column, channel) order, as 64 hexadecimal digits."""
    return hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).hexdigest()


NO_IMAGE = Image.of(np.zeros((1, 1, 3), np.uint8), "none")  # of matrices, in which no image has a part
