"""Linear axes, and arcsinh axes: linear near 0, logarithmic far from it. Ticks and hover show true values.

Plotly has no arcsinh axis: the figure draws ``arcsinh(value / scale)``.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

AXES = {"linear": "Linear", "arcsinh": "Arcsinh"}


@dataclass(frozen=True)
class Axes:
    """Both axes of a panel. scale: where arcsinh changes from linear to logarithmic; None for linear axes."""

    scale: float | None = None

    def __call__(self, values: Any) -> Any:
        """The drawn positions of values; any shape."""
        return values if self.scale is None else np.arcsinh(np.asarray(values) / self.scale)

    def true(self, drawn: Any) -> Any:
        """The values at drawn positions; any shape."""
        return drawn if self.scale is None else self.scale * np.sinh(drawn)

    def ticks(self, low: float, high: float, room: float = 0.11) -> dict:
        """Ticks for a plotly axis that shows the values from low to high, and some beyond; {} for a linear axis.

        room: the share of the axis that one tick with its label takes.
        """
        if self.scale is None:
            return {}
        span = float(self(high) - self(low)) or 1.0
        most = 10 * max(abs(low), abs(high), self.scale)
        powers = range(math.floor(math.log10(self.scale)) - 1, math.ceil(math.log10(most)) + 1)
        sizes = [10.0**p for p in reversed(powers)] + [f * 10.0**p for p in reversed(powers) for f in (2, 5)]
        kept = [0.0]
        for value in (sign * size for size in sizes if size <= most for sign in (1, -1)):
            if min(abs(float(self(value) - self(other))) for other in kept) > room * span:
                kept.append(value)
        kept.sort()
        return {
            "tickvals": [float(self(v)) for v in kept],
            "ticktext": [f"{v:g}".replace("-", "−") for v in kept],
            "tickangle": 0,
        }


def rounded(value: float) -> float:
    """The value to one digit, so that similar images get the same axis, and a zoom stays valid."""
    return float(f"{value:.0e}") if value > 0 and math.isfinite(value) else 1.0
