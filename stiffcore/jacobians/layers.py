"""The linear maps that a block's Jacobian is a product of: convolutions, a matrix, the derivative of any map. In float64.

Each maps a batch (N, *input shape) to (N, *output shape), and has its adjoint.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol, Self

import torch
from torch import Tensor, nn

from stiffcore.device import CPU

Shape = tuple[int, ...]
# The levels of torch's forward differentiation, and the switches of attention, belong to the process: of two threads at a time both
# failed, or had a wrong product.
_forward = threading.RLock()


class Layer(Protocol):
    """A linear map between the values of two layers."""

    def __call__(self, x: Tensor) -> Tensor:
        """x: (batch, *input shape)."""
        ...

    def transpose(self, y: Tensor, input_shape: Shape) -> Tensor:
        """The adjoint; y: (batch, *output shape) -> (batch, *input_shape)."""
        ...

    def to(self, where: torch.device) -> Self:
        """The same map on another device; itself where it stands there already."""
        ...

    @property
    def cost(self) -> int:
        """Roughly how many numbers one product reads: what a dense core competes with."""
        ...


@dataclass(frozen=True)
class ScaledConvolution:
    """A convolution without bias, its weight multiplied by gamma / sqrt(var + eps) of a batch norm: along its outputs for one
    behind it, along its inputs for one in front of it.

    On a card windows and one matrix product: cuDNN's convolutions in float64 take 1 to 7 times as long (measured on an H100).
    """

    weight: Tensor  # float64, shape: (C_out, C_in, k, k)
    stride: int
    padding: int

    def __call__(self, x: Tensor) -> Tensor:
        if self.weight.device != CPU:
            kernel = self.weight.shape[-1]
            size = [(side + 2 * self.padding - kernel) // self.stride + 1 for side in x.shape[-2:]]
            windows = nn.functional.unfold(x, kernel, padding=self.padding, stride=self.stride)
            return (self.weight.flatten(1).to(x.dtype) @ windows).unflatten(-1, size)
        return nn.functional.conv2d(x, self.weight.to(x.dtype), stride=self.stride, padding=self.padding)

    def transpose(self, y: Tensor, input_shape: Shape) -> Tensor:
        kernel = self.weight.shape[-1]
        if self.weight.device != CPU:
            windows = self.weight.flatten(1).T.to(y.dtype) @ y.flatten(2)
            return nn.functional.fold(windows, input_shape[-2:], kernel, padding=self.padding, stride=self.stride)
        left_over = tuple(
            there - ((here - 1) * self.stride - 2 * self.padding + kernel)
            for there, here in zip(input_shape[-2:], y.shape[-2:], strict=True)
        )
        return nn.functional.conv_transpose2d(
            y, self.weight.to(y.dtype), stride=self.stride, padding=self.padding, output_padding=left_over
        )

    def to(self, where: torch.device) -> Self:
        return replace(self, weight=self.weight.to(where))

    @property
    def cost(self) -> int:
        return self.weight.numel()

    @property
    def radius(self) -> int | None:
        """How far an output reaches around its own pixel; None where it has none, because of a stride or an even kernel."""
        radius, even = divmod(self.weight.shape[-1] - 1, 2)
        return radius if not even and self.stride == 1 and self.padding == radius else None


@dataclass(frozen=True)
class DenseMap:
    """A square matrix."""

    matrix: Tensor  # float64, shape: (n, n)

    def __call__(self, x: Tensor) -> Tensor:
        return x @ self.matrix.T

    def transpose(self, y: Tensor, input_shape: Shape) -> Tensor:
        return y @ self.matrix

    def to(self, where: torch.device) -> Self:
        return replace(self, matrix=self.matrix.to(where))

    @property
    def cost(self) -> int:
        return self.matrix.numel()


@dataclass(frozen=True)
class Derivative:
    """J_f(x) − I of any map f whose output has its input's shape, by automatic differentiation: f(x) = x + F(x), J_F = J_f − I."""

    function: Callable[[Tensor], Tensor]  # (*shape) -> (*shape), float64
    at: Tensor  # float64, shape: the input's

    def __call__(self, x: Tensor) -> Tensor:
        with differentiable():
            product = torch.func.vmap(lambda v: jvp(self.function, self.at, v)[1])(x)
        return product.detach() - x

    def transpose(self, y: Tensor, input_shape: Shape) -> Tensor:
        with differentiable():
            pullback = torch.func.vjp(self.function, self.at)[1]
            product = torch.func.vmap(lambda w: pullback(w)[0])(y)
        return product.detach() - y

    def to(self, where: torch.device) -> Self:
        """Itself: it computes where its module stands."""
        return self

    @property
    def cost(self) -> int:
        return 100 * self.at.numel()  # a guess: an unknown map is never cheap


def jvp(function: Callable[[Tensor], Tensor], x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """f(x) and J_f(x) v, by forward differentiation."""
    with _forward:
        both: tuple[Tensor, ...] = torch.func.jvp(function, (x,), (v,))
    return both[0], both[1]


@contextmanager
def differentiable() -> Iterator[None]:
    """Attention by its plain formula: its fused kernels have no forward derivative."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    with _forward:
        fused = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            with sdpa_kernel(SDPBackend.MATH):
                yield
        finally:
            torch.backends.mha.set_fastpath_enabled(fused)


def scale_and_shift(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Batch norm in evaluation mode as x -> scale · x + shift, in float64, where its numbers are. shapes: (C,)"""
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("Expected a batch norm with running statistics, got one without.")
    ones = torch.ones_like(norm.running_var, dtype=torch.float64)
    weight = ones if norm.weight is None else norm.weight.detach().double()
    bias = 0 * ones if norm.bias is None else norm.bias.detach().double()
    scale = weight / torch.sqrt(norm.running_var.double() + norm.eps)
    return scale, bias - norm.running_mean.double() * scale


def dense_weight(convolution: nn.Conv2d) -> Tensor:
    """float64 (C_out, C_in, k, k), in groups or with dilation, too. Raises ValueError for an oblong one, or without zero padding."""
    (high, wide), (down, right), (top, left) = convolution.kernel_size, convolution.stride, convolution.dilation
    square = high == wide and down == right and top == left and len({*convolution.padding}) == 1
    if not square or isinstance(convolution.padding, str) or convolution.padding_mode != "zeros":
        raise ValueError(f"Expected a square convolution, padded with zeros, got {convolution}.")
    weight = convolution.weight.detach().double()
    groups, outputs = convolution.groups, len(weight) // convolution.groups
    if groups > 1:
        whole = weight.new_zeros(len(weight), convolution.in_channels, high, wide)
        for group in range(groups):
            inputs = slice(group * weight.shape[1], (group + 1) * weight.shape[1])
            whole[group * outputs : (group + 1) * outputs, inputs] = weight[group * outputs : (group + 1) * outputs]
        weight = whole
    if top > 1:
        spread = weight.new_zeros(*weight.shape[:2], (high - 1) * top + 1, (wide - 1) * top + 1)
        spread[:, :, ::top, ::top] = weight
        weight = spread
    return weight
