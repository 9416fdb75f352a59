"""A network linearised once at an image, as a chain of linear maps: what stands in front of each block, the block, the head.

A block's own operator is the one of ``jacobians.operator``: its convolutions and masks, or the derivative of a map. What stands between
the image and the first block, between two blocks and behind the last one is differentiated automatically, in float64. The whole chain
is then compared with ``torch.func.jvp`` of the module itself.
"""

from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute, not_finite
from stiffcore.images.image import Image
from stiffcore.jacobians import forward, layers, operator
from stiffcore.jacobians.layers import ScaledConvolution
from stiffcore.jacobians.linearise import BlockState
from stiffcore.networks.network import Network

BLOCK = Convention.BLOCK
AGREES = 1e-8  # relative difference of J v of the chain and of the module, in float64; rounding gives some 1e-14
Rows = Tensor  # (vectors, n): a batch of flat vectors


class _Reached(Exception):
    """The wanted part was reached: the rest of the pass is not needed."""


@dataclass(frozen=True)
class Derived:
    """The derivative of a map between parts of a module at a point, by automatic differentiation in float64."""

    function: Callable[[Tensor], Tensor]  # without the batch dimension
    at: Tensor  # float64

    def __call__(self, v: Rows) -> Rows:
        x = v.double().reshape(len(v), *self.at.shape)
        with layers.differentiable():
            product = torch.func.vmap(lambda one: layers.jvp(self.function, self.at, one)[1])(x)
        return product.detach().flatten(1).to(v)

    def transpose(self, w: Rows) -> Rows:
        with layers.differentiable():
            value, pullback = torch.func.vjp(self.function, self.at)[:2]
            product = torch.func.vmap(lambda one: pullback(one)[0])(w.double().reshape(len(w), *value.shape))
        return product.detach().flatten(1).to(w)


@dataclass(frozen=True)
class Block:
    """J_k: the Jacobian of a whole block, skip and outer ReLU included. single: its state in float32, None where it has none."""

    state: BlockState
    single: BlockState | None

    def _of(self, v: Rows) -> tuple[BlockState, Rows]:
        if v.dtype == torch.float32 and self.single is not None:
            return self.single, v
        return self.state, v.double()

    def __call__(self, v: Rows) -> Rows:
        state, vectors = self._of(v)
        return operator.apply(state, BLOCK, vectors).to(v)

    def transpose(self, w: Rows) -> Rows:
        state, vectors = self._of(w)
        return operator.apply_transpose(state, BLOCK, vectors).to(w)


@dataclass(frozen=True)
class Chain:
    """The maps of a network at an image. between[k]: in front of block k + 1; between[0] starts at the image, in pixels from 0 to 1;
    None where the next block takes the output as it is. head: from the last block to the scores, None without one."""

    blocks: tuple[Block, ...]
    between: tuple[Derived | None, ...]
    head: Derived | None
    image_shape: tuple[int, int, int]
    scores: Tensor | None  # float64, (classes,)
    model_error: float = 0.0  # relative difference of J v from the module's own

    @property
    def depth(self) -> int:
        return len(self.blocks)

    @property
    def n_image(self) -> int:
        channels, height, width = self.image_shape
        return channels * height * width

    @property
    def n_first(self) -> int:
        return self.blocks[0].state.geometry.n_in

    def enter(self, v: Rows) -> Rows:
        """J_stem v, from the image to the input of the first block."""
        stem = self.between[0]
        assert stem is not None  # it contains at least the normalisation
        return stem(v)

    def leave(self, w: Rows) -> Rows:
        """J_stemᵀ w."""
        stem = self.between[0]
        assert stem is not None
        return stem.transpose(w)

    def step(self, number: int, v: Rows) -> Rows:
        """From the input of the first block, or the output of the block before, to the output of a block, counted from 1."""
        glue = self.between[number - 1] if number > 1 else None
        return self.blocks[number - 1](v if glue is None else glue(v))

    def step_back(self, number: int, w: Rows) -> Rows:
        """The adjoint of ``step``."""
        glue = self.between[number - 1] if number > 1 else None
        v = self.blocks[number - 1].transpose(w)
        return v if glue is None else glue.transpose(v)


@torch.no_grad()
def of(network: Network, image: Image) -> Chain:
    """The chain of a network at an image. Raises CannotCompute where its blocks do not follow each other, or weights are not finite."""
    model, x = network.module(), network.normalised(image).double()
    names = list(forward.parts_of(model, network.blocks).values())
    calls, double = forward.pass_through(model, names, x, stop=False)
    scores = double(x[None])[0] if network.classes else None
    outputs = _outputs(double, names, x)
    if not torch.isfinite(outputs[names[-1]] if scores is None else scores).all():
        raise not_finite("the network's scores" if network.classes else "the last block's output")
    states = forward.block_states(model, network.blocks, x, [block.block for block in network.blocks])
    between: list[Derived | None] = [_stem(double, names[0], x, _scale(network))]
    for before, after in pairwise(names):
        same = outputs[before].shape == calls[after].x[0].shape and torch.equal(outputs[before], calls[after].x[0])
        between.append(None if same else Derived(_between(double, before, after, x), outputs[before]))
    head = Derived(_between(double, names[-1], None, x), outputs[names[-1]]) if network.classes else None
    blocks = tuple(Block(state, _in_single(state)) for _, state in sorted(states.items()))
    chain = Chain(blocks, tuple(between), head, (x.shape[0], x.shape[1], x.shape[2]), scores)
    return replace(chain, model_error=_difference(chain, network, double, x))


def _in_single(state: BlockState) -> BlockState | None:
    """The state in float32; None for a map or a matrix, whose derivative is taken in float64."""
    parts = [*state.layers, *([] if state.skip is None else [state.skip])]
    if not all(isinstance(layer, ScaledConvolution) for layer in parts):
        return None

    def single(layer: object) -> ScaledConvolution:
        assert isinstance(layer, ScaledConvolution)
        return replace(layer, weight=layer.weight.float())

    skip = None if state.skip is None else single(state.skip)
    return replace(state, layers=tuple(map(single, state.layers)), skip=skip)


def _outputs(double: nn.Module, names: list[str], x: Tensor) -> dict[str, Tensor]:
    """The output of each named part at an image, without the batch dimension; float64."""
    found: dict[str, Tensor] = {}

    def note(name: str) -> Callable[[nn.Module, tuple, object], None]:
        def hook(_: nn.Module, __: tuple, output: object) -> None:
            first = output[0] if isinstance(output, tuple) else output
            assert isinstance(first, Tensor)
            found[name] = first[0].clone()  # what follows may write into it

        return hook

    with ExitStack() as hooks:
        for name in names:
            hooks.callback(double.get_submodule(name).register_forward_hook(note(name)).remove)
        double(x[None])
    return found


def _stem(double: nn.Module, first: str, x: Tensor, scale: Tensor) -> Derived:
    """From the image in pixels from 0 to 1 to the input of the first block; the shift of the normalisation has no derivative."""
    part = _between(double, None, first, x)
    return Derived(lambda pixels: part(pixels * scale), x / scale)


def _between(double: nn.Module, start: str | None, end: str | None, x: Tensor) -> Callable[[Tensor], Tensor]:
    """The map from the output of a part, or the image, to the input of another part, or the scores."""

    def function(value: Tensor) -> Tensor:
        caught: list[Tensor] = []

        def replaced(_: nn.Module, __: tuple, output: object) -> object:
            new = value[None].clone()  # what follows may write into it
            return (new, *output[1:]) if isinstance(output, tuple) else new

        def reached(_: nn.Module, arguments: tuple, __: dict) -> None:
            caught.append(arguments[0])
            raise _Reached

        with ExitStack() as hooks, suppress(_Reached):
            if start is not None:
                hooks.callback(double.get_submodule(start).register_forward_hook(replaced).remove)
            if end is not None:
                part = double.get_submodule(end)
                hooks.callback(part.register_forward_pre_hook(reached, with_kwargs=True).remove)
            caught.append(double(value[None].clone() if start is None else x[None]))
        return caught[0][0]

    return function


def _difference(chain: Chain, network: Network, double: nn.Module, x: Tensor) -> float:
    """The relative difference of J v, for a random v, by the chain and by torch.func.jvp of the module itself, from the image to the
    scores, or to the last block without a head. Raises CannotCompute where they differ: then the blocks do not follow each other."""
    last = list(forward.parts_of(double, network.blocks).values())[-1]
    v = torch.randn(1, chain.n_image, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    inside = v[0].reshape(x.shape) * _scale(network)
    whole = (lambda image: double(image[None])[0]) if network.classes else partial(_output_of, double, last)
    with layers.differentiable():
        expected = layers.jvp(whole, x, inside)[1].flatten()
    found = chain.enter(v)
    for number in range(1, chain.depth + 1):
        found = chain.step(number, found)
    if chain.head is not None:
        found = chain.head(found)
    error = float((found[0] - expected).norm() / expected.norm().clamp(min=torch.finfo(torch.float64).tiny))
    if not error <= AGREES:
        raise CannotCompute(
            f"Expected a network whose blocks follow each other, got {network.title or network.name}, whose derivative is not the "
            f"product of theirs (relative difference {error:.1e}): analyse its blocks one by one."
        )
    return error


def _scale(network: Network) -> Tensor:
    """The derivative of the normalisation, for pixels from 0 to 1; float64, shape (3, 1, 1)."""
    return 1 / torch.tensor(network.preprocessing.standard_deviation, dtype=torch.float64)[:, None, None]


def _output_of(double: nn.Module, name: str, x: Tensor) -> Tensor:
    """The output of a part in a pass, without the batch dimension."""
    caught: list[Tensor] = []

    def reached(_: nn.Module, __: tuple, output: object) -> None:
        caught.append(output[0] if isinstance(output, tuple) else output)  # type: ignore[arg-type]
        raise _Reached

    with ExitStack() as hooks, suppress(_Reached):
        hooks.callback(double.get_submodule(name).register_forward_hook(reached).remove)
        double(x[None])
    return caught[0][0]
