"""Registers a checkpoint: loads it strictly, tests it on the bundled images, and stores it for every page."""

import time
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import save

from stiffcore import device
from stiffcore.checkpoints import inspect as checkpoints
from stiffcore.checkpoints.sources import Source
from stiffcore.images import cifar10
from stiffcore.networks import resnets, uploaded as uploaded_networks
from stiffcore.progress import Progress, silent
from stiffcore.storage import uploads


@dataclass(frozen=True)
class Registered:
    """A registered checkpoint. dropped: titles of the oldest uploaded networks, removed for it."""

    own: uploaded_networks.UploadedWeights
    dropped: tuple[str, ...]


def register(content: bytes | Path | Source, file_name: str, progress: Progress = silent) -> Registered:
    """Load a checkpoint, test it and store it. Raises CannotCompute if ``inspect`` or the disk refuses it."""
    device.use_one_thread()
    state, inspection = checkpoints.read(content, progress)
    sha256 = resnets.tensors_sha256(state)
    model = resnets.with_weights(inspection.network, state, sha256)
    tested = checkpoints.self_test(model, progress)
    own = uploaded_networks.UploadedWeights(
        network=uploaded_networks.name_of(inspection.network, sha256),
        title=uploads.clean_name(file_name),
        sha256=sha256,
        form=inspection.sentence,
        accuracy_bundled=tested.accuracy,
        hint=tested.hint,
        images=cifar10.bundled(),
        predicted=tuple(tested.predicted.tolist()),
        loss=tuple(tested.loss.tolist()),
        registered=time.time(),
    )
    return Registered(own, tuple(uploaded_networks.save(own, save(state))))
