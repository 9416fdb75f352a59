"""The sizes of a residual block. Imports no torch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from stiffcore.conventions import Convention

MOST_SLICE_OUTPUTS = (
    200_000  # values of a block's output above which its slices are not counted: they would take an hour
)
MAP, MATRIX = "map", "matrix"  # kinds of what has no layers of its own: f(x) = x + F(x), or a matrix in place of J_F


@dataclass(frozen=True)
class BlockGeometry:
    """The sizes of one residual block at the network's image size.

    Shapes are (C, H, W). A map that is not made of convolutions has the shape of its input, whatever its length, and no inner one.
    """

    block: int  # from 1, as in the paper
    kind: str  # basic, bottleneck, pre-activation, pre-activation bottleneck, MAP or MATRIX
    stride: int
    input_shape: tuple[int, ...]
    inner_shapes: tuple[tuple[int, int, int], ...]  # of the inner ReLUs: one (two convolutions) or two (three)
    output_shape: tuple[int, ...]
    has_outer_relu: bool = True  # a pre-activation block has none: J_block = I + J_F
    path: str = (
        ""  # the part's name in its module, or a matrix's in its file; empty where blocks are found by their structure
    )

    @classmethod
    def of_map(cls, block: int, shape: tuple[int, ...], path: str = "", kind: str = MAP) -> Self:
        """The sizes of a map from a shape to itself."""
        return cls(block, kind, 1, shape, (), shape, has_outer_relu=False, path=path)

    @property
    def title(self) -> str:
        """``Block 3``, ``Matrix 3``: as pages and figures name it."""
        return f"{'Matrix' if self.kind == MATRIX else 'Block'} {self.block}"

    @property
    def n_in(self) -> int:
        return math.prod(self.input_shape)

    @property
    def n_out(self) -> int:
        return math.prod(self.output_shape)

    @property
    def is_identity(self) -> bool:
        """Whether the skip is x itself; all other blocks change the shape."""
        return self.input_shape == self.output_shape

    @property
    def is_square(self) -> bool:
        return self.n_in == self.n_out

    @property
    def has_slices(self) -> bool:
        """Whether the block's Jacobian is a tensor over two images, small enough for its slices to be counted."""
        return bool(self.inner_shapes) and self.n_out < MOST_SLICE_OUTPUTS

    def n_eigenvalues(self, convention: Convention) -> int:
        """Of the matrix: n, or 0 if the block is not an identity block. Of the slices: n_out · C_in · H_in, or 0 without them."""
        if convention.has_matrix:
            return self.n_out if self.is_identity else 0
        return self.n_out * self.input_shape[0] * self.input_shape[1] if self.has_slices else 0


def of_matrices(sides: Sequence[int], names: Sequence[str] = ()) -> tuple[BlockGeometry, ...]:
    """Matrices in place of a network's blocks. names: of each, kept as its path."""
    named = names or [""] * len(sides)
    return tuple(
        BlockGeometry.of_map(number, (side,), name, MATRIX)
        for number, (side, name) in enumerate(zip(sides, named, strict=True), 1)
    )
