"""Growth by a formula, for tests of what shows and stores it."""

import numpy as np

from stiffcore.growth import requests
from stiffcore.growth.requests import Growth, GrowthRequest
from stiffcore.images import registry as images
from stiffcore.networks import registry as networks
from stiffcore.storage import cache as result_cache


def made_up(network: str = "resnet18", image: int = 0, factor: float = 2.0) -> Growth:
    """‖J_k ⋯ J_1 J_stem‖ = 10 factor^k, random directions a tenth of it, from the first block a fifth; σ_i = σ_1 / i."""
    request = GrowthRequest(networks.find(network), images.find(image))
    depth = np.arange(1, len(request.network.blocks) + 1)
    growth, ranks = 10.0 * factor**depth, np.arange(1, 11)
    rng = np.random.default_rng(image)
    directions = rng.standard_normal((10, 3, 32, 32)).astype(np.float32)
    directions /= np.sqrt((directions**2).sum((1, 2, 3), keepdims=True))
    stretch = np.log(factor) - np.log(ranks) / len(depth) + np.zeros((len(depth), 10))
    return Growth(
        request, growth, growth / 5, growth / 10, growth / 50, np.full((2, len(depth)), 1e-4), np.full((2, len(depth)), 1e-6),
        growth[-1] / ranks, directions, np.full(10, 1e-5), np.full(10, 1e-7), 3.0 / ranks, directions[::-1].copy(), stretch,
        3, 0.25, 1e-15, 1e-15, 4.0, "2026-11-26", request.network.weights_sha256,
    )  # fmt: skip


def store(growth: Growth) -> Growth:
    entry = requests.as_entry(growth)
    result_cache.default().put(requests.key(growth.request), entry.header, entry.arrays)
    return growth
