"""The paper's Figure 2: a small residual network and a neural ODE fitted to the same random data, and how the first converges.

    ResNet    x_{i+1} = x_i + (T/L) F_i(x_i)              L blocks, each with its own weights
    ODE-Net   x' = F(x, t) on [0, T]                      one F, integrated by torchdiffeq (Chen et al. 2018)

with ``F(x, t) = W2 tanh(W1 (x, t) + b1) + b2``. The input is the first component of x(0), all others are 0 (Dupont et al.
2019: a flow on the line cannot fold, so x needs further dimensions); the prediction is a linear read-out of x(T). A ResNet
whose L blocks share the ODE-Net's F is forward Euler with step T/L, so it converges to the ODE-Net as L grows.

This file holds settings, data and results and imports no torch; ode_net_fit.py fits.
"""

from dataclasses import asdict, dataclass, fields

import numpy as np

from stiffcore.errors import CannotCompute
from stiffcore.odes import one_step
from stiffcore.storage import cache as result_cache, kept

ALGORITHM = 2  # raise it when equal settings would give other numbers
DURATION = 1.0  # T
NOISE = 0.1  # standard deviation, of data with standard deviation 1
REFINEMENTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)  # L
CURVE = 121  # points of a predicted curve
DENSE = 61  # times of an ODE-Net's trajectory
LIMITS = {"seed": (0, 9999), "points": (8, 100), "depth": (1, 32), "width": (2, 32), "iterations": (10, 2000)}


@dataclass(frozen=True)
class Settings:
    """The choices of the page. width: components of the state x, and hidden units of F."""

    seed: int = 0
    points: int = 32
    depth: int = 8  # L, blocks of the ResNet
    width: int = 12
    iterations: int = 300

    def __post_init__(self) -> None:
        for name, (low, high) in LIMITS.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise CannotCompute(f"Expected {name} from {low} to {high:,}, got {value!r}: choose one in between.")

    @property
    def step(self) -> float:
        """h = T / L."""
        return DURATION / self.depth


@dataclass(frozen=True)
class Fit:
    """Two fitted networks, as numbers only. Predictions and data are of the order of 1."""

    settings: Settings
    data: np.ndarray  # x and y, shape: (2, points), x sorted
    grid: np.ndarray  # x of the curves, shape: (CURVE,)
    resnet_curve: np.ndarray  # shape: (CURVE,)
    ode_curve: np.ndarray
    resnet_losses: np.ndarray  # mean square error before each iteration, and at the end: (iterations + 1,)
    ode_losses: np.ndarray
    line_loss: float  # of the least-squares line through the same data
    resnet_paths: np.ndarray  # read-out after 0 … L blocks, shape: (L + 1, points)
    ode_paths: np.ndarray  # read-out at DENSE times, shape: (DENSE, points)
    ode_calls: np.ndarray  # times at which the solver evaluated F for these paths
    resnet_eigenvalues: np.ndarray  # of ∂F_i/∂x at every block and point, complex128, shape: (L, points, width)
    ode_eigenvalues: np.ndarray  # of ∂F/∂x at t = 0, T/L, …, the same shape
    refined_distance: np.ndarray  # max |Euler with L blocks - ODE-Net| over the curve, per L of REFINEMENTS
    refined_losses: np.ndarray  # mean square error of that ResNet at the data
    parameters: tuple[int, int]  # of the ResNet and the ODE-Net
    seconds: tuple[float, float]  # fitting each
    notice: str = ""  # shown to the user if the fit could not be stored

    @property
    def observed_orders(self) -> np.ndarray:
        """The observed order of convergence for each doubling of L: 1 for forward Euler once the step is small."""
        return one_step.observed_orders(self.refined_distance)


def random_data(seed: int, points: int) -> np.ndarray:
    """x uniform on [-1, 1] and sorted; y a random smooth curve with noise, mean 0 and standard deviation 1: (2, points)."""
    draw = np.random.default_rng(seed)
    x = np.sort(draw.uniform(-1, 1, points))
    waves = np.arange(1, 5)
    amplitudes, phases = draw.normal(size=4) / np.sqrt(waves), draw.uniform(0, 2 * np.pi, 4)
    y = np.sin(np.pi * np.outer(x, waves) / 1.2 + phases) @ amplitudes
    y = (y - y.mean()) / y.std()
    return np.stack([x, y + NOISE * draw.normal(size=points)])


def line_loss(data: np.ndarray) -> float:
    """Mean square error of the least-squares line."""
    x, y = data
    return float(np.mean((y - np.polyval(np.polyfit(x, y, 1), x)) ** 2))


# --- Stored fits -----------------------------------------------------------------------------------------------------


_NUMBERS = ("line_loss", "parameters", "seconds")


def key(settings: Settings) -> str:
    """The key of a fit in the cache."""
    return result_cache.key({"kind": "ode-net", "algorithm": ALGORITHM, **asdict(settings)})


def stored(settings: Settings) -> Fit | None:
    """The stored or shipped fit; None where there is none. Imports no torch."""

    def read(entry: result_cache.Entry) -> Fit:
        values: dict = dict(entry.arrays)  # by the names of Fit's fields
        for name, value in entry.header["numbers"].items():
            values[name] = tuple(value) if isinstance(value, list) else value
        return Fit(settings, **values)

    return kept.find(key(settings), read)


def as_entry(fit: Fit) -> result_cache.Entry:
    """The cache entry of a fit."""
    arrays = {f.name: getattr(fit, f.name) for f in fields(fit) if isinstance(getattr(fit, f.name), np.ndarray)}
    header = {"settings": asdict(fit.settings), "numbers": {name: getattr(fit, name) for name in _NUMBERS}}
    return result_cache.Entry(header, arrays)
