"""The recipes of a training: ten steps by the zoo's equal a written-out reference, first weights included."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from stiffcore.errors import CannotCompute
from stiffcore.images import cifar10
from stiffcore.networks import resnets
from stiffcore.networks.training import loop, recipes
from stiffcore.networks.training.recipes import Recipe
from stiffcore.torchvision_compat import torchvision

MEAN = torch.tensor([0.4914, 0.4822, 0.4465]).view(1, 3, 1, 1)
STD = torch.tensor([0.2471, 0.2435, 0.2616]).view(1, 3, 1, 1)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch):
    monkeypatch.setattr(loop.device, "training_device", lambda: torch.device("cpu"))
    torch.set_num_threads(1)


def first_model(seed: int) -> nn.Module:
    """torchvision's ResNet18 with a 3×3 stem; Kaiming normal by fan-out, a uniform head: in float16, from numpy's frozen stream."""
    model = torchvision().models.resnet18(num_classes=10)
    model.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
    random, state = np.random.RandomState(seed), model.state_dict()
    for name in sorted(state):
        tensor = state[name]
        if tensor.ndim == 4:
            fan_out = tensor.shape[0] * tensor.shape[2] * tensor.shape[3]
            drawn = random.standard_normal(tensor.shape) * math.sqrt(2 / fan_out)
        elif name.startswith("fc."):
            drawn = random.uniform(-1 / math.sqrt(512), 1 / math.sqrt(512), tensor.shape)
        else:
            continue  # batch norm: scale 1, shift 0, as torch makes them
        state[name] = torch.from_numpy(drawn).half().float()
    model.load_state_dict(state)
    return model.train().to(memory_format=torch.channels_last)


def reference(images: np.ndarray, labels: np.ndarray, seed: int, epochs: int, batch: int, peak: float) -> nn.Module:
    """SGD with Nesterov momentum 0.9 and decay 0.01 of everything, rates by a table, black pixels around uint8 images."""
    model = first_model(seed)
    parameters = list(model.parameters())
    momentum = [torch.zeros_like(p) for p in parameters]
    wide = np.zeros((len(images), 40, 40, 3), np.uint8)
    wide[:, 4:36, 4:36] = images
    steps = len(images) // batch
    total = steps * epochs
    warm = round(0.3 * total)
    rates = [peak * (s + 1) / warm for s in range(warm)]
    rates += [peak / 2 * (1 + math.cos(math.pi * s / (total - warm))) for s in range(total - warm)]
    for epoch in range(epochs):
        generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
        order = torch.randperm(len(images), generator=generator)
        for step in range(steps):
            chosen = order[step * batch : (step + 1) * batch]
            down, right = torch.randint(0, 9, (2, batch), generator=generator)
            flips = torch.rand(batch, generator=generator) < 0.5
            crops = [
                wide[i, y : y + 32, x : x + 32][:, ::-1] if flip else wide[i, y : y + 32, x : x + 32]
                for i, y, x, flip in zip(chosen.tolist(), down.tolist(), right.tolist(), flips.tolist(), strict=True)
            ]
            pixels = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 255
            batch_images = ((pixels - MEAN) / STD).contiguous(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16, enabled=loop.device.has_bfloat16(torch.device("cpu"))):
                scores = model(batch_images).float()
                loss = nn.functional.cross_entropy(scores, torch.from_numpy(labels)[chosen])
            gradients = torch.autograd.grad(loss, parameters)
            with torch.no_grad():
                for p, g, m in zip(parameters, gradients, momentum, strict=True):
                    g = g.add(p, alpha=0.01)  # g + 0.01 p, rounded once
                    m.mul_(0.9).add_(g)
                    p.add_(g.add(m, alpha=0.9), alpha=-rates[epoch * steps + step])
    return model.eval()


def test_ten_steps_of_the_zoo_s_recipe_equal_a_written_out_reference(tmp_path):
    """Bit for bit, bf16 included: a smallest difference would grow in it."""
    random = np.random.default_rng(3)
    images, labels = random.integers(0, 256, (20, 32, 32, 3), dtype=np.uint8), np.arange(20) % 10
    recipe = recipes.named("zoo", "resnet18", epochs=2, batch_size=4, seed=1)
    arrays = {"train_images": images, "train_labels": labels}
    made = loop.train(recipe, arrays, tmp_path / "c.safetensors", compiled=False)
    expected = reference(images, labels, seed=1, epochs=2, batch=4, peak=0.01)
    first = first_model(1).state_dict()
    assert set(made.state_dict()) == set(expected.state_dict())
    for name, tensor in expected.state_dict().items():
        got = made.state_dict()[name]
        assert not torch.equal(tensor, first[name]), name
        assert torch.equal(got, tensor), name


def test_the_first_weights_of_the_zoo_s_recipe_are_those_of_the_untrained_baseline():
    made = loop.first_weights(recipes.named("zoo", "resnet18")).state_dict()
    baseline, _ = resnets.shipped_state("resnet18-untrained")
    for name, tensor in made.items():
        if "running" not in name and tensor.is_floating_point():
            assert torch.equal(tensor, baseline[name].float()), name


def test_both_starts_draw_from_the_same_distributions():
    """Kaiming normal by fan-out for every convolution, uniform within 1/√fan-in for the head."""
    ours, torchs = (
        loop.first_weights(Recipe("resnet18", start=start)).state_dict() for start in recipes.CHOICES["start"]
    )
    for name, tensor in torchs.items():
        if tensor.ndim >= 2 and tensor.numel() > 5000:
            assert ours[name].std().item() == pytest.approx(tensor.std().item(), rel=0.05), name
            assert abs(ours[name].mean().item()) < 5 * tensor.std().item() / math.sqrt(tensor.numel()), name
        elif tensor.ndim < 2 and not name.startswith("fc."):
            assert torch.equal(ours[name], tensor), name


@pytest.mark.parametrize("padding", [1, 4])
def test_crops_of_images_in_black(padding):
    """Every result is a window of the uint8 image with black pixels around it, normalised afterwards, or of its mirror image."""
    image = np.random.default_rng(1).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
    many = cifar10.normalised(image).expand(40, -1, -1, -1)
    made = loop.augmented(many, torch.Generator().manual_seed(0), padding, "black")
    wide = cifar10.normalised(np.pad(image, ((0, 0), (padding,) * 2, (padding,) * 2, (0, 0))))[0]
    places = range(2 * padding + 1)
    windows = [w[:, y : y + 32, x : x + 32] for w in (wide, wide.flip(-1)) for y in places for x in places]
    found = [next((at for at, window in enumerate(windows) if torch.equal(window, m)), None) for m in made]
    assert None not in found
    assert len(set(found)) > {1: 12, 4: 30}[padding]


def test_a_recipe_s_values_can_be_replaced_one_by_one():
    zoo, short = recipes.named("zoo", "resnet34"), recipes.named("short", "resnet34", epochs=None, warmup=0.1)
    assert (zoo.epochs, zoo.peak_learning_rate, zoo.warmup) == (100, 0.01, 0.3)
    assert (short.epochs, short.peak_learning_rate, short.warmup) == (30, 0.02, 0.1)
    assert {(r.batch_size, r.weight_decay, r.decayed, r.padded, r.start) for r in (zoo, short)} == {
        (256, 0.01, "all", "black", "untrained")
    }
    assert recipes.named("quick", "resnet34") == Recipe("resnet34")


def test_an_unknown_recipe_or_choice_is_refused():
    with pytest.raises(CannotCompute, match="Expected a recipe among zoo, short, quick, got 'slow': choose one"):
        recipes.named("slow", "resnet18")
    with pytest.raises(CannotCompute, match="Expected padded among reflection, black, got white"):
        Recipe("resnet18", padded="white")


@pytest.mark.parametrize(("decayed", "expected"), [("all", [0.02, 0.02]), ("weights", [0.02, 0.0])])
def test_what_decays(decayed, expected):
    optimiser = loop._optimiser(resnets.build("resnet20"), Recipe("resnet20", weight_decay=0.02, decayed=decayed))
    assert [group["weight_decay"] for group in optimiser.param_groups] == expected
