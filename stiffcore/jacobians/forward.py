"""One float64 forward pass of a network, and the blocks linearised where it goes through them.

The module itself is run, so that nothing has to be known of what stands before, between and behind the blocks.
"""

import copy
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from stiffcore.device import CPU, numbered
from stiffcore.errors import CannotCompute
from stiffcore.jacobians import maps, recognise, structure
from stiffcore.jacobians.linearise import BlockState, Doubts, linearise
from stiffcore.jacobians.structure import Structure
from stiffcore.networks.geometry import MAP, BlockGeometry
from stiffcore.networks.matrices import Matrices

_structures: "WeakKeyDictionary[nn.Module, Structure]" = WeakKeyDictionary()  # block -> its structure, once recognised
_on_cards: "WeakKeyDictionary[nn.Module, dict[torch.device, nn.Module]]" = WeakKeyDictionary()  # copies in float64


@dataclass(frozen=True)
class Call:
    """How a part of a network was called: its first argument with one image, and the others."""

    x: Tensor  # float64, shape: (1, ...)
    more: tuple[object, ...]
    named: dict[str, object]

    def without_batch(self, part: nn.Module) -> Callable[[Tensor], Tensor]:
        """The part as a map of its first argument, without the batch dimension."""

        def function(x: Tensor) -> Tensor:
            made = part(x[None], *self.more, **self.named)
            return (made[0] if isinstance(made, tuple) else made)[0]

        return function


class _Seen(Exception):
    """Every wanted part was reached: the rest of the pass is not needed."""


def block_states(
    model: nn.Module,
    geometries: Sequence[BlockGeometry],
    image: Tensor,
    wanted: Iterable[int],
    where: torch.device = CPU,
) -> dict[int, BlockState]:
    """The states of the wanted blocks (from 1) on a device, by one float64 forward pass.

    image: normalised, shape (3, H, W). Every device has the same masks: on a card the pass runs there, and once more on the CPU if a
    value in front of a ReLU is so near 0 that another order of summation could flip its mask (see ``linearise``). A map that is no
    block of convolutions stays on the CPU.
    """
    wanted, where = sorted(set(wanted)), numbered(where)
    if isinstance(model, Matrices):
        return {number: maps.of_matrix(model.matrix(number), number).to(where) for number in wanted}
    if image.ndim != 3 or image.shape[0] != 3:
        raise ValueError(f"Expected one image of shape (3, H, W), got {tuple(image.shape)}.")
    chosen = [geometry for geometry in geometries if geometry.block in wanted]
    if where != CPU and all(geometry.kind != MAP for geometry in chosen):
        doubts = Doubts(sum(isinstance(part, nn.Conv2d) for part in model.modules()))
        states = _states(_on(model, where), chosen, image.to(where), doubts)
        if not doubts.any:
            return states
    return {number: state.to(where) for number, state in _states(model, chosen, image).items()}


def _states(
    model: nn.Module, geometries: Sequence[BlockGeometry], image: Tensor, doubts: Doubts | None = None
) -> dict[int, BlockState]:
    """The blocks' states where the model and the image are; see ``block_states``. doubts: None where the masks are certain."""
    parts = parts_of(model, geometries)
    calls, double = pass_through(model, list(parts.values()), image)
    states = {}
    for geometry in geometries:
        name = parts[geometry.block]
        call = calls[name]
        if geometry.kind == MAP:
            states[geometry.block] = maps.of_function(
                call.without_batch(double.get_submodule(name)), geometry, call.x[0]
            )
        else:
            found = structure_of(model.get_submodule(name), geometry)
            states[geometry.block], _ = linearise(found, geometry, call.x[0], doubts)
    return states


def _on(model: nn.Module, where: torch.device) -> nn.Module:
    """The model in float64 on a card, copied there once."""
    kept = _on_cards.setdefault(model, {})
    if where not in kept:
        kept[where] = copy.deepcopy(model).double().to(where).eval()
    return kept[where]


def parts_of(model: nn.Module, geometries: Sequence[BlockGeometry]) -> dict[int, str]:
    """A block's number -> its name in the model."""
    names = {id(module): name for name, module in model.named_modules()}
    blocks = [names[id(block)] for block in structure.residual_blocks(model)]
    return {geometry.block: geometry.path or blocks[geometry.block - 1] for geometry in geometries}


def structure_of(block: nn.Module, geometry: BlockGeometry) -> Structure:
    """A block's structure, checked against the block once. Raises CannotCompute if no reading of its parts is the block itself."""
    if block not in _structures:
        _structures[block] = recognise.structure(block, geometry)
    return _structures[block]


@torch.no_grad()
def pass_through(
    model: nn.Module, names: Sequence[str], image: Tensor, stop: bool = True
) -> tuple[dict[str, Call], nn.Module]:
    """How each named part is called at an image, and the copy of the model in float64 whose parts were called.

    image: normalised, shape (3, H, W), where it runs. stop: leave out what comes behind the last part. Raises CannotCompute for a
    part that is called more than once, or never.
    """
    double = copy.deepcopy(model).double().to(image.device).eval()  # a copy, so that other threads do not see its hooks
    calls: dict[str, Call] = {}

    def seen(name: str) -> Callable[[nn.Module, tuple, dict], None]:
        def hook(_: nn.Module, arguments: tuple, named: dict) -> None:
            if name in calls:
                raise CannotCompute(
                    f"Expected each block to be used once, got {name} twice: give every block its own module."
                )
            calls[name] = Call(arguments[0].clone(), arguments[1:], named)  # cloned: what follows may write into it
            if stop and len(calls) == len(names):
                raise _Seen

        return hook

    hooks = [double.get_submodule(name).register_forward_pre_hook(seen(name), with_kwargs=True) for name in names]
    with suppress(_Seen):
        double(image.double()[None])
    for hook in hooks:
        hook.remove()
    if unused := [name for name in names if name not in calls]:
        raise CannotCompute(
            f"Block {unused[0]} is not used in a forward pass: leave it out, or build the network without it."
        )
    return calls, double
