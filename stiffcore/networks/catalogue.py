"""The networks to choose from, their blocks and sizes. Imports no torch."""

from dataclasses import dataclass

from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.networks import uploaded as uploaded_networks

ARCHITECTURES = {
    "resnet18": ("basic", (2, 2, 2, 2)),
    "resnet34": ("basic", (3, 4, 6, 3)),
    "resnet50": ("bottleneck", (3, 4, 6, 3)),
}
BASELINES = ("untrained", "shuffled")
NETWORKS = tuple(ARCHITECTURES) + tuple(f"{name}-{baseline}" for name in ARCHITECTURES for baseline in BASELINES)
EXPANSION = 4  # a bottleneck's output channels per narrow channel


@dataclass(frozen=True)
class BlockGeometry:
    """The sizes of one residual block at a 32×32 image."""

    block: int  # from 1, as in the paper
    kind: str  # basic or bottleneck
    stride: int
    input_shape: tuple[int, int, int]  # (C, H, W)
    inner_shapes: tuple[tuple[int, int, int], ...]  # of the inner ReLUs: one (basic) or two (bottleneck)
    output_shape: tuple[int, int, int]

    @property
    def n_in(self) -> int:
        channels, height, width = self.input_shape
        return channels * height * width

    @property
    def n_out(self) -> int:
        channels, height, width = self.output_shape
        return channels * height * width

    @property
    def is_identity(self) -> bool:
        """Whether the skip is x itself; all other blocks change the shape."""
        return self.input_shape == self.output_shape

    @property
    def is_square(self) -> bool:
        return self.n_in == self.n_out

    def n_eigenvalues(self, convention: Convention) -> int:
        """Of the matrix: n, or 0 if the block is not an identity block. Of the slices: n_out · C_in · H_in."""
        if convention.has_matrix:
            return self.n_out if self.is_identity else 0
        return self.n_out * self.input_shape[0] * self.input_shape[1]


def architecture(network: str) -> str:
    """``resnet18-shuffled`` -> ``resnet18``, for uploaded networks too. Raises CannotCompute for an unknown name."""
    if uploaded_networks.is_name(network):
        network = uploaded_networks.get(network).architecture
    if network not in NETWORKS:
        raise CannotCompute(f"Expected a network among {', '.join(NETWORKS)}, got {network!r}: choose one of them.")
    return network.split("-")[0]


def blocks(network: str) -> tuple[BlockGeometry, ...]:
    """The residual blocks of a network in order: 8, 16 and 16."""
    kind, depths = ARCHITECTURES[architecture(network)]
    channels, side = 64, 16
    geometries: list[BlockGeometry] = []
    for stage, depth in enumerate(depths):
        narrow = 64 * 2**stage
        wide = narrow * (EXPANSION if kind == "bottleneck" else 1)
        for position in range(depth):
            stride = 2 if stage > 0 and position == 0 else 1
            out_side = side // stride
            first = (narrow, side if kind == "bottleneck" else out_side, side if kind == "bottleneck" else out_side)
            inner = (first, (narrow, out_side, out_side)) if kind == "bottleneck" else (first,)
            input_shape, output_shape = (channels, side, side), (wide, out_side, out_side)
            geometries.append(BlockGeometry(len(geometries) + 1, kind, stride, input_shape, inner, output_shape))
            channels, side = wide, out_side
    return tuple(geometries)


def block(network: str, number: int) -> BlockGeometry:
    """One block, counted from 1. Raises CannotCompute outside the network."""
    all_blocks = blocks(network)
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= len(all_blocks):
        raise CannotCompute(
            f"Expected a block of {network} from 1 to {len(all_blocks)}, got {number!r}: choose one of them."
        )
    return all_blocks[number - 1]
