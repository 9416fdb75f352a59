"""What is known about the weights in weights/: read from manifest.json without torch, so that pages can filter and build keys.

Uploaded networks have entries too, built from ``uploaded``.
"""

import json
import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from stiffcore.errors import CannotCompute
from stiffcore.files import write_replaced
from stiffcore.networks import catalogue, uploaded as uploaded_networks

FOLDER = Path(__file__).parents[1] / "weights"
_FIELDS = ("sha256", "accuracy", "accuracy_bundled", "recipe")


@dataclass(frozen=True)
class Entry:
    """One network with its shipped weights, or a baseline made from them.

    sha256: names the weights in every key. accuracy: share of correct predictions on the 10,000 official test images,
    None if not measured; accuracy_bundled: on the 1,000 that ship, NaN if CIFAR-10's labels are not its classes. recipe: how the weights were made.
    predicted, loss: official test index of a bundled image -> predicted label, cross-entropy.
    """

    network: str
    sha256: str
    accuracy: float | None
    accuracy_bundled: float
    recipe: dict
    predicted: dict[int, int]
    loss: dict[int, float]


@cache
def _read(path: Path, changed: int) -> dict[str, Entry]:
    """changed: the file's modification time, so that a rebuilt manifest is read again."""
    try:
        content = json.loads(path.read_text("utf-8"))
        images = content["images"]
        return {name: _entry(name, values, images) for name, values in content["networks"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CannotCompute(
            f"The list of shipped weights, {path}, is damaged ({error!r}): restore it, or rebuild it with "
            "`python -m stiffcore weights-manifest`."
        ) from error


def _entry(network: str, values: dict, images: list[int]) -> Entry:
    predicted = dict(zip(images, values["predicted"], strict=True))
    loss = dict(zip(images, values["loss"], strict=True))
    return Entry(network, **{name: values[name] for name in _FIELDS}, predicted=predicted, loss=loss)


def entry(network: str) -> Entry:
    """A network's or a baseline's entry. Raises CannotCompute for an unknown name or a damaged manifest."""
    catalogue.architecture(network)
    if uploaded_networks.is_name(network):
        return _uploaded_entry(uploaded_networks.get(network))
    path = FOLDER / "manifest.json"
    try:
        entries = _read(path, path.stat().st_mtime_ns)
    except OSError:
        entries = {}
    if network not in entries:
        raise CannotCompute(
            f"The list of shipped weights, {path}, is missing or lacks {network}: restore it, or rebuild it with "
            "`python -m stiffcore weights-manifest`."
        )
    return entries[network]


def _uploaded_entry(own: uploaded_networks.UploadedWeights) -> Entry:
    predicted = dict(zip(own.images, own.predicted, strict=True))
    loss = dict(zip(own.images, own.loss, strict=True))
    recipe = {"uploaded as": own.title, "file": own.form}
    accuracy = math.nan if own.accuracy_bundled is None else own.accuracy_bundled
    return Entry(own.network, own.sha256, None, accuracy, recipe, predicted, loss)


def write(entries: list[Entry]) -> Path:
    """Write manifest.json atomically; one prediction and loss per bundled image, in the order of ``images``."""
    images = sorted(entries[0].predicted)
    networks = {
        entry.network: {name: getattr(entry, name) for name in _FIELDS}
        | {"predicted": [entry.predicted[i] for i in images], "loss": [entry.loss[i] for i in images]}
        for entry in entries
    }
    lines = [f"{json.dumps(name)}: {json.dumps(values)}" for name, values in networks.items()]
    text = f'{{"images": {json.dumps(images)},\n"networks": {{\n' + ",\n".join(lines) + "\n}}\n"
    write_replaced(FOLDER / "manifest.json", text.encode())
    return FOLDER / "manifest.json"
