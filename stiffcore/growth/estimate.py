"""How long a whole network takes at one image, before it is computed. Imports no torch."""

from stiffcore.networks.geometry import BlockGeometry
from stiffcore.networks.network import Network

SECONDS_PER_BILLION = (
    25.0  # multiply-adds of one pass through the blocks; measured on one core with ResNet18, 34 and 50
)
AT_LEAST = 1.0  # seconds: the forward pass, the stem, the head


def seconds(network: Network) -> float:
    """About how long one image takes on one core."""
    return AT_LEAST + SECONDS_PER_BILLION * sum(map(_products, network.blocks)) / 1e9


def _products(block: BlockGeometry) -> float:
    """Multiply-adds of a block's convolutions, about; of another map a guess by the number of its values."""
    if not block.inner_shapes:
        return 100.0 * block.n_in
    shapes = (block.input_shape, *block.inner_shapes, block.output_shape)
    sides = (3, 3) if len(block.inner_shapes) == 1 else (1, 3, 1)
    total = 0.0
    for before, after, side in zip(shapes, shapes[1:], sides, strict=False):
        total += before[0] * side**2 * float(after[0] * after[1] * after[2])
    return total
