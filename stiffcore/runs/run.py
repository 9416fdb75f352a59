"""A run: several checkpoints of one training, ordered by step, as the pages and the tables know it. Imports no torch.

Its description holds no weights: the names, hashes and steps of its networks and their common structure. So the rows and
spectra that were computed of it are found again without its files.
"""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property, partial
from typing import TYPE_CHECKING

from stiffcore.errors import CannotCompute
from stiffcore.networks import uploaded as uploaded_networks
from stiffcore.networks.geometry import BlockGeometry
from stiffcore.networks.network import Network, Preprocessing
from stiffcore.runs.steps import LARGEST_STEP, MOST_FILES
from stiffcore.storage import uploads

if TYPE_CHECKING:
    from torch import nn

FORMAT = 1
NAME = re.compile(r"[a-z][a-z0-9-]{2,39}")
LONGEST_PATH = 4096
MOST_BLOCKS, MOST_CLASSES, LARGEST_SIDE = 200, 1000, 2**20
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
    architecture: str = ""
    unit: str = "step"  # of a step: epoch, or step

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
            partial(_load, checkpoint.path, checkpoint.network, checkpoint.weights),
            self.preprocessing,
            self.classes,
            title=f"{self.title}, {self.unit} {checkpoint.step}",
            architecture=self.architecture,
        )


def _load(path: str, network: str, weights: str) -> "nn.Module":
    """The module of a checkpoint. A function, not a lambda, so that a network can be sent to another process."""
    if path:
        from stiffcore.runs import weights as files  # torch

        return files.load(path, weights)
    if uploaded_networks.is_name(network):
        from stiffcore.networks import resnets  # torch

        return resnets.load(network)
    raise CannotCompute("The weights of this run do not ship, only its results: choose what is computed.")


def of_networks(
    networks: Sequence[Network], checkpoints: Sequence[Checkpoint], name: str, title: str, unit: str = "step"
) -> Run:
    """The run of some networks. Raises CannotCompute if they are not of one structure and one normalisation."""
    if not networks:
        raise CannotCompute("Expected checkpoints of a run, got none: name at least one file.")
    first = networks[0]
    for network, checkpoint in zip(networks, checkpoints, strict=True):
        if (network.blocks, network.preprocessing, network.classes) != (
            first.blocks,
            first.preprocessing,
            first.classes,
        ):
            raise CannotCompute(
                f"Expected checkpoints of one network, got another structure or normalisation in {checkpoint.file} than in "
                f"{checkpoints[0].file}: sweep them one by one."
            )
    ordered = tuple(sorted(checkpoints, key=lambda checkpoint: (checkpoint.seed, checkpoint.step)))
    classes = tuple(uploads.clean_name(name) for name in first.classes)
    same = (first.blocks, first.preprocessing, classes, first.architecture)
    return Run(name, uploads.clean_name(title, name), ordered, *same, unit)


def as_json(run: Run) -> bytes:
    """The description as it is stored."""
    values = {"format": FORMAT} | {field.name: getattr(run, field.name) for field in fields(Run)}
    values["checkpoints"] = [_without_nan(asdict(checkpoint)) for checkpoint in run.checkpoints]
    values["blocks"] = [asdict(block) for block in run.blocks]
    values["preprocessing"] = asdict(run.preprocessing)
    return json.dumps(values, indent=1, allow_nan=False).encode()


def _without_nan(values: dict) -> dict:
    return {name: value for name, value in values.items() if not (isinstance(value, float) and math.isnan(value))}


def from_json(content: bytes) -> Run:
    """The run of a description, every value checked. Raises ValueError, KeyError or TypeError for a damaged one."""
    values = json.loads(content)
    _check(values.pop("format") == FORMAT, "another format")
    _check(
        0 < len(values["checkpoints"]) <= MOST_FILES and 0 < len(values["blocks"]) <= MOST_BLOCKS, "how much it holds"
    )
    read = {
        "checkpoints": tuple(_checkpoint(one) for one in values["checkpoints"]),
        "blocks": tuple(_geometry(one) for one in values["blocks"]),
        "preprocessing": _preprocessing(values["preprocessing"]),
        "classes": tuple(values["classes"]),
    }
    run = Run(**values | read)
    _check(isinstance(run.name, str) and NAME.fullmatch(run.name), "its name")
    _check(run.title == uploads.clean_name(run.title), "its title")
    _check(run.architecture == uploads.clean_name(run.architecture, ""), "its architecture")
    _check(run.unit in ("epoch", "step"), "its unit")
    _check(len(run.classes) <= MOST_CLASSES and all(c == uploads.clean_name(c) for c in run.classes), "its classes")
    _check([block.block for block in run.blocks] == [*range(1, len(run.blocks) + 1)], "its blocks")
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


def _geometry(values: dict) -> BlockGeometry:
    shapes = {name: tuple(values[name]) for name in ("input_shape", "output_shape")}
    inner = tuple(tuple(shape) for shape in values["inner_shapes"])
    sides = [*shapes["input_shape"], *shapes["output_shape"], *(side for shape in inner for side in shape)]
    sides += [values["block"], values["stride"]]
    _check(all(type(side) is int and 0 < side <= LARGEST_SIDE for side in sides) and len(sides) < 20, "a block's size")
    texts = (values["kind"], values.get("path", ""))
    _check(all(isinstance(text, str) and len(text) <= 200 for text in texts), "a block's kind or path")
    _check(isinstance(values.get("has_outer_relu", True), bool), "a block's ReLU")
    return BlockGeometry(**values | shapes | {"inner_shapes": inner})


def _preprocessing(values: dict) -> Preprocessing:
    mean, deviation = (tuple(map(float, values[name])) for name in ("mean", "standard_deviation"))
    _check(len(mean) == len(deviation) == 3 and all(map(math.isfinite, mean + deviation)), "its normalisation")
    _check(min(deviation) > 0 and type(values["image_size"]) is int and values["image_size"] > 0, "its image size")
    return Preprocessing(mean, deviation, values["image_size"])  # type: ignore[arg-type]
