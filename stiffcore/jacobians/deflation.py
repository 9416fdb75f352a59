"""From a block's sparse factors to a small dense core and the multiplicities of the eigenvalues 0 and 1.

With ``B`` the live units of an inner ReLU and ``A`` the live outputs (all outputs under ``branch``),

    block:   spec(J) = {0}^(n-a) ∪ {1}^(a-r) ∪ (1 + spec(K)),   r = min(a, b1, b2)
    branch:  spec(J) = {0}^(n-r) ∪ spec(K),                     r = min(b1, b2)

where K is the product of the factors in the cyclic order that starts at the smallest layer:
``UV`` and ``VU`` share their non-zero eigenvalues. Formed by locality: K is a sum, over the pixels q of
one layer, of products of the few rows and columns that q's neighbourhood touches.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.jacobians.linearise import BlockState, ScaledConvolution


@dataclass(frozen=True)
class Plan:
    """The outcome of deflation, known before anything is formed."""

    layer: str  # the layer that the core lives on: "outer", "inner1" or "inner2"
    side: int
    n: int
    zeros: int  # structural multiplicity of the eigenvalue 0
    ones: int  # structural multiplicity of the eigenvalue 1
    shift: int  # eigenvalues of the Jacobian are shift + those of the core


@dataclass(frozen=True)
class Core:
    """spec(J) = {0}^zeros ∪ {1}^ones ∪ (shift + spec(matrix))."""

    plan: Plan
    matrix: Tensor  # float64, shape: (side, side), without the shift


def plan(state: BlockState, convention: Convention, layer: str | None = None) -> Plan:
    """The core's layer (the smallest, unless one is named), its side and the structural multiplicities.

    Raises CannotCompute for a block that is not an identity block: it has no eigenvalues.
    """
    geometry = state.geometry
    if not geometry.is_identity:
        raise CannotCompute(
            f"Block {geometry.block} is not an identity block ({geometry.n_out} × {geometry.n_in}) and has no eigenvalues: "
            "ask for its singular values, or use the convention slices."
        )
    sizes = {f"inner{i + 1}": live for i, live in enumerate(state.live_inner)}
    n = geometry.n_out
    if convention.masks_outputs:
        sizes["outer"] = state.live_outputs
    layer = layer or min(sizes, key=sizes.__getitem__)
    side, kept = sizes[layer], sizes.get("outer", n)
    if convention.has_skip:
        return Plan(layer, side, n, n - kept, kept - side, 1)
    return Plan(layer, side, n, n - side, 0, 0)


def form_core(state: BlockState, convention: Convention, layer: str | None = None) -> Core:
    """The core, dense and in float64, on the CPU; on another layer than the smallest where one is named.

    Raises CannotCompute for a block that is not an identity block.
    """
    planned = plan(state, convention, layer)
    masks = _masks(state, convention)
    factors = _basic_factors if len(state.convolutions) == 2 else _bottleneck_factors
    matrix = torch.zeros(planned.side, planned.side, dtype=torch.float64)
    for rows, left, columns, right in factors(state, masks, planned.layer):
        if len(rows) and len(columns) and left.shape[1]:
            matrix[rows[:, None], columns[None, :]] += left @ right
    return Core(planned, matrix)


def _masks(state: BlockState, convention: Convention) -> dict[str, Tensor]:
    masks = {f"inner{i + 1}": mask for i, mask in enumerate(state.inner_masks)}
    masks["outer"] = state.kept_outputs(convention)
    return masks


def by_pixel(state: BlockState, layer: str) -> Tensor:
    """The core's units in the order of their pixels, which makes the core of a large image a band matrix. int64, shape: (side,)."""
    mask = dict(zip(("inner1", "inner2"), state.inner_masks)).get(layer, state.outer_mask)
    _, height, width = mask.shape
    pixels = torch.arange(height * width).reshape(1, height, width).expand_as(mask)[mask]
    return torch.argsort(pixels, stable=True)


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


# rows, left, columns, right: K[rows, columns] += left @ right
Factors = Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]


def _basic_factors(state: BlockState, masks: dict[str, Tensor], layer: str) -> Factors:
    """On the inner layer K = A1 D_out A2; on the outer one K = A2 D1 A1; summed over the other's pixels."""
    first, second = state.convolutions
    other, writes, reads = ("outer", first, second) if layer == "inner1" else ("inner1", second, first)
    window = _Neighbourhood(masks[layer], radius=1)
    written, reading = _written(writes), _reading(reads)
    for y, x, live in _pixels(masks[other]):
        places, local = window.at(y, x)
        yield places, written[local][:, live], places, reading[live][:, local]


def _bottleneck_factors(state: BlockState, masks: dict[str, Tensor], layer: str) -> Factors:
    """K in the cyclic order that starts at ``layer``; A1 D_out A3 never leaves its pixel.

    inner1: K = (A1 D_out A3) D2 A2;   inner2: K = A2 D1 (A1 D_out A3);   outer: K = A3 D2 (A2 D1 A1).
    """
    narrow, spread, wide = state.convolutions
    a1, a3 = narrow.weight[:, :, 0, 0], wide.weight[:, :, 0, 0]  # shapes: (c, 4c), (4c, c)
    here = {name: _Neighbourhood(mask, radius=0) for name, mask in masks.items()}
    around = {name: _Neighbourhood(mask, radius=1) for name, mask in masks.items()}
    through_outer = _at_each_pixel(a1, masks["outer"], a3)
    if layer == "inner1":
        reading = _reading(spread)
        for y, x, live in _pixels(masks["inner2"]):
            rows, local = here["inner1"].at(y, x)
            columns, near = around["inner1"].at(y, x)
            yield rows, through_outer(y, x)[local][:, live], columns, reading[live][:, near]
    elif layer == "inner2":
        written = _written(spread)
        for y, x, live in _pixels(masks["inner1"]):
            rows, near = around["inner2"].at(y, x)
            columns, local = here["inner2"].at(y, x)
            yield rows, written[near][:, live], columns, through_outer(y, x)[live][:, local]
    else:
        yield from _bottleneck_outer_factors(spread, a1, a3, masks, here["outer"])


def _at_each_pixel(a1: Tensor, outer: Tensor, a3: Tensor) -> Callable[[int, int], Tensor]:
    """(y, x) -> A1 D_out A3 at that pixel. shape: (c, c)."""
    everything = a1 @ a3 if bool(outer.all()) else None  # the same at each pixel under branch

    def product(y: int, x: int) -> Tensor:
        if everything is not None:
            return everything
        live = outer[:, y, x]
        return a1[:, live] @ a3[live]

    return product


def _bottleneck_outer_factors(
    spread: ScaledConvolution, a1: Tensor, a3: Tensor, masks: dict[str, Tensor], here: _Neighbourhood
) -> Factors:
    """K = A3 D2 (A2 D1 A1), for the rare case that the outer layer has the fewest live units."""
    for y, x, live in _pixels(masks["inner1"]):
        columns, local = here.at(y, x)
        for down in (-1, 0, 1):
            for right in (-1, 0, 1):
                if not (0 <= y + down < masks["inner2"].shape[1] and 0 <= x + right < masks["inner2"].shape[2]):
                    continue
                rows, out = here.at(y + down, x + right)
                second = masks["inner2"][:, y + down, x + right]
                kernel = spread.weight[:, :, 1 - down, 1 - right]
                yield rows, a3[out][:, second] @ kernel[second][:, live], columns, a1[live][:, local]


def core_product(state: BlockState, convention: Convention, transpose: bool = False) -> Callable[[Tensor], Tensor]:
    """v -> (shift + K) v, or its transpose, computed by the convolutions; v: float64, shape (side,)."""
    planned = plan(state, convention)
    masks = _masks(state, convention)
    order: list[str] = [name for name in ("inner1", "inner2", "outer") if name in masks]
    start = order.index(planned.layer)
    cycle = [order[(start + i) % len(order)] for i in range(len(order) + 1)]  # from the core's layer back to it
    convolutions = dict(zip(order, state.convolutions, strict=True))  # by the layer that each of them writes
    live = masks[planned.layer]
    steps = [(convolutions[after], masks[before].double(), masks[after].double()) for before, after in pairwise(cycle)]

    def product(v: Tensor) -> Tensor:
        x = torch.zeros(live.shape, dtype=torch.float64)
        x[live] = v
        x = x[None]
        if transpose:
            for convolution, before, _ in reversed(steps):
                x = convolution.transpose(x, before.shape[-1]) * before
        else:
            for convolution, _, after in steps:
                x = convolution(x) * after
        return planned.shift * v + x[0][live]

    return product


def to_outputs(state: BlockState, convention: Convention, y: np.ndarray) -> np.ndarray:
    """W y: from the core's layer on through the rest of the block. y: complex (side,) -> complex (n,); see modes.py."""
    planned, masks = plan(state, convention), _masks(state, convention)
    order = list(masks)
    x = _placed(masks[planned.layer], y)
    for position in range(order.index(planned.layer) + 1, len(order)):
        x = state.convolutions[position](x) * masks[order[position]]
    return _complex(x)


def to_inputs(state: BlockState, convention: Convention, z: np.ndarray) -> np.ndarray:
    """D Vᵀ z: from the core's layer back to the block's inputs. z: complex (side,) -> complex (n,); see modes.py."""
    planned, masks = plan(state, convention), _masks(state, convention)
    order = list(masks)
    x = _placed(masks[planned.layer], z)
    for position in reversed(range(order.index(planned.layer) + 1) if planned.layer != "outer" else ()):
        before = masks[order[position - 1]] if position else masks["outer"]
        x = state.convolutions[position].transpose(x, before.shape[-1]) * before
    return _complex(x)


def _placed(mask: Tensor, values: np.ndarray) -> Tensor:
    """Complex values at a layer's live units, as two real images. shape: (2, C, H, W)"""
    x = torch.zeros(2, *mask.shape, dtype=torch.float64)
    x[:, mask] = torch.from_numpy(np.stack([values.real, values.imag]))
    return x


def _complex(x: Tensor) -> np.ndarray:
    real, imaginary = x.flatten(1).numpy()
    values: np.ndarray = real + 1j * imaginary
    return values
