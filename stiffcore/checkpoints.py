"""Weights from outside: inspected, refused with a reason, their names mapped, loaded strictly, tried on known images.

safetensors, or a PyTorch state dict; the names of torchvision, of the public CIFAR-10 zoos, and common prefixes. What
comes out of here has exactly the names, shapes and types of one of the three networks, and finite numbers.
"""

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load as load_safetensors
from torch import nn

from stiffcore import catalogue, cifar10, resnets
from stiffcore.errors import CannotCompute
from stiffcore.state_dict_archive import Described, StateDictArchive, refused

LARGEST_FILE = 128 << 20  # bytes
LARGEST_HEADER = 1 << 20  # bytes, of a safetensors file; ResNet50's is 30 kB
WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "network", "weights", "params", "ema")
RENAMED = (  # pattern -> torchvision's name
    (r"\bshortcut\.", "downsample."),
    (r"^(linear|classifier|head)\.(weight|bias)$", r"fc.\2"),
    (r"\bgamma$", "weight"),
    (r"\bbeta$", "bias"),
)
DTYPES = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32, "F64": torch.float64, "I64": torch.int64, "I32": torch.int32}  # fmt: skip
SELF_TEST_BATCH = 50  # images between two looks at whether somebody cancelled
NEAR_CHANCE = 0.3  # accuracy below which the self-test looks for a reason
OTHER_NORMALISATIONS = {  # mean and standard deviation by channel
    "images from 0 to 1": ((0, 0, 0), (1, 1, 1)),
    "images from −1 to 1": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "ImageNet's mean and standard deviation": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "images from 0 to 255": ((0, 0, 0), (1 / 255, 1 / 255, 1 / 255)),
}


@dataclass(frozen=True)
class Inspection:
    """What a file holds, before any of its numbers was read.

    names: the network's tensor -> the file's; counters of batches may be missing. ignored: the file's other tensors.
    """

    format: str  # safetensors or PyTorch
    network: str
    names: dict[str, str]
    ignored: tuple[str, ...]
    n_parameters: int
    types: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """For a person."""
        others = "1 other tensor is" if len(self.ignored) == 1 else f"{len(self.ignored)} other tensors are"
        more = f"; {others} ignored" if self.ignored else ""
        types = " and ".join(self.types)
        return f"{self.format}, {self.network}, {self.n_parameters:,} numbers in {types}{more}."


@dataclass(frozen=True)
class SelfTest:
    """Accuracy on the bundled images (0 to 1), and a hint where it is near chance.

    predicted: int64 (1000,) and loss: float64 (1000,), cross-entropy, in the order of ``cifar10.bundled()``.
    """

    accuracy: float
    hint: str
    predicted: np.ndarray
    loss: np.ndarray


def content_of(path: Path) -> bytes:
    """A file's bytes, its size checked before."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise _too_large(path.stat().st_size)
        return path.read_bytes()
    except OSError as error:
        raise CannotCompute(f"Expected a checkpoint in {path}, got {error.strerror}: name another file.") from error


def inspect(content: bytes) -> Inspection:
    """What a checkpoint holds; nothing in it is executed. Raises CannotCompute, in one sentence, for what is refused."""
    return _opened(content)[0]


def load(content: bytes) -> tuple[nn.Module, Inspection]:
    """The network with a checkpoint's weights, named by the hash of its tensors, as ``resnets.with_weights`` gives it."""
    state, inspection = read(content)
    return resnets.with_weights(inspection.network, state, resnets.tensors_sha256(state)), inspection


def read(content: bytes) -> tuple[dict[str, torch.Tensor], Inspection]:
    """A checkpoint's tensors by the network's own names, in the checkpoint's precision, checked against the network."""
    inspection, tensor = _opened(content)
    shape_of = resnets.template(inspection.network).state_dict()
    state = {name: tensor(source) for name, source in inspection.names.items()}
    for name in shape_of.keys() - state.keys():  # only counters of batches may be missing
        state[name] = torch.zeros((), dtype=torch.int64)
    state = {
        name: value if value.is_floating_point() else value.to(torch.int64) for name, value in sorted(state.items())
    }
    resnets.check_state(state, shape_of, "the checkpoint")
    return state, inspection


def map_keys(shapes: dict[str, tuple[int, ...]]) -> tuple[str, dict[str, str]]:
    """The network that tensors of these names and shapes make up, and its tensors' names -> theirs.

    Raises CannotCompute with the first misfit against the network that is nearest.
    """
    prefix = _prefix(shapes)
    renamed: dict[str, str] = {}
    for theirs in shapes:
        if theirs.startswith(prefix):
            ours = _torchvision_name(theirs.removeprefix(prefix))
            if ours in renamed:
                raise CannotCompute(f"Expected one {ours[:60]} in the checkpoint, got two: use another file.")
            renamed[ours] = theirs
    misfits = {}
    for network in catalogue.ARCHITECTURES:
        shape_of = {name: tuple(t.shape) for name, t in resnets.template(network).state_dict().items()}
        misfit = _first_misfit(shape_of, {ours: shapes[theirs] for ours, theirs in renamed.items()})
        if not misfit:
            return network, {name: renamed[name] for name in shape_of if name in renamed}
        misfits[network] = (len(shape_of.keys() ^ renamed.keys()), misfit)
    nearest = min(misfits, key=lambda network: misfits[network][0])
    raise CannotCompute(
        f"Expected the tensors of ResNet18, 34 or 50 for CIFAR-10, got others (nearest is {nearest}: {misfits[nearest][1]}): "
        "use a checkpoint of one of these networks."
    )


def self_test(model: nn.Module, progress: Callable[[int, int], None] = lambda done, total: None) -> SelfTest:
    """Accuracy on the bundled images; where it is near chance, what would explain it. progress: images done, of all."""
    indices = cifar10.bundled()
    images, labels = np.stack([cifar10.image(i) for i in indices]), np.array([cifar10.label(i) for i in indices])
    predicted, loss = np.empty(len(images), np.int64), np.empty(len(images))
    for at in range(0, len(images), SELF_TEST_BATCH):
        progress(at, len(images))
        part = slice(at, at + SELF_TEST_BATCH)
        predicted[part], loss[part] = resnets.predictions(model, images[part], labels[part])
    accuracy = float((predicted == labels).mean())
    hint = "" if accuracy > NEAR_CHANCE else _hint(model, images[::10], labels[::10])
    return SelfTest(accuracy, hint, predicted, loss)


@torch.no_grad()
def _hint(model: nn.Module, images: np.ndarray, labels: np.ndarray) -> str:
    """Another normalisation, or the usual variant without max-pool, if the network does well with it."""
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (cifar10.MEAN, cifar10.STANDARD_DEVIATION))
    ours = cifar10.normalised(images)
    tried = {}
    for name, (other_mean, other_std) in OTHER_NORMALISATIONS.items():
        other_mean, other_std = (torch.tensor(v).view(3, 1, 1) for v in (other_mean, other_std))
        tried[f"was trained with another normalisation, {name}"] = (model, (ours * std + mean - other_mean) / other_std)
    without_pool = nn.Sequential(model.conv1, model.bn1, model.relu, model.layer1, model.layer2, model.layer3)
    without_pool = nn.Sequential(without_pool, model.layer4, model.avgpool, nn.Flatten(), model.fc)
    tried["is the variant without max-pool, whose blocks have other sizes"] = (without_pool, ours)
    for reason, (network, batch) in tried.items():
        right = float((network(batch).argmax(1).numpy() == labels).mean())
        if right > 2 * NEAR_CHANCE:
            return f"It {reason}: so read, it is right at {100 * right:.0f} % of the images."
    return "It may be untrained, or have been trained with another normalisation or order of the labels."


def _too_large(size: int) -> CannotCompute:
    return CannotCompute(
        f"Expected a checkpoint of up to {LARGEST_FILE >> 20} MB, got {size >> 20} MB: save the weights alone, in float16."
    )


def _opened(content: bytes):
    """The inspection, and a function from the file's name of a tensor to the tensor."""
    if len(content) > LARGEST_FILE:
        raise _too_large(len(content))
    if content[:4] == b"PK\x03\x04":
        archive = StateDictArchive(content)
        described = _state_dict(archive.content)
        shapes = {name: d.shape for name, d in described.items()}
        types = {name: d.storage.dtype for name, d in described.items()}
        return _inspected("PyTorch", shapes, types), lambda name: archive.tensor(described[name])
    old = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"\x1f\x8b")
    if content[8:9] != b"{" and content[:2] in old:
        raise refused("an old or compressed format, which could hold code")
    header = _safetensors_header(content)
    tensors = {name: about for name, about in header.items() if name != "__metadata__"}
    shapes = {name: tuple(about["shape"]) for name, about in tensors.items()}
    types = {name: DTYPES[about["dtype"]] for name, about in tensors.items()}
    inspection = _inspected("safetensors", shapes, types)
    try:
        loaded = load_safetensors(content)
    except Exception as error:
        raise _damaged_safetensors(str(error)[:80]) from error
    return inspection, loaded.__getitem__


def _inspected(form: str, shapes: dict[str, tuple[int, ...]], types: dict[str, torch.dtype]) -> Inspection:
    network, names = map_keys(shapes)
    used = set(names.values())
    count = sum(math.prod(shapes[name]) for name in used)
    used_types = sorted({str(types[name]).removeprefix("torch.") for name in used})
    return Inspection(
        form, network, names, tuple(name for name in shapes if name not in used), count, tuple(used_types)
    )


def _damaged_safetensors(got: str) -> CannotCompute:
    return CannotCompute(
        f"Expected a safetensors file or a PyTorch state dict, got neither ({got}): use another file, or save this one again."
    )


def _safetensors_header(content: bytes) -> dict[str, dict]:
    """The header of a safetensors file; the library checks afterwards that it fits the bytes behind it."""
    length = int.from_bytes(content[:8], "little")
    if len(content) < 10 or length > min(LARGEST_HEADER, len(content) - 8) or content[8:9] != b"{":
        raise _damaged_safetensors("no such header")
    try:
        header = json.loads(content[8 : 8 + length])
        for name, about in header.items():
            if name != "__metadata__" and about["dtype"] not in DTYPES:
                raise ValueError(f"type {about['dtype']!r:.20}")
            if name != "__metadata__" and not all(type(n) is int and 0 <= n < 2**40 for n in about["shape"]):
                raise ValueError("a shape that is none")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged_safetensors(f"a damaged header: {error!s:.60}") from error
    return header


def _state_dict(content: object) -> dict[str, Described]:
    """The tensors by name, wherever a training script usually puts them."""
    for _ in range(3):
        if not isinstance(content, dict):
            break
        tensors = {name: v for name, v in content.items() if isinstance(name, str) and isinstance(v, Described)}
        if len(tensors) > 10:
            return tensors
        inner = [content[name] for name in WRAPPERS if isinstance(content.get(name), dict)]
        if not inner:
            break
        content = inner[0]
    raise refused("one without a network's tensors")


def _prefix(names) -> str:
    """What stands before every tensor's name: ``module.``, ``model.``, ``_orig_mod.`` and the like, also several of them.

    The tensors of a network never share their first part, so that whatever all names share is a prefix.
    """
    stems = [name for name in names if re.search(r"(^|\.)(conv1|bn1|layer\d|fc|linear|classifier|head)\.", name)]
    prefix = ""
    while stems and "." in stems[0]:
        part = stems[0].split(".")[0] + "."
        if not all(name.startswith(part) for name in stems):
            break
        prefix += part
        stems = [name.removeprefix(part) for name in stems]
    return prefix


def _torchvision_name(name: str) -> str:
    for pattern, replacement in RENAMED:
        name = re.sub(pattern, replacement, name)
    return name


def _first_misfit(expected: dict[str, tuple], got: dict[str, tuple]) -> str:
    """Empty where every tensor is there in its shape; counters of batches may be missing, nothing of a network may be
    left over."""
    for name, shape in expected.items():
        if name not in got and not name.endswith("num_batches_tracked"):
            return f"{name} is missing"
        if name in got and got[name] != shape:
            if name == "conv1.weight" and got[name][-2:] == (7, 7):
                return "its first convolution is ImageNet's, 7×7"
            return f"{name} has shape {got[name]}, not {shape}"
    foreign = [name for name in got if name not in expected and re.match(r"(conv|bn|layer|fc)", name)]
    return f"there is no place for {foreign[0][:60]!r}" if foreign else ""
