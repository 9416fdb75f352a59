"""The structure of a residual block: which of its parts are convolutions, batch norms and ReLUs, in which order, and what its skip is.

Recognised by parts, not by class. A module's parts do not say in which order they are used, so ``readings`` gives every order
that its parts allow, and ``recognise`` takes the one whose Jacobian is the module's own.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

SKIPS = ("downsample", "shortcut", "convShortcut", "skip", "skip_connection", "projection", "identity_conv", "residual")
RELU: Literal["relu"] = "relu"
Part = nn.Conv2d | nn.BatchNorm2d | Literal["relu"]


class Stage(NamedTuple):
    """A convolution with the batch norm behind it, and what stands between it and the convolution before: a ReLU, batch norms."""

    before: tuple[Part, ...]
    convolution: nn.Conv2d
    behind: nn.BatchNorm2d | None


@dataclass(frozen=True)
class PaddedChannels:
    """Option A (He et al. 2015) without a module: some pixels, the channels surrounded by zeros, ``before`` of them in front."""

    before: int


@dataclass(frozen=True)
class Structure:
    """x -> F(x) + s(x), and a ReLU behind the sum or none.

    stages: of F. skip: the stages of s; None for the identity; or a module without tensors, or padding. skip_from_activated:
    whether s takes F's input behind the first batch norm and ReLU, as in pre-activation blocks that change the shape.
    """

    stages: tuple[Stage, ...]
    skip: tuple[Stage, ...] | nn.Module | PaddedChannels | None
    skip_from_activated: bool
    has_outer_relu: bool

    @property
    def is_preactivated(self) -> bool:
        return RELU in self.stages[0].before

    @property
    def kind(self) -> str:
        """basic or bottleneck by the number of convolutions, with or without pre-activation."""
        unit = "bottleneck" if len(self.stages) > 2 else "basic"
        return unit if not self.is_preactivated else "pre-activation" if unit == "basic" else f"pre-activation {unit}"


def is_block(module: nn.Module) -> bool:
    """Whether a module's parts are those of a residual block."""
    return not isinstance(module, nn.Sequential) and _parts(module) is not None


def residual_blocks(model: nn.Module) -> list[nn.Module]:
    """The residual blocks of a network, in the order in which they were defined; none within another."""
    found: list[nn.Module] = []
    inside: set[int] = set()
    for module in model.modules():
        if id(module) not in inside and is_block(module):
            found.append(module)
            inside.update(id(part) for part in module.modules())
    return found


def readings(block: nn.Module, channels: int, out_channels: int) -> Iterator[Structure]:
    """Every structure that a block's parts allow, the likeliest first. channels, out_channels: of its input and output."""
    parts = _parts(block)
    if parts is None:
        return
    convolutions, norms, ordered = parts
    skips = _skips(block, channels, out_channels)
    for path in [ordered] if ordered else _paths(convolutions, norms):
        stages = _stages(path)
        if not stages:
            continue
        is_preactivated = RELU in stages[0].before
        for skip in skips:
            origins = (True, False) if is_preactivated and skip is not None else (False,)
            for from_activated, has_relu in product(origins, (not is_preactivated, is_preactivated)):
                yield Structure(stages, skip, from_activated, has_relu)


def _stages(path: tuple[Part, ...]) -> tuple[Stage, ...]:
    """A path cut behind each convolution and its batch norm; empty if other parts follow the last one, or two ReLUs meet."""
    stages: list[Stage] = []
    before: list[Part] = []
    for at, part in enumerate(path):
        if isinstance(part, nn.Conv2d):
            following = path[at + 1] if at + 1 < len(path) else None
            stages.append(Stage(tuple(before), part, following if isinstance(following, nn.BatchNorm2d) else None))
            before = []
        elif not (stages and not before and part is stages[-1].behind and path[at - 1] is stages[-1].convolution):
            before.append(part)
    if before or any(stage.before.count(RELU) > 1 for stage in stages):
        return ()
    return tuple(stages)


def _parts(
    block: nn.Module,
) -> tuple[list[nn.Conv2d], list[nn.BatchNorm2d], tuple[Part, ...] | None] | None:
    """Convolutions and batch norms of the branch, and their order where a Sequential gives it. None if it is no residual block."""
    children = dict(block.named_children())
    convolutions = [child for name, child in children.items() if isinstance(child, nn.Conv2d) and name not in SKIPS]
    norms = [child for name, child in children.items() if isinstance(child, nn.BatchNorm2d) and name not in SKIPS]
    if len(convolutions) >= 2:
        return convolutions, norms, None
    for name, child in children.items():
        if isinstance(child, nn.Sequential) and name not in SKIPS[:-1]:
            path = _in_order(child)
            if path and sum(isinstance(part, nn.Conv2d) for part in path) >= 2:
                return [], [], path
    return None


def _in_order(sequence: nn.Module) -> tuple[Part, ...] | None:
    """The parts of a Sequential, nested ones too, in the order of their definition; None if it has a part of another kind."""
    path: list[Part] = []
    for child in sequence.children():
        if isinstance(child, nn.Conv2d | nn.BatchNorm2d):
            path.append(child)
        elif isinstance(child, nn.ReLU):
            path.append(RELU)
        elif not isinstance(child, nn.Identity | nn.Dropout | nn.Dropout2d):
            nested = _in_order(child) if any(True for _ in child.children()) and not is_block(child) else None
            if nested is None:
                return None
            path += nested
    return tuple(path)


def _paths(convolutions: list[nn.Conv2d], norms: list[nn.BatchNorm2d]) -> Iterator[tuple[Part, ...]]:
    """Post-activation, then pre-activation order, as far as the channels of convolutions and norms allow them."""
    if len(norms) != len(convolutions):
        if not norms:
            yield tuple(part for convolution in convolutions for part in (convolution, RELU))[:-1]
        return
    pairs = list(zip(convolutions, norms, strict=True))
    if all(norm.num_features == convolution.out_channels for convolution, norm in pairs):
        yield tuple(part for convolution, norm in pairs for part in (convolution, norm, RELU))[:-1]
    if all(norm.num_features == convolution.in_channels for convolution, norm in pairs):
        yield tuple(part for convolution, norm in pairs for part in (norm, RELU, convolution))


def _skips(
    block: nn.Module, channels: int, out_channels: int
) -> list[tuple[Stage, ...] | nn.Module | PaddedChannels | None]:
    """What a block's skip can be."""
    for name in SKIPS:
        child = getattr(block, name, None)
        if not isinstance(child, nn.Module):
            continue
        path = (child,) if isinstance(child, nn.Conv2d) else _in_order(child)
        stages = _stages(path) if path else ()
        if len(stages) == 1 and not stages[0].before:
            return [stages]
        if (
            not path
            and not isinstance(child, nn.Sequential | nn.Identity)
            and not any(True for _ in child.parameters())
        ):
            return [child]  # a module without tensors, such as option A's
    if channels == out_channels:
        return [None]
    # Nothing in the block says how it widens: padded equally on both sides, or behind.
    return [PaddedChannels((out_channels - channels) // 2), PaddedChannels(0)]


def padded_or_probed(
    skip: nn.Module | PaddedChannels, channels: int, out_channels: int, side: int, stride: int
) -> tuple[Tensor, int]:
    """A skip without tensors as a strided 1×1 convolution: its weight, float64 (C_out, channels, 1, 1), and its stride.

    Every channel of a module alone, constant over the image, shows where it goes. ``recognise`` checks that the module does no more.
    """
    weight = torch.zeros(out_channels, channels, 1, 1, dtype=torch.float64)
    if isinstance(skip, PaddedChannels):
        weight[skip.before + torch.arange(channels), torch.arange(channels)] = 1
        return weight, stride
    images = torch.eye(channels, dtype=torch.float64)[:, :, None, None].expand(-1, -1, side, side)
    with torch.no_grad():
        made = skip(images)
    return made[:, :, 0, 0].T.contiguous()[:, :, None, None], max(1, side // made.shape[-1])
