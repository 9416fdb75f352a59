"""A residual block's own ODE, followed from the block's input: how far the network's single step is from the exact flow.

    x' = F(x),  x(0) = the block's input,        x_{i+1} = x_i + h F(x_i)  with h = 1, 1/2, 1/4, …

The block itself computes ``ReLU(x + F(x))``: one step of forward Euler with h = 1, then the outer ReLU, which is not part of
the ODE and is left out here. Distances are Euclidean norms at t = 1, relative to the exact flow's state or to its travel.
This file holds results and imports no torch; block_flow_integration.py computes them.
"""

from dataclasses import dataclass

import numpy as np

from stiffcore.errors import CannotCompute
from stiffcore.images.image import Image
from stiffcore.networks.geometry import BlockGeometry
from stiffcore.networks.network import Network
from stiffcore.odes import one_step
from stiffcore.storage import cache as result_cache, kept

ALGORITHM = 1  # raise it when equal requests would give other numbers
STEPS = tuple(2.0**-k for k in range(7))  # h
LARGEST_STATE = 8192  # n; the flow of a larger block takes minutes, and spectra of such blocks do not ship


@dataclass(frozen=True)
class FlowRequest:
    """A block, counted from 1, at an image."""

    network: Network
    image: Image
    block: int

    def in_header(self) -> dict[str, object]:
        """The request in a stored flow's header: names in place of the objects."""
        return {"network": self.network.name, "image": self.image.in_rows, "block": self.block}


@dataclass(frozen=True)
class BlockFlow:
    """The flow of one block at one image over [0, 1], and forward Euler's distance from it."""

    request: FlowRequest
    distance: np.ndarray  # ‖x_h(1) - x(1)‖ / ‖x(1)‖ per step of STEPS
    of_travel: np.ndarray  # ‖x_h(1) - x(1)‖ / ‖x(1) - x(0)‖
    growth: float  # ‖x(1)‖ / ‖x(0)‖ along the exact flow
    converged_to: float  # relative distance between the flow at two tolerances: the looser one's error, hence a bound
    n_evaluations: int  # of F, by the solver at the tighter tolerance
    seconds: float
    weights: str
    notice: str = ""  # shown to the user if the flow could not be stored

    @property
    def observed_orders(self) -> np.ndarray:
        """The observed order of convergence for each halving of h: 1 for forward Euler once the step is small."""
        return one_step.observed_orders(self.distance)


def last_stage_blocks(network: Network) -> list[int]:
    """The identity blocks of a network's last stage, whose flow is followed."""
    last_shape = network.blocks[-1].output_shape
    return [block.block for block in network.identity_blocks() if block.output_shape == last_shape]


def check_identity(network: Network, block: int) -> BlockGeometry:
    """Raises CannotCompute for a block that changes the shape: x' = F(x) needs F(x) to have the shape of x."""
    geometry = network.block(block)
    if not geometry.is_identity:
        others = ", ".join(str(other.block) for other in network.identity_blocks())
        raise CannotCompute(
            f"Expected an identity block, since x′ = F(x) needs F(x) to have the shape of x, got block {block} of "
            f"{network.name}, which changes the shape: choose one of {others}."
        )
    return geometry


def check(request: FlowRequest) -> FlowRequest:
    """The request itself. Raises CannotCompute for a block whose flow cannot be followed."""
    geometry = check_identity(request.network, request.block)
    if geometry.n_in > LARGEST_STATE:
        smaller = [other for other in request.network.identity_blocks() if other.n_in <= LARGEST_STATE]
        raise CannotCompute(
            f"Expected a block of at most {LARGEST_STATE:,} dimensions to follow its flow, got {geometry.n_in:,}: "
            f"choose one of {', '.join(str(other.block) for other in smaller)}."
        )
    return request


def key(request: FlowRequest) -> str:
    """The key of a flow in the cache."""
    return result_cache.key(
        {
            "kind": "block-flow",
            "algorithm": ALGORITHM,
            **request.network.key_fields(request.image),
            "block": request.block,
        }
    )


def stored(request: FlowRequest) -> BlockFlow | None:
    """The stored or shipped flow; None where there is none. Imports no torch."""

    def read(entry: result_cache.Entry) -> BlockFlow:
        return BlockFlow(request, entry.arrays["distance"], entry.arrays["of_travel"], **entry.header["numbers"])

    return kept.find(key(check(request)), read)


def as_entry(flow: BlockFlow) -> result_cache.Entry:
    """The cache entry of a flow."""
    numbers = {name: getattr(flow, name) for name in ("growth", "converged_to", "n_evaluations", "seconds", "weights")}
    arrays = {"distance": flow.distance, "of_travel": flow.of_travel}
    return result_cache.Entry({"request": flow.request.in_header(), "numbers": numbers}, arrays)
