"""From a block's sparse factors to a small dense core and the multiplicities of the eigenvalues 0 and 1.

With ``b_i(p)`` the live units of an inner ReLU at pixel p, ``a`` the live outputs (all outputs under ``branch``, and without an outer
ReLU) and ``o(p)`` those of them at p that D_0 lets back in (all of them in post-activation blocks),

    block:   spec(J) = {0}^(n-a) ∪ {1}^(a-r) ∪ (1 + spec(K))
    branch:  spec(J) = {0}^(n-r) ∪ spec(K)

where K is the product of the factors once around the cycle of layers, from the narrowest place on, and r its side: ``UV`` and ``VU``
share their non-zero eigenvalues. Layers that 1×1 factors join are cut pixel by pixel (see ``cycle``):

    basic blocks: r = min(o, b1)        bottlenecks: r = Σ_p min(o(p), b1(p), b2(p))

K is formed by locality where all factors are convolutions: a sum, over the pixels of one layer, of products of the few rows and columns
that a pixel's neighbourhood touches; else by applying the factors to the identity.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.jacobians import cycle
from stiffcore.jacobians.cycle import Cycle
from stiffcore.jacobians.layers import DenseMap, ScaledConvolution
from stiffcore.jacobians.linearise import BlockState

LARGEST_BY_COLUMNS = 4096  # side of a core that is formed by applying a map to every unit vector
DENSE_BELOW = 4  # times the convolutions' weights; a core with fewer entries is the faster operator (measured)
AT_ONCE = 64  # unit vectors pushed through a map together


@dataclass(frozen=True)
class Plan:
    """The outcome of deflation, known before anything is formed."""

    layers: tuple[
        str, ...
    ]  # that the core lives on, "inner1", "inner2" … or "outer": at each pixel on the narrowest of them
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


def plan(state: BlockState, convention: Convention, layers: tuple[str, ...] | None = None) -> Plan:
    """The core's layers (the narrowest group, unless joined ones are named), its side and the structural multiplicities.

    Raises CannotCompute for a block that is not an identity block: it has no eigenvalues.
    """
    geometry = state.geometry
    if not geometry.is_identity:
        raise CannotCompute(
            f"Block {geometry.block} is not an identity block ({geometry.n_out} × {geometry.n_in}) and has no eigenvalues: "
            "ask for its singular values, or use the convention slices."
        )
    live = cycle.masks(state, convention)
    groups = [layers] if layers else cycle.joined(state)
    sizes = {group: sum(int(mask.sum()) for mask in cycle.narrowest(live, group).values()) for group in groups}
    group = min(sizes, key=sizes.__getitem__)
    n, side, kept = geometry.n_out, sizes[group], int(state.kept_outputs(convention).sum())
    if convention.has_skip:
        return Plan(group, side, n, n - kept, kept - side, 1)
    return Plan(group, side, n, n - side, 0, 0)


def form_core(state: BlockState, convention: Convention, layers: tuple[str, ...] | None = None) -> Core:
    """The core, dense and in float64, on the CPU; on other layers than the narrowest where joined ones are named.

    Raises CannotCompute for a block that is not an identity block.
    """
    planned = plan(state, convention, layers)
    factors = _local_factors(state, cycle.masks(state, convention), planned.layers)
    if factors is None:
        return Core(planned, _by_columns(state, convention, planned))
    matrix = torch.zeros(planned.side, planned.side, dtype=torch.float64)
    for rows, columns, values in factors:
        matrix[rows[:, None], columns[None, :]] += values
    return Core(planned, matrix)


# rows, columns, values: K[rows, columns] += values
Parts = Iterator[tuple[Tensor, Tensor, Tensor]]


def _local_factors(state: BlockState, live: dict[str, Tensor], layers: tuple[str, ...]) -> Parts | None:
    """The core in parts, pixel by pixel; None where the layers are no such convolutions."""
    if not all(isinstance(layer, ScaledConvolution) and layer.radius is not None for layer in state.layers):
        return None
    convolutions = state.convolutions
    wide = sum(convolution.radius != 0 for convolution in convolutions)
    if wide <= 1:
        return _between_pixels(convolutions, live, layers)
    return _basic_parts(convolutions, live, layers[0]) if len(convolutions) == 2 else None


def _by_columns(state: BlockState, convention: Convention, planned: Plan) -> Tensor:
    """The core by applying its factors to unit vectors. Raises CannotCompute for a side that would take too long."""
    if isinstance(state.layers[0], DenseMap):
        return state.layers[0].matrix.clone()
    if planned.side > LARGEST_BY_COLUMNS:
        raise CannotCompute(
            f"Expected a side of at most {LARGEST_BY_COLUMNS:,} for all eigenvalues of a map that is not made of two or three "
            f"convolutions, got {planned.side:,}: ask for the extremes only, which need no matrix."
        )
    product = Cycle(state, convention, planned.layers).product
    matrix = torch.empty(planned.side, planned.side, dtype=torch.float64)
    for at in range(0, planned.side, AT_ONCE):
        chosen = range(at, min(at + AT_ONCE, planned.side))
        units = torch.zeros(len(chosen), planned.side, dtype=torch.float64)
        units[torch.arange(len(chosen)), torch.tensor(chosen)] = 1
        matrix[:, chosen] = product(units).T
    return matrix


def core_product(state: BlockState, convention: Convention, transpose: bool = False) -> Callable[[Tensor], Tensor]:
    """v -> (shift + K) v, or its transpose, computed by the layers; v: float64, shape (side,)."""
    planned = plan(state, convention)
    around = Cycle(state, convention, planned.layers)
    product = around.transposed if transpose else around.product
    return lambda v: planned.shift * v + product(v[None])[0]


def is_quicker_dense(state: BlockState, side: int) -> bool:
    """Whether a dense core of this side is a faster operator than the block's layers."""
    return side**2 < DENSE_BELOW * sum(layer.cost for layer in state.layers)


def quickest_product(
    state: BlockState, convention: Convention, core: Core, transpose: bool = False
) -> Callable[[Tensor], Tensor]:
    """As ``core_product``, by the faster of two operators: the dense core or the layers."""
    if not is_quicker_dense(state, core.plan.side):
        return core_product(state, convention, transpose)
    matrix, shift = core.matrix.T if transpose else core.matrix, core.plan.shift
    return lambda v: torch.addmv(v, matrix, v, beta=shift)


def by_pixel(state: BlockState, convention: Convention, layers: tuple[str, ...]) -> Tensor:
    """The core's units in the order of their pixels, which makes the core of a large image a band matrix. int64, shape: (side,)."""
    around = Cycle(state, convention, layers)
    if any(mask.ndim != 3 for mask in around.units.values()):  # a map without pixels
        return torch.arange(sum(int(mask.sum()) for mask in around.units.values()))
    return torch.argsort(around.pixels(), stable=True)


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
