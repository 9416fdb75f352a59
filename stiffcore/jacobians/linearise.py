"""A residual block linearised at one image: everything that its Jacobian consists of.

In evaluation mode batch norm is affine, so at one image a block ``y = σ(F(x) + s(x))`` is linear up to its ReLU masks:

    J_F = L_k D_{k−1} … D_1 L_1 D_0,      J_block = D_out (J_F + J_s)

``L``: convolutions, batch norms folded in: behind a convolution as a scale of its outputs, in front of one as a scale of its inputs.
``D``: 0/1 masks. A post-activation block has D_0 = 1; a pre-activation one has D_out = 1, so that J_block = I + J_F. Where a
pre-activation block changes the shape, its skip usually starts behind D_0: J_s = S D_0. The derivative of ReLU at 0 is 0, as in autograd.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
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


def _scale_and_shift(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Batch norm in evaluation mode as x -> scale · x + shift, in float64. shapes: (C,)"""
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("Expected a batch norm with running statistics, got one without.")
    ones = torch.ones_like(norm.running_var, dtype=torch.float64)
    weight = ones if norm.weight is None else norm.weight.detach().double()
    bias = 0 * ones if norm.bias is None else norm.bias.detach().double()
    scale = weight / torch.sqrt(norm.running_var.double() + norm.eps)
    return scale.cpu(), (bias - norm.running_mean.double() * scale).cpu()


def _dense_weight(convolution: nn.Conv2d) -> Tensor:
    """float64 (C_out, C_in, k, k), in groups or with dilation, too. Raises ValueError for an oblong one, or without zero padding."""
    (high, wide), (down, right), (top, left) = convolution.kernel_size, convolution.stride, convolution.dilation
    square = high == wide and down == right and top == left and len({*convolution.padding}) == 1
    if not square or isinstance(convolution.padding, str) or convolution.padding_mode != "zeros":
        raise ValueError(f"Expected a square convolution, padded with zeros, got {convolution}.")
    weight = convolution.weight.detach().double().cpu()
    groups, outputs = convolution.groups, len(weight) // convolution.groups
    if groups > 1:
        whole = torch.zeros(len(weight), convolution.in_channels, high, wide, dtype=torch.float64)
        for group in range(groups):
            inputs = slice(group * weight.shape[1], (group + 1) * weight.shape[1])
            whole[group * outputs : (group + 1) * outputs, inputs] = weight[group * outputs : (group + 1) * outputs]
        weight = whole
    if top > 1:
        spread = torch.zeros(*weight.shape[:2], (high - 1) * top + 1, (wide - 1) * top + 1, dtype=torch.float64)
        spread[:, :, ::top, ::top] = weight
        weight = spread
    return weight


class _Passed(NamedTuple):
    """What a path of parts did to an input: its linear maps, the masks in front of them, and the values."""

    layers: tuple[ScaledConvolution, ...]
    masks: tuple[Tensor, ...]
    value: Tensor  # of the output; float64, shape: (1, C, H, W)
    activated: Tensor  # the value in front of the first convolution
    scale: Tensor | None  # of the first convolution's inputs, shape: (C, 1, 1)


def _pass(stages: tuple[Stage, ...], x: Tensor) -> _Passed:
    """x: float64 (1, C, H, W), through the stages of a path in evaluation mode."""
    layers, masks, first = [], [], None
    for stage in stages:
        mask, scale = torch.ones(x.shape[1:], dtype=torch.bool), None
        for part in stage.before:
            if isinstance(part, nn.BatchNorm2d):
                factor, shift = (value[:, None, None] for value in _scale_and_shift(part))
                x, scale = x * factor + shift, factor if scale is None else scale * factor
            else:
                mask, x = (x > 0)[0], x.relu()
        first = (x, scale) if first is None else first
        weight, bias = _dense_weight(stage.convolution), stage.convolution.bias
        shift = torch.zeros(len(weight), dtype=torch.float64) if bias is None else bias.detach().double().cpu()
        if stage.behind is not None:
            factor, more = _scale_and_shift(stage.behind)
            weight, shift = weight * factor[:, None, None, None], shift * factor + more
        sizes = stage.convolution.stride[0], int(stage.convolution.padding[0])
        x = ScaledConvolution(weight, *sizes)(x) + shift[:, None, None]
        layers.append(ScaledConvolution(weight if scale is None else weight * scale, *sizes))
        masks.append(mask)
    assert first is not None  # a path has a convolution
    return _Passed(tuple(layers), tuple(masks), x, *first)


def _skip_of(structure: Structure, geometry: BlockGeometry, passed: _Passed, x: Tensor) -> tuple[Layer | None, Tensor]:
    """S, with the scale of a batch norm in front of it, and the value behind it. x: float64 (1, C, H, W)."""
    skip, scale = structure.skip, passed.scale if structure.skip_from_activated else None
    start = passed.activated if structure.skip_from_activated else x
    if skip is None:
        return None, start
    if isinstance(skip, tuple):
        through = _pass(skip, start)
        (layer,) = through.layers
        value = through.value
    else:
        channels, side, _ = geometry.input_shape
        weight, stride = padded_or_probed(skip, channels, geometry.output_shape[0], side, geometry.stride)
        layer = ScaledConvolution(weight, stride, 0)
        value = layer(start)
    return (layer if scale is None else ScaledConvolution(layer.weight * scale, layer.stride, layer.padding)), value


@torch.no_grad()
def linearise(structure: Structure, geometry: BlockGeometry, x: Tensor) -> tuple[BlockState, Tensor]:
    """A block's state at its input x, float64 (C, H, W), and the block's output. Raises ValueError for parts that cannot be linearised."""
    if tuple(x.shape) != geometry.input_shape:
        raise ValueError(
            f"Expected an input of block {geometry.block} of shape {geometry.input_shape}, got {tuple(x.shape)}."
        )
    passed = _pass(structure.stages, x[None])
    skip, through = _skip_of(structure, geometry, passed, x[None])
    before = passed.value + through
    if not torch.isfinite(before).all():
        raise CannotCompute(f"Block {geometry.block} has NaN or infinite activations: check the weights and the image.")
    outer = (before > 0)[0] if structure.has_outer_relu else torch.ones(before.shape[1:], dtype=torch.bool)
    state = BlockState(
        geometry, passed.layers, passed.masks, skip, outer, x, skip_is_masked=structure.skip_from_activated
    )
    return state, (before.relu() if structure.has_outer_relu else before)[0]
