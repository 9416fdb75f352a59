"""Opens the files of a run: each becomes a ``Network``, and together they are a ``Run``. Needs torch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stiffcore.errors import CannotCompute
from stiffcore.images.image import Image
from stiffcore.networks import resnets
from stiffcore.networks.network import Network
from stiffcore.progress import Progress, silent
from stiffcore.runs import kept, run as descriptions, steps, weights
from stiffcore.runs.run import Checkpoint, Run
from stiffcore.storage import uploads


@dataclass(frozen=True)
class Opened:
    """A run whose files were read. networks: of run.checkpoints, in their order. refused: file -> why it was left out."""

    run: Run
    networks: tuple[Network, ...]
    refused: dict[str, str]
    note: str


def opened(
    paths: Sequence[Path], measured_on: Sequence[Image] = (), progress: Progress = silent, title: str = ""
) -> Opened:
    """The run in some files. measured_on: the images that ship, on which each network is then measured.

    Raises CannotCompute if no file can be read, and if the networks are not of one structure.
    """
    places = steps.placed(paths)
    parents = dict.fromkeys(place.path.parent for place in places.files)
    name, several = kept.name_of(parents), len(parents) > 1
    known = kept.find(name)
    before = {one.weights: (one.accuracy_bundled, one.loss_bundled) for one in known.checkpoints} if known else {}
    networks, found, refused = [], [], {}
    for at, place in enumerate(places.files):
        progress(at, len(places.files), f"reading {place.path.name}")
        named = f"{place.path.parent.name}/{place.path.name}" if several else place.path.name
        try:
            network = weights.network_of(place.path, uploads.clean_name(named))
            accuracy, loss = before.get(network.weights_sha256) or _measured(network, measured_on)
        except CannotCompute as error:
            refused[named] = str(error)
            continue
        networks.append(network)
        found.append(
            Checkpoint(place.step, place.seed, network.name, network.weights_sha256, uploads.clean_name(place.path.name),
                       str(place.path), accuracy, loss)
        )  # fmt: skip
    if not networks:
        file, why = next(iter(refused.items()))
        raise CannotCompute(f"None of the {len(refused)} files can be read. First, {file}: {why}")
    run = descriptions.of_networks(
        networks, found, name, title or ", ".join(parent.name for parent in parents), places.unit
    )
    return Opened(run, tuple(networks), refused, places.note)


def _measured(network: Network, images: Sequence[Image]) -> tuple[float, float]:
    """Accuracy and mean cross-entropy on some images; NaN without images, without their labels among the classes, and for
    a network of another input size."""
    labels, side = [network.label_of(image) for image in images], network.preprocessing.image_size
    if not images or None in labels or images[0].pixels.shape[:2] != (side, side):
        return math.nan, math.nan
    right = np.array(labels)
    listed = [image.number for image in images if image.number in network.predicted]
    if len(listed) == len(images):
        predicted = np.array([network.predicted[number] for number in listed])  # type: ignore[index]
        loss = np.array([network.loss[number] for number in listed])  # type: ignore[index]
    else:
        pixels = np.stack([image.pixels for image in images])
        losses = resnets.all_losses(network.module(), pixels, preprocessing=network.preprocessing)
        predicted, loss = losses.argmin(1), losses[np.arange(len(right)), right]
    return float((predicted == right).mean()), float(loss.mean())
