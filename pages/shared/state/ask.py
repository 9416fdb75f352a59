"""Resolves names and numbers, as the URL holds them, to the objects that the package computes with."""

from stiffcore.analysis.perturbation import PerturbationRequest
from stiffcore.analysis.requests import Request
from stiffcore.conventions import Convention
from stiffcore.images import registry as images
from stiffcore.images.image import NO_IMAGE
from stiffcore.matrices import own as matrices
from stiffcore.networks import registry as networks
from stiffcore.networks.network import Network
from stiffcore.odes.block_flow import FlowRequest

find_image = images.find
bundled = images.bundled


def find_network(name: str) -> Network:
    """The network of a name, or uploaded matrices in place of one. Raises CannotCompute for an unknown name."""
    return matrices.find(name) if matrices.is_name(name) else networks.find(name)


def request(network: str, image: int, block: int, convention: str, quantity: str = "spectrum") -> Request:
    """A page's request to the engine. Raises CannotCompute for an unknown network, image or convention.

    image: of no consequence where matrices stand in place of a network.
    """
    asked = find_network(network)
    return Request(
        asked, images.find(image) if asked.takes_images else NO_IMAGE, block, Convention(convention), quantity
    )


def flow(network: str, image: int, block: int) -> FlowRequest:
    return FlowRequest(networks.find(network), images.find(image), block)


def perturbation(network: str, image: int, kind: str, strength: int, seed: int = 0) -> PerturbationRequest:
    return PerturbationRequest(networks.find(network), images.find(image), kind, strength, seed)
