"""Loss and metrics of one block against the strength of a perturbation: a panel each. Computes nothing."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from stiffcore.figures import theme, wording
from stiffcore.figures.theme import Style
from stiffcore.metrics import definitions

LOSS = "loss"


def figure(table: pd.DataFrame, style: Style) -> go.Figure:
    """table: of perturbation.sweep. A cross marks a wrong prediction; a gap marks an undefined metric."""
    names = [LOSS, *(metric.name for metric in definitions.in_table_order() if metric.name in table)]
    titles = ["Loss" if name == LOSS else wording.title(name) for name in names]
    fig = make_subplots(2, 2, subplot_titles=titles, shared_xaxes=True, horizontal_spacing=0.12, vertical_spacing=0.14)
    fig.for_each_annotation(lambda note: note.update(font={"size": style.font_size, "color": style.ink}))
    for at, name in enumerate(names):
        place = {"row": at // 2 + 1, "col": at % 2 + 1}
        fig.add_trace(_line(table, name, style), **place)
        if not np.isfinite(table[name].astype(float)).any():
            fig.add_annotation(x=0.5, y=0.5, xref="x domain", yref="y domain", text="undefined", **place)
    for right, name in ((True, "predicted right"), (False, "predicted wrong")):
        look = _marker([right], style) | {"color": style.accent}
        fig.add_trace(go.Scatter(x=[None], y=[None], mode="markers", marker=look, name=name), row=1, col=1)
    ticks = {"tickvals": table["strength"].tolist(), "ticktext": [f"{k}/255" for k in table["strength"]]}
    fig.update_xaxes(**ticks, zeroline=False)
    fig.update_xaxes(title_text="ε", row=2)
    return theme.apply(fig, style).update_layout(
        height=560 if style.talk else 440,
        legend={"orientation": "h", "y": 1.08, "yanchor": "bottom", "x": 0},
        margin={"t": 60, "b": 40},
        uirevision="perturbation",
    )


def _line(table: pd.DataFrame, name: str, style: Style) -> go.Scatter:
    y = table[name].astype(float).to_numpy()
    return go.Scatter(
        x=table["strength"].to_numpy(np.float32),
        y=y.astype(np.float32),
        mode="lines+markers",
        line={"color": style.accent, "width": style.line_width},
        marker=_marker(table["correct"], style),
        text=[f"ε = {k}/255, seen as {seen}" for k, seen in zip(table["strength"], table["seen"], strict=True)],
        hovertemplate="%{text}<br>%{y:.4g}<extra></extra>",
        showlegend=False,
        name=name,
    )


def _marker(right: Iterable[bool], style: Style) -> dict:
    return {"symbol": ["circle" if is_right else "x" for is_right in right], "size": style.marker_size + 4}


def alt_text(table: pd.DataFrame) -> str:
    """One sentence for screen readers; the table below the figure has the numbers."""
    first, last = table.iloc[0], table.iloc[-1]
    return (
        f"Loss and three metrics against ε: from ε = {first['strength']}/255 to {last['strength']}/255 the loss changes from "
        f"{first['loss']:.3g} to {last['loss']:.3g}. The table has the numbers."
    )
