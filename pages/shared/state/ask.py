"""Resolves names and numbers, as the URL holds them, to the objects that the package computes with."""

from stiffcore.analysis.perturbation import PerturbationRequest
from stiffcore.analysis.requests import Request
from stiffcore.conventions import Convention
from stiffcore.images import registry as images
from stiffcore.networks import registry as networks
from stiffcore.odes.block_flow import FlowRequest

find_network = networks.find
find_image = images.find
bundled = images.bundled


def request(network: str, image: int, block: int, convention: str, quantity: str = "spectrum") -> Request:
    """A page's request to the engine. Raises CannotCompute for an unknown network, image or convention."""
    return Request(networks.find(network), images.find(image), block, Convention(convention), quantity)


def flow(network: str, image: int, block: int) -> FlowRequest:
    return FlowRequest(networks.find(network), images.find(image), block)


def perturbation(network: str, image: int, kind: str, strength: int, seed: int = 0) -> PerturbationRequest:
    return PerturbationRequest(networks.find(network), images.find(image), kind, strength, seed)
