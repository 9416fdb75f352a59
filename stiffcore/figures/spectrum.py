"""Spectra of blocks in the complex plane: small multiples of blocks in one figure, images or labels overlaid.

``branch`` and ``block``: the eigenvalues of the core as points, the structural zeros and ones as one ring each that says
how many. ``slices``: the density of millions of eigenvalues. A block that is not square has no eigenvalues under
``block`` and ``branch``; its singular values are drawn, largest first.
"""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from stiffcore import catalogue, stability
from stiffcore.analysis import Result
from stiffcore.figures import eigenvalue_cloud, slice_density, theme
from stiffcore.figures.axes import AXES, Axes
from stiffcore.figures.eigenvalue_cloud import drawn_and_all
from stiffcore.figures.panel import Panel, Series, draw_structural, series_of
from stiffcore.figures.theme import Style

__all__ = ["AXES", "FITS", "OVERLAYS", "REGIONS", "Series", "alt_text", "drawn_and_all", "figure", "series_of"]

FITS = {"all": "All", "bulk": "Bulk", "disc": "Disc"}
OVERLAYS = {"image": "Image", "label": "Label"}
REGIONS = {"branch": "|1 + {h}λ| = 1, forward Euler", "block": "|λ| = 1"}  # convention -> what the dashed line is
PANEL_HEIGHT = {1: 560, 2: 470, 3: 820, 4: 820}  # pixels of the whole figure, by number of panels


def figure(
    results: Sequence[Result],
    style: Style,
    overlay: str = "image",
    fit: str = "all",
    step: float = 1.0,
    series: dict[int, Series] | None = None,
    axes: str = "linear",
) -> go.Figure:
    """One panel a block. results: of one network and one convention, with their arrays; step: h of forward Euler.

    series: of the images, where more of them are chosen than have results yet (a colour must not move to another image).
    axes: one of AXES.
    """
    blocks = sorted({result.request.block for result in results})
    columns = 1 if len(blocks) == 1 else 2
    inside = {block: [result for result in results if result.request.block == block] for block in blocks}
    titles = [_panel_title(inside[block][0]) for block in blocks]
    made = make_subplots(
        -(-len(blocks) // columns), columns, subplot_titles=titles, horizontal_spacing=0.14, vertical_spacing=0.14
    )
    made.for_each_annotation(lambda note: note.update(font={"size": style.font_size, "color": style.ink}))
    shared = (style, series or series_of([r.request.image for r in results], overlay, style), drawn_and_all(results)[1])
    named: set[str] = set()
    scales = []
    for at, block in enumerate(blocks):
        scale = _scale(inside[block]) if axes == "arcsinh" else None
        scales.append(scale)
        panel = Panel(made, at // columns + 1, at % columns + 1, *shared, named, Axes(scale), columns)
        _draw(panel, inside[block], fit, step)
    _layout(made, results, style, blocks, f"{fit} {scales}")
    return made


def _panel_title(result: Result) -> str:
    request = result.request
    block = catalogue.block(request.network, request.block)
    if request.convention == "slices":
        return f"Block {block.block} · {block.n_eigenvalues('slices'):,} eigenvalues"
    size = f"n = {block.n_out:,}" if block.is_identity else f"{block.n_out:,} × {block.n_in:,}, not square: σ"
    return f"Block {block.block} · {size}"


def _scale(inside: Sequence[Result]) -> float:
    return (slice_density if inside[0].request.convention == "slices" else eigenvalue_cloud).scale(inside)


def _draw(panel: Panel, inside: Sequence[Result], fit: str, step: float) -> None:
    convention = inside[0].request.convention
    if any("singular_values" in result.arrays for result in inside):
        eigenvalue_cloud.draw_singular_values(panel, inside)
        return
    if convention == "slices":
        slice_density.draw(panel, inside)
        shown = slice_density.extent(inside, fit)
    else:
        for result in inside:
            eigenvalue_cloud.draw(panel, result)
        shown = eigenvalue_cloud.extent(inside, fit)
    if fit == "disc" and convention in REGIONS:
        centre, radius = _disc(convention, step)
        shown = centre - 1.25 * radius, centre + 1.25 * radius, 1.25 * radius
    left, right = _plane(panel, convention, shown, step)
    for place, name in ((0, "n_zero"), (1, "n_one")):
        draw_structural(panel, place, [result.metrics.get(name) or 0 for result in inside], (left + right) / 2)


def _disc(convention: str, step: float) -> tuple[float, float]:
    """Centre and radius. Forward Euler's region is the disc over its real stability interval, shrunk by the step."""
    if convention != "branch":
        return 0.0, 1.0
    radius = abs(stability.real_stability_interval("forward-euler")) / 2 / step
    return -radius, radius


def _plane(panel: Panel, convention: str, shown: tuple[float, float, float], step: float) -> tuple[float, float]:
    """Equal axes, the imaginary axis, the region that belongs to the convention; where the panel begins and ends.

    shown: (left, right, height), true values.
    """
    style, made, (low, high, top) = panel.style, panel.figure, shown
    left, right, height = (float(panel.axes(value)) for value in shown)
    margin = 0.08 * max(right - left, height, 1e-6)
    made.add_vline(x=0, line={"color": style.muted, "width": style.line_width / 2}, **panel.place)
    if convention in REGIONS:
        _region(panel, convention, step)
    look = {"title_text": "Re λ", "range": [left - margin, right + margin]}
    made.update_xaxes(**look, **panel.axes.ticks(low, high, 0.08 + 0.04 * panel.columns), **panel.place)
    axis = made.get_subplot(panel.row, panel.column).xaxis.plotly_name.replace("axis", "")
    look = {
        "title_text": "Im λ" if panel.column == 1 else None,
        "range": [-height - margin, height + margin],
        "scaleanchor": axis,
        "scaleratio": 1,
    }
    made.update_yaxes(**look, **panel.axes.ticks(-top, top), **panel.place)
    return left, right


def _region(panel: Panel, convention: str, step: float) -> None:
    """The disc, its outline through the axes' transformation, and its name in the panel's corner."""
    style, (centre, radius) = panel.style, _disc(convention, step)
    look = {
        "fillcolor": style.region_fill,
        "line": {"color": style.region_line, "width": style.line_width / 1.5, "dash": "dash"},
        "layer": "below",
    }
    if panel.axes.scale is None:
        ends = {"x0": centre - radius, "x1": centre + radius, "y0": -radius, "y1": radius}
        panel.figure.add_shape(type="circle", **ends, **look, **panel.place)
    else:
        angles = np.linspace(0, 2 * np.pi, 721)
        outline = zip(panel.axes(centre + radius * np.cos(angles)), panel.axes(radius * np.sin(angles)), strict=True)
        path = "M" + "L".join(f"{x:.4f},{y:.4f}" for x, y in outline) + "Z"
        panel.figure.add_shape(type="path", path=path, **look, **panel.place)
    panel.figure.add_annotation(
        x=0.01,
        y=0.99,
        xref="x domain",
        yref="y domain",
        xanchor="left",
        yanchor="top",
        text="dashed: " + REGIONS[convention].format(h="" if step == 1 else f"{step:g} "),
        font={"color": style.region_line, "size": style.font_size - 2},
        **panel.place,
    )


def _layout(made: go.Figure, results: Sequence[Result], style: Style, blocks: Sequence[int], fit: str) -> None:
    first = results[0].request
    theme.apply(made, style).update_layout(
        height=PANEL_HEIGHT.get(len(blocks), 820),
        # The visitor's zoom stays until another network, convention, choice of blocks or fit is asked for.
        uirevision=f"{first.network} {first.convention} {blocks} {fit}",
        legend={"orientation": "h", "y": -0.1 if len(blocks) > 2 else -0.16, "yanchor": "top", "x": 0},
        hovermode="closest",
        margin={"t": 36, "b": 40, "l": 50, "r": 10},
    )
    if first.convention == "slices":
        made.update_layout(coloraxis=slice_density.colour_axis(made, style))


def alt_text(results: Sequence[Result]) -> str:
    """One sentence for screen readers; the table beside the figure has the numbers."""
    first = results[0].request
    blocks = ", ".join(str(block) for block in sorted({result.request.block for result in results}))
    images = len({result.request.image for result in results})
    return (
        f"Eigenvalues in the complex plane: {first.network}, block {blocks}, {images} images, "
        f"{catalogue.CONVENTIONS[first.convention].title}. The table has the numbers."
    )
