"""A module in memory -> a ``Network``: its blocks are found by structure, and checked against the module itself."""

import copy
import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from types import ModuleType

import torch
from torch import Tensor, nn

from stiffcore.errors import CannotCompute
from stiffcore.images.labels import LABELS
from stiffcore.jacobians import forward, linearise, structure
from stiffcore.networks import resnets
from stiffcore.networks.geometry import MAP, BlockGeometry
from stiffcore.networks.network import Network, Preprocessing
from stiffcore.torchvision_compat import torchvision

AS_MAPS = (
    "Read as maps x + F(x), F(x) = f(x) − x, with whatever activation ends them inside F, since they are no residual blocks of "
    "convolutions and ReLUs that are known: {names}."
)
LEFT_OUT = "Left out, since only a map whose output has its input's shape is analysed without its parts: {names}."


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


@dataclass(frozen=True)
class _Seen:
    """The shapes of a part's first argument and output in a forward pass, without the batch dimension."""

    name: str
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]


def network(
    module: nn.Module,
    name: str,
    preprocessing: Preprocessing,
    classes: Sequence[str] | None = None,
    blocks: Sequence[str] = (),
) -> Network:
    """The network of a module; of a copy, in evaluation mode and float32.

    blocks: names or patterns of the parts to analyse, such as ``encoder.layers.*``. Without them the residual blocks of
    convolutions are found by their structure; if there are none, the repeated parts that keep the shape of their input, such
    as those of a transformer, each a map x + F(x).
    A block's formulas are checked against it: J v at random inputs, ours against ``torch.func.jvp`` in float64. Raises CannotCompute
    where nothing can be analysed, and for a module that does not take such images.
    """
    if not isinstance(module, nn.Module):
        raise CannotCompute(f"Expected a name or a torch module, got {type(module).__name__}: give one of them.")
    kept = copy.deepcopy(module).eval().float().cpu().requires_grad_(False)
    image = torch.zeros(3, preprocessing.image_size, preprocessing.image_size)
    seen, scores = _shapes(kept, image)
    chosen = _chosen(kept, seen, blocks)
    geometries, left_out = _geometries(kept, chosen)
    if not geometries:
        raise CannotCompute(
            f"Expected residual blocks, or parts whose output has their input's shape, got {type(module).__name__} without "
            "them: name its parts with blocks=…"
        )
    forward.pass_through(kept, [geometry.path for geometry in geometries], image, stop=False)  # each is used once
    tensors = resnets.tensors_sha256(kept.state_dict())
    paths = [geometry.path for geometry in geometries] if blocks or geometries[0].kind == MAP else ""
    text = f"{tensors} {kept}{paths}"  # the module's text contains strides, pooling and eps
    return Network(
        name,
        hashlib.sha256(text.encode()).hexdigest(),
        tuple(geometries),
        _InMemory(kept),
        preprocessing,
        _names(scores, classes),
        name,
        reading=_reading(geometries, left_out),
    )


def _reading(geometries: list[BlockGeometry], left_out: list[str]) -> str:
    """What is not as in a residual network of convolutions; "" if all is."""
    as_maps = [geometry.path for geometry in geometries if geometry.kind == MAP]
    sentences = ((AS_MAPS, as_maps), (LEFT_OUT, left_out))
    return " ".join(sentence.format(names=", ".join(names)) for sentence, names in sentences if names)


def _names(scores: int, classes: Sequence[str] | None) -> tuple[str, ...]:
    """The names of the classes; none where the output is no vector of scores. Raises CannotCompute for another number of them."""
    names = tuple(classes) if classes else LABELS if scores == len(LABELS) else tuple(map(str, range(scores)))
    if len(names) != scores:
        raise CannotCompute(
            f"Expected the names of {scores} classes, got {len(names)}: name each score of the network."
        )
    return names


@torch.no_grad()
def _shapes(module: nn.Module, image: Tensor) -> tuple[list[_Seen], int]:
    """The parts in the order in which they are used, and the number of scores, 0 where the output is no vector of them."""
    double, found = copy.deepcopy(module), []

    def seen(name: str) -> Callable[[nn.Module, tuple, object], None]:
        def hook(_: nn.Module, arguments: tuple, output: object) -> None:
            first = output[0] if isinstance(output, tuple) and output else output
            if arguments and isinstance(arguments[0], Tensor) and isinstance(first, Tensor):
                found.append(_Seen(name, tuple(arguments[0].shape[1:]), tuple(first.shape[1:])))

        return hook

    for name, part in double.named_modules():
        if name:
            part.register_forward_hook(seen(name))
    try:
        scores = double(image[None])
    except (AttributeError, RuntimeError, TypeError, ValueError, IndexError, AssertionError) as error:
        side = image.shape[-1]
        raise CannotCompute(
            f"Expected a module that takes RGB images of {side} × {side} pixels, got one that fails on them ({error!s:.120}): "
            "give image_size, or build the network for such images."
        ) from error
    return found, scores.shape[1] if isinstance(scores, Tensor) and scores.ndim == 2 else 0


def _chosen(module: nn.Module, seen: list[_Seen], patterns: Sequence[str]) -> list[_Seen]:
    """The parts to analyse, in the order of use."""
    if patterns:
        chosen = [part for part in seen if any(fnmatchcase(part.name, pattern) for pattern in patterns)]
        if not chosen:
            raise CannotCompute(
                f"Expected names of the module's parts, got {', '.join(patterns)}: see named_modules()."
            )
        inside = tuple(f"{part.name}." for part in chosen)
        return [part for part in chosen if not part.name.startswith(inside)]
    names = {id(part): name for name, part in module.named_modules()}
    blocks = {names[id(block)] for block in structure.residual_blocks(module)}
    return [part for part in seen if part.name in blocks] or _repeated(module, seen)


def _repeated(module: nn.Module, seen: list[_Seen]) -> list[_Seen]:
    """The parts of the class that holds most numbers among those that repeat and keep the shape of their input."""
    groups = defaultdict(list)
    for part in seen:
        if part.input_shape == part.output_shape:
            groups[type(module.get_submodule(part.name))].append(part)
    several = [group for kind, group in groups.items() if len(group) > 1 and kind not in (nn.Sequential, nn.Identity)]
    return max(several, key=lambda group: sum(_numbers(module, part) for part in group), default=[])


def _numbers(module: nn.Module, part: _Seen) -> int:
    return sum(tensor.numel() for tensor in module.get_submodule(part.name).parameters())


def _geometries(module: nn.Module, chosen: list[_Seen]) -> tuple[list[BlockGeometry], list[str]]:
    """The sizes of the blocks that can be analysed, numbered from 1, and the names of the others."""
    geometries: list[BlockGeometry] = []
    left_out = []
    for part in chosen:
        number, keeps = len(geometries) + 1, part.input_shape == part.output_shape
        sizes = _of_convolutions(module.get_submodule(part.name), part, number)
        if sizes is None and not keeps:
            left_out.append(part.name)
            continue
        geometries.append(sizes or BlockGeometry.of_map(number, part.input_shape, part.name))
    return geometries, left_out


def _of_convolutions(block: nn.Module, part: _Seen, number: int) -> BlockGeometry | None:
    """The sizes of a residual block of convolutions; None for any other map."""
    if not structure.is_block(block) or not len(part.input_shape) == len(part.output_shape) == 3:
        return None
    stride = max(1, part.input_shape[-1] // part.output_shape[-1])
    sizes = BlockGeometry(number, "", stride, part.input_shape, (), part.output_shape, path=part.name)
    try:
        found = forward.structure_of(block, sizes)
    except CannotCompute:
        return None
    state, _ = linearise.linearise(found, sizes, torch.zeros(sizes.input_shape, dtype=torch.float64))
    inner: tuple = tuple(tuple(mask.shape) for mask in state.inner_masks)
    return replace(sizes, kind=found.kind, inner_shapes=inner, has_outer_relu=found.has_outer_relu)
