"""Several uploaded checkpoints are a run, too. Imports no torch."""

import hashlib
from collections.abc import Sequence

import numpy as np

from stiffcore.images.image import Image
from stiffcore.networks.network import Network
from stiffcore.runs import kept, run as descriptions, steps
from stiffcore.runs.run import Checkpoint, Run
from stiffcore.storage import uploads


def remember(networks: Sequence[Network], file_names: Sequence[str], bundled: Sequence[Image]) -> Run:
    """The run of networks that were uploaded together, remembered for the page Over training.

    file_names: theirs, which say the steps. bundled: the images that ship, of which each network lists its predictions. Raises
    CannotCompute for networks of different structures, and where the disk refuses.
    """
    numbers, unit = steps.of_names(file_names)
    found = []
    for network, file, step in zip(networks, file_names, numbers, strict=True):
        about = network.name, network.weights_sha256, uploads.clean_name(file)
        found.append(
            Checkpoint(step, 0, *about, accuracy_bundled=_accuracy(network, bundled), loss_bundled=_loss(network))
        )
    together = "\n".join(sorted(network.weights_sha256 for network in networks))
    name = f"{kept.OWN}{hashlib.sha256(together.encode()).hexdigest()[:12]}"
    title = f"uploaded: {found[0].file} …" if len(found) > 1 else f"uploaded: {found[0].file}"
    run = descriptions.of_networks(networks, found, name, title, unit)
    kept.save(run)
    return run


def _accuracy(network: Network, bundled: Sequence[Image]) -> float:
    labels = {image.number: network.label_of(image) for image in bundled if image.number in network.predicted}
    right = [network.predicted[number] == label for number, label in labels.items() if number is not None]
    return float(np.mean(right)) if right and None not in labels.values() else float("nan")


def _loss(network: Network) -> float:
    return float(np.mean(list(network.loss.values()))) if network.loss else float("nan")
