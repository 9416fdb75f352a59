"""Numbers of images -> ``Image`` objects: CIFAR-10's official test set, and uploaded images from 1,000,000.

Only the command line, the URL, uploads and ``import stiffcore`` call it; all other code takes ``Image`` objects.
"""

from functools import lru_cache

import numpy as np

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


@lru_cache(maxsize=cifar10.TEST_IMAGES)
def _official(index: int, place: object) -> Image:
    """place: of the full test set, so that each folder has its own cache entries."""
    pixels = np.ascontiguousarray(cifar10.image(index))
    pixels.flags.writeable = False
    return Image(str(index), cifar10.image_sha256(index), pixels, cifar10.label(index), index, is_official=True)
