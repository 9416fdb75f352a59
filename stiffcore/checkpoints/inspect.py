"""Uploaded weights: inspected, refused with a reason, their names mapped, loaded strictly, tested on known images.

Reads safetensors and PyTorch state dicts with the names of torchvision or of the public CIFAR-10 zoos, and common prefixes.
The result has exactly the names, shapes and types of one of the three networks, and finite numbers.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from stiffcore.checkpoints import names as checkpoint_names, sources
from stiffcore.checkpoints.derived import put_together
from stiffcore.checkpoints.opened import opened
from stiffcore.checkpoints.sources import Source
from stiffcore.errors import CannotCompute
from stiffcore.images import cifar10
from stiffcore.networks import catalogue, resnets
from stiffcore.networks.network import Network
from stiffcore.progress import Progress, silent
from stiffcore.storage import uploads

USED_TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64, torch.int32)
SELF_TEST_BATCH = 50  # images between two checks for cancellation
NEAR_CHANCE = 0.3  # accuracy below which the self-test looks for a reason
OTHER_NORMALISATIONS = {  # mean and standard deviation by channel
    "images from 0 to 1": ((0, 0, 0), (1, 1, 1)),
    "images from −1 to 1": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "ImageNet's mean and standard deviation": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "images from 0 to 255": ((0, 0, 0), (1 / 255, 1 / 255, 1 / 255)),
}


@dataclass(frozen=True)
class Inspection:
    """The content of a file, before any of its numbers is read.

    names: the network's tensor -> the file's; counters of batches may be missing. ignored: the file's other tensors.
    prefix: of the used tensors' names; others: prefixes of equally complete networks that are not used.
    """

    format: str  # safetensors or PyTorch
    network: str
    names: dict[str, str]
    ignored: tuple[str, ...]
    n_parameters: int
    types: tuple[str, ...]
    prefix: str = ""
    others: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """A description for the user."""
        others = "1 other tensor is" if len(self.ignored) == 1 else f"{len(self.ignored)} other tensors are"
        more = f"; {others} ignored" if self.ignored else ""
        types = " and ".join(self.types)
        if self.others:
            left = " and ".join(_quoted(prefix) for prefix in self.others)
            more += f"; of several networks {_quoted(self.prefix)} is used, not {left}"
        return f"{self.format}, {self.network}, {self.n_parameters:,} numbers in {types}{more}."


def _quoted(prefix: str) -> str:
    short = prefix if len(prefix) <= 40 else f"{prefix[:39]}…"
    return f"“{short}”" if prefix else "the one without a prefix"


@dataclass(frozen=True)
class SelfTest:
    """Accuracy on the bundled images (0 to 1), and a hint where it is near chance.

    predicted: int64 (1000,) and loss: float64 (1000,), cross-entropy, in the order of ``cifar10.bundled()``.
    """

    accuracy: float
    hint: str
    predicted: np.ndarray
    loss: np.ndarray


def content_of(path: Path) -> Source:
    """A file's bytes, of any size, which are read when they are needed."""
    return sources.of(Path(path))


def inspect(content: bytes | Path | Source, progress: Progress = silent) -> Inspection:
    """The content of a checkpoint, from its list of tensors alone; executes nothing in it and reads no tensor's numbers.

    Raises CannotCompute, with one sentence, for a refused file."""
    return _opened(content, progress)[0]


def load(content: bytes | Path | Source) -> tuple[nn.Module, Inspection]:
    """The network with a checkpoint's weights, named by the hash of its tensors, as ``resnets.with_weights`` gives it."""
    state, inspection = read(content)
    return resnets.with_weights(inspection.network, state, resnets.tensors_sha256(state)), inspection


def read(content: bytes | Path | Source, progress: Progress = silent) -> tuple[dict[str, torch.Tensor], Inspection]:
    """A checkpoint's tensors by the network's own names, in the checkpoint's precision, checked against the network."""
    inspection, tensor = _opened(content, progress)
    progress(0, 0, "reading its numbers")
    shape_of = resnets.template(inspection.network).state_dict()
    state = {name: tensor(source) for name, source in inspection.names.items()}
    for name in shape_of.keys() - state.keys():  # only counters of batches may be missing
        state[name] = torch.zeros((), dtype=torch.int64)
    state = {
        name: value if value.is_floating_point() else value.to(torch.int64) for name, value in sorted(state.items())
    }
    resnets.check_state(state, shape_of, "the checkpoint")
    return state, inspection


def network_in(path: Path, name: str = "") -> Network:
    """The network of a checkpoint file. It is not stored: the file is read again whenever the module is needed.

    name: the network's name, by default the file's. Raises CannotCompute for a refused file.
    """
    path = path.expanduser().absolute()
    state, inspection = read(content_of(path))
    sha256 = resnets.tensors_sha256(state)
    name = name or uploads.clean_name(path.name)
    blocks = catalogue.blocks(inspection.network)
    return Network(
        name, sha256, blocks, partial(_load_again, path, sha256), title=name, architecture=inspection.network
    )


def _load_again(path: Path, sha256: str) -> nn.Module:
    """The module of a checkpoint. Raises CannotCompute if the file has changed."""
    state, inspection = read(content_of(path))
    if resnets.tensors_sha256(state) != sha256:
        raise CannotCompute(f"The weights in {path} have changed since it was loaded: load the checkpoint again.")
    return resnets.with_weights(inspection.network, state, sha256)


def self_test(model: nn.Module, progress: Progress = silent) -> SelfTest:
    """Accuracy on the bundled images; if it is near chance, a possible cause. progress counts images."""
    indices = cifar10.bundled()
    images, labels = np.stack([cifar10.image(i) for i in indices]), np.array([cifar10.label(i) for i in indices])
    predicted, loss = np.empty(len(images), np.int64), np.empty(len(images))
    for at in range(0, len(images), SELF_TEST_BATCH):
        progress(at, len(images), "self-test on the images that ship")
        part = slice(at, at + SELF_TEST_BATCH)
        predicted[part], loss[part] = resnets.predictions(model, images[part], labels[part])
    accuracy = float((predicted == labels).mean())
    hint = "" if accuracy > NEAR_CHANCE else _hint(model, images[::10], labels[::10])
    return SelfTest(accuracy, hint, predicted, loss)


@torch.no_grad()
def _hint(model: nn.Module, images: np.ndarray, labels: np.ndarray) -> str:
    """Another normalisation, or the usual variant without max-pool, if the network's accuracy is high with it."""
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (cifar10.MEAN, cifar10.STANDARD_DEVIATION))
    ours = cifar10.normalised(images)
    tried: dict[str, tuple[nn.Module, torch.Tensor]] = {}
    for name, normalisation in OTHER_NORMALISATIONS.items():
        other_mean, other_std = (torch.tensor(v).view(3, 1, 1) for v in normalisation)
        tried[f"was trained with another normalisation, {name}"] = (model, (ours * std + mean - other_mean) / other_std)
    before = ("conv1", "bn1", "relu", "layer1", "layer2", "layer3", "layer4", "avgpool")
    without_pool = nn.Sequential(*map(model.get_submodule, before), nn.Flatten(), model.get_submodule("fc"))
    tried["is the variant without max-pool, whose blocks have other sizes"] = (without_pool, ours)
    for reason, (network, batch) in tried.items():
        right = float((network(batch).argmax(1).numpy() == labels).mean())
        if right > 2 * NEAR_CHANCE:
            return f"It {reason}: read that way, it classifies {100 * right:.0f} % of the images correctly."
    return "It may be untrained, or have been trained with another normalisation or order of the labels."


def _opened(content: bytes | Path | Source, progress: Progress) -> tuple[Inspection, Callable[[str], torch.Tensor]]:
    """The inspection, and a function that reads one tensor by its name in the file."""
    progress(0, 0, "reading the names of its tensors")
    file = put_together(opened(content))
    progress(0, 0, "looking for a network among them")
    return _inspected(file.form, file.shapes, file.types), file.tensor


def _inspected(form: str, shapes: Mapping[str, tuple[int, ...]], types: Mapping[str, torch.dtype | str]) -> Inspection:
    mapped = checkpoint_names.map_keys(shapes)
    for ours, theirs in mapped.names.items():
        if types[theirs] not in USED_TYPES:
            got = str(types[theirs]).removeprefix("torch.")
            raise CannotCompute(
                f"Expected {ours} of the checkpoint in floating-point numbers, got {got}: save the weights in float16 or 32."
            )
    used = set(mapped.names.values())
    return Inspection(
        form,
        mapped.network,
        mapped.names,
        ignored=tuple(name for name in shapes if name not in used),
        n_parameters=sum(math.prod(shapes[name]) for name in used),
        types=tuple(sorted({str(types[name]).removeprefix("torch.") for name in used})),
        prefix=mapped.prefix,
        others=mapped.others,
    )
