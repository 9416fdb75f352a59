"""A core formed by a few large products over all pixels at once, for a card, where the small ones of `formation` wait for their launches.

Masks are factors 0 and 1; the core's units are taken out as rows before the products, and as columns behind them. By the offset d between
the pixels p and q = p + d of a row and a column, every entry is one sum:

    two k×k layers     K[p, q] = Σ_r W(r − p) D(r) R(q − r)        one product of the rows (side × k·k·C) with all offsets' weights
    one k×k layer      K[p, q] = X(p) L(d) Y(q)                    X, Y: rows through the 1×1 layers, then batched over the pixels

W writes the core's layer, R reads it, D masks the layer between. The same entries as `formation`'s up to rounding.
"""

from itertools import product

import torch
from torch import Tensor, nn

from stiffcore.jacobians import cycle
from stiffcore.jacobians.layers import ScaledConvolution
from stiffcore.jacobians.linearise import BlockState

ENTRIES_AT_ONCE = 2**25  # of the core: with their places 0.5 GB
PIXELS_AT_ONCE = 1024  # whose blocks exist together: those of 64 units and channels take 30 MB each


def matrix(state: BlockState, live: dict[str, Tensor], layers: tuple[str, ...]) -> Tensor | None:
    """The core, float64 (side, side), on the state's device; None where the layers are no such convolutions. Arguments as in ``formation``."""
    if not all(isinstance(layer, ScaledConvolution) and layer.radius is not None for layer in state.layers):
        return None
    convolutions = state.convolutions
    if sum(convolution.radius != 0 for convolution in convolutions) <= 1:
        return _one_wide(convolutions, live, layers)
    return _two_wide(convolutions, live, layers[0]) if len(convolutions) == 2 else None


class _Units:
    """The units that a core lives on: layer by layer, each in the order (C, H, W)."""

    def __init__(self, masks: dict[str, Tensor]):
        self.masks = masks
        places = {name: mask.nonzero() for name, mask in masks.items()}  # channel, y, x of each unit
        _, self.height, self.width = next(iter(masks.values())).shape
        self.side = sum(len(found) for found in places.values())
        self.channel, self.y, self.x = torch.cat(list(places.values())).T
        self.pixel = self.y * self.width + self.x

    def shifted(self, chosen: Tensor, down: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        """The pixels beside each chosen unit's own, and whether they are in the image. chosen: (rows, 1); down, right: (offsets,)."""
        y, x = self.y[chosen] + down, self.x[chosen] + right
        inside = (y >= 0) & (y < self.height) & (x >= 0) & (x < self.width)
        return torch.where(inside, y * self.width + x, 0), inside


def _offsets(radius: int) -> range:
    return range(-radius, radius + 1)


def _two_wide(layers: tuple[ScaledConvolution, ...], live: dict[str, Tensor], layer: str) -> Tensor:
    """K = W D R of two layers that both reach beyond their pixel; on the inner layer W = L1, R = L2, on the outer one the reverse."""
    first, second = layers
    other, writes, reads = ("outer", first, second) if layer == "inner1" else ("inner1", second, first)
    units, between = _Units({layer: live[layer]}), live[other]
    entries = between.new_zeros(units.side**2, dtype=torch.float64)
    number = torch.full(live[layer].shape, -1, device=entries.device)  # of a unit in the core
    number[live[layer]] = torch.arange(units.side, device=entries.device)
    number = number.flatten(1).T.contiguous()  # shape: (pixels, C)
    windows = _windows(between.double(), writes.radius or 0)
    weights = writes.weight.permute(0, 2, 3, 1)  # (C, k, k, C_other)
    offsets, onward = _onward(reads.weight, writes.radius or 0, units)
    at_once = max(1, ENTRIES_AT_ONCE // max(1, onward.shape[1]))
    for rows in torch.arange(units.side, device=entries.device).split(at_once):
        masked = weights[units.channel[rows]] * windows[units.pixel[rows]]  # (rows, k, k, C_other)
        values = masked.flatten(1) @ onward
        near, inside = units.shifted(rows[:, None], *offsets)  # (rows, offsets)
        columns = torch.where(inside[:, :, None], number[near], -1).flatten(1)
        here = (columns >= 0).flatten().nonzero()[:, 0]
        places = (rows[:, None] * units.side + columns).flatten()[here]
        entries[places] = values.flatten()[here]
    return entries.view(units.side, units.side)


def _onward(weight: Tensor, radius: int, units: _Units) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """The offsets q − p within the image, and R from every place r − p of a window of this radius to all of them, as one matrix.

    One product with many zeros is quicker than one for each offset, which would wait for its launch. weight: of R. shapes: two of
    (offsets,), and (k·k·C_other, offsets · C).
    """
    second = weight.shape[-1] // 2
    high, wide = (min(radius + second, side - 1) for side in (units.height, units.width))
    down, right = _grid(high, wide, weight.device).T
    window = _grid(radius, radius, weight.device)
    y, x = down - window[:, :1] + second, right - window[:, 1:] + second  # the place in R's kernel; (k·k, offsets)
    size = weight.shape[-1]
    inside = (y >= 0) & (y < size) & (x >= 0) & (x < size)
    kernel = weight.permute(2, 3, 0, 1).flatten(0, 1)  # (places, C_other, C)
    kernel = torch.cat([kernel, torch.zeros_like(kernel[:1])])  # the last one for offsets out of reach
    found = kernel[torch.where(inside, y * size + x, size**2)]
    return (down, right), found.permute(0, 2, 1, 3).reshape(-1, len(down) * weight.shape[1])


def _grid(high: int, wide: int, where: torch.device) -> Tensor:
    """All steps of at most ``high`` rows and ``wide`` columns. int64, shape: (steps, 2)."""
    ranges = (torch.arange(-size, size + 1, device=where) for size in (high, wide))
    return torch.cartesian_prod(*ranges)


def _windows(mask: Tensor, radius: int) -> Tensor:
    """The mask in the window around each pixel, 0 beyond the image. float64 (C, H, W) -> (pixels, k, k, C)."""
    channels, kernel = len(mask), 2 * radius + 1
    found = nn.functional.unfold(mask[None], kernel, padding=radius)[0]
    return found.reshape(channels, kernel, kernel, -1).permute(3, 1, 2, 0).contiguous()


def _one_wide(layers: tuple[ScaledConvolution, ...], live: dict[str, Tensor], group: tuple[str, ...]) -> Tensor:
    """K[p, q] = X(p) L(q − p) Y(q): L is the only layer that reaches beyond its pixel; see ``formation._between_pixels``."""
    names = list(live)
    at = next((i for i, layer in enumerate(layers) if layer.radius), names.index(group[0]))
    order, maps = names[at:] + names[:at], layers[at + 1 :] + layers[:at]
    spread, radius = layers[at], layers[at].radius or 0
    units = _Units(cycle.narrowest(live, group))
    into, out_of = _at_units(order, maps, live, units)
    slots = _slots(units)  # shape: (pixels, most units of one)
    core = into.new_zeros(units.side, units.side)
    pixels = torch.arange(units.height * units.width, device=core.device)
    y, x = pixels // units.width, pixels % units.width
    from_there = torch.cat([out_of, out_of.new_zeros(1, out_of.shape[1])])  # the last one for slots without a unit
    for down, right in product(_offsets(radius), repeat=2):
        inside = (y + down >= 0) & (y + down < units.height) & (x + right >= 0) & (x + right < units.width)
        here = pixels[inside]
        there = here + down * units.width + right
        spread_rows = into @ spread.weight[:, :, down + radius, right + radius]
        spread_rows = torch.cat([spread_rows, spread_rows.new_zeros(1, spread_rows.shape[1])])
        for part, other in zip(here.split(PIXELS_AT_ONCE), there.split(PIXELS_AT_ONCE), strict=True):
            rows, columns = slots[part], slots[other]
            values = spread_rows[rows] @ from_there[columns].mT
            both = (rows >= 0)[:, :, None] & (columns >= 0)[:, None, :]
            pixel, i, j = both.nonzero(as_tuple=True)
            core[rows[pixel, i], columns[pixel, j]] = values[pixel, i, j]
    return core


def _at_units(
    order: list[str], maps: tuple[ScaledConvolution, ...], live: dict[str, Tensor], units: _Units
) -> tuple[Tensor, Tensor]:
    """The rows of X and the columns of Y that belong to the core's units, as rows. shapes: (side, C of order[0]), (side, C of order[-1])."""
    factors = [layer.weight[:, :, 0, 0] for layer in maps[: len(order) - 1]]  # from order[i] to order[i + 1]
    masks = [live[name].flatten(1).T.double() for name in order]  # (pixels, C)
    into, out_of, before = [], [], 0
    for name, mask in units.masks.items():
        number, place = int(mask.sum()), order.index(name)
        channel, pixel = units.channel[before : before + number], units.pixel[before : before + number]
        before += number
        row = column = nn.functional.one_hot(channel, len(mask)).double()
        for i in range(place, 0, -1):  # eᵀ X: back to the layer that L writes
            row = (factors[i - 1][channel] if i == place else row @ factors[i - 1]) * masks[i - 1][pixel]
        for i in range(place, len(order) - 1):  # Y e: onward to the layer that L reads
            column = (factors[i].T[channel] if i == place else column @ factors[i].T) * masks[i + 1][pixel]
        into.append(row)
        out_of.append(column)
    return torch.cat(into), torch.cat(out_of)


def _slots(units: _Units) -> Tensor:
    """The numbers of each pixel's units, and −1 behind them. int64, shape: (pixels, most units of one pixel, at least 1)."""
    pixels = units.height * units.width
    counts = torch.bincount(units.pixel, minlength=pixels)
    order = torch.argsort(units.pixel, stable=True)
    first = torch.cumsum(counts, 0) - counts
    place = torch.arange(units.side, device=order.device) - first[units.pixel[order]]
    slots = torch.full((pixels, max(1, int(counts.max()))), -1, device=order.device)
    slots[units.pixel[order], place] = order
    return slots
