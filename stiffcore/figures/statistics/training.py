"""A metric over a training: a line per block with its band over images, and a strip with accuracy and loss. Computes nothing.

Lines are means over images; bands show the middle 90 % of the images. A checkpoint without a value leaves a gap, with the
reason at the lower edge.
"""

import math
from collections.abc import Sequence
from itertools import groupby

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from stiffcore.figures import theme, wording
from stiffcore.figures.axes import Axes, rounded
from stiffcore.figures.theme import Style

HEIGHT = 470  # pixels: whole on the first screen below the page's controls
STRIP = 0.22  # of the height
GAP = "x-thin"  # the mark at a checkpoint without a value
MARGIN = 0.06  # of the drawn range, above and below


def figure(
    table: pd.DataFrame,
    steps: pd.DataFrame,
    metric: str,
    style: Style,
    unit: str = "step",
    axes: str = "linear",
    order: Sequence[int] = (),
) -> go.Figure:
    """table: over_training.table of one seed and some blocks; steps: over_training.by_step of that seed; unit: of a step;
    order: of the network's blocks, by which each of the first ten has one colour in every view."""
    fig = make_subplots(
        2, 1, shared_xaxes=True, vertical_spacing=0.05, row_heights=[1 - STRIP, STRIP], specs=[[{}], [{"secondary_y": True}]]
    )  # fmt: skip
    factor = wording.factor(metric)
    values = table.assign(**{name: factor * table[name].astype(float) for name in ("mean", "low", "high")})
    ends = values[["mean", "low", "high"]].to_numpy()
    ends = ends[np.isfinite(ends)]
    scale = Axes(rounded(float(np.median(np.abs(ends[ends != 0])))) if axes == "arcsinh" and np.any(ends) else None)
    low, high = _range(scale, ends)
    for position, (block, part) in enumerate(values.groupby("block", sort=True)):
        place = order.index(block) if block in order else position
        _line(fig, int(block), place, part, scale, low, metric, style, unit)
    true_low, true_high = (float(scale.true(end)) for end in (low, high))
    fig.update_yaxes(
        range=[low, high], title_text=wording.title(metric), row=1, col=1, **scale.ticks(true_low, true_high)
    )
    _strip(fig, steps, style, unit)
    theme.apply(fig, style).update_layout(
        height=HEIGHT,
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
        uirevision=f"{metric} {axes} {scale.scale}",
        hovermode="closest",
        margin={"t": 34, "b": 44, "l": 64, "r": 64},
    )
    return fig


def _range(scale: Axes, ends: np.ndarray) -> tuple[float, float]:
    """The drawn range, with a margin for the marks of gaps below."""
    drawn = np.asarray(scale(ends), float) if len(ends) else np.array([0.0, 1.0])
    low, high = float(drawn.min()), float(drawn.max())
    room = MARGIN * (high - low) or max(abs(high), 1.0)
    return low - 2 * room, high + room


def _line(
    fig: go.Figure,
    block: int,
    place: int,
    part: pd.DataFrame,
    scale: Axes,
    bottom: float,
    metric: str,
    style: Style,
    unit: str,
) -> None:
    colour, name = style.colour(place), f"block {block}"
    steps, mean = part["step"].to_numpy(), part["mean"].to_numpy()
    group = {"legendgroup": name, "name": name}
    x, y = _band(part, scale)
    if x:
        fig.add_trace(
            go.Scatter(
                x=x, y=y, fill="toself", mode="lines", fillcolor=theme.faint(colour, 0.16), hoverinfo="skip", showlegend=False,
                line={"width": 0.5, "color": theme.faint(colour, 0.5)}, **group,
            ), row=1, col=1,
        )  # fmt: skip
    there = ["low", "high", "median", "n", "n_undefined", "mean", "checkpoint"]
    fig.add_trace(
        go.Scatter(
            x=steps, y=np.where(np.isfinite(mean), scale(mean), np.nan), mode="lines+markers", connectgaps=False,
            line={"color": colour, "width": style.line_width},
            marker={"color": colour, "symbol": style.shape(place), "size": style.marker_size + 3},
            customdata=part[there].to_numpy(),
            hovertemplate=f"block {block}, {unit} %{{x:,}}<br>mean %{{customdata[5]:.4g}}, median "
            f"%{{customdata[2]:.4g}}<br>90 % of the images: %{{customdata[0]:.4g}} to %{{customdata[1]:.4g}}<br>"
            "%{customdata[3]:,} images, %{customdata[4]:,} undefined<br>%{customdata[6]}<extra></extra>", **group,
        ), row=1, col=1,
    )  # fmt: skip
    gaps = part[part["state"] != ""]
    if len(gaps):
        fig.add_trace(
            go.Scatter(
                x=gaps["step"], y=np.full(len(gaps), bottom), mode="markers", showlegend=False, cliponaxis=False,
                marker={"symbol": GAP, "size": style.marker_size + 5, "line": {"color": colour, "width": style.line_width}},
                customdata=[[f"block {block}", str(reason)] for reason in gaps["reason"]],
                hovertemplate=f"%{{customdata[0]}}, {unit} %{{x:,}}<br>%{{customdata[1]}}<extra></extra>", **group,
            ), row=1, col=1,
        )  # fmt: skip


def _band(part: pd.DataFrame, scale: Axes) -> tuple[list, list]:
    """The outlines of the band's pieces between gaps, one after the other with a None between them."""
    x: list = []
    y: list = []
    lines = zip(part["step"], scale(part["low"].to_numpy()), scale(part["high"].to_numpy()), strict=True)
    for whole, piece in groupby(lines, key=lambda line: bool(np.isfinite(line[1:]).all())):
        if whole:
            at, low, high = (list(column) for column in zip(*piece, strict=True))
            x += [*at, *reversed(at), at[0], None]
            y += [*low, *reversed(high), low[0], None]
    return x, y


def _strip(fig: go.Figure, steps: pd.DataFrame, style: Style, unit: str) -> None:
    """Accuracy and loss of each checkpoint, on the images that ship where all were measured on them."""
    accuracy, loss, where = accuracies(steps)
    for name, values, form, dash, second in (
        ("accuracy, %", 100 * accuracy, ".1f", "solid", False),
        ("loss", loss, ".3g", "dot", True),
    ):
        fig.add_trace(
            go.Scatter(
                x=steps["step"], y=values, mode="lines+markers", name=f"{name}, {where}", showlegend=False,
                line={"color": style.ink if not second else style.muted, "width": style.line_width, "dash": dash},
                marker={"size": style.marker_size, "color": style.ink if not second else style.muted},
                hovertemplate=f"{unit} %{{x:,}}<br>{name} %{{y:{form}}}, {where}<extra></extra>",
            ), row=2, col=1, secondary_y=second,
        )  # fmt: skip
    fig.update_yaxes(title_text="right, %", range=[0, 105], tickvals=[0, 50, 100], row=2, col=1, secondary_y=False)
    top = _above(float(np.nanmax(loss)) if np.isfinite(loss).any() else 1.0)
    fig.update_yaxes(
        title_text="loss (dotted)", range=[0, 1.05 * top], tickvals=[0, top / 2, top], showgrid=False, zeroline=False,
        row=2, col=1, secondary_y=True,
    )  # fmt: skip
    fig.update_xaxes(title_text=unit, zeroline=False, row=2, col=1)
    fig.update_xaxes(zeroline=False, row=1, col=1)


def _above(value: float) -> float:
    """The least of 1, 2, 3, 4, 6, 8 and 10 times a power of ten that is not below a value."""
    power = 10.0 ** math.floor(math.log10(value)) if value > 0 else 1.0
    return next(power * digit for digit in (1, 2, 3, 4, 6, 8, 10) if power * digit >= value)


def accuracies(steps: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, str]:
    """Accuracy from 0 to 1, loss, and in words on which images."""
    measured = steps[["accuracy_bundled", "loss_bundled"]].to_numpy(float)
    if len(steps) and np.isfinite(measured).all():
        return measured[:, 0], measured[:, 1], "on the images that ship"
    own = steps[["accuracy", "loss"]].to_numpy(float)
    return own[:, 0], own[:, 1], "on the images that were swept"


def title(blocks: Sequence[int], metric: str, name: str) -> str:
    """Of the figure. name: of the run and the convention."""
    return f"{wording.meaning(metric)} over training, blocks {', '.join(map(str, blocks))}: {name}"


def alt_text(table: pd.DataFrame, metric: str, unit: str) -> str:
    """One sentence for screen readers; the table below the figure has the numbers."""
    blocks, steps = sorted(set(table["block"])), table["step"]
    return (
        f"Lines of {wording.meaning(metric)} from {unit} {steps.min():,} to {steps.max():,}, one for each of the blocks "
        f"{', '.join(map(str, blocks))}, with accuracy and loss below. The table has the numbers."
    )
