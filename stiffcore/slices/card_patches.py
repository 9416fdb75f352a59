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
from stiffcore.slices.card_classes import plan
from stiffcore.slices.patches import PatchFormer, skip_of

BATCH_BYTES = 2**30  # formed at a time: nearly a block of ResNet50 at an image, and little beside a card's memory
BOUND_BYTES = 32  # what the kernels write for a matrix


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
        self._behind = self._second.flatten(0, 1).transpose(0, 1).contiguous()  # (o, tap, m), or (m2, tap, m1)
        mask = pad(state.inner_masks[0].flatten(1).T.to(torch.float64), (0, 0, 0, 1))
        self._windows = mask[windows]  # in front of the second convolution at each tap of each position; 0 outside
        if self._basic:
            spread = pad(state.convolutions[0].weight.permute(2, 3, 0, 1), (0, 0, 0, 0, 0, 1, 0, 1))
            self._spread = spread.flatten(0, 1)  # (row · column, m, C), a last row and column of zeros
        else:  # a last tap of zeros
            self._behind, self._windows = (pad(factor, (0, 0, 0, 1)) for factor in (self._behind, self._windows))
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
            each = self.channels * (8 * key.size**2 + BOUND_BYTES)
            while row < last:
                if found[-1] and left < each:
                    found.append([])
                    left = most
                taken = min(last - row, max(1, left // each))
                found[-1].append((number, row, row + taken))
                row, left = row + taken, left - taken * each
        return found if found[-1] else []

    def form_all(self, part: Part) -> Batch:
        """The matrices of one part."""
        first, last = part[0][1], part[-1][2]
        keys = [self.plan.classes[number][0] for number, _, _ in part]
        sizes = np.repeat([key.size for key in keys], [end - begin for _, begin, end in part])
        ends = np.cumsum(sizes**2 * self.channels)
        start = np.concatenate([[0], ends[:-1]])
        values = torch.empty(int(ends[-1]), dtype=torch.float64, device=self.state.device)
        for key, (number, begin, end) in zip(keys, part, strict=True):
            shape, low = (end - begin, key.size, key.size, self.channels), int(start[begin - first])
            self._fill(number, self._live[begin:end], values[low : low + math.prod(shape)].view(shape))
        changes = [0, *(np.flatnonzero(np.diff(sizes)) + 1).tolist(), len(sizes)]
        groups = [Group(int(sizes[b]), b, e, int(start[b])) for b, e in pairwise(changes)]
        place = np.searchsorted(self._ends, np.arange(first, last), side="right") - 1
        return Batch(values, self._live[first:last, 1], self.plan.y[place], self.plan.x[place], sizes, start, groups)

    def _fill(self, number: int, live: Tensor, values: Tensor) -> None:
        """values: (rows, size, size, C), which is written; live: (rows, 2), position and output."""
        place, outputs = live.unbind(1)
        (self._multiply_basic if self._basic else self._multiply_bottleneck)(number, place, outputs, values)
        own = self.plan.classes[number][0].own
        if self.state.skip_is_masked:
            self._add_own(own, outputs, values)
        if self._input is not None:
            inside = self._first_of[place][:, None] + torch.arange(values.shape[1], device=place.device)
            values *= self._input[inside[:, :, None], inside[:, None, :]]
        if not self.state.skip_is_masked:
            self._add_own(own, outputs, values)

    def _multiply_basic(self, number: int, place: Tensor, outputs: Tensor, values: Tensor) -> None:
        """(rows, taps · m) by (taps · m, size² · C)."""
        (taps, read), behind, windows = self._factors[number], self._behind, self._windows
        if len(taps) < behind.shape[1]:
            behind, windows = behind[:, taps], windows[:, taps]
        left = (behind[outputs] * windows[place]).view(len(outputs), -1)
        right = self._spread[read].transpose(1, 2)  # (taps, m, size², C)
        torch.mm(left, right.reshape(left.shape[1], -1), out=values.view(len(outputs), -1))

    def _multiply_bottleneck(self, number: int, place: Tensor, outputs: Tensor, values: Tensor) -> None:
        """L3 D2 L2, at the tap of each index of T, times D1, times L1; see ``PatchFormer``. With a strided L1, some have none."""
        _, read = self._factors[number]
        behind, windows = self._behind[:, read], self._windows[:, read]
        factor = (self._third[outputs] * self._middle[place]) @ behind.flatten(1)  # (rows, size² · m1)
        factor = factor.view(len(outputs), len(read), -1) * windows[place]
        torch.mm(factor.flatten(0, 1), self._first, out=values.view(-1, self.channels))

    def _add_own(self, own: tuple[int, int], outputs: Tensor, values: Tensor) -> None:
        """The skip, as ``PatchFormer`` adds it."""
        (row, column), size = own, values.shape[1]
        if not (0 <= row < size and 0 <= column < size):
            return
        if self.state.skip is not None:
            values[:, row, column] += skip_of(self.state).weight[:, :, 0, 0][outputs]
            return
        index = outputs[:, None] + (row * size + column) * self.channels
        one = torch.ones((), dtype=torch.float64, device=values.device).expand(index.shape)
        values.view(len(outputs), -1).scatter_add_(1, index, one)
