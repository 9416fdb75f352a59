"""A module in memory -> a ``Network``: its structure is recognised, and our formulas are checked against the module."""

import copy
import hashlib
from collections.abc import Callable, Sequence
from types import ModuleType

import torch
from torch import Tensor, nn

from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.images.labels import LABELS
from stiffcore.jacobians import linearise, operator
from stiffcore.networks import resnets
from stiffcore.networks.geometry import BlockGeometry
from stiffcore.networks.network import Network, Preprocessing
from stiffcore.torchvision_compat import torchvision

STEM = ("conv1", "bn1", "maxpool", "layer1", "layer2", "layer3", "layer4")
AGREE = 1e-10  # relative, of J v by our operators and by automatic differentiation, both float64


class _InMemory:
    """Returns its module. Another process that receives it imports torchvision before the module."""

    def __init__(self, module: nn.Module):
        self._module = module

    def __call__(self) -> nn.Module:
        return self._module

    def __reduce__(self) -> tuple[Callable[..., "_InMemory"], tuple[object, ...]]:
        for part in self._module.modules():
            if type(part).__module__ == "__main__":
                raise CannotCompute(
                    f"{type(part).__name__} is defined in this script or notebook, which other processes do not import: move "
                    "it to a module, or give workers=1."
                )
        return _arrived, (_TorchvisionFirst(), self._module)


class _TorchvisionFirst:
    """Imports torchvision through torchvision_compat in the receiving process, before the module's class imports it directly."""

    def __reduce__(self) -> tuple[Callable[[], ModuleType], tuple[()]]:
        return torchvision, ()


def _arrived(_: ModuleType, module: nn.Module) -> _InMemory:
    return _InMemory(module)


def network(
    module: nn.Module, name: str, preprocessing: Preprocessing, classes: Sequence[str] | None = None
) -> Network:
    """The network of a module with the structure of torchvision's ``ResNet``; a copy, in evaluation mode and float32.

    Two checks in float64: J v of every block at a random input, our operators against ``torch.func.jvp``; and every block's
    input in a forward pass, ours against the module's. Raises CannotCompute for another structure, and if the two differ.
    """
    if not isinstance(module, nn.Module) or not all(hasattr(module, part) for part in STEM):
        raise CannotCompute(
            f"Expected a module with the structure of torchvision's ResNet ({', '.join(STEM)}), got {type(module).__name__}: "
            "build the network with these parts."
        )
    kept = copy.deepcopy(module).eval().float().cpu().requires_grad_(False)
    blocks = linearise.residual_blocks(kept)
    side = preprocessing.image_size
    try:
        geometries = tuple(_geometries(kept, blocks, torch.zeros(1, 3, side, side)))
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        raise CannotCompute(
            f"Expected a module that takes RGB images of {side} × {side} pixels, got one that fails on them ({error!s:.120}): "
            "give image_size, or build the network for such images."
        ) from error
    for block, geometry in zip(blocks, geometries, strict=True):
        _check(block, geometry)
    _check_inputs(kept, geometries, side)
    scores = kept(torch.zeros(1, 3, side, side)).shape[1]
    names = tuple(classes) if classes else LABELS if scores == len(LABELS) else tuple(map(str, range(scores)))
    if len(names) != scores:
        raise CannotCompute(
            f"Expected the names of {scores} classes, got {len(names)}: name each score of the network."
        )
    tensors = resnets.tensors_sha256(kept.state_dict())
    sha256 = hashlib.sha256(
        f"{tensors} {kept}".encode()
    ).hexdigest()  # the module's text contains strides, pooling and eps
    return Network(name, sha256, geometries, _InMemory(kept), preprocessing, names, name)


def _geometries(module: nn.Module, blocks: list[nn.Module], image: Tensor) -> list[BlockGeometry]:
    """The blocks' sizes, recorded in one forward pass."""
    outputs: dict[nn.Module, tuple[int, int, int]] = {}
    watched = [layer for block in blocks for layer in (block, *_convolutions(block))]
    hooks = [
        layer.register_forward_hook(lambda layer, _, out: outputs.update({layer: _shape(out)})) for layer in watched
    ]
    inputs: dict[nn.Module, tuple[int, int, int]] = {}
    hooks += [
        block.register_forward_pre_hook(lambda block, x: inputs.update({block: _shape(x[0])})) for block in blocks
    ]
    with torch.no_grad():
        module(image)
    for hook in hooks:
        hook.remove()
    geometries = []
    for number, block in enumerate(blocks, 1):
        inner = tuple(outputs[layer] for layer in _convolutions(block)[:-1])
        kind = "bottleneck" if len(inner) == 2 else "basic"
        stride = inputs[block][-1] // outputs[block][-1]
        geometries.append(BlockGeometry(number, kind, stride, inputs[block], inner, outputs[block]))
    return geometries


def _shape(batch: Tensor) -> tuple[int, int, int]:
    _, channels, height, width = batch.shape
    return channels, height, width


def _convolutions(block: nn.Module) -> list[nn.Module]:
    return [getattr(block, f"conv{i}") for i in (1, 2, 3) if hasattr(block, f"conv{i}")]


def _check(block: nn.Module, geometry: BlockGeometry) -> None:
    """Compare J v of the block at a random input in both ways; a skip that keeps the shape must be the identity."""
    random = torch.Generator().manual_seed(geometry.block)
    x, v = (torch.randn(geometry.input_shape, generator=random, dtype=torch.float64) for _ in range(2))
    double = copy.deepcopy(block).double()
    try:
        state, _ = linearise.linearise(double, geometry, x)
    except (AttributeError, RuntimeError, TypeError, ValueError) as error:
        raise CannotCompute(_unlike(geometry, f"it cannot be linearised ({error})")) from error
    if geometry.is_identity and state.skip is not None:
        raise CannotCompute(_unlike(geometry, "its skip keeps the shape but is not the identity"))
    theirs = torch.func.jvp(lambda image: double(image[None])[0], (x,), (v,))[1]
    ours = operator.apply(state, Convention.BLOCK, v.flatten()[None])[0]
    difference = float((ours - theirs.flatten()).norm() / theirs.norm().clamp_min(1e-300))
    if not difference <= AGREE:
        raise CannotCompute(_unlike(geometry, f"its Jacobian differs from the formula's by {difference:.1e}"))


def _check_inputs(module: nn.Module, geometries: tuple[BlockGeometry, ...], side: int) -> None:
    """Compare each block's input at a random image in both ways: no unknown layer may precede or separate the blocks."""
    image = torch.randn(3, side, side, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    double, theirs = copy.deepcopy(module).double(), []
    hooks = [
        block.register_forward_pre_hook(lambda _, given: theirs.append(given[0][0]))
        for block in linearise.residual_blocks(double)
    ]
    with torch.no_grad():
        double(image[None])
    for hook in hooks:
        hook.remove()
    try:
        states = linearise.block_states(double, geometries, image, range(1, len(geometries) + 1))
        apart = [
            float((states[number].input - given).norm() / given.norm().clamp_min(1e-300))
            for number, given in enumerate(theirs, 1)
        ]
    except (AttributeError, TypeError, ValueError) as error:
        raise CannotCompute(_unlike_stem(f"it cannot be linearised ({error})")) from error
    for number, distance in enumerate(apart, 1):
        if not distance <= AGREE:
            what = f"the input of block {number} differs from the formula's by {distance:.1e}"
            raise CannotCompute(_unlike_stem(what))


def _unlike_stem(why: str) -> str:
    return (
        f"Expected the layers of torchvision's ResNet from the image to the last block, got others ({why}): "
        "build the network from conv1, bn1, relu, maxpool and the four layers only."
    )


def _unlike(geometry: BlockGeometry, why: str) -> str:
    return (
        f"Expected block {geometry.block} to be a basic block or a bottleneck of torchvision's ResNet, got another kind ({why}): "
        "build it from conv, bn, relu and downsample only."
    )
