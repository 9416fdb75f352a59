"""J v and Jᵀ w for many vectors at once, as matrix products: what iterations that need hundreds of them spend their time in.

Channels last: the window that a pixel reads is then a few contiguous runs of memory, so that all windows of a batch become the rows of
one matrix by a copy, and a convolution one matrix product. In float64 on one core that is 1.2 times as fast as torch's convolution for 64
channels of 16 × 16 pixels, and 3 times for 512 channels of 2 × 2 (measured). Vectors are permuted with it, (C, H, W) to
(H, W, C), which changes neither eigenvalues nor norms.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from stiffcore.conventions import Convention
from stiffcore.device import CPU
from stiffcore.jacobians import operator as jacobian
from stiffcore.jacobians.layers import ScaledConvolution
from stiffcore.jacobians.linearise import BlockState

AT_ONCE = 2**18  # numbers in the windows that are copied at a time: 2 MB, which stay in a core's cache
AT_ONCE_ON_CARD = 2**27  # 1 GB: a card has no such cache, and few launches are quick

Product = Callable[[Tensor], Tensor]  # float64 (batch, n) -> (batch, m)


@dataclass(frozen=True)
class Products:
    """A block's Jacobian J under one convention, and its transpose. Their vectors are in an order of their own."""

    shape: tuple[int, int]  # (n_out, n_in)
    forward: Product  # v -> J v
    backward: Product  # w -> Jᵀ w


def of_block(state: BlockState, convention: Convention) -> Products:
    """The quickest products of a block at an image; for maps that are no convolutions those of `operator`."""
    shape = state.geometry.n_out, state.geometry.n_in
    layers = (*state.layers, *([state.skip] if state.skip is not None else []))
    if not all(isinstance(layer, ScaledConvolution) for layer in layers):
        return Products(
            shape,
            lambda v: jacobian.apply(state, convention, v),
            lambda w: jacobian.apply_transpose(state, convention, w),
        )
    block = _ChannelsLast(state, convention)
    return Products(shape, block.forward, block.backward)


class _Convolution:
    """A convolution of (batch, H, W, C) by one matrix product, and its adjoint."""

    def __init__(self, layer: ScaledConvolution):
        weight = layer.weight
        self.kernel, self.stride, self.padding = weight.shape[-1], layer.stride, layer.padding
        self.reading = weight.permute(2, 3, 1, 0).reshape(-1, len(weight)).contiguous()  # (k·k·C_in, C_out)
        # Of a convolution that keeps the image's size the adjoint is one again; of others it adds windows up.
        self.flipped = layer.radius is not None
        written = weight.flip(2, 3).permute(2, 3, 0, 1).reshape(-1, weight.shape[1])  # (k·k·C_out, C_in)
        self.written = written.contiguous() if self.flipped else self.reading.T.contiguous()

    def __call__(self, x: Tensor) -> Tensor:
        return self._read(x, self.reading)

    def transpose(self, y: Tensor, size: tuple[int, int]) -> Tensor:
        """size: (H, W) of the input."""
        if self.flipped:
            return self._read(y, self.written)
        batch, height, width, _ = y.shape
        windows = (y.flatten(0, 2) @ self.written).reshape(batch, height, width, self.kernel, self.kernel, -1)
        padded = _padded(batch, size, self.padding, windows.shape[-1], y.device)
        for down in range(self.kernel):
            for right in range(self.kernel):
                rows = slice(down, down + (height - 1) * self.stride + 1, self.stride)
                columns = slice(right, right + (width - 1) * self.stride + 1, self.stride)
                padded[:, rows, columns] += windows[:, :, :, down, right]
        return _inside(padded, size, self.padding)

    def _read(self, x: Tensor, weights: Tensor) -> Tensor:
        size = (x.shape[1], x.shape[2])
        height, width = ((side + 2 * self.padding - self.kernel) // self.stride + 1 for side in size)
        output = x.new_empty(len(x), height, width, weights.shape[1])
        at_once = AT_ONCE if x.device == CPU else AT_ONCE_ON_CARD
        together = max(1, at_once // (height * width * len(weights)))
        for at in range(0, len(x), together):
            part = x[at : at + together]
            columns = self._windows(part, size, height, width)
            torch.mm(columns, weights, out=output[at : at + together].view(len(columns), -1))
        return output

    def _windows(self, x: Tensor, size: tuple[int, int], height: int, width: int) -> Tensor:
        """Each pixel's window in a row. shape: (batch · height · width, k·k·C)"""
        if self.kernel == self.stride == 1 and not self.padding:
            return x.reshape(-1, x.shape[-1])
        padded = x
        if self.padding:
            padded = _padded(len(x), size, self.padding, x.shape[-1], x.device)
            _inside(padded, size, self.padding).copy_(x)
        image, row, column, one = padded.stride()
        shape = (len(x), height, width, self.kernel, self.kernel, x.shape[-1])
        strides = (image, row * self.stride, column * self.stride, row, column, one)
        return padded.as_strided(shape, strides).reshape(len(x) * height * width, -1)


def _padded(batch: int, size: tuple[int, int], padding: int, channels: int, where: torch.device) -> Tensor:
    shape = batch, size[0] + 2 * padding, size[1] + 2 * padding, channels
    return torch.zeros(shape, dtype=torch.float64, device=where)


def _inside(padded: Tensor, size: tuple[int, int], padding: int) -> Tensor:
    return padded[:, padding : padding + size[0], padding : padding + size[1]]


class _ChannelsLast:
    """`operator.apply` and `operator.apply_transpose` in the order (H, W, C)."""

    def __init__(self, state: BlockState, convention: Convention):
        self.layers = [_Convolution(layer) for layer in state.convolutions]
        self.masks = [_last(mask) for mask in state.masks]
        self.masks_inputs = state.masks_inputs
        self.has_skip, self.skip_is_masked = convention.has_skip, state.skip_is_masked
        self.skip = _Convolution(state.skip) if isinstance(state.skip, ScaledConvolution) else None
        self.outer = _last(state.outer_mask) if convention.masks_outputs else None
        if self.outer is not None and bool(self.outer.all()):
            self.outer = None
        self.input_shape = _last(state.masks[0]).shape
        self.output_shape = _last(state.outer_mask).shape

    def forward(self, v: Tensor) -> Tensor:
        x = v.reshape(-1, *self.input_shape)
        first = inner = x * self.masks[0] if self.masks_inputs else x
        for layer, mask in zip(self.layers[:-1], self.masks[1:], strict=True):
            inner = layer(inner).mul_(mask)
        inner = self.layers[-1](inner)
        if self.has_skip:
            start = first if self.skip_is_masked else x
            inner += start if self.skip is None else self.skip(start)
        return (inner if self.outer is None else inner.mul_(self.outer)).reshape(len(v), -1)

    def backward(self, w: Tensor) -> Tensor:
        y = w.reshape(-1, *self.output_shape)
        y = y if self.outer is None else y * self.outer
        inner = y
        for layer, mask in zip(reversed(self.layers), reversed(self.masks), strict=True):
            inner = layer.transpose(inner, (mask.shape[0], mask.shape[1])) * mask
        if self.has_skip:
            through = y if self.skip is None else self.skip.transpose(y, (self.input_shape[0], self.input_shape[1]))
            inner = inner + (through * self.masks[0] if self.skip_is_masked else through)
        return inner.reshape(len(w), -1)


def _last(mask: Tensor) -> Tensor:
    """A mask (C, H, W) as float64 (H, W, C)."""
    return mask.permute(1, 2, 0).double().contiguous()
