"""From a block's sparse factors to a small dense core and the multiplicities of the eigenvalues 0 and 1.

With ``b_i(p)`` the live units of an inner ReLU at pixel p, ``a`` the live outputs (all outputs under ``branch``, and without an outer
ReLU) and ``o(p)`` those of them at p that D_0 lets back in (all of them in post-activation blocks),

    block:   spec(J) = {0}^(n-a) ∪ {1}^(a-r) ∪ (1 + spec(K))
    branch:  spec(J) = {0}^(n-r) ∪ spec(K)

where K is the product of the factors once around the cycle of layers, from the narrowest place on, and r its side: ``UV`` and ``VU``
share their non-zero eigenvalues. Layers that 1×1 factors join are cut pixel by pixel (see ``cycle``):

    basic blocks: r = min(o, b1)        bottlenecks: r = Σ_p min(o(p), b1(p), b2(p))

K is formed by locality where all factors are convolutions (see ``formation``, on a card ``batched_formation``), else by applying the
factors to the identity.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from stiffcore.conventions import Convention
from stiffcore.device import CPU
from stiffcore.errors import CannotCompute
from stiffcore.jacobians import batched_formation, cycle, formation
from stiffcore.jacobians.cycle import Cycle
from stiffcore.jacobians.layers import DenseMap
from stiffcore.jacobians.linearise import BlockState

LARGEST_BY_COLUMNS = 4096  # side of a core that is formed by applying a map to every unit vector
DENSE_BELOW = 4  # times the convolutions' weights; a core with fewer entries is the faster operator (measured)
DENSE_ON_CARD = 11_000  # side; reading 1 GB takes an H100 as long as launching a block's layers, 0.3 ms
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
    """The core, dense and in float64, on the state's device; on other layers than the narrowest where joined ones are named.

    Raises CannotCompute for a block that is not an identity block.
    """
    planned = plan(state, convention, layers)
    if state.device != CPU:
        found = batched_formation.matrix(state, cycle.masks(state, convention), planned.layers)
        return Core(planned, _by_columns(state, convention, planned) if found is None else found)
    factors = formation.local_parts(state, cycle.masks(state, convention), planned.layers)
    if factors is None:
        return Core(planned, _by_columns(state, convention, planned))
    matrix = torch.zeros(planned.side, planned.side, dtype=torch.float64)
    for rows, columns, values in factors:
        matrix[rows[:, None], columns[None, :]] += values
    return Core(planned, matrix)


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
    matrix = torch.empty(planned.side, planned.side, dtype=torch.float64, device=state.device)
    for at in range(0, planned.side, AT_ONCE):
        chosen = range(at, min(at + AT_ONCE, planned.side))
        units = matrix.new_zeros(len(chosen), planned.side)
        units.diagonal(at).fill_(1)
        matrix[:, at : at + len(chosen)] = product(units).T
    return matrix


def core_product(state: BlockState, convention: Convention, transpose: bool = False) -> Callable[[Tensor], Tensor]:
    """v -> (shift + K) v, or its transpose, computed by the layers; v: float64, shape (side,)."""
    planned = plan(state, convention)
    around = Cycle(state, convention, planned.layers)
    product = around.transposed if transpose else around.product
    return lambda v: planned.shift * v + product(v[None])[0]


def is_quicker_dense(state: BlockState, side: int) -> bool:
    """Whether a dense core of this side is a faster operator than the block's layers."""
    if state.device != CPU:
        return side <= DENSE_ON_CARD
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
        return torch.arange(sum(around.sizes), device=state.device)
    return torch.argsort(around.pixels(), stable=True)
