"""A network's blocks at one image, one after the other in one plane: a frame a block, and a slider between them.

The axes are locked over all blocks that there are, so that what moves is the spectrum. Every frame has the same five traces
(density, points, extremes, structural zeros, structural ones), some of them empty, since plotly changes data, not traces.
A block without a spectrum is a frame that says why.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from stiffcore.analysis.requests import Result
from stiffcore.conventions import Convention
from stiffcore.figures import theme, wording
from stiffcore.figures.axes import Axes
from stiffcore.figures.odes import stability_regions
from stiffcore.figures.panel import Panel, draw_structural, series_of
from stiffcore.figures.spectra import cloud_density, eigenvalue_cloud, slice_density, spectrum
from stiffcore.figures.theme import Style
from stiffcore.networks.network import Network

TOLD = ("stiffness_index", "percent_negative", "live_fraction")  # metrics in a frame's title
HEIGHT = 640  # pixels, slider included
AT_ONCE = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}, "transition": {"duration": 0}}
Blocks = Mapping[int, Result | None]  # block -> its result; None: not computed


@dataclass(frozen=True)
class Look:
    """How every frame is drawn: see spectrum.figure."""

    fit: str = "all"
    axes: str = "linear"
    marks: str = "auto"
    regions: tuple[str, ...] = ()
    step: float = 1.0


def figure(blocks: Blocks, convention: Convention, style: Style, look: Look, at: int) -> go.Figure:
    """at: the block that is shown first. Needs one result with eigenvalues or a density."""
    drawn = [result for result in blocks.values() if result is not None and _is_plane(result)]
    scale = _scale(drawn, convention) if look.axes == "arcsinh" else None
    shown = _extent(drawn, convention, look)
    frames = {number: _frame(number, result, drawn, scale, shown, style, look) for number, result in blocks.items()}
    made = make_subplots(1, 1)
    panel = Panel(made, 1, 1, style, {}, axes=Axes(scale))
    spectrum.plane(panel, shown)
    stability_regions.draw(panel, look.regions, look.step)
    made.layout.annotations = frames[at].layout.annotations
    made.add_traces(frames[at].data)
    made.frames = list(frames.values())
    _layout(made, drawn, style, list(blocks), at, f"{convention} {look.fit} {scale}")
    return made


def _is_plane(result: Result) -> bool:
    return "eigenvalues" in result.arrays or "density" in result.arrays


def _kind(convention: Convention):
    return eigenvalue_cloud if convention.has_matrix else slice_density


def _scale(drawn: Sequence[Result], convention: Convention) -> float:
    """Of arcsinh axes that all blocks share: the finest, so that no spectrum collapses into a line."""
    return min(_kind(convention).scale([result]) for result in drawn)


def _extent(drawn: Sequence[Result], convention: Convention, look: Look) -> tuple[float, float, float]:
    if look.fit == "disc" and convention.regions:
        return stability_regions.extent(look.regions or convention.default_regions, look.step)
    ends = zip(*(_kind(convention).extent([result], look.fit) for result in drawn), strict=True)
    left, right, height = (pick(values) for pick, values in zip((min, max, max), ends, strict=True))
    return left, right, height


def _frame(
    number: int,
    result: Result | None,
    drawn: Sequence[Result],
    scale: float | None,
    shown: tuple[float, float, float],
    style: Style,
    look: Look,
) -> go.Frame:
    """One block's traces and notes, with the plane and the regions left to the figure."""
    made = make_subplots(1, 1)
    largest = max(len(other.arrays.get("eigenvalues", ())) for other in drawn)
    request = drawn[0].request
    series = series_of([request.image], "image", style, request.network.classes)
    panel = Panel(made, 1, 1, style, series, largest, axes=Axes(scale))
    rings, heat = [None, None], None
    if result is not None and _is_plane(result):
        heat = _marks(panel, result, shown, look)
        middle = float(panel.axes((shown[0] + shown[1]) / 2))
        for place, name in ((0, "n_zero"), (1, "n_one")):
            count = result.metrics.get(name) or 0
            if count >= 1:
                draw_structural(panel, place, [count], middle)
                rings[place] = made.data[-1]
    traces = [trace for trace in made.data if trace is not heat and all(trace is not ring for ring in rings)]
    cloud, ends = [None, None, *traces][-2:]
    empty = panel.markers(x=[], y=[], mode="markers", showlegend=False, hoverinfo="skip")
    parts = [heat or go.Heatmap(x=[], y=[], z=[[]], coloraxis="coloraxis"), cloud, ends, *rings]
    stability_regions.name(panel, look.regions, look.step)
    _title(made, number, result, drawn[0].request.network, style)
    data = [empty if part is None else part for part in parts]
    return go.Frame(name=str(number), data=data, layout={"annotations": made.layout.annotations})


def _marks(panel: Panel, result: Result, shown: tuple[float, float, float], look: Look):
    """Draws points or a density with its extremes; the density's trace, or None."""
    if not result.request.convention.has_matrix:
        slice_density.draw(panel, [result])
    elif eigenvalue_cloud.is_density([result], look.marks):
        cloud_density.draw(panel, [result], shown)
    else:
        eigenvalue_cloud.draw(panel, result)
        return None
    heat = next((trace for trace in panel.figure.data if trace.type == "heatmap"), None)
    if heat is not None:  # sixteen blocks' bins are sent at once: their counts stay in the colours
        heat.update(customdata=None, hovertemplate=None, hoverinfo="skip")
    return heat


def _title(made: go.Figure, number: int, result: Result | None, network: Network, style: Style) -> None:
    block = network.block(number)
    words = [f"<b>Block {number}</b>"]
    words.append(f"n = {block.n_out:,}" if block.is_identity else f"{block.n_out:,} × {block.n_in:,}")
    note = ""
    if result is None:
        note = "not computed"
    elif not _is_plane(result):
        values = result.arrays.get("singular_values", np.zeros(0))
        note = "not square: no eigenvalues"
        if len(values):
            note += f"<br>singular values up to {values.max():.3g}"
    else:
        for name in TOLD:
            value = wording.in_words(name, result.metrics.get(name), result.reasons.get(name))
            title, _, per_cent = wording.title(name).partition(", ")
            words.append(f"{title} {value}" + (f" {per_cent}" if per_cent and value[-1].isdigit() else ""))
    top = {"xref": "paper", "yref": "paper", "showarrow": False}
    font = {"size": style.font_size + 3, "color": style.ink}
    made.add_annotation(text=" · ".join(words), x=0, y=1.01, xanchor="left", yanchor="bottom", font=font, **top)
    if note:
        font = {"size": style.font_size + 8, "color": style.muted}
        made.add_annotation(text=note, x=0.5, y=0.6, font=font, **top)


def _layout(
    made: go.Figure, drawn: Sequence[Result], style: Style, blocks: Sequence[int], at: int, kept_zoom: str
) -> None:
    first = drawn[0].request
    steps = [{"label": str(number), "method": "animate", "args": [[str(number)], AT_ONCE]} for number in blocks]
    slider = {
        "steps": steps,
        "active": blocks.index(at),
        "currentvalue": {"prefix": "Block ", "font": {"size": style.font_size, "color": style.ink}},
        "font": {"size": style.font_size - 1, "color": style.muted},
        "bgcolor": style.grid,
        "activebgcolor": style.accent,
        "bordercolor": style.muted,
        "tickcolor": style.muted,
        "len": 1.0,
        "x": 0,
        "pad": {"t": 58},
    }
    theme.apply(made, style).update_layout(
        height=HEIGHT * (1.1 if style.talk else 1),
        uirevision=f"depth {first.network.name} {kept_zoom}",
        showlegend=False,
        hovermode="closest",
        sliders=[slider],
        margin={"t": 44, "b": 40, "l": 50, "r": 10},
    )
    heats = [frame.data[0] for frame in made.frames if frame.data[0].z is not None and len(frame.data[0].z[0])]
    if heats:
        made.update_layout(coloraxis=slice_density.colour_axis(go.Figure(data=heats), style))


def alt_text(blocks: Blocks, network: Network, convention: Convention) -> str:
    """One sentence for screen readers; the table below has the numbers of every block."""
    there = [number for number, result in blocks.items() if result is not None]
    image = next(result.request.image for result in blocks.values() if result is not None)
    return (
        f"Eigenvalues in the complex plane, a frame per block of {network.name} on locked axes: blocks {there[0]} to {there[-1]} at "
        f"image {image.name}, {convention.title}. The table has the numbers."
    )
