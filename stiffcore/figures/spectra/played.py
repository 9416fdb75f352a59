"""Spectra of one convention in one plane, a frame each, and a slider: a network's blocks, or a block through training.

All frames have the same axes, so that only the spectrum moves. Every frame has the same five traces (density, points,
extremes, structural zeros, structural ones), some of them empty, since plotly's frames change the data of traces, not
their number. A frame without a spectrum says why.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import plotly.graph_objects as go
from plotly.basedatatypes import BaseTraceType
from plotly.subplots import make_subplots

from stiffcore.analysis.results import Result
from stiffcore.conventions import Convention
from stiffcore.figures import theme, wording
from stiffcore.figures.axes import Axes
from stiffcore.figures.odes import stability_regions
from stiffcore.figures.panel import Panel, draw_structural, series_of
from stiffcore.figures.spectra import cloud_density, eigenvalue_cloud, slice_density, spectrum
from stiffcore.figures.theme import Style

IN_TITLE = ("stiffness_index", "percent_negative", "live_fraction")  # metrics in a frame's title
HEIGHT = 640  # pixels, slider included
AT_ONCE = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}, "transition": {"duration": 0}}


@dataclass(frozen=True)
class Frame:
    """label: on the slider. result: None if it is not computed. words: its title begins with them."""

    label: str
    result: Result | None
    words: tuple[str, ...]


@dataclass(frozen=True)
class Look:
    """Options of every frame; see spectrum.figure."""

    fit: str = "all"
    axes: str = "linear"
    marks: str = "auto"
    regions: tuple[str, ...] = ()
    step: float = 1.0


def figure(
    frames: Sequence[Frame],
    convention: Convention,
    style: Style,
    look: Look,
    at: str,
    prefix: str,
    height: float = HEIGHT,
) -> go.Figure:
    """at: label of the frame that is shown first; prefix: before the slider's label. At least one result needs
    eigenvalues or a density."""
    drawn = [frame.result for frame in frames if frame.result is not None and is_plane(frame.result)]
    scale = _scale(drawn, convention) if look.axes == "arcsinh" else None
    shown = _extent(drawn, convention, look)
    made = {frame.label: _frame(frame, drawn, scale, shown, style, look) for frame in frames}
    fig = make_subplots(1, 1)
    panel = Panel(fig, 1, 1, style, {}, axes=Axes(scale))
    spectrum.plane(panel, shown)
    stability_regions.draw(panel, look.regions, look.step, stability_regions.moved(drawn))
    fig.layout.annotations = made[at].layout.annotations
    fig.add_traces(made[at].data)
    fig.frames = list(made.values())
    _layout(fig, style, list(made), at, prefix, height)
    blocks = sorted({result.request.block for result in drawn})
    of = drawn[0].request.network.name if len(blocks) > 1 else f"{drawn[0].request.network.name} {blocks}"
    fig.update_layout(uirevision=f"{prefix} {of} {convention} {look.fit} {scale}")
    return fig


def is_plane(result: Result) -> bool:
    """Whether a result can be drawn in the plane: it has eigenvalues, or their density."""
    return "eigenvalues" in result.arrays or "density" in result.arrays


def _kind(convention: Convention) -> ModuleType:
    return eigenvalue_cloud if convention.has_matrix else slice_density


def _scale(drawn: Sequence[Result], convention: Convention) -> float:
    """The scale of arcsinh axes that all blocks share: the finest, so that no spectrum collapses into a line."""
    return min(_kind(convention).scale([result]) for result in drawn)


def _extent(drawn: Sequence[Result], convention: Convention, look: Look) -> tuple[float, float, float]:
    if look.fit == "disc" and convention.regions:
        return stability_regions.extent(look.regions or convention.default_regions, look.step)
    ends = zip(*(_kind(convention).extent([result], look.fit) for result in drawn), strict=True)
    left, right, height = (pick(values) for pick, values in zip((min, max, max), ends, strict=True))
    return left, right, height


def _frame(
    frame: Frame,
    drawn: Sequence[Result],
    scale: float | None,
    shown: tuple[float, float, float],
    style: Style,
    look: Look,
) -> go.Frame:
    """A frame's traces and annotations; the plane and the regions belong to the figure."""
    result = frame.result
    fig = make_subplots(1, 1)
    largest = max(len(other.arrays.get("eigenvalues", ())) for other in drawn)
    request = drawn[0].request
    series = series_of([request.image], "image", style, request.network.classes)
    panel = Panel(fig, 1, 1, style, series, largest, axes=Axes(scale))
    rings, heat = [None, None], None
    if result is not None and is_plane(result):
        heat = _marks(panel, result, shown, look)
        middle = float(panel.axes((shown[0] + shown[1]) / 2))
        for place, name in ((0, "n_zero"), (1, "n_one")):
            count = result.metrics.get(name) or 0
            if count >= 1:
                draw_structural(panel, place, [count], middle)
                rings[place] = fig.data[-1]
    traces = [trace for trace in fig.data if trace is not heat and all(trace is not ring for ring in rings)]
    cloud, ends = [None, None, *traces][-2:]
    empty = panel.markers(x=[], y=[], mode="markers", showlegend=False, hoverinfo="skip")
    parts = [heat or go.Heatmap(x=[], y=[], z=[[]], coloraxis="coloraxis"), cloud, ends, *rings]
    stability_regions.name(panel, look.regions, look.step, stability_regions.moved(drawn))
    _title(fig, frame, style)
    data = [empty if part is None else part for part in parts]
    return go.Frame(name=frame.label, data=data, layout={"annotations": fig.layout.annotations})


def _marks(panel: Panel, result: Result, shown: tuple[float, float, float], look: Look) -> BaseTraceType | None:
    """Draw points or a density, with the extremes; returns the trace of the density, or None."""
    if not result.request.convention.has_matrix:
        slice_density.draw(panel, [result])
    elif eigenvalue_cloud.is_density([result], look.marks):
        cloud_density.draw(panel, [result], shown)
    else:
        eigenvalue_cloud.draw(panel, result)
        return None
    heat = next((trace for trace in panel.figure.data if trace.type == "heatmap"), None)
    if heat is not None:  # the bins of up to sixteen blocks are sent at once: without hover the data are smaller
        heat.update(customdata=None, hovertemplate=None, hoverinfo="skip")
    return heat


def _title(fig: go.Figure, frame: Frame, style: Style) -> None:
    result, words, note = frame.result, list(frame.words), ""
    if result is None:
        note = "not computed"
    elif not is_plane(result):
        values = result.arrays.get("singular_values", np.zeros(0))
        note = "not square: no eigenvalues"
        if len(values):
            note += f"<br>singular values up to {values.max():.3g}"
    else:
        takes_images = result.request.network.takes_images
        for name in IN_TITLE if takes_images else IN_TITLE[:2]:  # a matrix has no outputs that could be dead
            value = wording.in_words(name, result.metrics.get(name), result.reasons.get(name))
            title, _, per_cent = wording.title(name).partition(", ")
            words.append(f"{title} {value}" + (f" {per_cent}" if per_cent and value[-1].isdigit() else ""))
    top = {"xref": "paper", "yref": "paper", "showarrow": False}
    font = {"size": style.font_size + 3, "color": style.ink}
    fig.add_annotation(text=" · ".join(words), x=0, y=1.01, xanchor="left", yanchor="bottom", font=font, **top)
    if note:
        font = {"size": style.font_size + 8, "color": style.muted}
        fig.add_annotation(text=note, x=0.5, y=0.6, font=font, **top)


def _layout(fig: go.Figure, style: Style, labels: Sequence[str], at: str, prefix: str, height: float) -> None:
    steps = [{"label": label, "method": "animate", "args": [[label], AT_ONCE]} for label in labels]
    slider = {
        "steps": steps,
        "active": labels.index(at),
        "currentvalue": {"prefix": prefix, "font": {"size": style.font_size, "color": style.ink}},
        "font": {"size": style.font_size - 1, "color": style.muted},
        "bgcolor": style.grid,
        "activebgcolor": style.accent,
        "bordercolor": style.muted,
        "tickcolor": style.muted,
        "len": 1.0,
        "x": 0,
        "pad": {"t": 58},
    }
    theme.apply(fig, style).update_layout(
        height=height,
        showlegend=False,
        hovermode="closest",
        sliders=[slider],
        margin={"t": 44, "b": 40, "l": 50, "r": 10},
    )
    heats = [frame.data[0] for frame in fig.frames if frame.data[0].z is not None and len(frame.data[0].z[0])]
    if heats:
        fig.update_layout(coloraxis=slice_density.colour_axis(go.Figure(data=heats), style))
