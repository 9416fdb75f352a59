"""The smallest perturbation against a block's stiffness, and how the two go together by block. Computes nothing."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from stiffcore.figures import theme
from stiffcore.figures.theme import Style
from stiffcore.images.labels import LABELS

LEVELS = (0.125, 0.25, 0.5, 1, 2, 4, 8, 16, 32)  # ticks
BEYOND = 48  # where an image stands that nothing up to the limit changes; on a log axis half a tick above it
HEIGHT = {False: 452, True: 446}  # talk mode or not: whole on a screen of 720 pixels


def figure(points: pd.DataFrame, axis: str, outcome: str, limit: int, style: Style, uirevision: str) -> go.Figure:
    """points: image, label, value, size (grey levels, infinite beyond the limit). axis, outcome: titles of the two axes.

    A point's customdata is its image. Labels differ in colour and shape.
    """
    fig = go.Figure()
    for label in sorted(set(points["label"].astype(int))):
        part = points[points["label"] == label]
        sizes = part["size"].to_numpy(dtype=float)
        fig.add_trace(
            go.Scatter(
                x=part["value"],
                y=np.where(np.isfinite(sizes), sizes, BEYOND),
                mode="markers",
                name=_name(label),
                customdata=part[["image"]].to_numpy(),
                text=[f"{size:g}" if np.isfinite(size) else f"more than {limit}" for size in sizes],
                marker={
                    "color": style.colour(label), "symbol": style.shape(label), "size": style.marker_size + 1, "opacity": 0.8,
                },
                unselected={"marker": {"opacity": 0.8}},
                hovertemplate=f"image %{{customdata[0]}}, {_name(label)}<br>%{{x:.4g}}<br>%{{text}} grey levels<extra></extra>",
            )
        )  # fmt: skip
    top = bool(np.isinf(points["size"].to_numpy(dtype=float)).any())
    shown = [level for level in LEVELS if level <= limit] + ([BEYOND] if top else [])
    fig.update_yaxes(
        type="log",
        title_text=outcome,
        tickvals=shown,
        ticktext=[f"> {limit}" if level == BEYOND else f"{level:g}" for level in shown],
    )
    fig.update_xaxes(title_text=axis)
    return theme.apply(fig, style).update_layout(
        height=HEIGHT[style.talk],
        hovermode="closest",
        clickmode="event+select",
        uirevision=uirevision,
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "font": {"size": 14 if style.talk else 12}}
        | {"entrywidth": 0.25 if style.talk else 0.2, "entrywidthmode": "fraction"},
        margin={"t": 74 if style.talk else 56, "b": 44, "r": 8},
    )


def _name(label: int) -> str:
    return LABELS[label] if 0 <= label < len(LABELS) else str(label)


def relation(cells: pd.DataFrame, given: Sequence[str], threshold: float, style: Style) -> go.Figure:
    """cells: rows of one measure: block (a number, or a word for a whole network), r, low, high, partial_r, partial_low, partial_high.
    given: what the partial r holds constant; threshold: ±, from which it explains."""
    places = [f"block {block}" if str(block).isdigit() else "whole network" for block in cells["block"]]
    by_block = any(place.startswith("block") for place in places)
    fig = go.Figure()
    fig.add_hrect(y0=-threshold, y1=threshold, fillcolor=style.region_fill, line_width=0)
    series: Sequence[tuple[str, str, int, float, str]] = (
        ("raw", "", 1, -0.14, "circle-open"),
        (f"given {', '.join(given)}", "partial_", 0, 0.14, "square"),
    )
    for name, prefix, at, shift, symbol in series:
        r, low, high = (cells[f"{prefix}{part}"].to_numpy(dtype=float) for part in ("r", "low", "high"))
        fig.add_trace(
            go.Scatter(
                x=np.arange(len(places)) + shift,
                y=r,
                mode="markers",
                name=name,
                error_y={"type": "data", "symmetric": False, "array": high - r, "arrayminus": r - low, "thickness": 1.6, "width": 3},
                marker={"color": style.colour(at), "symbol": symbol, "size": style.marker_size + 3},
                customdata=np.column_stack([low, high, cells["n"].to_numpy(dtype=float)]) if len(cells) else None,
                text=places,
                hovertemplate=f"%{{text}}, {name}<br>r = %{{y:.2f}} (%{{customdata[0]:.2f}} to %{{customdata[1]:.2f}}), n = "
                "%{customdata[2]:.0f}<extra></extra>",
            )
        )  # fmt: skip
    fig.update_xaxes(
        tickvals=list(range(len(places))), ticktext=[place.removeprefix("block ") for place in places],
        title_text="block" if by_block else "", showgrid=False, zeroline=False, range=[-0.6, len(places) - 0.4],
    )  # fmt: skip
    fig.update_yaxes(title_text="Spearman's r, 95 % intervals", range=[-1, 1], dtick=0.5)
    return theme.apply(fig, style).update_layout(
        height=260 if style.talk else 216,
        uirevision="relation",
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "font": {"size": 14 if style.talk else 12}},
        margin={"t": 24, "b": 40, "r": 8},
    )


def alt_text(points: pd.DataFrame, axis: str, outcome: str) -> str:
    """One sentence for screen readers; the table below the figure has the numbers."""
    middle = float(np.median(points["size"]))
    return f"{outcome} against {axis} at {len(points):,} images; its median is {middle:g} grey levels."


def relation_alt_text(cells: pd.DataFrame, measure: str) -> str:
    """One sentence with every block's two correlations."""
    each = [
        f"block {row.block}: {row.r:.2f} and {row.partial_r:.2f}" for row in cells.itertuples() if np.isfinite(row.r)
    ]
    return f"Spearman's r of {measure} with the smallest perturbation, raw and partial. {'; '.join(each)}."
