"""Slices on a card without one: Triton's interpreter runs the kernels on tensors of the CPU. Prints what they find, and the host, as JSON.

A process of its own (``python -m tests.cards.interpreted``), because Triton asks for TRITON_INTERPRET when it is imported. What it
cannot show: the compiler's contraction of products and sums, and speed.
"""

import json
import os
import sys
from dataclasses import replace

os.environ["TRITON_INTERPRET"] = "1"

import numpy as np
import torch

from stiffcore.images import cifar10
from stiffcore.jacobians.forward import block_states
from stiffcore.jacobians.linearise import BlockState
from stiffcore.networks import catalogue, resnets
from stiffcore.slices import card, card_kernels, card_lanes, kernels, spectrum
from stiffcore.slices.card_patches import BatchFormer
from tests.made_up.blocks import small_blocks

card_kernels.LANES = 2**11  # NumPy computes a program's lanes at a time; a card's 128 would be slow here
EXTREMES = ("max_re", "min_re", "spectral_radius", "max_re_without_skip", "min_re_without_skip")
COUNTS = ("n_zero", "n_negative", "n_positive", "n_undetermined")
OPEN = np.array([-np.inf, np.inf, -1.0, -np.inf, np.inf])
BLOCKS = {"resnet18": (1, 3, 6, 8), "resnet50": (1, 14)}


def adversarial() -> dict[str, np.ndarray]:
    """Matrices (M, n, n) of each size that are hard to count: singular, on the axis, graded, with patterns of zeros."""
    made = {}
    for n in range(1, kernels.LARGEST_ROUTH + 1):
        generator = np.random.default_rng(n)
        normal = generator.normal(size=(2_000, n, n))
        grades = 10.0 ** generator.uniform(-4, 0, (len(normal), n))
        made[f"normal {n}"] = normal
        made[f"graded {n}"] = normal * grades[:, :, None] * grades[:, generator.permutation(n)][:, None, :]
        basis = np.eye(n) + 0.4 * normal
        values = generator.uniform(0.1, 1, (len(normal), n)) * generator.choice([-1, 1], (len(normal), n))
        values[:, 0] = generator.choice([0.0, 1e-17, -1e-15, 1e-12, -1e-9], len(normal))
        made[f"near zero {n}"] = basis @ (np.eye(n) * values[:, None, :]) @ np.linalg.inv(basis)
        made[f"zeros {n}"] = normal * (generator.random(normal.shape) < generator.uniform(0, 1, (len(normal), 1, 1)))
        made[f"skew {n}"] = normal - normal.mT + generator.choice([0, 1e-16, 1e-9], len(normal))[:, None, None] * normal
    return made


def lanes_of(matrices: np.ndarray, sparse: bool) -> dict[str, list]:
    """Flags and tally of matrices (M, n, n) by the card's kernels and by the host's, and the bounds' relative difference."""
    count, n = matrices.shape[:2]
    values = torch.from_numpy(np.ascontiguousarray(matrices.reshape(-1, 50, n, n).transpose(0, 2, 3, 1)))
    lanes = card_lanes.Lanes.empty(count, values.device)
    card_lanes.scan_lanes(values.flatten(), n, 50, 50 * n * n, 50, True, lanes, sparse)
    array, own = values.numpy(), np.full(len(values), -1)
    flags, tally, extremes = np.zeros((len(values), 50), np.int8), np.zeros(4, np.int64), OPEN.copy()
    if n == 1:
        kernels.scan_1(array, own, extremes, tally)
    elif n == 2:
        kernels.scan_2(array, own, extremes, tally, flags)
    else:
        nothing = np.array([np.inf, -np.inf, np.inf, np.inf, -np.inf])
        kernels.scan_lanes(n, array, own, True, sparse, nothing, tally, flags)
    open_ = lanes.flags.numpy() == kernels.COUNT
    return {
        "flags": [
            int((open_ & ~(flags.ravel() == kernels.COUNT)).sum()),
            int((~open_ & (flags.ravel() == kernels.COUNT)).sum()),
        ],
        "open": [int(open_.sum()), int((flags == kernels.COUNT).sum())],
        "tally": [lanes.tally.tolist(), tally.tolist()],
        "outside": outside(matrices, lanes),
    }


def outside(matrices: np.ndarray, lanes: card_lanes.Lanes) -> float:
    """How far an eigenvalue lies outside the bounds, relative to ‖K‖_F: at most rounding. Of matrices that are not left open."""
    done = torch.isfinite(lanes.high).numpy()  # neither left open nor without an eigenvalue that structure leaves
    values, size = np.linalg.eigvals(matrices[done]), np.linalg.norm(matrices[done], axis=(1, 2))
    high, low, radius = (bound.numpy()[done] for bound in (lanes.high, lanes.low, lanes.size))
    over = np.maximum(values.real.max(1) - high, low - values.real.min(1))
    return float((np.maximum(over, np.abs(values).max(1) - radius) / size).max())


def found(state: BlockState, level: str) -> list[dict]:
    """What the card finds, and the host; health of the first."""
    on_card = spectrum._summary(state, card.tallied(BatchFormer(state), level != "extremes", lambda done: None), level)
    return [
        {name: getattr(one, name) for name in (*COUNTS, *EXTREMES, "health")}
        for one in (on_card, spectrum.slice_spectrum(state, level))
    ]


def sampled(state: BlockState, outputs: int) -> BlockState:
    """The state with some of its live outputs, evenly spread."""
    live = state.outer_mask.flatten().nonzero()[:, 0]
    mask = torch.zeros_like(state.outer_mask)
    mask.view(-1)[live[:: max(1, len(live) // outputs)]] = True
    return replace(state, outer_mask=mask)


def main(slices: int) -> None:
    """slices: how many real ones of each block."""
    torch.set_num_threads(1)
    image = cifar10.normalised(cifar10.image(0)[None])[0]
    said: dict[str, dict] = {"lanes": {}, "small": {}, "real": {}}
    for name, matrices in adversarial().items():
        for sparse in (False, True):
            said["lanes"][f"{name}{' sparse' * sparse}"] = lanes_of(matrices, sparse)
    for number, small in enumerate(small_blocks()):
        for level in ("counts", "extremes")[: 1 + (number % 4 == 0)]:
            said["small"][f"{small!r} {level}"] = found(small.state, level)
    for network, blocks in BLOCKS.items():
        states = block_states(resnets.load(network), catalogue.blocks(network), image, blocks)
        for block in blocks:
            state = sampled(states[block], slices // states[block].geometry.input_shape[0])
            said["real"][f"{network} {block}"] = found(state, "counts")
    json.dump(said, sys.stdout)


if __name__ == "__main__":
    main(int(sys.argv[1]))
