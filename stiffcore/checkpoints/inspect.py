"""Checkpoints: looked into, refused with a reason, their names mapped, their tensors checked, read rightly, made into a network.

Reads safetensors and PyTorch files of residual networks under the names of ``dialects``, with common prefixes. The tensors have the
names, shapes and types of ``networks.modules``, and finite numbers.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import nn

from stiffcore.checkpoints import names as checkpoint_names, sources
from stiffcore.checkpoints.derived import put_together
from stiffcore.checkpoints.opened import opened
from stiffcore.checkpoints.reading import choose as readings
from stiffcore.checkpoints.reading.candidates import in_file
from stiffcore.checkpoints.reading.normalisations import Normalisation
from stiffcore.checkpoints.sources import Source
from stiffcore.errors import CannotCompute
from stiffcore.networks import catalogue, resnets
from stiffcore.networks.architecture import Architecture
from stiffcore.networks.network import Network
from stiffcore.networks.uploaded import class_names
from stiffcore.progress import Progress, silent
from stiffcore.storage import uploads

USED_TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64, torch.int32)


@dataclass(frozen=True)
class Inspection:
    """The content of a file, before any of its numbers is read.

    architectures: those that the tensors may have, the likeliest first. names: the network's tensor -> the file's; counters of
    batches may be missing. ignored: the file's other tensors. prefix: of the used tensors' names; others: prefixes of equally
    complete networks that are not used. normaliser: the names of the file's mean and standard deviation by channel, or empty.
    """

    format: str  # safetensors or PyTorch
    architectures: tuple[Architecture, ...]
    names: dict[str, str]
    ignored: tuple[str, ...]
    n_parameters: int
    types: tuple[str, ...]
    prefix: str = ""
    others: tuple[str, ...] = ()
    normaliser: tuple[str, ...] = ()

    @property
    def network(self) -> str:
        """Its family: ``resnet18``."""
        return self.architectures[0].family

    @property
    def sentence(self) -> str:
        """A description for the user."""
        others = "1 other tensor is" if len(self.ignored) == 1 else f"{len(self.ignored)} other tensors are"
        more = f"; {others} ignored" if self.ignored else ""
        types = " and ".join(self.types)
        if self.others:
            more += f"; {self.of_several[0].lower()}{self.of_several[1:-1]}"
        return f"{self.format}, {self.network}, {self.n_parameters:,} numbers in {types}{more}."

    @property
    def of_several(self) -> str:
        """Which of a file's networks is used, a sentence; "" if it holds one."""
        left = " and ".join(_quoted(prefix) for prefix in self.others)
        return f"Of several networks {_quoted(self.prefix)} is used, not {left}." if self.others else ""


def _quoted(prefix: str) -> str:
    short = prefix if len(prefix) <= 40 else f"{prefix[:39]}…"
    return f"“{short}”" if prefix else "the one without a prefix"


@dataclass(frozen=True)
class Checkpoint:
    """A file's tensors by the network's own names, checked; and the normalisation that the file holds, or None."""

    inspection: Inspection
    state: dict[str, torch.Tensor]
    normaliser: Normalisation | None


def content_of(path: Path) -> Source:
    """A file's bytes, of any size, which are read when they are needed."""
    return sources.of(Path(path))


def inspect(content: bytes | Path | Source, progress: Progress = silent) -> Inspection:
    """The content of a checkpoint, from its list of tensors alone; executes nothing in it and reads no tensor's numbers.

    Raises CannotCompute, with one sentence, for a refused file."""
    return _opened(content, progress)[0]


def load(content: bytes | Path | Source) -> tuple[nn.Module, Inspection]:
    """The network with a checkpoint's weights, of the likeliest architecture, without a look at any image."""
    state, inspection = read(content)
    architecture = inspection.architectures[0]
    return resnets.with_weights(architecture, state, resnets.key_sha256(state, architecture)), inspection


def read(content: bytes | Path | Source, progress: Progress = silent) -> tuple[dict[str, torch.Tensor], Inspection]:
    """A checkpoint's tensors by the network's own names, in the checkpoint's precision, checked against the network."""
    checkpoint = read_all(content, progress)
    return checkpoint.state, checkpoint.inspection


def read_all(content: bytes | Path | Source, progress: Progress = silent) -> Checkpoint:
    """The same, and the normalisation in the file."""
    inspection, tensor = _opened(content, progress)
    progress(0, 0, "reading its numbers")
    expected = resnets.template(inspection.architectures[0]).state_dict()
    state = {name: tensor(source) for name, source in inspection.names.items()}
    for name in expected.keys() - state.keys():  # counters of batches, and the bias of a head without one
        state[name] = torch.zeros(expected[name].shape, dtype=expected[name].dtype)
    state = {
        # A counter of batches enters no number, and may be an average of several files' counters.
        name: value.to(torch.int64) if name.endswith("num_batches_tracked") or not value.is_floating_point() else value
        for name, value in sorted(state.items())
    }
    resnets.check_state(state, expected, "the checkpoint")
    normaliser = in_file(*map(tensor, inspection.normaliser)) if inspection.normaliser else None
    return Checkpoint(inspection, state, normaliser)


def network_in(
    path: Path, name: str = "", stem: str = "", normalisation: str = "", progress: Progress = silent
) -> Network:
    """The network of a checkpoint file. It is not stored: the file is read again whenever the module is needed.

    name: the network's name, by default the file's. stem, normalisation: names in ``reading.candidates`` and ``reading.normalisations``, by
    default those that fit best. Raises CannotCompute for a refused file.
    """
    path = path.expanduser().absolute()
    checkpoint = read_all(content_of(path), progress)
    reading = readings.best(
        checkpoint.state, checkpoint.inspection.architectures, checkpoint.normaliser, stem, normalisation, progress
    )
    return as_network(checkpoint, reading, path, name)


def as_network(checkpoint: Checkpoint, reading: readings.Reading, path: Path, name: str = "") -> Network:
    """The network of a checkpoint that was read from a file, as a reading says."""
    sha256 = resnets.key_sha256(checkpoint.state, reading.architecture)
    name = name or uploads.clean_name(path.name)
    return Network(
        name,
        sha256,
        reading.architecture.blocks(reading.preprocessing.image_size),
        partial(load_again, path, sha256, reading.architecture),
        preprocessing=reading.preprocessing,
        classes=class_names(reading.architecture.classes),
        title=name,
        architecture=catalogue.paper_name(reading.architecture),
        reading=" ".join(filter(None, (reading.sentence, checkpoint.inspection.of_several))),
        doubt=reading.doubt,
        predicted=reading.predicted,
        loss=reading.loss,
    )


def load_again(path: Path, sha256: str, architecture: Architecture) -> nn.Module:
    """The module of a checkpoint. Raises CannotCompute if the file has changed."""
    state, _ = read(content_of(path))
    if resnets.key_sha256(state, architecture) != sha256:
        raise CannotCompute(f"The weights in {path} have changed since it was loaded: load the checkpoint again.")
    return resnets.with_weights(architecture, state, sha256)


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
    normaliser = mapped.normaliser if all(types[name] in USED_TYPES for name in mapped.normaliser) else ()
    used = {*mapped.names.values(), *normaliser}
    return Inspection(
        form,
        mapped.architectures,
        mapped.names,
        ignored=tuple(name for name in shapes if name not in used),
        n_parameters=sum(math.prod(shapes[name]) for name in mapped.names.values()),
        types=tuple(sorted({str(types[name]).removeprefix("torch.") for name in mapped.names.values()})),
        prefix=mapped.prefix,
        others=mapped.others,
        normaliser=normaliser,
    )
