"""Integrates a block's own ODE x' = F(x) in float64: forward Euler at halving steps, scipy's DOP853 for the exact flow."""

import copy
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from scipy.integrate import solve_ivp
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from stiffcore.errors import CannotCompute
from stiffcore.jacobians import forward
from stiffcore.jacobians.layers import Derivative
from stiffcore.jacobians.linearise import BlockState
from stiffcore.jacobians.structure import Structure
from stiffcore.odes import block_flow, one_step
from stiffcore.odes.block_flow import STEPS, BlockFlow, FlowRequest
from stiffcore.progress import Progress
from stiffcore.storage import cache as result_cache, kept

TOLERANCES = (1e-5, 1e-7)  # the second gives the exact flow; their distance estimates the error of the first
MOST_EVALUATIONS = 20_000


def right_hand_side(structure: Structure) -> Callable[[Tensor], Tensor]:
    """F of a residual block in evaluation mode, without skip and outer ReLU; float64 on the CPU, (C, H, W) -> (C, H, W)."""
    parts: list[nn.Module] = []
    for stage in structure.stages:
        parts += [
            copy.deepcopy(part).double().cpu().eval() if isinstance(part, nn.Module) else nn.ReLU()
            for part in stage.before
        ]
        convolution = copy.deepcopy(stage.convolution).double().cpu().eval()
        behind = stage.behind and copy.deepcopy(stage.behind).double().cpu().eval()
        parts.append(fuse_conv_bn_eval(convolution, behind) if behind else convolution)
    branch = nn.Sequential(*parts)

    @torch.no_grad()
    def slope(x: Tensor) -> Tensor:
        output: Tensor = branch(x[None])[0]
        return output

    return slope


def exact_flow(
    slope: Callable[[np.ndarray], np.ndarray], start: np.ndarray, tolerance: float
) -> tuple[np.ndarray, int]:
    """x(1) by DOP853, and how many evaluations of F it took. The absolute tolerance is relative to the start's largest entry.

    Raises CannotCompute above MOST_EVALUATIONS, or where the solver does not reach t = 1.
    """
    spent = 0

    def counted(_: float, x: np.ndarray) -> np.ndarray:
        nonlocal spent
        spent += 1
        if spent > MOST_EVALUATIONS:
            raise CannotCompute(
                f"The flow needs more than {MOST_EVALUATIONS:,} evaluations of F: choose another block or image."
            )
        return slope(x)

    atol = tolerance * max(float(np.abs(start).max()), 1e-300)
    end = solve_ivp(counted, (0.0, 1.0), start, method="DOP853", rtol=tolerance, atol=atol, t_eval=[1.0])
    if not end.success:
        raise CannotCompute(f"The solver did not reach t = 1 (“{end.message}”): choose another block or image.")
    return end.y[:, 0], spent


def follow(
    slope: Callable[[np.ndarray], np.ndarray], start: np.ndarray, progress: Progress | None = None
) -> tuple[np.ndarray, np.ndarray, float, float, int]:
    """The numbers of a BlockFlow for any F on vectors: distance, of_travel, growth, converged_to, n_evaluations."""

    def report(done: int, what: str) -> None:
        if progress:
            progress(done, len(TOLERANCES) + len(STEPS), what)

    flows = []
    for done, tolerance in enumerate(TOLERANCES):
        report(done, f"Exact flow, tolerance {tolerance:g}")

        def watched(x: np.ndarray, done: int = done, what: str = f"Exact flow, tolerance {tolerance:g}") -> np.ndarray:
            report(done, what)  # may raise Cancelled
            return slope(x)

        flows.append(exact_flow(watched, start, tolerance))
    (rough, _), (exact, n_evaluations) = flows
    errors = []
    for position, step in enumerate(STEPS):
        report(len(TOLERANCES) + position, f"Forward Euler, h = 1/{round(1 / step)}")
        steps = one_step.euler([lambda t, x: slope(x)] * round(1 / step), start, step)
        (end,) = deque(steps, maxlen=1)
        errors.append(np.linalg.norm(end - exact))
    size, travel = np.linalg.norm(exact), np.linalg.norm(exact - start)
    growth = float(size / np.linalg.norm(start))
    return (
        np.array(errors) / size,
        np.array(errors) / travel,
        growth,
        float(np.linalg.norm(rough - exact) / size),
        n_evaluations,
    )


def compute(request: FlowRequest, progress: Progress | None = None) -> BlockFlow:
    """One block's flow, stored or computed and then stored."""

    def fresh() -> tuple[BlockFlow, result_cache.Entry]:
        flow = _integrated(request, progress)
        return flow, block_flow.as_entry(flow)

    name = block_flow.key(block_flow.check(request))
    flow, notice = kept.computed_once(name, lambda: block_flow.stored(request), fresh, progress)
    return replace(flow, notice=notice)


def _branch(model: nn.Module, request: FlowRequest, state: BlockState) -> Callable[[Tensor], Tensor]:
    """F of the request's block: of a map f, f(x) − x. Raises CannotCompute for a matrix, which has no input to start from."""
    geometry = request.network.block(request.block)
    if geometry.inner_shapes:
        (name,) = forward.parts_of(model, [geometry]).values()
        return right_hand_side(forward.structure_of(model.get_submodule(name), geometry))
    (layer,) = state.layers
    if not isinstance(layer, Derivative):
        raise CannotCompute("A matrix has no input for its flow to start from: choose a network.")
    function = layer.function

    @torch.no_grad()
    def slope(x: Tensor) -> Tensor:
        return function(x) - x

    return slope


def _integrated(request: FlowRequest, progress: Progress | None) -> BlockFlow:
    started = time.perf_counter()
    network, model = request.network, request.network.module()
    image = network.normalised(request.image)
    state = forward.block_states(model, network.blocks, image, [request.block])[request.block]
    branch, shape = _branch(model, request, state), state.input.shape

    def slope(x: np.ndarray) -> np.ndarray:
        return branch(torch.from_numpy(x).reshape(shape)).reshape(-1).numpy()

    numbers = follow(slope, state.input.reshape(-1).numpy(), progress)
    seconds = round(time.perf_counter() - started, 2)
    return BlockFlow(request, *numbers, seconds, network.weights_sha256)
