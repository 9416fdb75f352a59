"""The patches of ``patches.py`` formed in batches, for a card: one or two matrix products for all positions of a class.

Positions are of one class where T has the same size and the inner window lies alike: some seventeen classes, whatever the block's side.
All live outputs at the positions of a class are the rows of one product. On the left: what follows the inner ReLU, times its mask, 0
outside the image. On the right: the first convolution, spread over T. Rows stand by the size of T, so that one launch of a kernel
scans all matrices of a size.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from stiffcore.jacobians.linearise import BlockState
from stiffcore.slices.card_classes import Class, plan
from stiffcore.slices.patches import PatchFormer, skip_of

BATCH_BYTES = 2**30  # formed at a time: nearly a block of ResNet50 at an image, and little beside a card's memory
BOUND_BYTES = 32  # that the kernels write for a matrix


@dataclass(frozen=True)
class Group:
    """Rows of a batch whose matrices have the same size, and where their values start."""

    size: int
    first: int
    last: int
    start: int


@dataclass(frozen=True)
class Batch:
    """Matrices of some live outputs. values: flat float64; those of a row (size, size, C), rows by size.

    outputs: the channel o of each row, on the device; y, x, size and start (of a row's values): of each row, on the host.
    """

    values: Tensor
    outputs: Tensor
    y: np.ndarray
    x: np.ndarray
    size: np.ndarray
    start: np.ndarray
    groups: list[Group]


Part = list[tuple[int, int, int]]  # rows of a class, by its number in the plan, from one to another


class BatchFormer(PatchFormer):
    """Forms the patches of one block on the device of its state. After ``PatchFormer``, which says what a patch is."""

    def __init__(self, state: BlockState):
        super().__init__(state)
        self.is_sparse, self.plan = self._is_sparse, plan(self.shape)
        (y, x, self._first_of, windows), self._factors = self.plan.on(state.device)
        # Of the inner mask: in front of the second convolution at each tap of each position; 0 outside.
        mask, second = (
            pad(state.inner_masks[0].flatten(1).to(torch.float64), (0, 1)),
            state.convolutions[1].weight.flatten(2),
        )
        if self._basic:
            self._behind, self._windows = (
                second,
                mask[:, windows].transpose(0, 1).contiguous(),
            )  # (o, m, tap), (position, m, tap)
            spread = pad(state.convolutions[0].weight.permute(0, 2, 3, 1), (0, 0, 0, 1, 0, 1))
            self._spread = spread.flatten(1, 2)  # (m, row · column, C), a last row and column of zeros
        else:
            self._behind = pad(second, (0, 1)).transpose(1, 2).contiguous()  # (m2, tap, m1), a last tap of zeros
            self._windows = pad(mask.T[windows], (0, 0, 0, 1))  # (position, tap, m1)
            self._middle = state.inner_masks[1][:, y, x].T.to(torch.float64)  # (position, m2)
        live = state.outer_mask[:, y, x].T  # (position, o)
        self._live = live.nonzero()
        # All that the host has to know of the masks: how many rows a position has.
        self._ends = np.concatenate([[0], np.cumsum(live.sum(1).tolist(), dtype=np.int64)])

    def parts(self, most: int = BATCH_BYTES) -> list[Part]:
        """All matrices, in parts that take at most ``most`` bytes, or have one row."""
        found: list[Part] = [[]]
        left = most
        for number, (key, begin, end) in enumerate(self.plan.classes):
            row, last = int(self._ends[begin]), int(self._ends[end])
            each = self.channels * (8 * key.size**2 + BOUND_BYTES) + 16 * self._columns(key)
            while row < last:
                if found[-1] and left < each:
                    found.append([])
                    left = most
                taken = min(last - row, max(1, left // each))
                found[-1].append((number, row, row + taken))
                row, left = row + taken, left - taken * each
        return found if found[-1] else []

    def _columns(self, key: Class) -> int:
        """Of the left factor."""
        return self._windows[0].numel() if self._basic else key.size**2 * self._windows.shape[-1]

    def form_all(self, part: Part) -> Batch:
        """The matrices of one part."""
        first, last = part[0][1], part[-1][2]
        keys = [self.plan.classes[number][0] for number, _, _ in part]
        sizes = np.repeat([key.size for key in keys], [end - begin for _, begin, end in part])
        ends = np.cumsum(sizes**2 * self.channels)
        start = np.concatenate([[0], ends[:-1]])
        values = torch.empty(int(ends[-1]), dtype=torch.float64, device=self.state.device)
        live = self._live[first:last]
        shapes = [
            (end - begin, key.size, key.size, self.channels) for key, (_, begin, end) in zip(keys, part, strict=True)
        ]
        each = [flat.view(shape) for flat, shape in zip(values.split([*map(math.prod, shapes)]), shapes, strict=True)]
        self._multiply(part, live, each)
        if self.state.skip_is_masked:
            self._add_own(keys, part, live, start, values)
        if self._input is not None:
            self._mask_inputs(self._input, live, each)
        if not self.state.skip_is_masked:
            self._add_own(keys, part, live, start, values)
        changes = [0, *(np.flatnonzero(np.diff(sizes)) + 1).tolist(), len(sizes)]
        groups = [Group(int(sizes[b]), b, e, int(start[b])) for b, e in pairwise(changes)]
        place = np.searchsorted(self._ends, np.arange(first, last), side="right") - 1
        return Batch(values, self._live[first:last, 1], self.plan.y[place], self.plan.x[place], sizes, start, groups)

    def _multiply(self, part: Part, live: Tensor, each: list[Tensor]) -> None:
        multiply = self._multiply_basic if self._basic else self._multiply_bottleneck
        left = self._left(*live.unbind(1))
        for (number, begin, end), values in zip(part, each, strict=True):
            rows = slice(begin - part[0][1], end - part[0][1])
            multiply(number, left[rows], live[rows, 0], values)

    def _left(self, place: Tensor, outputs: Tensor) -> Tensor:
        """What does not depend on the class: L2 D1, (rows, m, taps), or L3 D2, (rows, m2)."""
        return (
            self._behind[outputs] * self._windows[place] if self._basic else self._third[outputs] * self._middle[place]
        )

    def _multiply_basic(self, number: int, left: Tensor, place: Tensor, values: Tensor) -> None:
        """(rows, m · taps) by (m · taps, size² · C)."""
        taps, read = self._factors[number]
        if len(taps) < left.shape[2]:
            left = left[:, :, taps]
        right = self._spread[:, read]  # (m, taps, size², C)
        torch.mm(left.flatten(1), right.flatten(0, 1).flatten(1), out=values.flatten(1))

    def _multiply_bottleneck(self, number: int, left: Tensor, place: Tensor, values: Tensor) -> None:
        """L3 D2 by L2, at the tap of each index of T, times D1, times L1; see ``PatchFormer``. With a strided L1, some have none."""
        _, read = self._factors[number]
        factor = (left @ self._behind[:, read].flatten(1)).view(len(left), len(read), -1)  # (rows, size², m1)
        torch.mm(
            (factor * self._windows[place[:, None], read]).flatten(0, 1),
            self._first,
            out=values.view(-1, self.channels),
        )

    def _add_own(self, keys: list[Class], part: Part, live: Tensor, start: np.ndarray, values: Tensor) -> None:
        """The skip, as ``PatchFormer`` adds it, where the output's own input lies in T."""
        at = []  # of each row: where its entries of the own input start
        for key, (_, begin, end) in zip(keys, part, strict=True):
            (row, column), first = key.own, begin - part[0][1]
            if 0 <= row < key.size and 0 <= column < key.size:
                rows = np.arange(first, first + end - begin)
                at.append(np.stack([rows, start[rows] + (row * key.size + column) * self.channels]))
        if not at:
            return
        rows, first = torch.from_numpy(np.concatenate(at, 1)).to(values.device)
        outputs = live[rows, 1]
        if self.state.skip is None:
            values.index_add_(0, first + outputs, torch.ones_like(first, dtype=torch.float64))
        else:
            weight, channel = skip_of(self.state).weight[:, :, 0, 0], torch.arange(self.channels, device=values.device)
            values.index_add_(0, (first[:, None] + channel).flatten(), weight[outputs].flatten())

    def _mask_inputs(self, mask: Tensor, live: Tensor, parts: list[Tensor]) -> None:
        """D_0 on T. mask: (H, W, C); parts: the values of each class, shapes (rows, size, size, C)."""
        first = self._first_of[live[:, 0]].split([len(part) for part in parts])
        for values, begin in zip(parts, first, strict=True):
            inside = begin[:, None] + torch.arange(values.shape[1], device=values.device)
            values *= mask[inside[:, :, None], inside[:, None, :]]
