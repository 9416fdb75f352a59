"""Which positions of a block's outputs have patches that are formed alike, and where their factors stand: geometry alone, on the host.

Kept for as many blocks as a few networks have: it is the same at every image.
"""

import functools
from dataclasses import astuple, dataclass
from itertools import groupby

import numpy as np
import torch
from torch import Tensor

from stiffcore.slices.patches import Position, Shape, inner_window, places


@dataclass(frozen=True)
class Class:
    """Positions whose patches are formed alike: T has the same size, and the inner window lies alike. top, left: where in T it
    starts; own: where the output's own input lies in T. Both outside of it for some."""

    size: int
    top: int
    left: int
    own: tuple[int, int]


@dataclass(frozen=True)
class Plan:
    """A block's positions, by class and the size of T. All indices are int64."""

    positions: tuple[Position, ...]
    classes: tuple[tuple[Class, int, int], ...]  # with the first of its positions, and the one behind the last
    y: np.ndarray
    x: np.ndarray
    first: np.ndarray  # of T
    # Into the inner layer's pixels, for each position and tap of its window; one behind the last where that is outside.
    windows: np.ndarray
    # Of each class: the taps that lie inside the image for any of its positions, and which weights of the first convolution stand at
    # each index of T for each tap, (taps, size²); of a bottleneck, which tap stands at each index, (size²,), or one behind the last.
    factors: tuple[tuple[np.ndarray, np.ndarray], ...]

    def on(self, where: torch.device) -> tuple[list[Tensor], list[tuple[Tensor, Tensor]]]:
        """y, x, first and windows; and the factors, on a device, by one copy."""
        arrays = [self.y, self.x, self.first, self.windows, *(index for pair in self.factors for index in pair)]
        flat = torch.from_numpy(np.concatenate([array.ravel() for array in arrays])).to(where)
        parts = flat.split([array.size for array in arrays])
        there = [part.view(array.shape) for part, array in zip(parts, arrays, strict=True)]
        return there[:4], list(zip(there[4::2], there[5::2], strict=True))


@functools.lru_cache(maxsize=64)
def plan(shape: Shape) -> Plan:
    """The positions with a patch, by class."""
    classed = sorted(((_class_of(shape, p), p) for p in places(shape) if p.size), key=lambda pair: astuple(pair[0]))
    positions = tuple(position for _, position in classed)
    classes, factors = [], []
    for key, members in groupby(range(len(classed)), key=lambda k: classed[k][0]):
        inside = list(members)
        classes.append((key, inside[0], inside[-1] + 1))
        factors.append(_factors(shape, key, [positions[k] for k in inside]))
    y, x, first = np.array([(p.y, p.x, p.first) for p in positions], np.int64).reshape(-1, 3).T
    return Plan(positions, tuple(classes), y, x, first, _windows(shape, positions), tuple(factors))


def _class_of(shape: Shape, position: Position) -> Class:
    first, second = shape.windows[:2]
    outside = (second.padding * first.stride + first.padding, second.stride * first.stride)
    top, left = (i * outside[1] - outside[0] - position.first for i in (position.y, position.x))
    own = (position.y * shape.skip - position.first, position.x * shape.skip - position.first)
    return Class(position.size, top, left, own)


def _windows(shape: Shape, positions: tuple[Position, ...]) -> np.ndarray:
    kernel, side = shape.windows[1].kernel, shape.sides[1]
    found = np.full((len(positions), kernel * kernel), side * side)
    for place, position in enumerate(positions):
        for p, q, a, b in inner_window(shape, position):
            found[place, a * kernel + b] = p * side + q
    return found


def _factors(shape: Shape, key: Class, members: list[Position]) -> tuple[np.ndarray, np.ndarray]:
    first, second = shape.windows[:2]
    inside = {tap[2:] for position in members for tap in inner_window(shape, position)}
    rows, columns = (np.array(sorted({tap[axis] for tap in inside})) for axis in (0, 1))
    taps = (rows[:, None] * second.kernel + columns).ravel()
    indices = np.arange(key.size)
    down = indices - (key.top + first.stride * rows[:, None])  # (rows of taps, size): index into the first kernel
    right = indices - (key.left + first.stride * columns[:, None])
    down, right = (np.where((i >= 0) & (i < first.kernel), i, first.kernel) for i in (down, right))
    read = (down[:, None, :, None] * (first.kernel + 1) + right[None, :, None, :]).reshape(len(taps), -1)
    if len(shape.windows) == 2:
        return taps, read
    at = read == 0  # the first kernel is 1×1
    return taps, np.where(at.any(0), taps[at.argmax(0)], second.kernel**2)
