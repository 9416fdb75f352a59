"""The networks to choose from, their blocks and sizes. Imports no torch."""

from stiffcore.errors import CannotCompute
from stiffcore.networks import uploaded as uploaded_networks
from stiffcore.networks.architecture import Architecture
from stiffcore.networks.geometry import BlockGeometry

ARCHITECTURES = {
    "resnet18": ("basic", (2, 2, 2, 2)),
    "resnet34": ("basic", (3, 4, 6, 3)),
    "resnet50": ("bottleneck", (3, 4, 6, 3)),
}
BASELINES = ("untrained", "shuffled")
NETWORKS = tuple(ARCHITECTURES) + tuple(f"{name}-{baseline}" for name in ARCHITECTURES for baseline in BASELINES)


def architecture(network: str) -> str:
    """``resnet18-shuffled`` -> ``resnet18``, for uploaded networks too. Raises CannotCompute for an unknown name."""
    if uploaded_networks.is_name(network):
        network = uploaded_networks.get(network).architecture
    if network not in NETWORKS:
        raise CannotCompute(f"Expected a network among {', '.join(NETWORKS)}, got {network!r}: choose one of them.")
    return network.split("-")[0]


def architecture_of(network: str) -> Architecture:
    """The structure of a network, a baseline or an uploaded network. Raises CannotCompute for an unknown name."""
    kind, depths = ARCHITECTURES[architecture(network)]
    return Architecture(kind, depths, (64, 128, 256, 512))


def blocks(network: str) -> tuple[BlockGeometry, ...]:
    """The residual blocks of a network in order: 8, 16 and 16."""
    return architecture_of(network).blocks()


def block(network: str, number: int) -> BlockGeometry:
    """One block, counted from 1. Raises CannotCompute outside the network."""
    all_blocks = blocks(network)
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= len(all_blocks):
        raise CannotCompute(
            f"Expected a block of {network} from 1 to {len(all_blocks)}, got {number!r}: choose one of them."
        )
    return all_blocks[number - 1]
