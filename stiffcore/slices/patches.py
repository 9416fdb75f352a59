"""The parts of the Jacobian tensor that can carry an eigenvalue of a slice, formed position by position.

``∂y[o, y, x] / ∂x[c, :, :]`` is zero outside the receptive field of the output (o, y, x): rows R(y), columns R(x).
An index can carry a non-zero eigenvalue only if it is in both, so a slice reduces to its patch on ``T = R(y) ∩ R(x)``,
at most 5×5 (basic block), 7×7 (basic block with stride) or 3×3 (bottleneck). All outputs at one position share T and
the masks around it: their patches are a few matrix products over the live inner units.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from stiffcore.errors import CannotCompute
from stiffcore.jacobians.layers import ScaledConvolution
from stiffcore.jacobians.linearise import BlockState

CHUNK_BYTES = 4 * 2**20  # of patches formed at a time: fits into the caches of one core and bounds the memory


@dataclass(frozen=True)
class Position:
    """One output position (y, x) and T, the indices from ``first`` to ``first + size - 1``; size 0: T is empty."""

    y: int
    x: int
    first: int
    size: int


@dataclass(frozen=True)
class Patches:
    """The slices of some outputs at one position, restricted to T."""

    position: Position
    outputs: Tensor  # int64, the channels o, shape: (N,)
    values: Tensor  # float64, shape: (N, size, size, C_in)
    is_sparse: bool = False  # D_0 or dead inner pixels make entries exactly 0, scattered over the patches


class Window(NamedTuple):
    """What of a convolution decides which inputs an output reads."""

    kernel: int
    stride: int
    padding: int

    def reach(self, first: int, last: int, side: int) -> tuple[int, int]:
        """The first and last input index that outputs first to last read, within 0 to side - 1."""
        low = first * self.stride - self.padding
        return max(low, 0), min(last * self.stride - self.padding + self.kernel - 1, side - 1)


class Shape(NamedTuple):
    """What of a block decides its positions and their patches' sizes."""

    windows: tuple[Window, ...]
    sides: tuple[int, ...]  # of the values in front of each layer
    outputs: tuple[int, int]  # height and width
    skip: int  # stride

    def receptive_range(self, output: int) -> tuple[int, int]:
        """First and last input row that output row ``output`` depends on, skip included; the same for columns."""
        first = last = output
        for window, side in zip(reversed(self.windows), reversed(self.sides), strict=True):
            first, last = window.reach(first, last, side)
        return min(first, output * self.skip), max(last, output * self.skip)


def inner_window(shape: Shape, position: Position) -> Iterator[tuple[int, int, int, int]]:
    """Inner positions (p, q) that the second convolution reads for an output position, with its kernel indices."""
    kernel, stride, padding = shape.windows[1]
    top, left = (i * stride - padding for i in (position.y, position.x))
    for a in range(kernel):
        for b in range(kernel):
            if 0 <= top + a < shape.sides[1] and 0 <= left + b < shape.sides[1]:
                yield top + a, left + b, a, b


@functools.lru_cache(maxsize=64)  # the blocks of a few networks
def places(shape: Shape) -> tuple[Position, ...]:
    """All output positions, row by row."""
    down, right = ([shape.receptive_range(i) for i in range(side)] for side in shape.outputs)
    found = []
    for y, (top, bottom) in enumerate(down):
        for x, (begin, end) in enumerate(right):
            first, last = max(top, begin), min(bottom, end)
            found.append(Position(y, x, first, max(last - first + 1, 0)))
    return tuple(found)


def shape_of(state: BlockState) -> Shape:
    """Raises CannotCompute for a skip that slices cannot take."""
    windows = tuple(Window(layer.weight.shape[-1], layer.stride, layer.padding) for layer in state.convolutions)
    skip = 1 if state.skip is None else skip_of(state).stride
    _, height, width = state.geometry.output_shape
    return Shape(windows, tuple(mask.shape[1] for mask in state.masks), (height, width), skip)


def skip_of(state: BlockState) -> ScaledConvolution:
    """The skip of a block that changes the shape, a 1×1 convolution. Raises CannotCompute for another one."""
    if isinstance(state.skip, ScaledConvolution) and state.skip.weight.shape[-1] == 1:
        return state.skip
    raise CannotCompute(
        f"The skip of block {state.geometry.block} is no 1×1 convolution, which slices need: choose block or branch."
    )


def positions(state: BlockState) -> tuple[Position, ...]:
    """All output positions, row by row. Raises ValueError where the slices are not square."""
    _, height, width = state.geometry.input_shape
    if height != width:
        raise ValueError(f"Expected square slices, got {height} × {width}.")
    return places(shape_of(state))


class PatchFormer:
    """Forms the patches of one block; holds its weights in the order that the matrix products need."""

    def __init__(self, state: BlockState):
        self.state, self.shape = state, shape_of(state)
        self.channels = state.geometry.input_shape[0]
        convolutions = state.convolutions
        self._basic = len(convolutions) == 2
        kernels = [convolution.weight.shape[-1] for convolution in convolutions]
        if not self._basic and not (len(kernels) == 3 and kernels[0] == kernels[2] == convolutions[2].stride == 1):
            raise CannotCompute(
                f"Expected a block of two convolutions, or of three of which the outer ones are 1×1, for slices, got block "
                f"{state.geometry.block} with kernels {', '.join(map(str, kernels))}: choose block or branch."
            )
        first, second = convolutions[0].weight, convolutions[1].weight
        if self._basic:
            self._first = first.permute(2, 0, 3, 1).flatten(2).contiguous()  # (row, m, column · C)
            self._second = second.permute(2, 3, 0, 1).contiguous()  # (row, column, o, m)
        else:
            self._first = first[:, :, 0, 0].contiguous()  # (m1, C)
            self._second = second.permute(2, 3, 0, 1).contiguous()  # (row, column, m2, m1)
            self._third = convolutions[2].weight[:, :, 0, 0].contiguous()  # (o, m2)
        self._input = state.masks[0].permute(1, 2, 0).double() if state.masks_inputs else None  # D_0: (H, W, C)
        self._is_sparse = state.masks_inputs or not bool(state.inner_masks[0].any(0).all())

    def chunks(self, position: Position) -> Iterator[Tensor]:
        """The live outputs at a position, split so that their patches stay below CHUNK_BYTES."""
        live = self.state.outer_mask[:, position.y, position.x].nonzero()[:, 0]
        if position.size and len(live):
            yield from live.split(max(1, CHUNK_BYTES // (8 * position.size**2 * self.channels)))

    def form(self, position: Position, outputs: Tensor) -> Patches:
        """The patches of some live outputs at a position whose T is not empty."""
        size = position.size
        values = torch.zeros(len(outputs), size, size, self.channels, dtype=torch.float64)
        if self._basic:
            self._add_basic(position, outputs, values)
        else:
            self._add_bottleneck(position, outputs, values)
        if self.state.skip_is_masked:
            self._add_skip(position, outputs, values)
        if self._input is not None:
            window = slice(position.first, position.first + size)
            values *= self._input[window, window]
        if not self.state.skip_is_masked:
            self._add_skip(position, outputs, values)
        return Patches(position, outputs, values, self._is_sparse)

    def _add_basic(self, position: Position, outputs: Tensor, values: Tensor) -> None:
        """Σ over live inner units m at (p, q) of A2[o, m, ·] A1[m, c, ·]: one product per inner position and row."""
        convolution = self.state.convolutions[0]
        kernel, channels = convolution.weight.shape[-1], self.channels
        begin, end = position.first, position.first + position.size  # T
        for p, q, a, b in inner_window(self.shape, position):
            live = self.state.inner_masks[0][:, p, q].nonzero()[:, 0]
            top, left = (i * convolution.stride - convolution.padding for i in (p, q))
            first, last = max(begin, left), min(end, left + kernel)  # columns of T that (p, q) reads
            if not len(live) or first >= last:
                continue
            left_factor = self._second[a, b].index_select(0, outputs).index_select(1, live)
            for row in range(max(begin, top), min(end, top + kernel)):
                columns = self._first[row - top].narrow(1, (first - left) * channels, (last - first) * channels)
                target = values[:, row - begin, first - begin : last - begin].view(len(outputs), -1)
                target.addmm_(left_factor, columns.index_select(0, live))

    def _add_bottleneck(self, position: Position, outputs: Tensor, values: Tensor) -> None:
        """L3[o, ·] D2 L2[·, ·, p, q] D1 L1[·, c]: with 1×1 convolutions before and after, (p, q) is the input's position, or a
        multiple of it where the first one has a stride."""
        middle = self.state.inner_masks[1][:, position.y, position.x].nonzero()[:, 0]
        if not len(middle):
            return
        left_factor = self._third.index_select(0, outputs).index_select(1, middle)
        end, stride = position.first + position.size, self.state.convolutions[0].stride
        for p, q, a, b in inner_window(self.shape, position):
            live = self.state.inner_masks[0][:, p, q].nonzero()[:, 0]
            row, column = p * stride, q * stride
            if len(live) and position.first <= row < end and position.first <= column < end:
                centre = self._second[a, b].index_select(0, middle).index_select(1, live)
                target = values[:, row - position.first, column - position.first]
                target.addmm_(left_factor @ centre, self._first.index_select(0, live))

    def _add_skip(self, position: Position, outputs: Tensor, values: Tensor) -> None:
        """1 for the output's own channel and position, or the strided 1×1 convolution's row."""
        stride = 1 if self.state.skip is None else skip_of(self.state).stride
        row, column = (i * stride - position.first for i in (position.y, position.x))
        if not (0 <= row < position.size and 0 <= column < position.size):
            return
        if self.state.skip is None:
            values[torch.arange(len(outputs)), row, column, outputs] += 1
        else:
            values[:, row, column] += skip_of(self.state).weight[outputs, :, 0, 0]
