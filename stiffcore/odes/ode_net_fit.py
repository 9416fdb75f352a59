"""Fits the two networks of ode_net.py: Adam on the mean square error of all points, float64, one seeded start.

torchdiffeq integrates the ODE-Net: in ten steps of rk4 during the fit, with gradients through these steps, and by dopri5 at a
tight tolerance for everything that is shown. Equal settings give equal numbers on one machine.
"""

import math
import time
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from torchdiffeq import odeint

from stiffcore.odes import ode_net, one_step
from stiffcore.odes.ode_net import DURATION, Fit, Settings
from stiffcore.progress import Progress
from stiffcore.storage import cache as result_cache, kept

LEARNING_RATE = 0.03
FITTING = {"method": "rk4", "options": {"step_size": DURATION / 10}}  # an error near 1e-5 in a third of dopri5's time
EXACT = {"method": "dopri5", "rtol": 1e-10, "atol": 1e-11}  # for what is shown
ADAPTIVE = {"method": "dopri5", "rtol": 1e-5, "atol": 1e-6}  # a usual tolerance, to show where a solver evaluates F


class RightHandSide(nn.Module):
    """F(t, x) = W2 tanh(W1 (x, t) + b1) + b2; x: (N, width)."""

    def __init__(self, width: int, draw: torch.Generator):
        super().__init__()
        self.inner, self.outer = nn.Linear(width + 1, width), nn.Linear(width, width)
        self.double()
        with torch.no_grad():
            # This spreads the bends over the data; from torch's smaller default start both fits stay near a line for long.
            self.inner.weight.normal_(generator=draw)
            self.inner.bias.normal_(generator=draw)
            self.outer.weight.normal_(0, 1 / math.sqrt(width), generator=draw)
            self.outer.bias.zero_()

    def forward(self, t: Tensor | float, x: Tensor) -> Tensor:
        time_column = torch.as_tensor(t, dtype=x.dtype).expand(len(x), 1)
        slope: Tensor = self.outer(torch.tanh(self.inner(torch.cat([x, time_column], dim=1))))
        return slope

    @torch.no_grad()
    def jacobian(self, t: float, x: Tensor) -> Tensor:
        """∂F/∂x = W2 diag(1 - tanh²) W1 without the column of t; shape: (N, width, width)."""
        inside = self.inner(torch.cat([x, torch.full((len(x), 1), t, dtype=x.dtype)], dim=1))
        slope = 1 - torch.tanh(inside) ** 2
        return self.outer.weight @ (slope[:, :, None] * self.inner.weight[:, :-1])


class Network(nn.Module):
    """Blocks and a linear read-out; an input x becomes the state (x, 0, …, 0). slopes: each block's F."""

    def __init__(self, n_blocks: int, width: int, seed: int):
        super().__init__()
        draw = torch.Generator().manual_seed(seed)
        self.width = width
        self.slopes = [RightHandSide(width, draw) for _ in range(n_blocks)]
        self.blocks = nn.ModuleList(self.slopes)
        self.read_out = nn.Linear(width, 1, dtype=torch.float64)
        with torch.no_grad():
            self.read_out.weight.normal_(0, 1 / math.sqrt(width), generator=draw)
            self.read_out.bias.zero_()

    def start(self, x: Tensor) -> Tensor:
        """(N,) -> (N, width)"""
        return torch.cat([x[:, None], x.new_zeros(len(x), self.width - 1)], dim=1)

    def read(self, states: Tensor) -> Tensor:
        """(…, N, width) -> (…, N)"""
        output: Tensor = self.read_out(states)[..., 0]
        return output

    @property
    def n_parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())


class ResNet(Network):
    """x_{i+1} = x_i + (T/L) F_i(x_i): forward Euler, with weights of its own for each step."""

    def states(self, x: Tensor, solver: dict | None = None) -> Tensor:
        """After 0 … L blocks; shape: (L + 1, N, width). ``solver`` is not used: the blocks are the solver's steps."""
        return euler(self.slopes, self.start(x))


class OdeNet(Network):
    """x' = F(x, t) on [0, T] by a solver of torchdiffeq."""

    def states(self, x: Tensor, solver: dict | None = None, times: Tensor | None = None) -> Tensor:
        """At 0 and T, or at the times given; shape: (times, N, width)."""
        times = torch.tensor([0.0, DURATION], dtype=torch.float64) if times is None else times
        states: Tensor = odeint(self.slopes[0], self.start(x), times, **(solver or EXACT))
        return states


def euler(blocks: list[RightHandSide], x: Tensor) -> Tensor:
    """Forward Euler with step T / len(blocks); the states, shape: (len(blocks) + 1, N, width)."""
    return torch.stack(list(one_step.euler(blocks, x, DURATION / len(blocks))))


def compute(settings: Settings, progress: Progress | None = None) -> Fit:
    """A fit, stored or computed and then stored."""

    def fresh() -> tuple[Fit, result_cache.Entry]:
        fitted = fit(settings, progress)
        return fitted, ode_net.as_entry(fitted)

    fitted, notice = kept.computed_once(ode_net.key(settings), lambda: ode_net.stored(settings), fresh, progress)
    return replace(fitted, notice=notice)


def fit(settings: Settings, progress: Progress | None = None) -> Fit:
    """Fits both networks to the same data; progress counts the iterations of both."""
    data = ode_net.random_data(settings.seed, settings.points)
    x, y = torch.from_numpy(data)
    resnet = ResNet(settings.depth, settings.width, settings.seed)
    ode = OdeNet(1, settings.width, settings.seed)
    networks: tuple[ResNet | OdeNet, ...] = (resnet, ode)
    losses, seconds = [], []
    for position, network in enumerate(networks):
        started = time.perf_counter()
        losses.append(_train(network, x, y, settings.iterations, position, progress))
        seconds.append(round(time.perf_counter() - started, 2))
    with torch.no_grad():
        return _measured(settings, data, resnet, ode, losses, seconds)


def _train(
    network: ResNet | OdeNet, x: Tensor, y: Tensor, iterations: int, position: int, progress: Progress | None
) -> np.ndarray:
    """Adam with a cosine schedule; the mean square error before each iteration and at the end."""
    optimiser = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, iterations)
    what = "Fitting the ODE-Net" if position else "Fitting the ResNet"
    losses = []
    for iteration in range(iterations):
        if progress and iteration % 5 == 0:
            progress(position * iterations + iteration, 2 * iterations, what)
        loss = torch.mean((network.read(network.states(x, FITTING)[-1]) - y) ** 2)
        losses.append(float(loss.detach()))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        losses.append(float(torch.mean((network.read(network.states(x)[-1]) - y) ** 2)))
    return np.array(losses)


def _measured(settings: Settings, data: np.ndarray, resnet: ResNet, ode: OdeNet, losses: list, seconds: list) -> Fit:
    """Curves, paths, eigenvalues and the refinement, from the fitted networks."""
    x, y = torch.from_numpy(data)
    grid = torch.linspace(float(x[0]), float(x[-1]), ode_net.CURVE, dtype=torch.float64)
    dense = torch.linspace(0, DURATION, ode_net.DENSE, dtype=torch.float64)
    resnet_states, ode_curve = resnet.states(x), ode.read(ode.states(grid)[-1])
    calls: list[float] = []
    hook = ode.slopes[0].register_forward_pre_hook(lambda _, inputs: calls.append(float(inputs[0])))
    ode_states = ode.states(x, ADAPTIVE, dense)
    hook.remove()
    at_blocks = ode.states(x, times=torch.arange(settings.depth + 1, dtype=torch.float64) * settings.step)
    refined = [_refined(ode, depth, grid, x, y, ode_curve) for depth in ode_net.REFINEMENTS]
    return Fit(
        settings,
        data,
        grid.numpy(),
        resnet.read(resnet.states(grid)[-1]).numpy(),
        ode_curve.numpy(),
        losses[0],
        losses[1],
        ode_net.line_loss(data),
        resnet.read(resnet_states).numpy(),
        ode.read(ode_states).numpy(),
        np.unique([t for t in calls if t <= DURATION]),  # the solver's last step ends beyond T
        _eigenvalues(resnet.slopes, resnet_states),
        _eigenvalues(ode.slopes * settings.depth, at_blocks),
        np.array([distance for distance, _ in refined]),
        np.array([loss for _, loss in refined]),
        (resnet.n_parameters, ode.n_parameters),
        tuple(seconds),
    )


def _eigenvalues(blocks: list[RightHandSide], states: Tensor) -> np.ndarray:
    """Eigenvalues of ∂F_i/∂x at the state before each block, complex128; shape: (L, N, width)."""
    step = DURATION / len(blocks)
    jacobians = torch.stack([block.jacobian(i * step, states[i]) for i, block in enumerate(blocks)])
    eigenvalues: np.ndarray = torch.linalg.eigvals(jacobians).numpy()
    return eigenvalues


def _refined(ode: OdeNet, depth: int, grid: Tensor, x: Tensor, y: Tensor, exact: Tensor) -> tuple[float, float]:
    """The ResNet whose `depth` blocks all share the ODE-Net's F: its largest distance from the ODE-Net, and its loss."""
    blocks = ode.slopes * depth
    distance = (ode.read(euler(blocks, ode.start(grid))[-1]) - exact).abs().max()
    return float(distance), float(torch.mean((ode.read(euler(blocks, ode.start(x))[-1]) - y) ** 2))
