"""A core formed by a few large products over all pixels at once, for a card, where the small ones of `formation` wait for their launches.

Masks are factors 0 and 1; the core's units are taken out as rows before the products, and as columns behind them. By the offset d between
the pixels p and q = p + d of a row and a column, every entry is one sum:

    two k×k layers     K[p, q] = Σ_r W(r − p) D(r) R(q − r)        one product of the rows (side × pairs of offsets · C) with weights
    one k×k layer      K[p, q] = X(p) L(d) Y(q)                    X, Y: rows through the 1×1 layers, then batched over the pixels

W writes the core's layer, R reads it, D masks the layer between. The same entries as `formation`'s up to rounding.
"""

from collections.abc import Iterator
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

    def shifted(self, chosen: Tensor, down: int, right: int) -> tuple[Tensor, Tensor]:
        """The pixel beside each chosen unit's own, and whether it is in the image. int64 and bool, shape: (chosen,)."""
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
    core = between.new_zeros(units.side, units.side, dtype=torch.float64)
    number = torch.full(live[layer].shape, -1, device=core.device)  # of a unit in the core
    number[live[layer]] = torch.arange(units.side, device=core.device)
    number = number.flatten(1).T.contiguous()  # shape: (pixels, C)
    windows = _windows(between.double(), writes.radius or 0)
    weights = writes.weight.permute(0, 2, 3, 1)  # (C, k, k, C_other)
    offsets = list(_by_offset(writes.radius or 0, reads.radius or 0, units.height, units.width))
    at_once = max(1, ENTRIES_AT_ONCE // (len(offsets) * len(live[layer])))
    for rows in torch.arange(units.side, device=core.device).split(at_once):
        masked = weights[units.channel[rows]] * windows[units.pixel[rows]]  # (rows, k, k, C_other)
        columns, values = [], []
        for down, right, pairs in offsets:
            near, inside = units.shifted(rows, down, right)
            columns.append(torch.where(inside[:, None], number[near], -1))  # (rows, C)
            left = torch.stack([masked[:, a, b] for (a, b), _ in pairs], 1).flatten(1)
            values.append(left @ torch.cat([reads.weight[:, :, a, b] for _, (a, b) in pairs]))
        place = torch.stack(columns, 1).flatten(1)
        here = place >= 0
        core.view(-1)[(rows[:, None] * units.side + place)[here]] = torch.stack(values, 1).flatten(1)[here]
    return core


def _windows(mask: Tensor, radius: int) -> Tensor:
    """The mask in the window around each pixel, 0 beyond the image. float64 (C, H, W) -> (pixels, k, k, C)."""
    channels, kernel = len(mask), 2 * radius + 1
    found = nn.functional.unfold(mask[None], kernel, padding=radius)[0]
    return found.reshape(channels, kernel, kernel, -1).permute(3, 1, 2, 0).contiguous()


def _by_offset(
    first: int, second: int, height: int, width: int
) -> Iterator[tuple[int, int, list[tuple[tuple[int, int], tuple[int, int]]]]]:
    """Each offset q − p = (r − p) + (q − r) within the image of two steps within the radii, and the places of all such steps in the two
    kernels."""
    steps = {radius: list(product(_offsets(radius), repeat=2)) for radius in (first, second)}
    for down, right in product(_offsets(first + second), repeat=2):
        pairs = [
            ((a[0] + first, a[1] + first), (down - a[0] + second, right - a[1] + second))
            for a in steps[first]
            if (down - a[0], right - a[1]) in steps[second]
        ]
        if abs(down) < height and abs(right) < width:
            yield down, right, pairs


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
