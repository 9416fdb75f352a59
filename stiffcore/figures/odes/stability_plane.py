"""The plane of z = hλ with the stability regions of one-step methods, and clouds of eigenvalues in it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from stiffcore.figures import theme
from stiffcore.figures.odes.stability_regions import svg_path
from stiffcore.figures.theme import Style
from stiffcore.odes import stability

LARGEST_SVG = 2_000  # points of a figure; WebGL for more
LARGEST_DRAWN = 20_000  # points of a cloud; the extremes are always drawn
DASHES = {"forward-euler": "solid", "rk2": "dash", "rk4": "dot", "backward-euler": "dashdot", "trapezoidal": "longdash"}


@dataclass(frozen=True)
class Cloud:
    """Points z = hλ of one name, colour and shape."""

    name: str
    z: np.ndarray  # complex, shape: (n,)
    colour: str
    shape: str = "circle"
    size: float | None = None  # None for the size of the style
    opacity: float = 0.75


@dataclass(frozen=True)
class View:
    """The visible range: Re z from left to right, Im z from -height to height."""

    left: float
    right: float
    height: float


def view_of(clouds: Sequence[Cloud], regions: Sequence[str] = ()) -> View:
    """The view of all points and all bounded regions, with a margin."""
    bounded = [stability.boundary(name) for name in regions if name != "trapezoidal"]
    points = np.concatenate([np.zeros(1), *bounded, *[cloud.z for cloud in clouds]])
    left, right, height = points.real.min(), points.real.max(), max(np.abs(points.imag).max(), 1e-3)
    margin = 0.07 * max(right - left, 2 * height)
    return View(float(left - margin), float(right + margin), float(height + margin))


def figure(
    clouds: Sequence[Cloud],
    regions: Sequence[str],
    style: Style,
    view: View | None = None,
    kept_zoom: str = "plane",
    height: int = 460,
    legend: bool = True,
) -> go.Figure:
    """Regions, with the points in front. kept_zoom: the visitor's zoom is kept as long as this does not change."""
    view = view or view_of(clouds, regions)
    fig = go.Figure()
    wide = View(view.left - 100, view.right + 100, view.height + 100)  # so that panning reaches no edge
    for position, name in enumerate(regions):
        fig.add_shape(
            type="path",
            path=_region_path(name, wide),
            fillrule="evenodd",
            fillcolor=style.region_fill,
            line={"width": 0},
            layer="below",
        )
        fig.add_trace(_boundary(name, position, len(regions), wide, style))
    fig.add_vline(x=0, line={"color": style.muted, "width": style.line_width / 2})
    kind = go.Scattergl if sum(len(cloud.z) for cloud in clouds) > LARGEST_SVG else go.Scatter
    for cloud in clouds:
        fig.add_trace(_points(cloud, kind, style))
    theme.apply(fig, style).update_layout(
        height=height * (1.15 if style.talk else 1),
        uirevision=kept_zoom,
        showlegend=legend,
        legend={"orientation": "h", "y": -0.16, "yanchor": "top", "x": 0},
        margin={"t": 12, "b": 40, "l": 50, "r": 10},
    )
    fig.update_xaxes(title_text="Re hλ", range=[view.left, view.right], zeroline=False, constrain="domain")
    fig.update_yaxes(title_text="Im hλ", range=[-view.height, view.height], scaleanchor="x", scaleratio=1)
    return fig


def _region_path(name: str, wide: View) -> str:
    """An even-odd SVG path of the region: inside the curve for explicit methods, outside it for backward Euler."""
    left, right, height = wide.left, wide.right, wide.height
    if name == "trapezoidal":
        right = 0.0
    frame = svg_path(np.array([left - 1j * height, right - 1j * height, right + 1j * height, left + 1j * height]))
    if name == "trapezoidal":
        return frame
    path = svg_path(stability.boundary(name))
    return path if stability.method(name).is_explicit else f"{frame} {path}"


def _boundary(name: str, position: int, of: int, wide: View, style: Style) -> go.Scatter:
    curve = stability.boundary(name, reach=wide.height)
    chosen = stability.method(name)
    return go.Scatter(
        x=curve.real.astype(np.float32),
        y=curve.imag.astype(np.float32),
        mode="lines",
        name=chosen.title,
        line={
            "color": style.region_line if of == 1 else style.colour(position),
            "width": style.line_width,
            "dash": DASHES[name],
        },
        hovertemplate=f"{chosen.title}: |R| = 1<br>%{{x:.3f}} %{{y:+.3f}} i<extra></extra>",
    )


def _points(cloud: Cloud, kind: type, style: Style) -> go.Scatter | go.Scattergl:
    z = cloud.z
    if len(z) > LARGEST_DRAWN:
        ends = [z.real.argmin(), z.real.argmax(), z.imag.argmax(), np.abs(z).argmax()]
        z = z[np.union1d(np.random.default_rng(0).permutation(len(z))[:LARGEST_DRAWN], ends)]
    return kind(
        x=z.real.astype(np.float32),
        y=z.imag.astype(np.float32),
        mode="markers",
        name=cloud.name,
        marker={
            "color": cloud.colour,
            "symbol": cloud.shape,
            "size": cloud.size or style.marker_size,
            "opacity": cloud.opacity,
        },
        hovertemplate=f"{cloud.name}<br>hλ = %{{x:.4f}} %{{y:+.4f}} i<extra></extra>",
    )
