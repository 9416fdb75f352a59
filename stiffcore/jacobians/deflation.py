"""From a block's sparse factors to a small dense core and the multiplicities of the eigenvalues 0 and 1.

With ``b_i`` the live units of an inner ReLU, ``a`` the live outputs (all outputs under ``branch``, and without an outer ReLU) and
``o`` those of them that D_0 lets back in (all of them in post-activation blocks),

    block:   spec(J) = {0}^(n-a) ∪ {1}^(a-r) ∪ (1 + spec(K)),   r = min(o, b1, b2)
    branch:  spec(J) = {0}^(n-r) ∪ spec(K),                     r = min(o, b1, b2)

where K is the product of the factors in the cyclic order that starts at the smallest layer: ``UV`` and ``VU`` share their
non-zero eigenvalues. Formed by locality where all factors are convolutions: K is a sum, over the pixels q of one layer, of products
of the few rows and columns that q's neighbourhood touches; else by applying the factors to the identity.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.jacobians.layers import DenseMap, ScaledConvolution
from stiffcore.jacobians.linearise import BlockState

LARGEST_BY_COLUMNS = 4096  # side of a core that is formed by applying a map to every unit vector
AT_ONCE = 64  # unit vectors pushed through a map together


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
    sizes = {name: int(mask.sum()) for name, mask in masks(state, convention).items()}
    n = geometry.n_out
    layer = layer or min(sizes, key=sizes.__getitem__)
    side, kept = sizes[layer], int(state.kept_outputs(convention).sum())
    if convention.has_skip:
        return Plan(layer, side, n, n - kept, kept - side, 1)
    return Plan(layer, side, n, n - side, 0, 0)


def form_core(state: BlockState, convention: Convention, layer: str | None = None) -> Core:
    """The core, dense and in float64, on the CPU; on another layer than the smallest where one is named.

    Raises CannotCompute for a block that is not an identity block.
    """
    planned = plan(state, convention, layer)
    factors = _local_factors(state)
    if factors is None:
        return Core(planned, _by_columns(state, convention, planned))
    matrix = torch.zeros(planned.side, planned.side, dtype=torch.float64)
    for rows, left, columns, right in factors(state.convolutions, masks(state, convention), planned.layer):
        if len(rows) and len(columns) and left.shape[1]:
            matrix[rows[:, None], columns[None, :]] += left @ right
    return Core(planned, matrix)


def _local_factors(
    state: BlockState,
) -> "Callable[[tuple[ScaledConvolution, ...], dict[str, Tensor], str], Factors] | None":
    """How the core is formed pixel by pixel; None where the layers are no such convolutions."""
    if not all(isinstance(layer, ScaledConvolution) for layer in state.layers):
        return None
    reaches = [convolution.radius for convolution in state.convolutions]
    if len(reaches) == 2 and None not in reaches:
        return _basic_factors
    return _bottleneck_factors if reaches == [0, 1, 0] else None


def _by_columns(state: BlockState, convention: Convention, planned: Plan) -> Tensor:
    """The core by applying its factors to unit vectors. Raises CannotCompute for a side that would take too long."""
    if isinstance(state.layers[0], DenseMap):
        return state.layers[0].matrix.clone()
    if planned.side > LARGEST_BY_COLUMNS:
        raise CannotCompute(
            f"Expected a side of at most {LARGEST_BY_COLUMNS:,} for all eigenvalues of a map that is not made of two or three "
            f"convolutions, got {planned.side:,}: ask for the extremes only, which need no matrix."
        )
    product = _product(state, convention, planned)
    matrix = torch.empty(planned.side, planned.side, dtype=torch.float64)
    for at in range(0, planned.side, AT_ONCE):
        chosen = range(at, min(at + AT_ONCE, planned.side))
        units = torch.zeros(len(chosen), planned.side, dtype=torch.float64)
        units[torch.arange(len(chosen)), torch.tensor(chosen)] = 1
        matrix[:, chosen] = product(units).T
    return matrix


def masks(state: BlockState, convention: Convention) -> dict[str, Tensor]:
    """The layers that a core can live on, from the first inner one to the outer one, where a block's output is its input again."""
    found = {f"inner{i + 1}": mask for i, mask in enumerate(state.inner_masks)}
    found["outer"] = state.kept_outputs(convention) & state.masks[0]
    return found


def by_pixel(state: BlockState, convention: Convention, layer: str) -> Tensor:
    """The core's units in the order of their pixels, which makes the core of a large image a band matrix. int64, shape: (side,)."""
    mask = masks(state, convention)[layer]
    if mask.ndim != 3:  # a map without pixels
        return torch.arange(int(mask.sum()))
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


def _basic_factors(layers: tuple[ScaledConvolution, ...], masks: dict[str, Tensor], layer: str) -> Factors:
    """On the inner layer K = L1 D_out L2; on the outer one K = L2 D1 L1; summed over the other's pixels."""
    first, second = layers
    other, writes, reads = ("outer", first, second) if layer == "inner1" else ("inner1", second, first)
    around = {radius: _Neighbourhood(masks[layer], radius) for radius in {writes.radius or 0, reads.radius or 0}}
    written, reading = _written(writes), _reading(reads)
    for y, x, live in _pixels(masks[other]):
        rows, above = around[writes.radius or 0].at(y, x)
        columns, below = around[reads.radius or 0].at(y, x)
        yield rows, written[above][:, live], columns, reading[live][:, below]


def _bottleneck_factors(layers: tuple[ScaledConvolution, ...], masks: dict[str, Tensor], layer: str) -> Factors:
    """K in the cyclic order that starts at ``layer``; L1 D_out L3 never leaves its pixel.

    inner1: K = (L1 D_out L3) D2 L2;   inner2: K = L2 D1 (L1 D_out L3);   outer: K = L3 D2 (L2 D1 L1).
    """
    narrow, spread, wide = layers
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
    """v -> (shift + K) v, or its transpose, computed by the layers; v: float64, shape (side,)."""
    planned = plan(state, convention)
    product = _product(state, convention, planned, transpose)
    return lambda v: planned.shift * v + product(v[None])[0]


def _product(
    state: BlockState, convention: Convention, planned: Plan, transpose: bool = False
) -> Callable[[Tensor], Tensor]:
    """V -> V Kᵀ, or V K, for vectors as rows; V: float64, shape (number, side)."""
    layers = masks(state, convention)
    order = list(layers)
    start = order.index(planned.layer)
    cycle = [order[(start + i) % len(order)] for i in range(len(order) + 1)]  # from the core's layer back to it
    maps = dict(zip(order, state.layers, strict=True))  # by the layer that each of them writes
    live = layers[planned.layer]
    steps = [(maps[after], layers[before].double(), layers[after].double()) for before, after in pairwise(cycle)]

    def product(vectors: Tensor) -> Tensor:
        x = torch.zeros(len(vectors), *live.shape, dtype=torch.float64)
        x[:, live] = vectors
        if transpose:
            for layer, before, _ in reversed(steps):
                x = layer.transpose(x, tuple(before.shape)) * before
        else:
            for layer, _, after in steps:
                x = layer(x) * after
        return x[:, live]

    return product


def to_outputs(state: BlockState, convention: Convention, y: np.ndarray) -> np.ndarray:
    """W y: from the core's layer on through the rest of the block. y: complex (side,) -> complex (n,); see modes.py."""
    planned, layers = plan(state, convention), masks(state, convention)
    order = list(layers)
    x = _placed(layers[planned.layer], y)
    first = order.index(planned.layer) + 1
    if first == len(order) and state.masks_inputs:
        first = 0  # D_0 keeps a part of the outputs from the core: they follow from one more round
    for position in range(first, len(order)):
        after = layers[order[position]] if position < len(order) - 1 else state.kept_outputs(convention)
        x = state.layers[position](x) * after
    return _complex(x)


def to_inputs(state: BlockState, convention: Convention, z: np.ndarray) -> np.ndarray:
    """D Vᵀ z: from the core's layer back to the block's inputs. z: complex (side,) -> complex (n,); see modes.py."""
    planned, layers = plan(state, convention), masks(state, convention)
    order = list(layers)
    x = _placed(layers[planned.layer], z)
    for position in reversed(range(order.index(planned.layer) + 1) if planned.layer != "outer" else ()):
        before = layers[order[position - 1]] if position else layers["outer"]
        x = state.layers[position].transpose(x, tuple(before.shape)) * before
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
