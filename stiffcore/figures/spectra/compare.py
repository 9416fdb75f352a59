"""Two spectra, A and B: side by side on locked axes, or both in one plane. Computes nothing.

Locked: both panels have the same ranges, and zooming one zooms the other (plotly's ``matches``). Axes cannot be locked
where one side has singular values and the other eigenvalues.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from stiffcore.analysis.results import Result
from stiffcore.figures import theme
from stiffcore.figures.axes import Axes
from stiffcore.figures.odes import stability_regions
from stiffcore.figures.odes.stability_regions import UNIT_CIRCLE
from stiffcore.figures.panel import Panel, Series, draw_structural
from stiffcore.figures.spectra import cloud_density, eigenvalue_cloud, slice_density
from stiffcore.figures.theme import Style

VIEWS = {"side": "Side by side", "overlay": "Overlay"}
LETTERS = ("A", "B")
CONTOURS = (0.5, 5.5, 1.0)  # of log10 of the eigenvalues per bin, in an overlay of densities: from, to, step
Sides = Mapping[str, Result]  # "A", "B" or both


def looks(style: Style) -> dict[str, Series]:
    """The colour and shape of each side, in every view."""
    return {letter: Series(letter, style.colour(at), style.shape(at)) for at, letter in enumerate(LETTERS)}


def title(result: Result) -> str:
    """``ResNet18 · block 8 · image 0 · branch``."""
    request = result.request
    return f"{request.network.title} · block {request.block} · image {request.image.name} · {request.convention}"


def is_lockable(sides: Sides) -> bool:
    """Whether the sides can share axes: both have eigenvalues, or both have singular values."""
    return len({_is_singular(result) for result in sides.values()}) == 1


def is_density(sides: Sides, marks: str) -> bool:
    return eigenvalue_cloud.is_density(list(sides.values()), marks)


def figure(
    sides: Sides, style: Style, view: str = "side", fit: str = "all", axes: str = "linear", marks: str = "points"
) -> go.Figure:
    """view: one of VIEWS; an overlay needs lockable sides. fit: ``all``, ``bulk`` or ``disc``; axes: of AXES;
    marks: of eigenvalue_cloud.MARKS."""
    locked, overlay = is_lockable(sides), view == "overlay" and is_lockable(sides)
    titles = [] if overlay else [f"{letter}: {_kind(sides.get(letter))}" for letter in LETTERS]
    fig = make_subplots(1, 1 if overlay else 2, subplot_titles=titles, horizontal_spacing=0.09)
    fig.for_each_annotation(lambda note: note.update(font={"size": style.font_size, "color": style.ink}))
    scale = _scale(sides) if axes == "arcsinh" else None
    panels = _panels(fig, sides, style, scale, overlay, is_density(sides, marks))
    for letter, result in sides.items():
        if _is_singular(result):
            eigenvalue_cloud.draw_singular_values(panels[letter], [result])
    planes = {letter: result for letter, result in sides.items() if not _is_singular(result)}
    if planes:
        shown = _shown(planes, fit)
        for letter, result in planes.items():
            _cloud(panels[letter], result, shown, overlay)
        if overlay:
            _plane(panels[LETTERS[0] if LETTERS[0] in panels else LETTERS[1]], list(planes.values()), shown)
        else:
            for letter, result in planes.items():
                _plane(panels[letter], [result], shown)
    if locked and not overlay:
        fig.update_xaxes(matches="x", scaleanchor=None, col=2)
        fig.update_yaxes(matches="y", scaleanchor=None, col=2)
    _missing(fig, sides, style)
    _layout(fig, sides, style, f"{view} {fit} {scale}")
    return fig


def _kind(result: Result | None) -> str:
    """A short description of a panel, for the title above it."""
    if result is None:
        return "not computed"
    block = result.request.geometry
    if not result.request.convention.has_matrix:
        return f"{block.n_eigenvalues(result.request.convention):,} eigenvalues ({result.request.convention})"
    size = f"n = {block.n_out:,}" if block.is_identity else f"{block.n_out:,} × {block.n_in:,}, not square: σ"
    return f"{size} ({result.request.convention})"


def _is_singular(result: Result) -> bool:
    return "singular_values" in result.arrays


def _panels(
    fig: go.Figure, sides: Sides, style: Style, scale: float | None, overlay: bool, as_density: bool
) -> dict[str, Panel]:
    points, named, columns = eigenvalue_cloud.drawn_and_all(list(sides.values()))[1], set[str](), 1 if overlay else 2
    panels = {}
    for letter, result in sides.items():
        look, column = looks(style)[letter], 1 if overlay else LETTERS.index(letter) + 1
        series = {result.request.image: Series(f"{letter}: {title(result)}", look.colour, look.shape)}
        panels[letter] = Panel(fig, 1, column, style, series, points, named, Axes(scale), columns, as_density)
    return panels


def _scale(sides: Sides) -> float:
    """The scale of shared arcsinh axes: the finer of the two, so that neither spectrum collapses into a line."""
    kinds = {
        letter: slice_density if "density" in result.arrays else eigenvalue_cloud for letter, result in sides.items()
    }
    return min(kinds[letter].scale([result]) for letter, result in sides.items())


def _shown(planes: Sides, fit: str) -> tuple[float, float, float]:
    """The (left, right, height) that shows both."""
    with_disc = [r for r in planes.values() if fit == "disc" and r.request.convention.regions]
    if with_disc:
        extents = [stability_regions.extent(result.request.convention.default_regions, 1.0) for result in with_disc]
    else:
        fit = "all" if fit == "disc" else fit
        extents = [
            (slice_density if "density" in result.arrays else eigenvalue_cloud).extent([result], fit)
            for result in planes.values()
        ]
    lefts, rights, heights = zip(*extents, strict=True)
    return min(lefts), max(rights), max(heights)


def _cloud(panel: Panel, result: Result, shown: tuple[float, float, float], overlay: bool) -> None:
    """Draw points or a density; in an overlay contour lines of the density, which do not hide the other side."""
    is_slices = "density" in result.arrays
    if overlay and is_slices:
        _contours(panel, result, *slice_density.summed([result]))
        slice_density.draw_extremes(panel, [result])
    elif overlay and panel.as_density:
        _contours(panel, result, *cloud_density.summed(panel, [result], shown))
        eigenvalue_cloud.draw_extremes(panel, result)
    elif is_slices:
        slice_density.draw(panel, [result])
    elif panel.as_density:
        cloud_density.draw(panel, [result], shown)
    else:
        eigenvalue_cloud.draw(panel, result)


def _contours(panel: Panel, result: Result, counts: np.ndarray, re_edges: np.ndarray, im_edges: np.ndarray) -> None:
    """A density as contour lines of one colour, a factor of ten apart."""
    look = panel.series[result.request.image]
    centres = [panel.axes((edges[1:] + edges[:-1]) / 2) for edges in (re_edges, im_edges)]
    start, end, size = CONTOURS
    dash = "solid" if look.name.startswith(LETTERS[0]) else "dot"
    panel.figure.add_trace(
        go.Contour(
            x=np.asarray(centres[0], np.float32),
            y=np.asarray(centres[1], np.float32),
            z=np.log10(np.maximum(counts, 0.1)).astype(np.float32),
            contours={"coloring": "lines", "start": start, "end": end, "size": size},
            colorscale=[[0, look.colour], [1, look.colour]],
            showscale=False,
            line={"width": panel.style.line_width / 1.5, "dash": dash},
            hoverinfo="skip",
            name=look.name,
            legendgroup=look.name,
            showlegend=False,
        ),
        **panel.place,
    )


def _plane(panel: Panel, inside: Sequence[Result], shown: tuple[float, float, float]) -> None:
    """Equal axes, the imaginary axis, the regions of the conventions, and the structural eigenvalues."""
    style, fig, (low, high, top) = panel.style, panel.figure, shown
    left, right, height = (float(panel.axes(value)) for value in shown)
    margin = 0.08 * max(right - left, height, 1e-6)
    fig.add_vline(x=0, line={"color": style.muted, "width": style.line_width / 2}, **panel.place)
    regions = [name for result in inside for name in result.request.convention.default_regions]
    of_block = [result for result in inside if UNIT_CIRCLE in result.request.convention.default_regions]
    look: dict[str, object] = {"title_text": "Re λ", "range": [left - margin, right + margin]}
    fig.update_xaxes(**look, **panel.axes.ticks(low, high, 0.08 + 0.04 * panel.columns), **panel.place)
    axis = fig.get_subplot(panel.row, panel.column).xaxis.plotly_name.replace("axis", "")
    look = {"range": [-height - margin, height + margin], "scaleanchor": axis, "scaleratio": 1}
    look["title_text"] = "Im λ" if panel.column == 1 else None
    fig.update_yaxes(**look, **panel.axes.ticks(-top, top), **panel.place)
    stability_regions.draw(panel, list(dict.fromkeys(regions)), 1.0, stability_regions.moved(of_block))
    for place, name in ((0, "n_zero"), (1, "n_one")):
        draw_structural(panel, place, [result.metrics.get(name) or 0 for result in inside], (left + right) / 2)


def _missing(fig: go.Figure, sides: Sides, style: Style) -> None:
    """Label the panel of a side that is not computed."""
    # In paper coordinates: plotly draws nothing on axes without a trace.
    for letter, axis in zip(LETTERS, ("xaxis", "xaxis2"), strict=True):
        if letter not in sides and axis in fig.layout:
            left, right = fig.layout[axis].domain
            fig.add_annotation(
                x=(left + right) / 2, y=0.5, xref="paper", yref="paper", text=f"{letter} is not computed",
                font={"color": style.muted, "size": style.font_size + 2},
            )  # fmt: skip


def _layout(fig: go.Figure, sides: Sides, style: Style, view: str) -> None:
    conventions = [result.request.convention for result in sides.values()]
    kinds = [_is_singular(result) for result in sides.values()]
    theme.apply(fig, style).update_layout(
        height=560 if style.talk else 500,
        uirevision=f"{view} {conventions} {kinds}",  # the visitor's zoom is kept while B varies
        legend={"orientation": "h", "y": -0.16, "yanchor": "top", "x": 0},
        hovermode="closest",
        margin={"t": 36, "b": 40, "l": 50, "r": 10},
    )
    if any(trace.type == "heatmap" for trace in fig.data):
        fig.update_layout(coloraxis=slice_density.colour_axis(fig, style))


def alt_text(sides: Sides) -> str:
    """One sentence for screen readers; the table beside the figure has the numbers."""
    both = " and ".join(f"{letter}, {title(result)}" for letter, result in sides.items())
    return f"Spectra in the complex plane: {both}. The table has the numbers."
