"""A residual block linearised at one image: everything that its Jacobian consists of.

In evaluation mode batch norm is affine, so at one image a block ``y = σ(F(x) + s(x))`` is linear up to its ReLU masks:

    J_F = L_k D_{k−1} … D_1 L_1 D_0,      J_block = D_out (J_F + J_s)

``L``: convolutions, batch norms folded in: behind a convolution as a scale of its outputs, in front of one as a scale of its inputs.
``D``: 0/1 masks. A post-activation block has D_0 = 1; a pre-activation one has D_out = 1, so that J_block = I + J_F. Where a
pre-activation block changes the shape, its skip usually starts behind D_0: J_s = S D_0. The derivative of ReLU at 0 is 0, as in autograd.

Another device adds in another order, and a last bit flips the mask of a z near 0. `Doubts` collects whether any is that near, |z| <= b.
Behind a convolution, whose input x is known up to b_in,

    b = |W| (b_in + 2 γ |x|) + 2 γ |shift|,    γ = (m + 4) u / (1 − (m + 4) u)

where γ (|W| |x| + |shift|) bounds the rounding of a sum of m products, in any order (Higham 2002, § 3.1), scaling and shift included; the 2
is for two devices. Behind a ReLU b is 0 where z < −b. Within a block this is carried on, and proved. Of a block's input it is not:
2 (l + 1) γ ‖x‖_∞, l the convolutions of the network, takes their errors to be of the same relative size, and not amplified on their way.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from stiffcore.conventions import Convention
from stiffcore.device import UNIT_ROUNDOFF, numbered
from stiffcore.errors import CannotCompute
from stiffcore.jacobians import layers
from stiffcore.jacobians.layers import Derivative, Layer, ScaledConvolution
from stiffcore.jacobians.structure import Stage, Structure, padded_or_probed
from stiffcore.networks.geometry import BlockGeometry


@dataclass(frozen=True)
class BlockState:
    """A residual block linearised at one image. Deflation, operators, slices and proofs ask it, and never the kind of network.

    layers: L_1 … L_k; masks: D_0 … D_{k−1}, each in front of its layer. skip: S, None for the identity. skip_is_masked: whether
    J_s = S D_0. All on one device, in float64.
    """

    geometry: BlockGeometry
    layers: tuple[Layer, ...]
    masks: tuple[Tensor, ...]  # bool, shapes: the block's input's, then those of the inner ReLUs
    skip: Layer | None
    outer_mask: Tensor  # D_out: bool, shape: geometry.output_shape
    input: Tensor  # float64, shape: geometry.input_shape
    skip_is_masked: bool = False

    @property
    def device(self) -> torch.device:
        """Where it stands, and where everything that is asked of it is computed."""
        return self.outer_mask.device

    def to(self, where: torch.device) -> "BlockState":
        """The same state on another device; itself where it stands there already, or where a module's derivative keeps it."""
        where = numbered(where)
        if where == self.device or any(isinstance(layer, Derivative) for layer in self.layers):
            return self
        return replace(
            self,
            layers=tuple(layer.to(where) for layer in self.layers),
            masks=tuple(mask.to(where) for mask in self.masks),
            skip=None if self.skip is None else self.skip.to(where),
            outer_mask=self.outer_mask.to(where),
            input=self.input.to(where),
        )

    @property
    def inner_masks(self) -> tuple[Tensor, ...]:
        """D_1 … D_{k−1}."""
        return self.masks[1:]

    @property
    def masks_inputs(self) -> bool:
        """Whether D_0 zeroes some inputs: only in pre-activation blocks."""
        return not bool(self.masks[0].all())

    @property
    def live_outputs(self) -> int:
        """a: outputs of the outer ReLU that are positive; all outputs of a block without one."""
        return int(self.outer_mask.sum())

    @property
    def live_inner(self) -> tuple[int, ...]:
        """b1 (, b2): live units of the inner ReLUs."""
        return tuple(int(mask.sum()) for mask in self.inner_masks)

    @property
    def convolutions(self) -> tuple[ScaledConvolution, ...]:
        """The layers. Raises CannotCompute if one is no convolution: slices and formation by pixel need them."""
        if not all(isinstance(layer, ScaledConvolution) for layer in self.layers):
            raise CannotCompute(
                f"Block {self.geometry.block} is read as a map or a matrix, not as convolutions with ReLUs between them, and has no "
                "slices: choose block or branch."
            )
        return cast(tuple[ScaledConvolution, ...], self.layers)

    def kept_outputs(self, convention: Convention) -> Tensor:
        """The outputs whose rows of J the outer ReLU does not zero: the live ones, or all. bool, shape: (C, H, W)."""
        return self.outer_mask if convention.masks_outputs else torch.ones_like(self.outer_mask)

    def apply_skip(self, x: Tensor) -> Tensor:
        """J_s x; x: (batch, C, H, W)."""
        x = x * self.masks[0].to(x.dtype) if self.skip_is_masked else x
        return x if self.skip is None else self.skip(x)

    def transpose_skip(self, y: Tensor) -> Tensor:
        """J_sᵀ y; y: (batch, C, H, W)."""
        x = y if self.skip is None else self.skip.transpose(y, self.geometry.input_shape)
        return x * self.masks[0].to(x.dtype) if self.skip_is_masked else x


class Doubts:
    """Whether a value in front of a ReLU is so near 0 that the last bits decide its mask; see above. convolutions: of the network.

    Values and their bounds: float64 (1, C, H, W).
    """

    def __init__(self, convolutions: int = 0):
        self.convolutions = convolutions  # l
        self._found: list[Tensor] = []  # bool, each of shape ()

    def of_input(self, weight: Tensor, x: Tensor) -> Tensor:
        """The bound for a block's input x, whose own sums are not known: taken to be as long as those of the convolution that reads it."""
        return ((self.convolutions + 1) * _relative(weight) * x.abs().max()).expand_as(x)

    def of_sums(self, convolution: ScaledConvolution, shift: Tensor, x: Tensor, bound: Tensor) -> Tensor:
        """The bound for a convolution's outputs and a shift, (C_out,), of its input x and the bound for that."""
        relative = _relative(convolution.weight)
        sizes = replace(convolution, weight=convolution.weight.abs())
        return sizes(bound + relative * x.abs()) + relative * shift.abs()[:, None, None]

    def of_norm(self, factor: Tensor, shift: Tensor, x: Tensor, bound: Tensor) -> Tensor:
        """The bound for factor · x + shift; both of shape (C, 1, 1)."""
        return bound * factor.abs() + 4 * UNIT_ROUNDOFF * ((x * factor).abs() + shift.abs())

    def of_relu(self, z: Tensor, bound: Tensor) -> Tensor:
        """The bound behind a ReLU, where z is looked at. A bound of 0 is that of a sum of zeros, which is 0 in any order."""
        self._found.append(((z.abs() <= bound) & (bound > 0)).any())
        return bound * (z >= -bound)

    @property
    def any(self) -> bool:
        return bool(self._found) and bool(torch.stack(self._found).any())


def _relative(weight: Tensor) -> float:
    """2 γ of a convolution with this weight."""
    terms = (weight[0].numel() + 4) * UNIT_ROUNDOFF
    return 2 * terms / (1 - terms)


NOTHING = torch.zeros((), dtype=torch.float64)


class NoDoubts(Doubts):
    """Those of the CPU, whose masks are the ones that count: nothing is bounded."""

    def of_input(self, weight: Tensor, x: Tensor) -> Tensor:
        return NOTHING

    def of_sums(self, convolution: ScaledConvolution, shift: Tensor, x: Tensor, bound: Tensor) -> Tensor:
        return bound

    def of_norm(self, factor: Tensor, shift: Tensor, x: Tensor, bound: Tensor) -> Tensor:
        return bound

    def of_relu(self, z: Tensor, bound: Tensor) -> Tensor:
        return bound


class _Passed(NamedTuple):
    """What a path of parts did to an input: its linear maps, the masks in front of them, and the values."""

    layers: tuple[ScaledConvolution, ...]
    masks: tuple[Tensor, ...]
    value: Tensor  # of the output; float64, shape: (1, C, H, W)
    activated: Tensor  # the value in front of the first convolution
    activated_bound: Tensor  # of its rounding; see Doubts
    scale: Tensor | None  # of the first convolution's inputs, shape: (C, 1, 1)
    bound: Tensor  # of the output's rounding


def _pass(stages: tuple[Stage, ...], x: Tensor, bound: Tensor, doubts: Doubts) -> _Passed:
    """x: float64 (1, C, H, W), and the bound for it, through the stages of a path in evaluation mode."""
    maps, masks, first = [], [], None
    for stage in stages:
        mask, scale = torch.ones(x.shape[1:], dtype=torch.bool, device=x.device), None
        for part in stage.before:
            if isinstance(part, nn.BatchNorm2d):
                factor, shift = (value[:, None, None] for value in layers.scale_and_shift(part))
                bound = doubts.of_norm(factor, shift, x, bound)
                x, scale = x * factor + shift, factor if scale is None else scale * factor
            else:
                bound = doubts.of_relu(x, bound)
                mask, x = (x > 0)[0], x.relu()
        first = (x, bound, scale) if first is None else first
        weight, shift = _folded(stage)
        sizes = stage.convolution.stride[0], int(stage.convolution.padding[0])
        convolution = ScaledConvolution(weight, *sizes)
        bound = doubts.of_sums(convolution, shift, x, bound)
        x = convolution(x) + shift[:, None, None]
        maps.append(ScaledConvolution(weight if scale is None else weight * scale, *sizes))
        masks.append(mask)
    assert first is not None  # a path has a convolution
    return _Passed(tuple(maps), tuple(masks), x, *first, bound)


def _folded(stage: Stage) -> tuple[Tensor, Tensor]:
    """The weight and the shift of a convolution with the batch norm behind it. float64, shapes: (C_out, C_in, k, k), (C_out,)."""
    weight, bias = layers.dense_weight(stage.convolution), stage.convolution.bias
    shift = weight.new_zeros(len(weight)) if bias is None else bias.detach().double()
    if stage.behind is not None:
        factor, more = layers.scale_and_shift(stage.behind)
        weight, shift = weight * factor[:, None, None, None], shift * factor + more
    return weight, shift


def _skip_of(
    structure: Structure, geometry: BlockGeometry, passed: _Passed, x: Tensor, bound: Tensor, doubts: Doubts
) -> tuple[Layer | None, Tensor, Tensor]:
    """S, with the scale of a batch norm in front of it, the value behind it, and its bound. x: float64 (1, C, H, W), and the bound for it."""
    skip, scale = structure.skip, passed.scale if structure.skip_from_activated else None
    start, bound = (passed.activated, passed.activated_bound) if structure.skip_from_activated else (x, bound)
    if skip is None:
        return None, start, bound
    if isinstance(skip, tuple):
        through = _pass(skip, start, bound, doubts)
        (layer,) = through.layers
        value, bound = through.value, through.bound
    else:
        channels, side, _ = geometry.input_shape
        weight, stride = padded_or_probed(skip, channels, geometry.output_shape[0], side, geometry.stride)
        layer = ScaledConvolution(weight.to(x.device), stride, 0)
        value = layer(start)
        bound = doubts.of_sums(layer, layer.weight.new_zeros(len(layer.weight)), start, bound)
    layer = layer if scale is None else ScaledConvolution(layer.weight * scale, layer.stride, layer.padding)
    return layer, value, bound


@torch.no_grad()
def linearise(
    structure: Structure, geometry: BlockGeometry, x: Tensor, doubts: Doubts | None = None
) -> tuple[BlockState, Tensor]:
    """A block's state at its input x, float64 (C, H, W), and the block's output, where x and the block's numbers are.

    doubts: takes up whether another device might find other masks; none on the CPU. Raises ValueError for parts that cannot be linearised.
    """
    if tuple(x.shape) != geometry.input_shape:
        raise ValueError(
            f"Expected an input of block {geometry.block} of shape {geometry.input_shape}, got {tuple(x.shape)}."
        )
    doubts = doubts or NoDoubts()
    first = doubts.of_input(structure.stages[0].convolution.weight, x[None])
    passed = _pass(structure.stages, x[None], first, doubts)
    skip, through, bound = _skip_of(structure, geometry, passed, x[None], first, doubts)
    before = passed.value + through
    if not torch.isfinite(before).all():
        raise CannotCompute(f"Block {geometry.block} has NaN or infinite activations: check the weights and the image.")
    if structure.has_outer_relu:
        doubts.of_relu(before, passed.bound + bound)
        outer = (before > 0)[0]
    else:
        outer = torch.ones(before.shape[1:], dtype=torch.bool, device=x.device)
    state = BlockState(
        geometry, passed.layers, passed.masks, skip, outer, x, skip_is_masked=structure.skip_from_activated
    )
    return state, (before.relu() if structure.has_outer_relu else before)[0]
