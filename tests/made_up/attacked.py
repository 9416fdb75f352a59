"""Small networks and images whose smallest perturbations are known, or quickly found."""

import hashlib
import math

import numpy as np
import torch
from torch import nn

from stiffcore.images.image import Image
from stiffcore.networks.network import Network, Preprocessing

SIDE = 8
CLASSES = ("one", "two", "three")


class Linear(nn.Module):
    """Scores (0, a + w·x) of a normalised image x."""

    def __init__(self, weights: np.ndarray, offset: float):
        super().__init__()
        self.weights = nn.Parameter(torch.tensor(weights, dtype=torch.float32))
        self.offset = offset

    def forward(self, x):
        second = self.offset + x.flatten(1) @ self.weights.flatten()
        return torch.stack([torch.zeros_like(second), second], 1)


class Wave(nn.Module):
    """Scores (sin, 0) of the mean pixel, in units in which the prediction changes at 1 grey level and back at 2."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, x):
        mean = 255 * x.mean((1, 2, 3))  # in grey levels: normalised by mean 0 and standard deviation 1
        first = self.scale * torch.cos(math.pi * (mean - 128) - math.pi / 2 * 0.98)
        return torch.stack([first, torch.zeros_like(first)], 1)


def convolutional(seed: int = 3) -> nn.Module:
    """A small random network with a ReLU and a max-pool: its loss is far from linear in the image."""
    torch.manual_seed(seed)
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten(),
        nn.Linear(32, len(CLASSES)),
    )  # fmt: skip
    module[-1].weight.data *= 12
    return module.eval()


def network(module: nn.Module, classes: tuple[str, ...] = CLASSES, name: str = "small") -> Network:
    """Images are only divided by 255."""
    about = Preprocessing((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), SIDE)
    sha = hashlib.sha256(f"{name} {type(module).__name__}".encode()).hexdigest()
    return Network(name, sha, (), lambda: module, about, classes, title=name)


def image(seed: int, low: int = 40, high: int = 216, label: int | None = None) -> Image:
    """Random pixels from low to high − 1."""
    drawn = np.random.default_rng(seed).integers(low, high, (SIDE, SIDE, 3))
    return Image.of(drawn.astype(np.uint8), f"image {seed}", label)
