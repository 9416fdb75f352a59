"""Several uploaded checkpoints are a run, too. Imports no torch."""

import hashlib
from collections.abc import Sequence

from stiffcore.images.image import Image
from stiffcore.networks import uploaded as uploaded_networks
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
        found.append(Checkpoint(step, 0, *about, "", *descriptions.measured(network, bundled)))
    together = "\n".join(sorted(network.weights_sha256 for network in networks))
    name = f"{kept.OWN}{hashlib.sha256(together.encode()).hexdigest()[:12]}"
    title = f"uploaded: {found[0].file} …" if len(found) > 1 else f"uploaded: {found[0].file}"
    structure = uploaded_networks.get(networks[0].name).architecture
    run = descriptions.of_networks(networks, found, name, title, unit, structure)
    kept.save(run)
    return run
