"""Eigenvalues as points, with the extremes outlined; singular values."""

import math
from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from stiffcore.analysis.results import Result
from stiffcore.figures import axes
from stiffcore.figures.panel import Panel, number_of

LARGEST_HOVER = 5_000  # points in a figure; with more, hover is off except for the extremes, since browsers become slow
LARGEST_DRAWN = 65_536  # points in a figure; enough for ResNet50's second block
MARKS = {"auto": "Auto", "points": "Points", "density": "Density"}  # auto: a density above LARGEST_HOVER
BULK = (0.5, 99.5)  # percentiles
ENDS = ("smallest Re λ", "largest Re λ", "largest |λ|")


def drawn_and_all(results: Sequence[Result], marks: str = "points") -> tuple[int, int]:
    """The number of eigenvalues that a figure draws, and the number in the cores; a density counts all of them."""
    there = sum(len(result.arrays.get("eigenvalues", ())) for result in results)
    return there if is_density(results, marks) else min(there, LARGEST_DRAWN), there


def is_density(results: Sequence[Result], marks: str) -> bool:
    """Whether the eigenvalues are drawn as counts in bins: on request, or automatically if there are many."""
    there = sum(len(result.arrays.get("eigenvalues", ())) for result in results)
    return bool(there) and (marks == "density" or (marks == "auto" and there > LARGEST_HOVER))


def _thinned(values: np.ndarray, points: int) -> np.ndarray:
    """A random sample of a spectrum that fits a figure of so many points; the sample is always the same."""
    if points <= LARGEST_DRAWN:
        return values
    keep = np.random.default_rng(0).permutation(len(values))[: max(len(values) * LARGEST_DRAWN // points, 1)]
    return values[np.sort(keep)]


def _size(panel: Panel) -> float:
    """The size of a point: smaller if there are many, so that a dense cloud keeps its shape."""
    largest = min(panel.style.marker_size, 7)  # talk mode enlarges the extremes more than the cloud
    return float(largest * np.clip(1.25 - 0.2 * np.log10(max(panel.points, 1) / 100), 0.5, 1))


def _texts(values: np.ndarray) -> list[str]:
    return [f"{value.real:.4g} {value.imag:+.4g} i".replace("-", "−") for value in values]


def scale(results: Sequence[Result]) -> float:
    """The scale of an arcsinh axis: the median of |λ|."""
    clouds = [np.abs(result.arrays.get("eigenvalues", np.zeros(0))) for result in results]
    sizes = np.concatenate([*clouds, np.zeros(0)])
    return axes.rounded(float(np.median(sizes))) if sizes.size else 1.0


def nearest(results: Sequence[Result], image: int, x: float, y: float, kind: str) -> tuple[Result, int] | None:
    """The result whose eigenvalue is drawn closest to (x, y), and the position of the eigenvalue in the core. image:
    the number of the image to search, as of ``panel.number_of``; None is returned if it has no eigenvalues.

    kind: of axes.AXES. Each block has its own scale; the smallest distance over all blocks counts.
    """
    closest, smallest = None, math.inf
    for result in results:
        values = result.arrays.get("eigenvalues", np.zeros(0))
        if number_of(result.request.image) != image or not len(values):
            continue
        inside = [other for other in results if other.request.block == result.request.block]
        drawn = axes.Axes(scale(inside) if kind == "arcsinh" else None)
        distances = np.hypot(drawn(values.real) - x, drawn(values.imag) - y)
        position = int(distances.argmin())
        if distances[position] < smallest:
            closest, smallest = (result, position), float(distances[position])
    return closest


def draw(panel: Panel, result: Result) -> None:
    """Draw a spectrum's points and its extremes. Above LARGEST_HOVER points, only the extremes have hover."""
    values = result.arrays.get("eigenvalues", np.zeros(0, complex))
    if not len(values):
        return
    look, image = panel.series[result.request.image], result.request.image
    shown, hover = _thinned(values, panel.points), panel.points <= LARGEST_HOVER
    text = f"{look.name}<br>λ = %{{text}}<extra></extra>"
    panel.figure.add_trace(
        panel.markers(
            x=panel.axes(shown.real).astype(np.float32),
            y=panel.axes(shown.imag).astype(np.float32),
            text=_texts(shown) if hover else None,
            mode="markers",
            marker={
                "color": look.colour,
                "symbol": look.shape,
                "size": _size(panel),
                "opacity": 0.7 if hover else 0.5,
            },
            customdata=np.full(len(shown), number_of(image), np.int32) if hover else None,
            hovertemplate=text if hover else None,
            hoverinfo=None if hover else "skip",
            name=look.name,
            legendgroup=look.name,
            showlegend=False,  # the legend lists the marker of the extremes, which is larger and opaque
        ),
        **panel.place,
    )
    draw_extremes(panel, result)


def draw_extremes(panel: Panel, result: Result) -> None:
    """Draw the eigenvalues of smallest and largest real part and of largest absolute value, outlined."""
    values = result.arrays.get("eigenvalues", np.zeros(0, complex))
    if not len(values):
        return
    look, image = panel.series[result.request.image], result.request.image
    ends = values[[values.real.argmin(), values.real.argmax(), np.abs(values).argmax()]]
    panel.figure.add_trace(
        panel.markers(
            x=panel.axes(ends.real).astype(np.float32),
            y=panel.axes(ends.imag).astype(np.float32),
            mode="markers",
            marker=panel.outlined(look),
            text=[f"{value}, the {what}" for value, what in zip(_texts(ends), ENDS, strict=True)],
            customdata=np.full(3, number_of(image), np.int32),
            hovertemplate=f"{look.name}<br>λ = %{{text}}<extra></extra>",
            **panel.legend(look.name),
        ),
        **panel.place,
    )


def extent(inside: Sequence[Result], fit: str) -> tuple[float, float, float]:
    """The (left, right, height) of the points of a panel, including structural zeros and ones."""
    clouds = [result.arrays.get("eigenvalues", np.zeros(0, complex)) for result in inside]
    values = np.concatenate([*clouds, np.zeros(1)])
    if fit == "bulk":
        low, high = np.percentile(values.real, BULK)
        return float(low), float(high), float(np.percentile(np.abs(values.imag), BULK[1]))
    ones = [1.0] if any(result.metrics.get("n_one") for result in inside) else []
    return float(values.real.min()), float(max([values.real.max(), *ones])), float(np.abs(values.imag).max())


def draw_singular_values(panel: Panel, inside: Sequence[Result]) -> None:
    """The singular values in descending order on a log axis, or only the largest and smallest."""
    for result in inside:
        look = panel.series[result.request.image]
        values = np.sort(result.arrays.get("singular_values", np.zeros(0)))[::-1]
        values = values[values > 0]
        panel.figure.add_trace(
            go.Scatter(
                x=np.arange(1, len(values) + 1, dtype=np.float32),
                y=values.astype(np.float32),
                mode="lines" if len(values) > 2 else "markers",
                line={"color": look.colour, "width": panel.style.line_width},
                marker=panel.outlined(look),
                customdata=np.full(len(values), number_of(result.request.image), np.int32),
                hovertemplate=f"{look.name}<br>σ of rank %{{x:,}} = %{{y:.4g}}<extra></extra>",
                **panel.legend(look.name),
            ),
            **panel.place,
        )
    panel.figure.update_xaxes(title_text="rank", **panel.place)
    panel.figure.update_yaxes(title_text="singular value σ", type="log", dtick="D2", **panel.place)
