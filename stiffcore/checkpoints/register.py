"""Registers a checkpoint: loads it strictly, tests it on the bundled images, and stores it for every page."""

import time
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import save

from stiffcore import device
from stiffcore.checkpoints import inspect as checkpoints
from stiffcore.checkpoints.reading import choose as readings
from stiffcore.checkpoints.sources import Source
from stiffcore.networks import resnets, uploaded as uploaded_networks
from stiffcore.progress import Progress, silent
from stiffcore.storage import uploads


@dataclass(frozen=True)
class Registered:
    """A registered checkpoint. dropped: titles of the oldest uploaded networks, removed for it."""

    own: uploaded_networks.UploadedWeights
    dropped: tuple[str, ...]


def register(
    content: bytes | Path | Source, file_name: str, progress: Progress = silent, stem: str = "", normalisation: str = ""
) -> Registered:
    """Read a checkpoint rightly, test it and store it. stem, normalisation: to overrule what fits best, as in ``readings.best``.

    Raises CannotCompute if ``inspect`` or the disk refuses it.
    """
    device.use_one_thread()
    file = checkpoints.read_all(content, progress)
    reading = readings.best(file.state, file.inspection.architectures, file.normaliser, stem, normalisation, progress)
    sha256 = resnets.key_sha256(file.state, reading.architecture)
    own = uploaded_networks.UploadedWeights(
        network=uploaded_networks.name_of(reading.architecture, sha256),
        title=uploads.clean_name(file_name),
        sha256=sha256,
        form=file.inspection.sentence,
        accuracy_bundled=reading.accuracy,
        images=tuple(reading.predicted),
        predicted=tuple(reading.predicted.values()),
        loss=tuple(reading.loss.values()),
        registered=time.time(),
        architecture=reading.architecture,
        preprocessing=reading.preprocessing,
        reading=reading.sentence,
        doubt=reading.doubt,
    )
    return Registered(own, tuple(uploaded_networks.save(own, save(file.state))))
