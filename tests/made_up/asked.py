"""Requests by names and numbers, as a door makes them."""

from stiffcore.analysis.perturbation import PerturbationRequest
from stiffcore.analysis.requests import Request
from stiffcore.conventions import Convention
from stiffcore.images import registry as images
from stiffcore.images.image import Image
from stiffcore.networks import registry as networks
from stiffcore.networks.network import Network
from stiffcore.odes.block_flow import FlowRequest


def _network(name: str | Network) -> Network:
    return name if isinstance(name, Network) else networks.find(name)


def _image(number: int | Image) -> Image:
    return number if isinstance(number, Image) else images.find(number)


def asked(network: str | Network, image: int | Image, block: int, convention: str, quantity: str = "counts") -> Request:
    """``asked("resnet18", 0, 8, "branch")``: a request for metrics of that block at that image."""
    return Request(_network(network), _image(image), block, Convention(convention), quantity)


def asked_flow(network: str | Network, image: int | Image, block: int) -> FlowRequest:
    return FlowRequest(_network(network), _image(image), block)


def asked_perturbation(
    network: str | Network, image: int | Image, kind: str, strength: int, seed: int = 0
) -> PerturbationRequest:
    return PerturbationRequest(_network(network), _image(image), kind, strength, seed)
