"""A core formed by locality: a sum, over pixels, of products of the few rows and columns that a pixel's neighbourhood touches."""

from collections.abc import Iterator

import torch
from torch import Tensor

from stiffcore.jacobians import cycle
from stiffcore.jacobians.layers import ScaledConvolution
from stiffcore.jacobians.linearise import BlockState

# rows, columns, values: K[rows, columns] += values
Parts = Iterator[tuple[Tensor, Tensor, Tensor]]


def local_parts(state: BlockState, live: dict[str, Tensor], layers: tuple[str, ...]) -> Parts | None:
    """The core in parts, pixel by pixel; None where the layers are no such convolutions."""
    if not all(isinstance(layer, ScaledConvolution) and layer.radius is not None for layer in state.layers):
        return None
    convolutions = state.convolutions
    wide = sum(convolution.radius != 0 for convolution in convolutions)
    if wide <= 1:
        return _between_pixels(convolutions, live, layers)
    return _basic_parts(convolutions, live, layers[0]) if len(convolutions) == 2 else None


class _Neighbourhood:
    """The live units of a layer within a (2·radius + 1)² window around a pixel, channels fastest."""

    def __init__(self, mask: Tensor, radius: int):
        channels, height, width = mask.shape
        self.size = 2 * radius + 1
        numbers = torch.full(mask.shape, -1)
        numbers[mask] = torch.arange(int(mask.sum()))  # a live unit's index in the core
        padded = torch.full((height + 2 * radius, width + 2 * radius, channels), -1)
        padded[radius : radius + height, radius : radius + width] = numbers.permute(1, 2, 0)
        self.numbers = padded

    def at(self, y: int, x: int) -> tuple[Tensor, Tensor]:
        """The live units' indices in the core, and their indices among the window's size² · channels units."""
        window = self.numbers[y : y + self.size, x : x + self.size].reshape(-1)
        local = (window >= 0).nonzero()[:, 0]
        return window[local], local


def _reading(convolution: ScaledConvolution) -> Tensor:
    """Weights by which a pixel reads the window around it. shape: (C_out, k·k·C_in)."""
    return convolution.weight.permute(0, 2, 3, 1).flatten(1).contiguous()


def _written(convolution: ScaledConvolution) -> Tensor:
    """Weights by which the window around a pixel reads that pixel. shape: (k·k·C_out, C_in)."""
    return convolution.weight.flip(2, 3).permute(2, 3, 0, 1).flatten(0, 2).contiguous()


def _pixels(mask: Tensor) -> Iterator[tuple[int, int, Tensor]]:
    """Each pixel with its live channels."""
    for y in range(mask.shape[1]):
        for x in range(mask.shape[2]):
            yield y, x, mask[:, y, x].nonzero()[:, 0]


def _basic_parts(layers: tuple[ScaledConvolution, ...], live: dict[str, Tensor], layer: str) -> Parts:
    """On the inner layer K = L1 D_out L2; on the outer one K = L2 D1 L1; summed over the other's pixels."""
    first, second = layers
    other, writes, reads = ("outer", first, second) if layer == "inner1" else ("inner1", second, first)
    around = {radius: _Neighbourhood(live[layer], radius) for radius in {writes.radius or 0, reads.radius or 0}}
    written, reading = _written(writes), _reading(reads)
    for y, x, there in _pixels(live[other]):
        rows, above = around[writes.radius or 0].at(y, x)
        columns, below = around[reads.radius or 0].at(y, x)
        if len(rows) and len(columns) and len(there):
            yield rows, columns, written[above][:, there] @ reading[there][:, below]


def _between_pixels(layers: tuple[ScaledConvolution, ...], live: dict[str, Tensor], group: tuple[str, ...]) -> Parts:
    """K[p, q] = X(p) L(p − q) Y(q) for pixels p, q: L is the only factor that reaches beyond its pixel, Y(q) leads from the
    core's units at q to the layer that L reads, and X(p) from the layer that L writes to the core's units at p."""
    names = list(live)
    at = next((i for i, layer in enumerate(layers) if layer.radius), names.index(group[0]))
    order, maps = names[at:] + names[:at], layers[at + 1 :] + layers[:at]
    spread, radius = layers[at], layers[at].radius or 0
    numbers = _numbers(cycle.narrowest(live, group))
    kept = {(y, x): (units, *_within_pixel(order, maps, live, y, x, name)) for y, x, name, units in numbers}
    for (y, x), (rows, into, _) in kept.items():
        written = live[order[0]][:, y, x].nonzero()[:, 0]
        for there in _around(y, x, radius):
            if there not in kept:
                continue
            columns, _, out_of = kept[there]
            read = live[order[-1]][:, there[0], there[1]].nonzero()[:, 0]
            kernel = spread.weight[:, :, there[0] - y + radius, there[1] - x + radius]
            values = kernel.index_select(0, written).index_select(1, read)
            values = values if into is None else into @ values
            yield rows, columns, values if out_of is None else values @ out_of


def _numbers(units: dict[str, Tensor]) -> Iterator[tuple[int, int, str, Tensor]]:
    """Each pixel that has units of the core, their layer, and their indices in the core."""
    before = 0
    for name, mask in units.items():
        index = torch.full(mask.shape, -1)
        index[mask] = torch.arange(before, before + int(mask.sum()))
        before += int(mask.sum())
        for y, x, channels in _pixels(mask):
            if len(channels):
                yield y, x, name, index[channels, y, x]


def _within_pixel(
    order: list[str], maps: tuple[ScaledConvolution, ...], live: dict[str, Tensor], y: int, x: int, name: str
) -> tuple[Tensor | None, Tensor | None]:
    """The products of 1×1 factors at a pixel from the first layer of ``order`` to ``name``, and from ``name`` to the last layer.

    shapes: (units of name, of the first), (of the last, of name); None for an empty product. maps: what leads to order[1], …
    """
    products: list[Tensor | None] = [None, None]
    for position, (before, after, layer) in enumerate(zip(order, order[1:], maps, strict=False)):
        side = int(position >= order.index(name))
        factor = layer.weight[:, :, 0, 0][live[after][:, y, x]][:, live[before][:, y, x]]
        so_far = products[side]
        products[side] = factor if so_far is None else factor @ so_far
    return products[0], products[1]


def _around(y: int, x: int, radius: int) -> Iterator[tuple[int, int]]:
    for down in range(-radius, radius + 1):
        for right in range(-radius, radius + 1):
            yield y + down, x + right
