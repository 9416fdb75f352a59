"""Two baselines that separate learning from geometry: seeded random weights, and the trained weights shuffled.

``untrained``: a random initialisation, not the one that the shipped weights' training began with. Convolutions drawn from
N(0, 2 / (C_out k²)) (He et al. 2015, by fan-out, as torchvision initialises them), the last layer uniform within ±1/√fan_in,
batch norm scale 1 and shift 0.
``shuffled``: every convolution and linear weight tensor randomly permuted; batch norm scale and shift kept.

The batch-norm statistics of both are re-estimated on the bundled images. The last bits of such a sum of rounded numbers may
differ between machines, so a maintainer estimates the statistics once, and they ship as
``weights/<network>-<baseline>.safetensors``; the random numbers come from numpy's ``RandomState``, whose streams are
frozen. So every machine uses the same baselines.
"""

import hashlib
import json
import math

import numpy as np
import torch
from torch import Tensor, nn

from stiffcore.images import cifar10

SEED = 0
VERSION = 1  # raise it when a baseline's definition changes
STATISTICS = ("running_mean", "running_var")


def untrained(template: dict[str, Tensor], seed: int = SEED) -> dict[str, Tensor]:
    """Seeded initial weights for the names and shapes of ``template``, in float16 like the shipped trained weights."""
    random = np.random.RandomState(seed)
    state = {}
    for name, tensor in sorted(template.items()):
        if tensor.ndim == 4:
            drawn = random.standard_normal(tuple(tensor.shape)) * math.sqrt(
                2 / (tensor.shape[0] * tensor.shape[2] ** 2)
            )
            state[name] = torch.from_numpy(drawn).half()
        elif name.startswith("fc."):
            bound = 1 / math.sqrt(template["fc.weight"].shape[1])
            state[name] = torch.from_numpy(random.uniform(-bound, bound, tuple(tensor.shape))).half()
        elif tensor.is_floating_point():
            state[name] = torch.full(tuple(tensor.shape), float(name.endswith((".weight", "running_var")))).half()
        else:  # the counter of batches
            state[name] = torch.zeros(tuple(tensor.shape), dtype=tensor.dtype)
    return state


def shuffled(trained: dict[str, Tensor], seed: int = SEED) -> dict[str, Tensor]:
    """Every weight tensor of two dimensions and more randomly permuted; all others unchanged."""
    random = np.random.RandomState(seed)
    state = {}
    for name, tensor in sorted(trained.items()):
        if tensor.ndim >= 2:
            order = torch.from_numpy(random.permutation(tensor.numel()))
            state[name] = tensor.flatten()[order].reshape(tensor.shape)
        else:
            state[name] = tensor
    return state


@torch.no_grad()
def estimated_statistics(model: nn.Module, images: np.ndarray, batch_size: int = 100) -> dict[str, Tensor]:
    """Batch-norm means and variances, float32: the averages over batches of ``images`` in training mode, in float64.

    images: uint8 (N, 32, 32, 3). The model is left in evaluation mode and float64, with these statistics.
    """
    norms = {name: module for name, module in model.named_modules() if isinstance(module, nn.BatchNorm2d)}
    for norm in norms.values():
        norm.reset_running_stats()
        norm.momentum = None  # a cumulative average
    model.double().train()
    # Batches mix the labels: the k-th takes every (N / batch_size)-th image.
    stride = max(1, len(images) // batch_size)
    for start in range(stride):
        model(cifar10.normalised(images[start::stride]).double())
    model.eval()
    return {
        f"{name}.{statistic}": getattr(norm, statistic).float().clone()
        for name, norm in norms.items()
        for statistic in STATISTICS
    }


def name_of(baseline: str, network: str, source_sha256: str, statistics_sha256: str, seed: int = SEED) -> str:
    """The hash that names a baseline's weights: of what determines them, not of rounded results."""
    determined_by = {
        "network": network,
        "baseline": baseline,
        "seed": seed,
        "version": VERSION,
        "source": source_sha256 if baseline == "shuffled" else "",
        "statistics": statistics_sha256,
    }
    return hashlib.sha256(json.dumps(determined_by, sort_keys=True).encode()).hexdigest()
