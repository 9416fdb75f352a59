"""A residual block's structure, checked against the block itself: J v by our operators and by automatic differentiation."""

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.jacobians import layers, linearise, operator, structure as structures
from stiffcore.jacobians.structure import Structure
from stiffcore.networks.geometry import BlockGeometry

AGREE = 1e-10  # relative, of J v by our operators and by automatic differentiation, both float64
CHECKS = 3  # random inputs and directions


def structure(block: nn.Module, geometry: BlockGeometry) -> Structure:
    """The reading of a block's parts whose Jacobian is the block's own, at three random inputs and directions.

    Raises CannotCompute where none is: another activation, squeeze-and-excitation, a skip that keeps the shape but is not the
    identity. Such a block is a map like any other.
    """
    double = copy.deepcopy(block).double().cpu().eval()
    nearest = "it has no two convolutions in a row"
    for reading, twin in zip(_readings(block, geometry), _readings(double, geometry), strict=True):
        if reading.skip is not None and geometry.is_identity:
            nearest = "its skip keeps the shape but is not the identity"
            continue
        try:
            apart = max(_difference(double, twin, geometry, seed) for seed in range(CHECKS))
        except (AttributeError, RuntimeError, TypeError, ValueError, IndexError) as error:
            nearest = f"it cannot be linearised ({error!s:.120})"
            continue
        if apart <= AGREE:
            return reading
        nearest = f"its Jacobian differs from the formula's by {apart:.1e}"
    raise CannotCompute(
        f"Expected block {geometry.block} to consist of convolutions, batch norms and ReLUs with a skip, got another kind "
        f"({nearest}): analyse it as a general map."
    )


def _readings(block: nn.Module, geometry: BlockGeometry) -> list[Structure]:
    return list(structures.readings(block, geometry.input_shape[0], geometry.output_shape[0]))


def _difference(block: nn.Module, reading: Structure, geometry: BlockGeometry, seed: int) -> float:
    """‖J v − J v‖ / ‖J v‖ in both ways, at a random input. block: in float64."""
    random = torch.Generator().manual_seed(1000 * geometry.block + seed)
    x, v = (torch.randn(geometry.input_shape, generator=random, dtype=torch.float64) for _ in range(2))
    state, output = linearise.linearise(reading, geometry, x)
    function: Callable[[Tensor], Tensor] = lambda image: block(image[None])[0]  # noqa: E731
    value, theirs = layers.jvp(function, x, v)
    ours = operator.apply(state, Convention.BLOCK, v.flatten()[None])[0]
    return max(_apart(ours, theirs.detach().flatten()), _apart(output, value.detach()))


def _apart(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm().clamp_min(1e-300))
