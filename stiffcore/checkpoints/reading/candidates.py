"""The ways to read a file: the architectures that its tensors allow, under each normalisation that it may have been trained with."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from stiffcore.checkpoints.reading.normalisations import NORMALISATIONS, Normalisation, of_classes
from stiffcore.errors import CannotCompute
from stiffcore.images import cifar10
from stiffcore.networks.architecture import STEMS as ALL_STEMS, Architecture
from stiffcore.networks.network import Preprocessing

STEMS = ("pool", "none")
LARGE = 224  # pixels; images of networks with a 7×7 stem


@dataclass(frozen=True)
class Candidate:
    """One way to read a file."""

    architecture: Architecture
    normalisation: Normalisation
    image_size: int

    @property
    def preprocessing(self) -> Preprocessing:
        resizes = self.image_size != cifar10.SHAPE[0]  # the images that ship have another size
        return Preprocessing(self.normalisation.mean, self.normalisation.standard_deviation, self.image_size, resizes)

    @property
    def words(self) -> str:
        """``without max-pool, with CIFAR-10's normalisation``."""
        a = self.architecture
        words = [f"with {self.normalisation.title}"]
        if a.is_preactivated and a.shortcut == "convolution of x":
            words.insert(0, "with skips of the input" + (" and late strides" if a.late_stride else ""))
        if not a.is_preactivated and len(a.depths) > 3:
            words.insert(0, "with max-pool" if ALL_STEMS[a.stem][2] else "without max-pool")
        size = (
            f", for images of {self.image_size} × {self.image_size} pixels"
            if self.image_size != cifar10.SHAPE[0]
            else ""
        )
        return ", ".join(words) + size


def in_file(mean: Tensor, standard_deviation: Tensor) -> Normalisation | None:
    """The normalisation that a file holds; None if these numbers are none."""
    numbers = [float(value) for tensor in (mean, standard_deviation) for value in tensor.flatten()]
    scale = 255.0 if max(numbers[:3]) > 1 else 1.0  # of images from 0 to 255
    numbers = [round(value / scale, 6) for value in numbers]
    if not all(map(math.isfinite, numbers)) or min(numbers[3:]) <= 0:
        return None
    red, green, blue, *deviations = numbers
    return Normalisation(
        "file", "the file's own normalisation", (red, green, blue), (deviations[0], deviations[1], deviations[2])
    )


def candidates(
    architectures: Sequence[Architecture], normaliser: Normalisation | None, stem: str, normalisation: str
) -> list[Candidate]:
    """The ways to read a file, the likeliest first."""
    if stem and stem not in STEMS:
        raise CannotCompute(f"Expected a stem among {', '.join(STEMS)}, got {stem!r}: choose one of them.")
    if normalisation and normalisation not in NORMALISATIONS:
        names = ", ".join(NORMALISATIONS)
        raise CannotCompute(f"Expected a normalisation among {names}, got {normalisation!r}: choose one of them.")
    if stem:
        with_stem = [
            replace(a, stem=a.stem.removesuffix("-pool") + ("-pool" if stem == "pool" else "")) for a in architectures
        ]
        architectures = list(dict.fromkeys(with_stem))
    first = architectures[0]
    is_large = first.stem.startswith("7x7") and first.classes != len(cifar10.LABELS)
    if normalisation:
        normalisations = [NORMALISATIONS[normalisation]]
    elif normaliser:
        normalisations = [normaliser]
    else:
        normalisations = [NORMALISATIONS["imagenet"]] if is_large else of_classes(first.classes)
    size = LARGE if is_large else cifar10.SHAPE[0]
    return [Candidate(a, n, size) for a in (architectures[:1] if is_large else architectures) for n in normalisations]
