"""CIFAR-10 images by their index in the official test set: 1,000 ship, the others need ``fetch-data``.

Uploaded images (``uploaded``) have numbers from 1,000,000, a name, and perhaps no label.

Images are uint8 (32, 32, 3) RGB. Imports torch only in ``normalised``.
"""

import os
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stiffcore.errors import CannotCompute
from stiffcore.images import uploaded as uploaded_images
from stiffcore.images.image import pixels_sha256
from stiffcore.images.labels import LABELS
from stiffcore.storage import encoding

if TYPE_CHECKING:
    from torch import Tensor

MEAN = (0.4914, 0.4822, 0.4465)
STANDARD_DEVIATION = (0.2471, 0.2435, 0.2616)
TEST_IMAGES = 10_000  # in the official test set
SHAPE = (32, 32, 3)
DIGITS = 9  # of a number in a list of images, an uploaded one's too
LONGEST_QUOTE = 100  # characters of a list in an error message
ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")
HOW_TO_GET = "run `python -m stiffcore fetch-data` (or `fetch-data --from FOLDER` for files that you already have)"

_BUNDLED_FILE = Path(__file__).parents[1] / "data" / "cifar10_test_1000.npz"


def full_set_path() -> Path:
    """Where ``fetch-data`` puts the full data set: ``$STIFFCORE_DATA`` or ``cache/cifar10`` of the project."""
    folder = os.environ.get("STIFFCORE_DATA") or Path(__file__).parents[2] / "cache" / "cifar10"
    return Path(folder) / "cifar10.npz"


@cache
def _bundled() -> tuple[np.ndarray, np.ndarray, dict[int, int]]:
    """Images, labels, and official index -> position; 100 images per class, in the order of the test set."""
    try:
        # Without np.load, which can fail when several threads read at once: see decode_arrays.
        arrays = encoding.decode_arrays(_BUNDLED_FILE.read_bytes())
        return arrays["images"], arrays["labels"], {int(index): at for at, index in enumerate(arrays["test_index"])}
    except Exception as error:  # of the disk, of zipfile, or of damaged numbers
        state = "missing" if isinstance(error, FileNotFoundError) else "damaged"
        raise CannotCompute(
            f"The file of the images that ship, {_BUNDLED_FILE}, is {state}: restore it from the project."
        ) from error


def bundled() -> tuple[int, ...]:
    """The official indices of the 1,000 images that ship, in increasing order."""
    return tuple(_bundled()[2])


@cache
def _full_test_set(path: Path) -> tuple[np.ndarray, np.ndarray]:
    arrays = load_arrays(path, ("test_images", "test_labels"))
    if (count := len(arrays["test_labels"])) != TEST_IMAGES:
        raise CannotCompute(
            f"Expected all {TEST_IMAGES:,} test images of CIFAR-10 in {path}, got {count:,}: {HOW_TO_GET}, which replaces "
            "the file."
        )
    return arrays["test_images"], arrays["test_labels"]


def is_available(index: int) -> bool:
    """Whether the image is on this machine: one that ships, was fetched, or was uploaded."""
    if uploaded_images.is_number(index):
        return uploaded_images.default().find(index) is not None
    return index in _bundled()[2] or (0 <= index < TEST_IMAGES and full_set_path().exists())


def index(number: int) -> int:
    """The number itself. Raises CannotCompute if the test set has no such image, or it is not on this machine."""
    _official(number)
    return int(number)


def _official(index: int) -> tuple[np.ndarray, int]:
    if isinstance(index, bool) or not isinstance(index, (int, np.integer)) or not 0 <= index < TEST_IMAGES:
        raise CannotCompute(
            f"Expected an index in the official test set from 0 to {TEST_IMAGES - 1}, got {index!r}: choose one of them."
        )
    images, labels, position = _bundled()
    if index in position:
        return images[position[index]], int(labels[position[index]])
    if not full_set_path().exists():
        raise CannotCompute(f"Test image {index} is not among the {len(position):,} that ship: {HOW_TO_GET}.")
    images, labels = _full_test_set(full_set_path())
    return images[index], int(labels[index])


def image(index: int) -> np.ndarray:
    """uint8 (32, 32, 3) RGB. Raises CannotCompute if the image is not on this machine."""
    return uploaded_images.get(index).pixels if uploaded_images.is_number(index) else _official(index)[0]


def label(index: int) -> int | None:
    """0 (airplane) to 9 (truck): the position in ``LABELS``; None if unlabelled."""
    return uploaded_images.get(index).label if uploaded_images.is_number(index) else _official(index)[1]


def label_name(index: int) -> str:
    """``cat``, or ``no label``."""
    position = label(index)
    return "no label" if position is None else LABELS[position]


def name(index: int) -> str:
    """The displayed name of an image: its index in the test set, or an uploaded image's name."""
    return uploaded_images.get(index).name if uploaded_images.is_number(index) else str(index)


def image_sha256(index: int) -> str:
    """The SHA-256 of an image's 3,072 bytes in (row, column, channel) order; names the image in every key."""
    return pixels_sha256(image(index))


def parse_images(text: str) -> list[int]:
    """``bundled``, ``all`` or a list like ``0,3,10:20`` (end excluded) -> indices, each once, in the order given.

    The list may contain numbers of uploaded images.

    Raises CannotCompute for anything else, and for an image that is not on this machine.
    """
    text = text.strip()
    if text == "bundled":
        return list(bundled())
    wanted = range(TEST_IMAGES) if text == "all" else _listed(text)
    missing = [] if full_set_path().exists() else [index for index in wanted if not is_available(index)]
    if missing:
        which = f"Test image {missing[0]} is"
        if len(missing) > 1:
            which = f"{len(missing):,} of these images (the first is {missing[0]}) are"
        raise CannotCompute(f"{which} not among the {len(bundled()):,} that ship: {HOW_TO_GET}.")
    return list(wanted)


def as_list(images: Iterable[int]) -> str:
    """The shortest text that ``parse_images`` reads as these images: ``bundled``, or runs like ``0:63,65``."""
    wanted = sorted(set(images))
    if wanted == sorted(bundled()):
        return "bundled"
    runs: list[list[int]] = []
    for image in wanted:
        if runs and image == runs[-1][1]:
            runs[-1][1] += 1
        else:
            runs.append([image, image + 1])
    return ",".join(f"{start}" if stop == start + 1 else f"{start}:{stop}" for start, stop in runs)


def _listed(text: str) -> dict[int, None]:
    """``0,3,10:20`` -> the indices as a dict's keys: in order, each once."""
    indices: dict[int, None] = {}
    for part in text.split(","):
        start, colon, stop = (piece.strip() for piece in part.partition(":"))
        is_one_number = not colon and len(start) <= DIGITS and start.isascii() and start.isdigit()
        if is_one_number and uploaded_images.is_number(int(start)):
            indices[uploaded_images.get(int(start)).number] = None
            continue
        numbers = [start, stop] if colon else [start]
        if not all(number.isascii() and number.isdigit() for number in numbers):
            raise _bad_list(text, part)
        if any(len(number) > DIGITS for number in numbers):  # before int(), which refuses thousands of digits
            raise _out_of_range(text, part)
        first, end = int(start), int(stop) if colon else int(start) + 1
        if end > TEST_IMAGES or first >= TEST_IMAGES:
            raise _out_of_range(text, part)
        if first >= end:
            raise _bad_list(text, part, "give a range that ends after its first image, since its end is excluded")
        indices.update(dict.fromkeys(range(first, end)))
    return indices


def _bad_list(text: str, part: str, repair: str = "write them in that form") -> CannotCompute:
    return CannotCompute(
        f"Expected images as bundled, all, or indices from 0 to {TEST_IMAGES - 1} like `0,3,10:20` (end excluded), "
        f"got {_quoted(part.strip())} in {_quoted(text)}: {repair}."
    )


def _out_of_range(text: str, part: str) -> CannotCompute:
    return CannotCompute(
        f"Expected indices in the official test set from 0 to {TEST_IMAGES - 1}, a range's end up to {TEST_IMAGES}, "
        f"got {_quoted(part.strip())} in {_quoted(text)}, which is out of range: choose images in between."
    )


def _quoted(text: str) -> str:
    """The text in quotes, shortened if it is long."""
    return repr(text if len(text) <= LONGEST_QUOTE else text[: LONGEST_QUOTE - 1] + "…")


def normalised(
    images: np.ndarray,
    mean: tuple[float, float, float] = MEAN,
    standard_deviation: tuple[float, float, float] = STANDARD_DEVIATION,
) -> "Tensor":
    """uint8 (N, H, W, 3) -> float32 tensor (N, 3, H, W): (x / 255 − mean) / standard deviation, by channel."""
    import torch

    if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
        raise ValueError(f"Expected uint8 images of shape (N, H, W, 3), got {images.dtype} {images.shape}.")
    centre, scale = (torch.tensor(v, dtype=torch.float32).view(1, 3, 1, 1) for v in (mean, standard_deviation))
    channels_first = np.ascontiguousarray(images.transpose(0, 3, 1, 2))  # a copy: torch refuses read-only arrays
    return (torch.from_numpy(channels_first).float() / 255 - centre) / scale


def _unreadable(error: Exception) -> str:
    """Why ``np.load`` failed. numpy's own message would advise unsafe loading, with pickle."""
    if isinstance(error, OSError) and error.strerror:
        return f"which cannot be read ({error.strerror})"
    if isinstance(error, KeyError):
        return f"which has no {str(error.args[0]).split()[0]}"
    return "which is damaged or something else"


def load_arrays(path: Path, names: tuple[str, ...] = ARRAYS) -> dict[str, np.ndarray]:
    """Images uint8 (N, 32, 32, 3) and labels (N,) of an ``.npz``. Raises CannotCompute if it holds anything else."""
    form = f"an .npz file with {', '.join(names)}: images uint8 (N, 32, 32, 3), labels 0 to 9"
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in names}
    except FileNotFoundError:
        raise CannotCompute(f"Expected the CIFAR-10 data in {path}, got no such file: {HOW_TO_GET}.") from None
    except Exception as error:  # of numpy, zipfile or zlib: many types, none meant for a user
        raise CannotCompute(f"Expected {form}, got {path}, {_unreadable(error)}: name or fetch another.") from error
    for images, labels in zip(names[::2], names[1::2], strict=True):
        x, y = arrays[images], arrays[labels]
        good = (
            x.dtype == np.uint8 and x.shape[1:] == SHAPE and y.shape == x.shape[:1] and y.dtype.kind in "iu" and len(y)
        )
        if not good or y.min() < 0 or y.max() > 9:
            raise CannotCompute(
                f"Expected {form}, got {images} {x.dtype} {x.shape} and {labels} {y.dtype} {y.shape} in {path}: "
                "name or fetch another."
            )
    return arrays
