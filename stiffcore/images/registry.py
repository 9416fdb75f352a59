"""Numbers of images -> ``Image`` objects: CIFAR-10's official test set, and uploaded images from 1,000,000.

Only the command line, the URL, uploads and ``import stiffcore`` call it; all other code takes ``Image`` objects.
"""

from functools import lru_cache

import numpy as np

from stiffcore.errors import CannotCompute
from stiffcore.images import cifar10, uploaded
from stiffcore.images.image import Image


def find(number: int) -> Image:
    """The image of a number. Raises CannotCompute if it is not on this machine."""
    if uploaded.is_number(number):
        return uploaded.get(number).as_image()
    return _official(cifar10.index(number), cifar10.full_set_path())


def listed(text: str) -> list[Image]:
    """The images of a list like ``bundled``, ``all`` or ``0,3,10:20`` (end excluded). Raises CannotCompute."""
    return [find(number) for number in cifar10.parse_images(text)]


def bundled() -> tuple[Image, ...]:
    """The 1,000 images that ship, in increasing order of their index."""
    return tuple(find(number) for number in cifar10.bundled())


def balanced(count: int) -> tuple[Image, ...]:
    """As many of the images that ship, equally many of each label, each label's first ones, in increasing order of their index; fewer
    than ten: those of the first ten that come first. Raises CannotCompute for a count that the images do not have."""
    by_label: dict[int | None, list[int]] = {}
    for number in cifar10.bundled():
        by_label.setdefault(cifar10.label(number), []).append(number)
    each = max(1, count // len(by_label))
    chosen = sorted(number for numbers in by_label.values() for number in numbers[:each])
    if count < 1 or (count > len(by_label) and len(chosen) != count):
        raise CannotCompute(
            f"Expected 1 to 9 images, or whole tens up to {len(cifar10.bundled())}, got {count}: choose another number."
        )
    return tuple(find(number) for number in chosen[:count])


@lru_cache(maxsize=cifar10.TEST_IMAGES)
def _official(index: int, place: object) -> Image:
    """place: of the full test set, so that each folder has its own cache entries."""
    pixels = np.ascontiguousarray(cifar10.image(index))
    pixels.flags.writeable = False
    return Image(str(index), cifar10.image_sha256(index), pixels, cifar10.label(index), index, is_official=True)
