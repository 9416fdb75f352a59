"""The network object of the package: its blocks, the hash of its weights, its preprocessing and its module.

Code that has a ``Network`` needs no name and no registry: one made from a module in memory works like one that ships.
``registry.find`` returns the ``Network`` of a name; only the command line, the URL, uploads and ``import stiffcore`` call it.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from stiffcore.errors import CannotCompute
from stiffcore.images import cifar10
from stiffcore.images.image import Image
from stiffcore.networks.geometry import MATRIX, BlockGeometry

if TYPE_CHECKING:
    from torch import Tensor, nn

KEPT = 3  # modules in memory; a ResNet50 takes 94 MB


@dataclass(frozen=True)
class Preprocessing:
    """The normalisation of an image before the first layer, per channel: (x / 255 − mean) / standard deviation.

    resizes: whether an image of another size is resized to the network's first (bicubic, by Pillow), instead of refused.
    """

    mean: tuple[float, float, float] = cifar10.MEAN
    standard_deviation: tuple[float, float, float] = cifar10.STANDARD_DEVIATION
    image_size: int = cifar10.SHAPE[0]  # height and width, in pixels
    resizes: bool = False

    def __call__(self, images: np.ndarray) -> "Tensor":
        """uint8 (N, height, width, 3) -> float32 (N, 3, height, width). Raises CannotCompute for images of another size."""
        side = self.image_size
        if self.resizes and images.shape[1:] != (side, side, 3):
            images = np.stack([_resized(image, side) for image in images])
        if images.shape[1:] != (side, side, 3):
            height, width = images.shape[1:3]
            raise CannotCompute(
                f"Expected an image of {side} × {side} pixels, the network's input size, got {width} × {height}: "
                "choose another image."
            )
        return cifar10.normalised(images, self.mean, self.standard_deviation)


def _resized(image: np.ndarray, side: int) -> np.ndarray:
    from PIL import Image as Picture

    return np.asarray(Picture.fromarray(image).resize((side, side), Picture.Resampling.BICUBIC))


CIFAR10 = Preprocessing()


@dataclass(frozen=True)
class Network:
    """A residual network in evaluation mode. Two are equal if name, weights, preprocessing and classes are.

    name: used in rows and files; title: displayed. weights_sha256: names the weights in every key. blocks: its residual
    blocks in order. load: builds the module. classes: the names of the labels, empty
    without a head. architecture: the paper's name for it
    (``resnet18``), or "" if the paper has no such network. reading: how a file of weights was read, with what was measured; doubt: why
    it may be another network than the one that was trained, to be shown beside every number; both "" otherwise. predicted, loss: number of an image -> predicted label, and
    cross-entropy at the image's label, where they are known without a forward pass.
    """

    name: str
    weights_sha256: str
    blocks: tuple[BlockGeometry, ...] = field(compare=False, repr=False)
    load: Callable[[], "nn.Module"] = field(compare=False, repr=False)
    preprocessing: Preprocessing = field(default=CIFAR10, repr=False)
    classes: tuple[str, ...] = field(default=cifar10.LABELS, repr=False)
    title: str = field(default="", compare=False, repr=False)
    architecture: str = field(default="", compare=False, repr=False)
    reading: str = field(default="", compare=False, repr=False)
    doubt: str = field(default="", compare=False, repr=False)
    predicted: Mapping[int, int] = field(default_factory=dict, compare=False, repr=False)
    loss: Mapping[int, float] = field(default_factory=dict, compare=False, repr=False)

    def module(self) -> "nn.Module":
        """The module: evaluation mode, float32, on the CPU; cached, so do not change it."""
        return _module(self)

    @property
    def takes_images(self) -> bool:
        """Whether it is a network, and not matrices in place of one."""
        return not self.blocks or self.blocks[0].kind != MATRIX

    @property
    def noun(self) -> str:
        """What its parts are called: block or matrix."""
        return "block" if self.takes_images else "matrix"

    @property
    def nouns(self) -> str:
        return "blocks" if self.takes_images else "matrices"

    def block(self, number: int) -> BlockGeometry:
        """The sizes of a block, counted from 1. Raises CannotCompute outside the network."""
        whole = isinstance(number, int | np.integer) and not isinstance(number, bool)
        if not whole or not 1 <= number <= len(self.blocks):
            raise CannotCompute(
                f"Expected a block of {self.name} from 1 to {len(self.blocks)}, got {number!r}: choose one of them."
            )
        return self.blocks[int(number) - 1]

    def normalised(self, image: Image) -> "Tensor":
        """float32, shape: (3, height, width), as the first layer takes it."""
        return self.preprocessing(image.pixels[None])[0]

    def label_of(self, image: Image) -> int | None:
        """The image's label among this network's classes; None if unlabelled, or if CIFAR-10's labels are not its classes."""
        return image.label_in(self.classes)

    def class_name(self, label: int) -> str:
        """The name of a class; its number where it has none."""
        return self.classes[label] if 0 <= label < len(self.classes) else str(label)

    def key_fields(self, image: Image) -> dict[str, object]:
        """What names this network and an image in the key of a result: the hashes of the weights and of the pixels, and the
        preprocessing if it is not CIFAR-10's usual one."""
        fields: dict[str, object] = {"weights": self.weights_sha256, "image": image.sha256}
        if self.preprocessing == CIFAR10:
            return fields
        about = asdict(self.preprocessing)
        return fields | {"preprocessing": about if about.pop("resizes") is False else about | {"resizes": True}}

    def identity_blocks(self) -> tuple[BlockGeometry, ...]:
        """The blocks whose skip is the identity, and whose Jacobian is square."""
        return tuple(block for block in self.blocks if block.is_identity)


@lru_cache(maxsize=KEPT)
def _module(network: Network) -> "nn.Module":
    return network.load()
