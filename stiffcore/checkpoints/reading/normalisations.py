"""The usual normalisations of images: (x / 255 − mean) / standard deviation, by channel. Imports no torch."""

from dataclasses import dataclass

from stiffcore.images import cifar10

Three = tuple[float, float, float]


@dataclass(frozen=True)
class Normalisation:
    """name: for the command line and a page's address; title: in a sentence, behind "with"."""

    name: str
    title: str
    mean: Three
    standard_deviation: Three


NORMALISATIONS = {
    normalisation.name: normalisation
    for normalisation in (
        Normalisation("cifar10", "CIFAR-10's normalisation", cifar10.MEAN, cifar10.STANDARD_DEVIATION),
        Normalisation("std-0.2023", "standard deviation 0.2023", cifar10.MEAN, (0.2023, 0.1994, 0.2010)),
        Normalisation("half", "mean and standard deviation 0.5", (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
        Normalisation("imagenet", "ImageNet's normalisation", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        Normalisation("mean-only", "CIFAR-10's mean and no scale", cifar10.MEAN, (1.0, 1.0, 1.0)),
        Normalisation("0-to-1", "images from 0 to 1", (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
        Normalisation("0-to-255", "images from 0 to 255", (0.0, 0.0, 0.0), (1 / 255, 1 / 255, 1 / 255)),
        Normalisation("cifar100", "CIFAR-100's normalisation", (0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    )
}


def of_classes(classes: int) -> list[Normalisation]:
    """Those to try for a network of so many classes, the usual one first."""
    own = "cifar100" if classes == 100 else "cifar10"
    other = "cifar10" if classes == 100 else "cifar100"
    return [NORMALISATIONS[own], *(n for name, n in NORMALISATIONS.items() if name not in (own, other))]
