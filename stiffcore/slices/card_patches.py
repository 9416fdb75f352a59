"""The patches of ``patches.py`` formed in batches, for a card: one or two matrix products for all positions of a class.

Positions are of one class where T has the same size and the inner window lies alike: some seventeen classes, whatever the block's side.
All live outputs at the positions of a class are the rows of one product. On the left: what follows the inner ReLU, times its mask, 0
outside the image. On the right: the first convolution, spread over T. Rows stand by the size of T, so that one launch of a kernel
scans all matrices of a size.
"""

from dataclasses import astuple, dataclass
from itertools import groupby

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from stiffcore.jacobians.linearise import BlockState
from stiffcore.slices.patches import PatchFormer, Position, positions, skip_of

BATCH_BYTES = 2**30  # formed at a time: nearly a block of ResNet50 at an image, and little beside a card's memory
BOUND_BYTES = 32  # what the kernels write for a matrix


@dataclass(frozen=True)
class Class:
    """Positions whose patches are formed alike. top, left: where in T the inner window starts; own: where the output's own input
    lies in T. Both outside of it for some."""

    size: int
    top: int
    left: int
    own: tuple[int, int]


@dataclass(frozen=True)
class Members:
    """The positions begin to end − 1 of a class. taps: those of the inner window that lie inside the image for any of them, on the
    device; read: which weights of the first convolution stand at each index of T, for each tap, or which tap stands there."""

    begin: int
    end: int
    taps: Tensor
    read: Tensor


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


Part = list[tuple[Class, int, int]]  # rows of classes, from one to another


class BatchFormer(PatchFormer):
    """Forms the patches of one block on the device of its state. After ``PatchFormer``, which says what a patch is."""

    def __init__(self, state: BlockState):
        super().__init__(state)
        self.is_sparse = self._is_sparse
        classed = sorted(
            ((self._class_of(p), p) for p in positions(state) if p.size), key=lambda pair: astuple(pair[0])
        )
        self._positions = [position for _, position in classed]
        self._behind = self._second.flatten(0, 1).transpose(0, 1).contiguous()  # (o, tap, m), or (m2, tap, m1)
        spread = pad(state.convolutions[0].weight.permute(2, 3, 0, 1), (0, 0, 0, 0, 0, 1, 0, 1))
        self._spread = spread.flatten(0, 1)  # (row · column, m, C), a last row and column of zeros
        self._members = self._placed([key for key, _ in classed])
        y, x = torch.tensor([(p.y, p.x) for p in self._positions], device=state.device).reshape(-1, 2).T
        live = state.outer_mask[:, y, x].T  # (position, o)
        self._live = live.nonzero()
        # All that the host has to know of the masks: how many rows a position has.
        self._ends = np.concatenate([[0], np.cumsum(live.sum(1).tolist(), dtype=np.int64)])
        self._windows = self._inner_windows()
        if not self._basic:  # a last tap of zeros
            self._behind, self._windows = (pad(factor, (0, 0, 0, 1)) for factor in (self._behind, self._windows))
            self._middle = state.inner_masks[1][:, y, x].T.to(torch.float64)  # (position, m2)

    def _class_of(self, position: Position) -> Class:
        first, second = self.state.convolutions[:2]
        skip = 1 if self.state.skip is None else skip_of(self.state).stride
        top, left = (
            (i * second.stride - second.padding) * first.stride - first.padding - position.first
            for i in (position.y, position.x)
        )
        return Class(position.size, top, left, (position.y * skip - position.first, position.x * skip - position.first))

    def _placed(self, keys: list[Class]) -> dict[Class, Members]:
        """The members of each class; their indices go to the device in one copy."""
        found, indices = {}, []
        for key, group in groupby(range(len(keys)), key=lambda k: keys[k]):
            members = list(group)
            inside = [tap for k in members for tap in self._inner_window(self._positions[k])]
            rows, columns = (sorted({tap[axis] for tap in inside}) for axis in (2, 3))
            found[key] = members[0], members[-1] + 1
            taps = torch.tensor([[a * self._second.shape[1] + b for b in columns] for a in rows]).flatten()
            indices += [taps, self._read(key, rows, columns, taps)]
        sizes = [index.numel() for index in indices]
        there = torch.cat([index.flatten() for index in indices]).to(self.state.device).split(sizes) if indices else ()
        views = [index.view(like.shape) for index, like in zip(there, indices, strict=True)]
        return {key: Members(*found[key], *views[2 * k : 2 * k + 2]) for k, key in enumerate(found)}

    def _read(self, key: Class, rows: list[int], columns: list[int], taps: Tensor) -> Tensor:
        first = self.state.convolutions[0]
        inside = torch.arange(key.size)
        down, right = (
            inside - (begin + first.stride * torch.tensor(taps_1)[:, None])
            for begin, taps_1 in ((key.top, rows), (key.left, columns))
        )  # (taps, size): index into the first convolution's kernel
        kernel = first.weight.shape[-1]
        down, right = (torch.where((i >= 0) & (i < kernel), i, kernel) for i in (down, right))
        if self._basic:
            return (down[:, None, :, None] * (kernel + 1) + right[None, :, None, :]).reshape(len(taps), -1)
        at = (down[:, None, :, None] == 0) & (right[None, :, None, :] == 0)  # the kernel is 1×1
        at = at.reshape(len(taps), -1)
        return torch.where(at.any(0), taps[at.int().argmax(0)], self._behind.shape[1])

    def _inner_windows(self) -> Tensor:
        """The inner mask in front of the second convolution at each tap of each position; 0 outside. shape: (positions, taps, m)."""
        mask = self.state.inner_masks[0]
        m, side, _ = mask.shape
        index = torch.full((len(self._positions), self._behind.shape[1]), side * side)
        for place, position in enumerate(self._positions):
            for p, q, a, b in self._inner_window(position):
                index[place, a * self._second.shape[1] + b] = p * side + q
        padded = pad(mask.reshape(m, -1).T.to(torch.float64), (0, 0, 0, 1))
        return padded[index.to(mask.device)]

    def parts(self, most: int = BATCH_BYTES) -> list[Part]:
        """All matrices, in parts that take at most ``most`` bytes, or have one row."""
        found: list[Part] = [[]]
        left = most
        for key, members in self._members.items():
            row, last = int(self._ends[members.begin]), int(self._ends[members.end])
            each = self.channels * (8 * key.size**2 + BOUND_BYTES)
            while row < last:
                if found[-1] and left < each:
                    found.append([])
                    left = most
                taken = min(last - row, max(1, left // each))
                found[-1].append((key, row, row + taken))
                row, left = row + taken, left - taken * each
        return found if found[-1] else []

    def form_all(self, parts: Part) -> Batch:
        """The matrices of one part."""
        first, last = parts[0][1], parts[-1][2]
        sizes = np.concatenate([np.full(end - begin, key.size) for key, begin, end in parts])
        ends = np.cumsum(sizes**2 * self.channels)
        start = np.concatenate([[0], ends[:-1]])
        values = torch.empty(int(ends[-1]), dtype=torch.float64, device=self.state.device)
        for key, begin, end in parts:
            low = int(start[begin - first])
            shape = end - begin, key.size, key.size, self.channels
            self._fill(key, self._live[begin:end], values[low : low + int(np.prod(shape))].view(shape))
        changes = [0, *(np.flatnonzero(np.diff(sizes)) + 1).tolist(), len(sizes)]
        groups = [Group(int(sizes[b]), b, e, int(start[b])) for b, e in zip(changes, changes[1:], strict=False)]
        place = np.searchsorted(self._ends, np.arange(first, last), side="right") - 1
        y, x = (np.array([getattr(p, axis) for p in self._positions])[place] for axis in "yx")
        return Batch(values, self._live[first:last, 1], y, x, sizes, start, groups)

    def _fill(self, key: Class, live: Tensor, values: Tensor) -> None:
        """values: (rows, size, size, C), which is written; live: (rows, 2), position and output."""
        place, outputs = live[:, 0], live[:, 1]
        (self._multiply_basic if self._basic else self._multiply_bottleneck)(key, place, outputs, values)
        if self.state.skip_is_masked:
            self._add_own(key, outputs, values)
        if self._input is not None:
            values *= self._input_windows(key, place)
        if not self.state.skip_is_masked:
            self._add_own(key, outputs, values)

    def _multiply_basic(self, key: Class, place: Tensor, outputs: Tensor, values: Tensor) -> None:
        """(rows, taps · m) by (taps · m, size² · C)."""
        members, behind, windows = self._members[key], self._behind, self._windows
        if len(members.taps) < behind.shape[1]:
            behind, windows = behind[:, members.taps], windows[:, members.taps]
        left = (behind[outputs] * windows[place]).view(len(outputs), -1)
        right = self._spread[members.read].transpose(1, 2)  # (taps, m, size², C)
        torch.mm(left, right.reshape(left.shape[1], -1), out=values.view(len(outputs), -1))

    def _multiply_bottleneck(self, key: Class, place: Tensor, outputs: Tensor, values: Tensor) -> None:
        """L3 D2 L2, at the tap of each index of T, times D1, times L1; see ``PatchFormer``. With a strided L1, some have none."""
        read = self._members[key].read  # (size²,)
        behind, windows = self._behind[:, read], self._windows[:, read]
        factor = (self._third[outputs] * self._middle[place]) @ behind.flatten(1)  # (rows, size² · m1)
        factor = factor.view(len(outputs), len(read), -1) * windows[place]
        torch.mm(factor.flatten(0, 1), self._first, out=values.view(-1, self.channels))

    def _input_windows(self, key: Class, place: Tensor) -> Tensor:
        """D_0 on T, for each row. shape: (rows, size, size, C)."""
        assert self._input is not None
        inside = torch.arange(key.size, device=place.device)
        first = torch.tensor([p.first for p in self._positions], device=place.device)[place][:, None] + inside
        return self._input[first[:, :, None], first[:, None, :]]

    def _add_own(self, key: Class, outputs: Tensor, values: Tensor) -> None:
        """The skip, as ``PatchFormer`` adds it."""
        row, column = key.own
        if not (0 <= row < key.size and 0 <= column < key.size):
            return
        if self.state.skip is not None:
            values[:, row, column] += skip_of(self.state).weight[:, :, 0, 0][outputs]
            return
        own = outputs[:, None] + (row * key.size + column) * self.channels
        one = torch.ones((), dtype=torch.float64, device=values.device).expand(own.shape)
        values.view(len(outputs), -1).scatter_add_(1, own, one)
