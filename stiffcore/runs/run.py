"""A run: several checkpoints of one training, ordered by step, as the pages and the tables know it. Imports no torch.

Its description holds no weights: the names, hashes and steps of its networks and their common structure. So the rows and
spectra that were computed of it are found again without its files.
"""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING

from stiffcore.errors import CannotCompute
from stiffcore.images.image import Image
from stiffcore.networks import architecture as architectures, catalogue, uploaded as uploaded_networks
from stiffcore.networks.architecture import Architecture
from stiffcore.networks.geometry import BlockGeometry
from stiffcore.networks.network import Network, Preprocessing
from stiffcore.runs.steps import LARGEST_STEP, MOST_FILES
from stiffcore.storage import uploads

if TYPE_CHECKING:
    from torch import nn

FORMAT = 1
NAME = re.compile(r"[a-z][a-z0-9-]{2,39}")
LONGEST_PATH = 4096
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Checkpoint:
    """One network of a run.

    network: its name in rows; file: its file's name, made safe to display; path: where it is read again, "" where it does not
    ship. accuracy_bundled, loss_bundled: on the images that ship, NaN if they were not measured.
    """

    step: int
    seed: int
    network: str
    weights: str  # SHA-256, as Network.weights_sha256
    file: str
    path: str = ""
    accuracy_bundled: float = math.nan
    loss_bundled: float = math.nan


@dataclass(frozen=True)
class Run:
    """name: in URLs and files; title: displayed. checkpoints: by seed and step. The rest is common to its networks."""

    name: str
    title: str
    checkpoints: tuple[Checkpoint, ...]
    blocks: tuple[BlockGeometry, ...]
    preprocessing: Preprocessing
    classes: tuple[str, ...]
    architecture: Architecture | None = None  # None for modules in memory, which are not remembered
    unit: str = "step"  # of a step: epoch, or step
    reading: str = ""  # how its files were read
    doubt: str = ""  # why its networks may be others than those that were trained

    @cached_property
    def seed(self) -> int:
        """The training that is drawn: the one with the most checkpoints, the first of several."""
        seeds = [checkpoint.seed for checkpoint in self.checkpoints]
        return min(set(seeds), key=lambda seed: (-seeds.count(seed), seed))

    @property
    def drawn(self) -> tuple[Checkpoint, ...]:
        """The checkpoints of that training."""
        return tuple(checkpoint for checkpoint in self.checkpoints if checkpoint.seed == self.seed)

    @property
    def last(self) -> tuple[Checkpoint, ...]:
        """The last checkpoint of every training."""
        return tuple({checkpoint.seed: checkpoint for checkpoint in self.checkpoints}.values())

    @property
    def has_files(self) -> bool:
        """Whether it was swept from files, which the command line reads again."""
        return all(checkpoint.path for checkpoint in self.checkpoints)

    @property
    def can_compute(self) -> bool:
        """Whether its weights are on this machine, in files or uploaded."""
        return all(one.path or uploaded_networks.find(one.network) is not None for one in self.drawn)

    def network(self, checkpoint: Checkpoint) -> Network:
        """The network of a checkpoint; its file is read only when the module is needed."""
        return Network(
            checkpoint.network,
            checkpoint.weights,
            self.blocks,
            partial(_load, checkpoint.path, checkpoint.network, checkpoint.weights, self.architecture),
            self.preprocessing,
            self.classes,
            title=f"{self.title}, {self.unit} {checkpoint.step}",
            architecture=catalogue.paper_name(self.architecture) if self.architecture else "",
            reading=self.reading,
            doubt=self.doubt,
        )


def _load(path: str, network: str, weights: str, architecture: Architecture | None) -> "nn.Module":
    """The module of a checkpoint. A function, not a lambda, so that a network can be sent to another process."""
    if path and architecture:
        from stiffcore.runs import weights as files  # torch

        return files.load(path, weights, architecture)
    if uploaded_networks.is_name(network):
        from stiffcore.networks import resnets  # torch

        return resnets.load(network)
    raise CannotCompute("The weights of this run do not ship, only its results: choose what is computed.")


def of_networks(
    networks: Sequence[Network],
    checkpoints: Sequence[Checkpoint],
    name: str,
    title: str,
    unit: str = "step",
    architecture: Architecture | None = None,
) -> Run:
    """The run of some networks. Raises CannotCompute if they are not of one structure and one normalisation."""
    if not networks:
        raise CannotCompute("Expected checkpoints of a run, got none: name at least one file.")
    first = networks[0]
    same = (first.blocks, first.preprocessing, first.classes)
    for network, checkpoint in zip(networks, checkpoints, strict=True):
        if (network.blocks, network.preprocessing, network.classes) != same:
            raise CannotCompute(
                f"Expected checkpoints of one network, got another structure or normalisation in {checkpoint.file} than in "
                f"{checkpoints[0].file}: sweep them one by one."
            )
    ordered = tuple(sorted(checkpoints, key=lambda checkpoint: (checkpoint.seed, checkpoint.step)))
    last = networks[-1]
    return Run(name, uploads.clean_name(title, name), ordered, *same, architecture, unit, last.reading, last.doubt)


def measured(network: Network, bundled: Sequence[Image]) -> tuple[float, float]:
    """Accuracy and mean cross-entropy on the images that ship, of a network that lists its predictions; else NaN."""
    listed = [
        (image, image.number) for image in bundled if image.number is not None and image.number in network.predicted
    ]
    if not listed:
        return math.nan, math.nan
    right = [network.predicted[number] == network.label_of(image) for image, number in listed]
    return sum(right) / len(right), math.fsum(network.loss[number] for _, number in listed) / len(right)


def as_json(run: Run) -> bytes:
    """The description as it is stored. Raises ValueError for a run without an architecture."""
    if run.architecture is None:
        raise ValueError("Expected a run of files, got modules in memory, which cannot be read again.")
    values = {"format": FORMAT} | {name: getattr(run, name) for name in ("name", "title", "unit", "reading", "doubt")}
    values["architecture"] = run.architecture.as_json()
    values["preprocessing"] = asdict(run.preprocessing)
    values["checkpoints"] = [_without_nan(asdict(checkpoint)) for checkpoint in run.checkpoints]
    return json.dumps(values, indent=1, allow_nan=False).encode()


def _without_nan(values: dict) -> dict:
    return {name: value for name, value in values.items() if not (isinstance(value, float) and math.isnan(value))}


def from_json(content: bytes) -> Run:
    """The run of a description, every value checked. Raises ValueError, KeyError or TypeError for a damaged one."""
    values = json.loads(content)
    _check(values.pop("format") == FORMAT, "another format")
    _check(0 < len(values["checkpoints"]) <= MOST_FILES, "how many checkpoints it has")
    checkpoints = tuple(_checkpoint(one) for one in values.pop("checkpoints"))
    architecture = architectures.from_json(values.pop("architecture"))
    preprocessing = uploaded_networks.preprocessing(**values.pop("preprocessing"))
    blocks, classes = architecture.blocks(preprocessing.image_size), uploaded_networks.class_names(architecture.classes)
    run = Run(
        checkpoints=checkpoints, blocks=blocks, preprocessing=preprocessing, classes=classes, architecture=architecture, **values
    )  # fmt: skip
    _check(isinstance(run.name, str) and NAME.fullmatch(run.name), "its name")
    _check(run.title == uploads.clean_name(run.title), "its title")
    _check(run.unit in ("epoch", "step"), "its unit")
    said = (run.reading, run.doubt)
    _check(all(isinstance(text, str) and len(text) <= 600 and text.isprintable() for text in said), "its reading")
    places = [(checkpoint.seed, checkpoint.step) for checkpoint in run.checkpoints]
    _check(places == sorted(set(places)), "the order of its steps")
    return run


def _check(is_sound: object, what: str) -> None:
    if not is_sound:
        raise ValueError(f"{what} cannot be right")


def _checkpoint(values: dict) -> Checkpoint:
    checkpoint = Checkpoint(**values)
    whole = all(type(n) is int and 0 <= n <= LARGEST_STEP for n in (checkpoint.step, checkpoint.seed))
    _check(whole, "a step or a seed")
    named = (checkpoint.network, checkpoint.file)
    _check(all(name == uploads.clean_name(name) for name in named), "a checkpoint's name")
    _check(_SHA256.fullmatch(checkpoint.weights), "a hash")
    _check(isinstance(checkpoint.path, str) and len(checkpoint.path) <= LONGEST_PATH, "a path")
    accuracy, loss = checkpoint.accuracy_bundled, checkpoint.loss_bundled
    _check(all(isinstance(n, int | float) and not isinstance(n, bool) for n in (accuracy, loss)), "a number")
    _check(math.isnan(accuracy) or 0 <= accuracy <= 1, "an accuracy")
    _check(math.isnan(loss) or loss >= 0, "a loss")
    return checkpoint
