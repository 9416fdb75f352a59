"""Trains the weights by a recipe: seeded, resumable, on a CPU or a GPU; bf16 autocast where the device has it, channels-last."""

import json
import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from stiffcore import device, files
from stiffcore.errors import CannotCompute
from stiffcore.images import cifar10
from stiffcore.networks import baselines, resnets
from stiffcore.networks.training.recipes import Recipe, differences, learning_rate, recipe_in
from stiffcore.progress import Progress, silent


def augmented(
    images: Tensor,  # shape: (batch, 3, 32, 32), normalised
    generator: torch.Generator,
    padding: int = 4,
    padded: str = "reflection",  # or "black"
) -> Tensor:  # shape: (batch, 3, 32, 32)
    """Random 32×32 crops of padded images, half of them mirrored."""
    count, around = len(images), (padding,) * 4
    if padded == "black":  # the pixel 0, normalised: not the number 0
        wide = cifar10.normalised(np.zeros((1, 1, 1, 3), np.uint8)).repeat(count, 1, 32 + 2 * padding, 32 + 2 * padding)
        wide[..., padding : padding + 32, padding : padding + 32] = images
    else:
        wide = nn.functional.pad(images, around, mode="reflect")
    down, right = torch.randint(0, 2 * padding + 1, (2, count, 1), generator=generator)
    flip = torch.rand((count, 1), generator=generator) < 0.5
    columns = torch.arange(32).expand(count, 32)
    columns = torch.where(flip, 31 - columns, columns) + right
    rows = torch.arange(32).expand(count, 32) + down
    batch = torch.arange(count)[:, None, None]
    return wide.permute(0, 2, 3, 1)[batch, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def first_weights(recipe: Recipe) -> nn.Module:
    """The network before the first step, if it does not go on from given weights. "untrained" draws from torchvision's usual distributions,
    Kaiming normal by fan-out and a uniform head, the same numbers as the shipped baseline, in every version of torch."""
    torch.manual_seed(recipe.seed)
    model = resnets.build(recipe.network)
    if recipe.start == "untrained":
        model.load_state_dict(baselines.untrained(model.state_dict(), recipe.seed))
    return model


def train(
    recipe: Recipe,
    arrays: dict[str, np.ndarray],  # train_images uint8 (N, 32, 32, 3), train_labels (N,), as cifar10.load_arrays gives
    checkpoint: Path,
    start: dict[str, Tensor] | None = None,
    progress: Progress = silent,
    compiled: bool = True,
    after: Callable[[nn.Module, int], None] | None = None,
) -> nn.Module:
    """Train, or resume from ``checkpoint``, which is written after every epoch.

    after: called as after(model, epochs done) before the first step and after every epoch, before the checkpoint is written: what it writes is there when a
    run goes on after that epoch. It must not change the model or torch's random numbers.

    A resumed run ends with the same weights as an uninterrupted one on the same machine.
    Raises CannotCompute if the checkpoint belongs to another recipe or is damaged, or if the loss is not finite.
    """
    steps = len(arrays["train_images"]) // recipe.batch_size  # per epoch
    if not steps:
        raise CannotCompute(
            f"Expected at least {recipe.batch_size} training images, one batch, got {len(arrays['train_images'])}: use more."
        )
    images = cifar10.normalised(arrays["train_images"])
    labels = torch.from_numpy(arrays["train_labels"].astype(np.int64))
    where = device.training_device()
    model = first_weights(recipe)
    if start is not None:
        model.load_state_dict(start)
    model = model.to(where, memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs
    optimiser = _optimiser(model, recipe)
    first_epoch = _resume(model, optimiser, checkpoint, recipe)
    if after and not first_epoch:
        after(model, 0)
    stepped = device.compiled(model) if compiled else model
    for epoch in range(first_epoch, recipe.epochs):
        _one_epoch(stepped, optimiser, images, labels, recipe, epoch, steps, progress)
        if after:
            after(model, epoch + 1)
        _save_checkpoint(model, optimiser, checkpoint, recipe, epoch + 1)
    return model.eval()


def _optimiser(model: nn.Module, recipe: Recipe) -> torch.optim.SGD:
    decayed = [p for p in model.parameters() if p.ndim >= 2]
    kept = [p for p in model.parameters() if p.ndim < 2]
    of_kept = recipe.weight_decay if recipe.decayed == "all" else 0.0
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": kept, "weight_decay": of_kept}]
    return torch.optim.SGD(groups, lr=recipe.peak_learning_rate, momentum=recipe.momentum, nesterov=True)


def _one_epoch(
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    images: Tensor,  # shape: (N, 3, 32, 32), normalised
    labels: Tensor,  # shape: (N,)
    recipe: Recipe,
    epoch: int,
    steps: int,
    progress: Progress,
) -> None:
    model.train()
    where = next(model.parameters()).device
    generator = torch.Generator().manual_seed(
        recipe.seed * 1_000_003 + epoch
    )  # so that a resumed run sees the same order
    order = torch.randperm(len(images), generator=generator)
    total, mean = torch.zeros((), device=where), math.nan
    for step in range(steps):
        what = f"epoch {epoch + 1}/{recipe.epochs}" + ("" if math.isnan(mean) else f", loss {mean:.4f}")
        progress(epoch * steps + step, recipe.epochs * steps, what)
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(recipe, epoch * steps + step, recipe.epochs * steps)
        chosen = order[step * recipe.batch_size : (step + 1) * recipe.batch_size]
        batch = augmented(images[chosen], generator, recipe.padding, recipe.padded)
        batch = batch.to(where).contiguous(memory_format=torch.channels_last)
        with torch.autocast(where.type, torch.bfloat16, enabled=device.has_bfloat16(where)):
            loss = nn.functional.cross_entropy(model(batch).float(), labels[chosen].to(where))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        total += loss.detach()
        if step % 50 == 49 or step == steps - 1:  # rarely, because it waits for the device
            mean = total.item() / (step + 1)
            if not math.isfinite(mean):
                raise CannotCompute(f"The training loss in epoch {epoch + 1} is {mean}: lower the learning rate.")
    progress((epoch + 1) * steps, recipe.epochs * steps, f"epoch {epoch + 1}/{recipe.epochs}, loss {mean:.4f}")


def _save_checkpoint(
    model: nn.Module, optimiser: torch.optim.Optimizer, path: Path, recipe: Recipe, epochs_done: int
) -> None:
    """Weights and momentum as safetensors, the rest as its metadata; written atomically."""
    tensors = {f"model.{k}": v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    for name, parameter in model.named_parameters():
        if "momentum_buffer" in optimiser.state.get(parameter, {}):
            tensors[f"momentum.{name}"] = optimiser.state[parameter]["momentum_buffer"].cpu().contiguous()
    with files.replaced(path) as partial:
        save_file(tensors, partial, {"recipe": json.dumps(asdict(recipe)), "epochs_done": str(epochs_done)})


def epochs_done(path: Path, recipe: Recipe) -> int:
    """The number of finished epochs of this recipe in a checkpoint; 0 if there is none.

    Raises CannotCompute if it is damaged or belongs to another recipe.
    """
    if not path.exists():
        return 0
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
        of, done = recipe_in(metadata["recipe"]), int(metadata["epochs_done"])
    except Exception as error:  # safetensors, JSON, a missing field: all mean the same here
        raise CannotCompute(
            f"Expected a training checkpoint in {path}, got a damaged file ({error}): remove it to start again."
        ) from error
    if of != asdict(recipe):
        raise CannotCompute(
            f"Expected a checkpoint of this recipe in {path}, got {differences(of, recipe)}: name another checkpoint file, or "
            "remove this one to start again."
        )
    return done


def _resume(model: nn.Module, optimiser: torch.optim.Optimizer, path: Path, recipe: Recipe) -> int:
    """Load the checkpoint if there is one; return the number of finished epochs."""
    done = epochs_done(path, recipe)
    if not done:
        return 0
    tensors = resnets.read_tensors(path)
    state = {name.removeprefix("model."): value for name, value in tensors.items() if name.startswith("model.")}
    resnets.check_state(state, model.state_dict(), f"the checkpoint {path}")
    model.load_state_dict(state)
    for name, parameter in model.named_parameters():
        if f"momentum.{name}" in tensors:
            buffer = tensors[f"momentum.{name}"].to(parameter.device)
            optimiser.state[parameter]["momentum_buffer"] = torch.empty_like(parameter).copy_(buffer)
    return done
