"""Maps that are no residual block of convolutions, in the one structure of all blocks: any map of a module, and a matrix.

A map f whose output has its input's shape is read as x + F(x): J_block = J_f, J_F = J_f − I. A matrix A is read as J_F: its
eigenvalues are those of ``branch``, those of I + A of ``block``.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from stiffcore.jacobians.layers import DenseMap, Derivative, Layer
from stiffcore.jacobians.linearise import BlockState
from stiffcore.networks.geometry import MATRIX, BlockGeometry


def of_function(function: Callable[[Tensor], Tensor], sizes: BlockGeometry, x: Tensor) -> BlockState:
    """A map linearised at x, float64, any shape: function(x) has the same shape."""
    return _state(Derivative(function, x), sizes, x)


def of_matrix(matrix: Tensor, number: int) -> BlockState:
    """A matrix, float64 (n, n)."""
    x = torch.zeros(len(matrix), dtype=torch.float64)
    return _state(DenseMap(matrix), BlockGeometry.of_map(number, tuple(x.shape), kind=MATRIX), x)


def _state(layer: Layer, sizes: BlockGeometry, x: Tensor) -> BlockState:
    everything = torch.ones(x.shape, dtype=torch.bool, device=x.device)
    return BlockState(sizes, (layer,), (everything,), None, everything, x)
