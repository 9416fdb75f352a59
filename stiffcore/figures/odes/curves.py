"""Shared by the figures of ODEs: lines, and the layout with a legend above."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from stiffcore.figures import theme
from stiffcore.figures.theme import Style


def line(
    x: Sequence[float] | np.ndarray, y: np.ndarray, name: str, colour: str, style: Style, **look: object
) -> go.Scatter:
    """A line. look: width, dash, mode, and further properties of the trace."""
    drawn = {"color": colour, "width": look.pop("width", style.line_width), "dash": look.pop("dash", "solid")}
    return go.Scatter(x=x, y=y, mode=look.pop("mode", "lines"), name=name, line=drawn, **look)


def finished(fig: go.Figure, style: Style, height: int, kept_zoom: str, titled: bool = False) -> go.Figure:
    """The figure with the project's look and the legend above it. titled: the panels have titles below the legend."""
    return theme.apply(fig, style).update_layout(
        height=height * (1.15 if style.talk else 1),
        uirevision=kept_zoom,
        legend={"orientation": "h", "y": 1.08 if titled else 1.02, "yanchor": "bottom", "x": 0},
        hovermode="closest",
        margin={"t": 48 if titled else 40, "b": 40, "l": 60, "r": 10},
    )
