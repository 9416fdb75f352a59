"""Requests by names and numbers, as a door makes them."""

from stiffcore.analysis.perturbation import PerturbationRequest
from stiffcore.analysis.requests import Request
from stiffcore.conventions import Convention
from stiffcore.images import registry as images
from stiffcore.networks import registry as networks
from stiffcore.odes.block_flow import FlowRequest


def asked(network: str, image: int, block: int, convention: str, quantity: str = "counts") -> Request:
    """``asked("resnet18", 0, 8, "branch")``: a request for metrics of that block at that image."""
    return Request(networks.find(network), images.find(image), block, Convention(convention), quantity)


def asked_flow(network: str, image: int, block: int) -> FlowRequest:
    return FlowRequest(networks.find(network), images.find(image), block)


def asked_perturbation(network: str, image: int, kind: str, strength: int, seed: int = 0) -> PerturbationRequest:
    return PerturbationRequest(networks.find(network), images.find(image), kind, strength, seed)
