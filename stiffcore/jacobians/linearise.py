"""The residual blocks of a network, and a block linearised at one image.

In evaluation mode batch norm is affine, so at one image a block is linear up to its ReLU masks. With
``A1, A2 (, A3)`` the convolutions scaled by their batch norms and ``D`` the masks,

    J_F = A2 D1 A1   (basic block),      J_F = A3 D2 A2 D1 A1   (bottleneck),
    J_block = D_out (J_F + J_s).

The derivative of ReLU at exactly 0 is 0, as in autograd.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.networks.geometry import BlockGeometry


@dataclass(frozen=True)
class ScaledConvolution:
    """A convolution without bias, its weight multiplied by gamma / sqrt(var + eps) of the batch norm behind it."""

    weight: Tensor  # float64, shape: (C_out, C_in, k, k)
    stride: int
    padding: int

    def __call__(self, x: Tensor) -> Tensor:
        """x: (..., C_in, H, W) with one or no batch dimension."""
        return nn.functional.conv2d(x, self.weight.to(x), stride=self.stride, padding=self.padding)

    def transpose(self, y: Tensor, input_side: int) -> Tensor:
        """The adjoint; y: (batch, C_out, H_out, W_out) -> (batch, C_in, input_side, input_side)."""
        kernel = self.weight.shape[-1]
        left_over = input_side - ((y.shape[-1] - 1) * self.stride - 2 * self.padding + kernel)
        return nn.functional.conv_transpose2d(
            y, self.weight.to(y), stride=self.stride, padding=self.padding, output_padding=left_over
        )


@dataclass(frozen=True)
class BlockState:
    """A residual block linearised at one image: everything that its Jacobian consists of. On the CPU, in float64."""

    geometry: BlockGeometry
    convolutions: tuple[ScaledConvolution, ...]  # A1, A2 (, A3)
    skip: ScaledConvolution | None  # None: the identity
    inner_masks: tuple[Tensor, ...]  # bool, each of shape (C, H, W) of geometry.inner_shapes
    outer_mask: Tensor  # bool, shape: geometry.output_shape
    input: Tensor  # float64, shape: geometry.input_shape

    @property
    def live_outputs(self) -> int:
        """a: outputs of the outer ReLU that are positive."""
        return int(self.outer_mask.sum())

    def kept_outputs(self, convention: Convention) -> Tensor:
        """The outputs whose rows of J the outer ReLU does not zero: the live ones, or all. bool, (C, H, W)."""
        return self.outer_mask if convention.masks_outputs else torch.ones_like(self.outer_mask)

    @property
    def live_inner(self) -> tuple[int, ...]:
        """b1 (, b2): live units of the inner ReLUs."""
        return tuple(int(mask.sum()) for mask in self.inner_masks)


def residual_blocks(model: nn.Module) -> list[nn.Module]:
    """The blocks of torchvision's ResNet in order."""
    stages = map(model.get_submodule, ("layer1", "layer2", "layer3", "layer4"))
    return [block for stage in stages for block in stage.children()]


def _pairs(module: nn.Module) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """The convolutions of a block, or of a network's stem, each with its batch norm."""
    return [(getattr(module, f"conv{i}"), getattr(module, f"bn{i}")) for i in (1, 2, 3) if hasattr(module, f"conv{i}")]


def _scale_and_shift(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Batch norm in evaluation mode as x -> scale · x + shift, in float64. shapes: (C,)"""
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("Expected a batch norm with running statistics, got one without.")
    scale = norm.weight.detach().double() / torch.sqrt(norm.running_var.double() + norm.eps)
    return scale, norm.bias.detach().double() - norm.running_mean.double() * scale


def scaled_convolution(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> ScaledConvolution:
    """weight · gamma / sqrt(var + eps), in float64."""
    scale, _ = _scale_and_shift(norm)
    weight = convolution.weight.detach().double() * scale[:, None, None, None]
    return ScaledConvolution(weight.cpu(), convolution.stride[0], int(convolution.padding[0]))


def _affine(convolution: nn.Conv2d, norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """Batch norm in evaluation mode behind a convolution; x: float64 (1, C, H, W)."""
    scaled = scaled_convolution(convolution, norm)
    _, shift = _scale_and_shift(norm)
    return scaled(x) + shift.cpu()[:, None, None]


@torch.no_grad()
def linearise(block: nn.Module, geometry: BlockGeometry, x: Tensor) -> tuple[BlockState, Tensor]:
    """A block's state at its input x, float64 (C, H, W), and the block's output."""
    if tuple(x.shape) != geometry.input_shape:
        raise ValueError(
            f"Expected an input of block {geometry.block} of shape {geometry.input_shape}, got {tuple(x.shape)}."
        )
    pairs, masks, inner = _pairs(block), [], x[None]
    for position, (convolution, norm) in enumerate(pairs):
        inner = _affine(convolution, norm, inner)
        if position < len(pairs) - 1:
            masks.append((inner > 0)[0])
            inner = inner.relu()
    skip, through = None, x[None]
    downsample = getattr(block, "downsample", None)  # torchvision's: a convolution and its batch norm
    if downsample is not None:
        convolution, norm = downsample
        skip, through = scaled_convolution(convolution, norm), _affine(convolution, norm, through)
    before = inner + through
    if not torch.isfinite(before).all():
        raise CannotCompute(f"Block {geometry.block} has NaN or infinite activations: check the weights and the image.")
    convolutions = tuple(scaled_convolution(*pair) for pair in pairs)
    state = BlockState(geometry, convolutions, skip, tuple(masks), (before > 0)[0], x)
    return state, before.relu()[0]


@torch.no_grad()
def block_states(
    model: nn.Module, geometries: tuple[BlockGeometry, ...], image: Tensor, wanted: Iterable[int]
) -> dict[int, BlockState]:
    """The states of the wanted blocks (from 1) by one float64 forward pass on the CPU.

    image: normalised, shape (3, H, W). The masks are shared by every device and precision.
    """
    if image.ndim != 3 or image.shape[0] != 3:
        raise ValueError(f"Expected one image of shape (3, H, W), got {tuple(image.shape)}.")
    wanted = set(wanted)
    if not wanted:
        return {}
    # The stem: convolution, batch norm, ReLU, max-pool.
    [(convolution, norm)] = _pairs(model)
    x = model.get_submodule("maxpool")(_affine(convolution, norm, image.double().cpu()[None]).relu())[0]
    states = {}
    for block, geometry in zip(residual_blocks(model), geometries, strict=True):
        if geometry.block > max(wanted):
            break
        state, x = linearise(block, geometry, x)
        if geometry.block in wanted:
            states[geometry.block] = state
    return states
