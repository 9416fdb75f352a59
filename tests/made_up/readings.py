"""A reading of a checkpoint without a forward pass."""

from dataclasses import replace

from stiffcore.checkpoints.reading.choose import Reading
from stiffcore.images import cifar10
from stiffcore.networks.network import CIFAR10
from stiffcore.progress import silent


def quick(accuracy: float | None = 0.5, doubt: str = ""):
    """In place of ``reading.choose.best``: the first architecture, with max-pool where that is open."""

    def best(state, architectures, normaliser=None, stem="", normalisation="", progress=silent):
        progress(0, 1000, "self-test on the images that ship")
        pooled = next((a for a in architectures if a.stem == "3x3-pool"), architectures[0])
        architecture = replace(pooled, stem="3x3") if stem == "none" else pooled
        images = cifar10.bundled() if architecture.classes == 10 else ()
        sentence = f"Read as made up: right at {100 * (accuracy or 0):.1f} % of the images that ship."
        predicted = {image: at % 10 for at, image in enumerate(images)}
        return Reading(architecture, CIFAR10, sentence, doubt, accuracy, predicted, dict.fromkeys(images, 2.0))

    return best
