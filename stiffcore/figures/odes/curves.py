"""What the figures of ODEs share: lines, and the layout below a legend."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from stiffcore.figures import theme
from stiffcore.figures.theme import Style


def line(
    x: Sequence[float] | np.ndarray, y: np.ndarray, name: str, colour: str, style: Style, **look: object
) -> go.Scatter:
    """look: width, dash and mode, and whatever else a trace takes."""
    drawn = {"color": colour, "width": look.pop("width", style.line_width), "dash": look.pop("dash", "solid")}
    return go.Scatter(x=x, y=y, mode=look.pop("mode", "lines"), name=name, line=drawn, **look)


def finished(made: go.Figure, style: Style, height: int, kept_zoom: str, titled: bool = False) -> go.Figure:
    """The figure with its look and the legend above it. titled: its panels have titles, which the legend clears."""
    return theme.apply(made, style).update_layout(
        height=height * (1.15 if style.talk else 1),
        uirevision=kept_zoom,
        legend={"orientation": "h", "y": 1.08 if titled else 1.02, "yanchor": "bottom", "x": 0},
        hovermode="closest",
        margin={"t": 48 if titled else 40, "b": 40, "l": 60, "r": 10},
    )
