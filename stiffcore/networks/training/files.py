"""The files that a training leaves: the trained weights, and snapshots of the weights on the way, both in float16 safetensors."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from stiffcore import files
from stiffcore.errors import CannotCompute
from stiffcore.images import cifar10
from stiffcore.networks import resnets
from stiffcore.networks.training import recipes
from stiffcore.networks.training.recipes import Recipe

SNAPSHOT_EPOCHS = (0, 1, 2, 3, 5, 8, 12, 16, 20, 24, 27, 30)  # 0: before the first step
LARGEST_EPOCH = 999  # of a snapshot: three digits in its file's name


def float16_state(model: nn.Module) -> dict[str, Tensor]:
    """The state in the form that ships: float16, batch-norm counters as integers."""
    return {
        name: (value.half() if value.is_floating_point() else value).detach().cpu().contiguous()
        for name, value in model.state_dict().items()
    }


def finish(model: nn.Module, recipe: Recipe, arrays: dict[str, np.ndarray], path: Path, date: str) -> float:
    """Write float16 safetensors with a metadata block, and return the test accuracy (0 to 1) of what was written.

    arrays: test_images, test_labels. The metadata are strings: network, recipe (JSON), epochs, accuracy, date, torch.
    """
    state = float16_state(model)
    resnets.check_state(state, resnets.template(recipe.network).state_dict(), f"the trained {recipe.network}")
    accuracy = _accuracy(model, state, recipe, arrays["test_images"], arrays["test_labels"])
    metadata = {
        "network": recipe.network,
        "recipe": json.dumps(asdict(recipe)),
        "epochs": str(recipe.epochs),
        "accuracy": str(accuracy),
        "date": date,
        "torch": torch.__version__.split("+")[0],
    }
    with files.replaced(path) as partial:
        save_file(state, partial, metadata)
    return accuracy


def _accuracy(
    model: nn.Module, state: dict[str, Tensor], recipe: Recipe, images: np.ndarray, labels: np.ndarray
) -> float:
    """The share of images, 0 to 1, that the state as it is written classifies right; on the model's device."""
    with torch.random.fork_rng(devices=[]):  # a training that goes on draws the same random numbers
        written = resnets.with_weights(recipe.network, state, "").to(next(model.parameters()).device)
    predicted, _ = resnets.predictions(written, images)
    return float((predicted == labels).mean())


def snapshot_epochs(text: str, recipe: Recipe) -> tuple[int, ...]:
    """``0,1,5`` -> the epochs in increasing order; an empty text: those of SNAPSHOT_EPOCHS that the recipe has, and its last.

    Raises CannotCompute for anything else, and for epochs that the recipe does not reach.
    """
    last = min(recipe.epochs, LARGEST_EPOCH)
    if not text.strip():
        return tuple(sorted({epoch for epoch in SNAPSHOT_EPOCHS if epoch < last} | {last}))
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and len(part) <= 3 and int(part) <= last for part in parts):
        raise CannotCompute(
            f"Expected epochs of the snapshots from 0 to {last} like 0,1,5, got {text[:80]!r}: write them in that form."
        )
    return tuple(sorted(set(map(int, parts))))


@dataclass(frozen=True)
class Snapshots:
    """Writes ``epoch-000.safetensors`` … in a folder: the state before the first step (0) and after some of the epochs.

    Metadata, all texts: network, recipe (JSON), epoch, accuracy_bundled (0 to 1, on the 1,000 images that ship), torch.
    """

    folder: Path
    epochs: tuple[int, ...]
    recipe: Recipe

    def path(self, epoch: int) -> Path:
        return self.folder / f"epoch-{epoch:03d}.safetensors"

    def check(self, epochs_done: int) -> None:
        """Raises CannotCompute if a file of another training would be replaced, or if the run goes on after an epoch whose
        snapshot is missing."""
        lost = [
            epoch for epoch in self.epochs if epoch <= epochs_done and epochs_done and not self.path(epoch).exists()
        ]
        if lost:
            raise CannotCompute(
                f"Expected the snapshots of epochs {', '.join(map(str, lost))} from before the interruption in {self.folder}, got "
                "none: leave these epochs out, or remove the checkpoint to start again."
            )
        for path in filter(Path.exists, map(self.path, self.epochs)):
            try:
                with safe_open(path, "pt") as file:
                    of = recipes.recipe_in(file.metadata()["recipe"])
            except Exception as error:  # safetensors, JSON, a missing field: all mean the same here
                raise CannotCompute(
                    f"Expected a snapshot of this training in {path}, got another file: move it away."
                ) from error
            if of != asdict(self.recipe):
                got = recipes.differences(of, self.recipe)
                raise CannotCompute(
                    f"Expected snapshots of this recipe in {self.folder}, got {got}: name another folder."
                )

    def __call__(self, model: nn.Module, epoch: int) -> None:
        """What ``training.train`` calls after every epoch. Raises CannotCompute if the file cannot be written."""
        if epoch not in self.epochs:
            return
        state = float16_state(model)
        images = np.stack([cifar10.image(index) for index in cifar10.bundled()])
        labels = np.array([cifar10.label(index) for index in cifar10.bundled()])
        metadata = {
            "network": self.recipe.network,
            "recipe": json.dumps(asdict(self.recipe)),
            "epoch": str(epoch),
            "accuracy_bundled": str(_accuracy(model, state, self.recipe, images, labels)),
            "torch": torch.__version__.split("+")[0],
        }
        try:
            with files.replaced(self.path(epoch)) as partial:
                save_file(state, partial, metadata)
        except (OSError, SafetensorError) as error:
            raise CannotCompute(
                f"The snapshot {self.path(epoch)} cannot be written ({error}): make room, and run the command again to continue."
            ) from error
