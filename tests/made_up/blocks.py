"""One table of tiny residual blocks of each kind, with the cases in which deflation could go wrong."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from stiffcore.jacobians import recognise
from stiffcore.jacobians.linearise import BlockState, linearise
from stiffcore.networks.architecture import EXPANSION
from stiffcore.networks.geometry import BlockGeometry
from stiffcore.torchvision_compat import torchvision
from tests.made_up import modules


@dataclass(frozen=True)
class SmallBlock:
    """A block in float64 and evaluation mode, its input, and the block made linear there."""

    name: str
    module: nn.Module
    x: Tensor  # float64, shape: geometry.input_shape
    geometry: BlockGeometry
    state: BlockState

    def __repr__(self) -> str:
        return self.name


Change = Callable[[nn.Module, Tensor], None]  # alters a module and its input in place


OTHERS = {
    "pre-activation": modules.PreActivated,
    "pre-activation bottleneck": modules.PreActivatedBottleneck,
    "pre-activation from x": modules.PreActivatedFromInput,
    "option A": modules.OptionA,
    "in sequence": modules.InSequence,
}


def linearised(module: nn.Module, x: Tensor) -> tuple[BlockGeometry, BlockState]:
    """A module's geometry, and the module made linear at x."""
    sizes = BlockGeometry(1, "", module.stride, tuple(x.shape), (), tuple(module(x[None]).shape[1:]))
    found = recognise.structure(module, sizes)
    state, _ = linearise(found, sizes, x)
    inner = tuple(tuple(mask.shape) for mask in state.inner_masks)
    geometry = replace(sizes, kind=found.kind, inner_shapes=inner, has_outer_relu=found.has_outer_relu)
    return geometry, replace(state, geometry=geometry)


@torch.no_grad()
def _random_module(kind: str, channels: int, out_channels: int, stride: int) -> nn.Module:
    """torchvision's block with random batch-norm statistics; for a bottleneck, out_channels is a multiple of 4."""
    resnet = torchvision("models.resnet")
    downsample = None
    if stride != 1 or channels != out_channels:
        downsample = nn.Sequential(
            nn.Conv2d(channels, out_channels, 1, stride=stride, bias=False), nn.BatchNorm2d(out_channels)
        )
    if kind in OTHERS:
        module = OTHERS[kind](channels, out_channels, stride)
    elif kind == "basic":
        module = resnet.BasicBlock(channels, out_channels, stride, downsample)
    else:
        module = resnet.Bottleneck(channels, out_channels // EXPANSION, stride, downsample)
    module = module.double().eval()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.weight.uniform_(0.5, 1.5)
            part.bias.normal_(0.2, 0.5)
            part.running_mean.normal_(0, 0.3)
            part.running_var.uniform_(0.5, 1.5)
    return module


@torch.no_grad()
def make(
    name: str,
    kind: str,
    channels: int,
    out_channels: int,
    side: int,
    stride: int = 1,
    change: Change | None = None,
    seed: int = 0,
) -> SmallBlock:
    """A seeded random block; ``change`` may alter the module and its input before the block is made linear."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = _random_module(kind, channels, out_channels, stride)
        x = torch.randn(channels, side, side, dtype=torch.float64).relu()  # as behind the ReLU of the block before
        if change is not None:
            change(module, x)
    geometry, state = linearised(module, x)
    return SmallBlock(name, module, x, geometry, state)


def _exact_zeros(module: nn.Module, x: Tensor) -> None:
    """Inner channel 0 and, where the input is 0, output channel 0 are exactly 0 before their ReLUs."""
    last = module.bn3 if hasattr(module, "bn3") else module.bn2
    for norm in (module.bn1, last):
        for tensor in (norm.weight, norm.bias, norm.running_mean):
            tensor[0] = 0


def _shifted(first: float | None = None, last: float | None = None) -> Change:
    """Adds to the batch norms before the first inner and the outer ReLU: far below 0 kills the units."""

    def change(module: nn.Module, x: Tensor) -> None:
        if first is not None:
            module.bn1.bias += first
        if last is not None:
            (module.bn3 if hasattr(module, "bn3") else module.bn2).bias += last

    return change


def _dead_channel(module: nn.Module, x: Tensor) -> None:
    """Inner channel 0 is dead at every position; its weights still are not zero."""
    module.bn1.bias[0] = -1e3


def _second_dead(module: nn.Module, x: Tensor) -> None:
    """b2 = 0 in a bottleneck whose b1 is not."""
    module.bn2.bias -= 1e3


def _all_alive(module: nn.Module, x: Tensor) -> None:
    """Every ReLU lets everything through."""
    for shift, name in ((1e2, "bn1"), (1e4, "bn2"), (1e6, "bn3")):
        if hasattr(module, name):
            getattr(module, name).bias += shift


def _as_many_outputs_as_inner(kind: str, channels: int, side: int) -> SmallBlock:
    """a = b (the narrowest inner layer): the first seed that has it."""
    # A bottleneck's inner layers are a quarter as wide: fewer outputs must live there.
    change = _shifted(last=-1.5) if kind == "bottleneck" else None
    for seed in range(10_000):
        found = make(f"{kind}-a=b", kind, channels, channels, side, change=change, seed=seed)
        if found.state.live_outputs == min(found.state.live_inner) > 0:
            return found
    raise AssertionError("no seed gives a = b")


def small_blocks() -> list[SmallBlock]:
    """The table. Deterministic: each block has its own seed."""
    return [
        make("basic-identity", "basic", 3, 3, 8),
        make("basic-side-2", "basic", 6, 6, 2),
        make("basic-side-1", "basic", 6, 6, 1),
        make("basic-side-5", "basic", 3, 3, 5),
        make("basic-side-16", "basic", 2, 2, 16),
        make("basic-widening", "basic", 2, 4, 6),
        make("basic-downsampling", "basic", 2, 4, 8, stride=2),
        make("basic-downsampling-odd-side", "basic", 2, 3, 7, stride=2),
        make("basic-downsampling-side-2", "basic", 3, 5, 2, stride=2),
        make("bottleneck-identity", "bottleneck", 8, 8, 6),
        make("bottleneck-side-2", "bottleneck", 12, 12, 2),
        make("bottleneck-widening", "bottleneck", 3, 12, 6),
        make("bottleneck-downsampling", "bottleneck", 4, 8, 8, stride=2),
        make("bottleneck-downsampling-odd-side", "bottleneck", 4, 8, 7, stride=2),
        make("basic-zero-pre-activations", "basic", 4, 4, 6, change=_exact_zeros),
        make("basic-downsampling-zero-pre-activations", "basic", 4, 6, 6, stride=2, change=_exact_zeros),
        make("bottleneck-zero-pre-activations", "bottleneck", 8, 8, 6, change=_exact_zeros),
        make("basic-dead-inner-channel", "basic", 4, 4, 6, change=_dead_channel),
        make("bottleneck-dead-inner-channel", "bottleneck", 8, 8, 6, change=_dead_channel),
        make("basic-all-alive", "basic", 3, 3, 6, change=_all_alive),
        make("bottleneck-all-alive", "bottleneck", 8, 8, 4, change=_all_alive),
        make("basic-a=0", "basic", 3, 3, 4, change=_shifted(last=-1e3)),
        make("basic-b=0", "basic", 3, 3, 4, change=_shifted(first=-1e3)),
        make("basic-a=b=0", "basic", 3, 3, 4, change=_shifted(-1e3, -1e3)),
        make("basic-downsampling-a=0", "basic", 3, 4, 4, stride=2, change=_shifted(last=-1e3)),
        make("basic-downsampling-b=0", "basic", 3, 4, 4, stride=2, change=_shifted(first=-1e3)),
        make("bottleneck-a=0", "bottleneck", 8, 8, 4, change=_shifted(last=-1e3)),
        make("bottleneck-b1=0", "bottleneck", 8, 8, 4, change=_shifted(first=-1e3)),
        make("bottleneck-b2=0", "bottleneck", 8, 8, 4, change=_second_dead),
        make("basic-a<b", "basic", 4, 4, 6, change=_shifted(1.5, -1.5)),
        make("basic-a>b", "basic", 4, 4, 6, change=_shifted(-1.5, 1.5)),
        make("bottleneck-a<b", "bottleneck", 8, 8, 6, change=_shifted(2.0, -3.0)),
        make("bottleneck-a>b", "bottleneck", 8, 8, 6, change=_shifted(-0.3, 1.0), seed=1),
        make("pre-activation-identity", "pre-activation", 3, 3, 8),
        make("pre-activation-side-1", "pre-activation", 6, 6, 1),
        make("pre-activation-widening", "pre-activation", 2, 4, 6),
        make("pre-activation-downsampling", "pre-activation", 2, 4, 8, stride=2),
        make("pre-activation-few-inputs", "pre-activation", 4, 4, 6, change=_shifted(first=-1.0)),
        make("pre-activation-no-input", "pre-activation", 3, 3, 4, change=_shifted(first=-1e3)),
        make("pre-activation-all-alive", "pre-activation", 3, 3, 6, change=_all_alive),
        make("pre-activation-bottleneck-identity", "pre-activation bottleneck", 8, 8, 6),
        make("pre-activation-bottleneck-few-inputs", "pre-activation bottleneck", 8, 8, 6, change=_shifted(first=-2.0)),
        make("pre-activation-bottleneck-downsampling", "pre-activation bottleneck", 4, 8, 8, stride=2),
        make("pre-activation-with-biases", "pre-activation from x", 3, 3, 6),
        make("pre-activation-skip-from-x", "pre-activation from x", 2, 4, 8, stride=2),
        make("option-a-downsampling", "option A", 2, 6, 8, stride=2),
        make("option-a-identity", "option A", 3, 3, 6),
        make("in-sequence-identity", "in sequence", 3, 3, 6),
        make("in-sequence-downsampling", "in sequence", 2, 4, 8, stride=2),
        _as_many_outputs_as_inner("basic", 3, 4),
        _as_many_outputs_as_inner("bottleneck", 8, 4),
    ]
