"""The networks to choose from, their blocks and sizes. Imports no torch."""

from stiffcore.errors import CannotCompute
from stiffcore.networks import architecture as architectures, uploaded as uploaded_networks
from stiffcore.networks.architecture import Architecture
from stiffcore.networks.geometry import BlockGeometry

ARCHITECTURES: dict[str, Architecture] = architectures.CATALOGUE
PAPER = ("resnet18", "resnet34", "resnet50")  # those with published numbers
SHIPPED = PAPER  # those whose trained weights are in weights/
BASELINES = ("untrained", "shuffled")
NETWORKS = SHIPPED + tuple(f"{name}-{baseline}" for name in SHIPPED for baseline in BASELINES)


def architecture(network: str) -> str:
    """``resnet18-shuffled`` -> ``resnet18``; of an uploaded network the name of a shipped one with the same structure, or "".

    Raises CannotCompute for an unknown name.
    """
    if uploaded_networks.is_name(network):
        own = uploaded_networks.get(network)
        return next((name for name in SHIPPED if ARCHITECTURES[name] == own.architecture), "")
    if network not in NETWORKS:
        raise CannotCompute(f"Expected a network among {', '.join(NETWORKS)}, got {network!r}: choose one of them.")
    return network.split("-")[0]


def paper(network: str) -> str:
    """The paper's name of a network, a baseline or an uploaded network; "" if the paper has no such network."""
    name = architecture(network)
    return name if name in PAPER else ""


def paper_name(structure: Architecture) -> str:
    """The paper's name of an architecture; "" for all others."""
    return next((name for name in PAPER if ARCHITECTURES[name] == structure), "")


def architecture_of(network: str) -> Architecture:
    """The structure of a network, a baseline or an uploaded network; of one that can only be trained, too.

    Raises CannotCompute for an unknown name.
    """
    if uploaded_networks.is_name(network):
        return uploaded_networks.get(network).architecture
    return ARCHITECTURES[network if network in ARCHITECTURES else architecture(network)]


def blocks(network: str) -> tuple[BlockGeometry, ...]:
    """The residual blocks of a network in order: 8, 16 and 16 of the paper's."""
    if uploaded_networks.is_name(network):
        own = uploaded_networks.get(network)
        return own.architecture.blocks(own.preprocessing.image_size)
    return architecture_of(network).blocks()


def block(network: str, number: int) -> BlockGeometry:
    """One block, counted from 1. Raises CannotCompute outside the network."""
    all_blocks = blocks(network)
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= len(all_blocks):
        raise CannotCompute(
            f"Expected a block of {network} from 1 to {len(all_blocks)}, got {number!r}: choose one of them."
        )
    return all_blocks[number - 1]
