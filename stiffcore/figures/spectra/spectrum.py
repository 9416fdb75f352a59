"""Spectra of blocks in the complex plane: a panel per block, with images or labels overlaid.

``branch`` and ``block``: the eigenvalues of the core as points; the structural zeros and the structural ones each as a
ring with their number. ``slices``: the density of millions of eigenvalues. A block that is not square has no
eigenvalues under ``block`` and ``branch``; the figure shows its singular values, largest first.
"""

from collections.abc import Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from stiffcore.analysis.results import Result
from stiffcore.figures import theme
from stiffcore.figures.axes import AXES, Axes
from stiffcore.figures.odes import stability_regions
from stiffcore.figures.panel import Panel, Series, draw_structural, series_of
from stiffcore.figures.spectra import cloud_density, eigenvalue_cloud, slice_density
from stiffcore.figures.spectra.eigenvalue_cloud import MARKS, drawn_and_all, is_density
from stiffcore.figures.theme import Style
from stiffcore.images.image import Image

__all__ = [
    "AXES", "FITS", "MARKS", "OVERLAYS", "Series", "alt_text", "drawn_and_all", "figure", "is_density",
    "plane", "series_of",
]  # fmt: skip

FITS = {"all": "All", "bulk": "Bulk", "disc": "Disc"}
OVERLAYS = {"image": "Image", "label": "Label"}
PANEL_HEIGHT = {1: 560, 2: 470, 3: 820, 4: 820}  # pixels of the whole figure, by number of panels


def figure(
    results: Sequence[Result],
    style: Style,
    overlay: str = "image",
    fit: str = "all",
    step: float = 1.0,
    series: dict[Image, Series] | None = None,
    axes: str = "linear",
    regions: Sequence[str] | None = None,
    marks: str = "points",
) -> go.Figure:
    """A panel per block. results: of one network and one convention, with their arrays; step: h of the regions.

    series: those of all chosen images, if some have no result yet, so that no colour moves to another image.
    axes: one of AXES. regions: of stability_regions.TITLES; None for the convention's default. marks: one of MARKS.
    """
    blocks = sorted({result.request.block for result in results})
    columns = 1 if len(blocks) == 1 else 2
    inside = {block: [result for result in results if result.request.block == block] for block in blocks}
    titles = [_panel_title(inside[block][0]) for block in blocks]
    fig = make_subplots(
        -(-len(blocks) // columns), columns, subplot_titles=titles, horizontal_spacing=0.14, vertical_spacing=0.14
    )
    fig.for_each_annotation(lambda note: note.update(font={"size": style.font_size, "color": style.ink}))
    classes = results[0].request.network.classes
    series = series or series_of([result.request.image for result in results], overlay, style, classes)
    shared = (style, series, drawn_and_all(results)[1])
    as_density, named, scales = is_density(results, marks), set[str](), []
    if regions is None:
        regions = results[0].request.convention.default_regions
    for at, block in enumerate(blocks):
        scale = _scale(inside[block]) if axes == "arcsinh" else None
        scales.append(scale)
        panel = Panel(fig, at // columns + 1, at % columns + 1, *shared, named, Axes(scale), columns, as_density)
        _draw(panel, inside[block], fit, step, regions)
    _layout(fig, results, style, blocks, f"{fit} {scales}")
    return fig


def _panel_title(result: Result) -> str:
    request = result.request
    block = request.geometry
    if not request.convention.has_matrix:
        return f"{block.title} · {block.n_eigenvalues(request.convention):,} eigenvalues"
    size = f"n = {block.n_out:,}" if block.is_identity else f"{block.n_out:,} × {block.n_in:,}, not square: σ"
    name = "" if request.network.takes_images or not block.path else f" · {block.path}"
    return f"{block.title}{name} · {size}"


def _scale(inside: Sequence[Result]) -> float:
    return (eigenvalue_cloud if inside[0].request.convention.has_matrix else slice_density).scale(inside)


def _draw(panel: Panel, inside: Sequence[Result], fit: str, step: float, regions: Sequence[str]) -> None:
    convention = inside[0].request.convention
    if any("singular_values" in result.arrays for result in inside):
        eigenvalue_cloud.draw_singular_values(panel, inside)
        return
    shown = (eigenvalue_cloud if convention.has_matrix else slice_density).extent(inside, fit)
    if fit == "disc" and convention.regions:
        shown = stability_regions.extent(regions or convention.default_regions, step)
    if not convention.has_matrix:
        slice_density.draw(panel, inside)
    elif panel.as_density:
        cloud_density.draw(panel, inside, shown)
    else:
        for result in inside:
            eigenvalue_cloud.draw(panel, result)
    left, right = plane(panel, shown)
    stability_regions.draw(panel, regions, step, stability_regions.moved(inside))
    for place, name in ((0, "n_zero"), (1, "n_one")):
        draw_structural(panel, place, [result.metrics.get(name) or 0 for result in inside], (left + right) / 2)


def plane(panel: Panel, shown: tuple[float, float, float]) -> tuple[float, float]:
    """Draw equal axes and the imaginary axis; returns the drawn ends of the real axis.

    shown: (left, right, height), true values.
    """
    style, fig, (low, high, top) = panel.style, panel.figure, shown
    left, right, height = (float(panel.axes(value)) for value in shown)
    margin = 0.08 * max(right - left, height, 1e-6)
    fig.add_vline(x=0, line={"color": style.muted, "width": style.line_width / 2}, **panel.place)
    look: dict[str, object] = {"title_text": "Re λ", "range": [left - margin, right + margin]}
    fig.update_xaxes(**look, **panel.axes.ticks(low, high, 0.08 + 0.04 * panel.columns), **panel.place)
    axis = fig.get_subplot(panel.row, panel.column).xaxis.plotly_name.replace("axis", "")
    look = {
        "title_text": "Im λ" if panel.column == 1 else None,
        "range": [-height - margin, height + margin],
        "scaleanchor": axis,
        "scaleratio": 1,
    }
    fig.update_yaxes(**look, **panel.axes.ticks(-top, top), **panel.place)
    return left, right


def _layout(fig: go.Figure, results: Sequence[Result], style: Style, blocks: Sequence[int], fit: str) -> None:
    first = results[0].request
    theme.apply(fig, style).update_layout(
        height=PANEL_HEIGHT.get(len(blocks), 820),
        # The visitor's zoom is kept until the network, convention, blocks or fit change.
        uirevision=f"{first.network.name} {first.convention} {blocks} {fit}",
        showlegend=None if first.network.takes_images else False,  # with images the legend names them
        legend={"orientation": "h", "y": -0.1 if len(blocks) > 2 else -0.16, "yanchor": "top", "x": 0},
        hovermode="closest",
        margin={"t": 36, "b": 40, "l": 50, "r": 10},
    )
    if any(trace.type == "heatmap" for trace in fig.data):
        fig.update_layout(coloraxis=slice_density.colour_axis(fig, style))


def alt_text(results: Sequence[Result], marks: str = "points") -> str:
    """One sentence for screen readers; the table beside the figure has the numbers."""
    first = results[0].request
    blocks = ", ".join(str(block) for block in sorted({result.request.block for result in results}))
    images = f"{len({result.request.image for result in results})} images, " if first.network.takes_images else ""
    what = "Density of the eigenvalues" if is_density(results, marks) else "Eigenvalues"
    return (
        f"{what} in the complex plane: {first.network.title}, {first.network.noun} {blocks}, {images}"
        f"{first.convention_title}. The table has the numbers."
    )
