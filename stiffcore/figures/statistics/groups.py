"""A metric of two groups of images by block: two boxes or violins per block, side by side. Computes nothing."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from stiffcore.figures import theme, wording
from stiffcore.figures.statistics.depth import scaled
from stiffcore.figures.theme import Style

WITH_POINTS = 200  # values of a group in a block; with more, the points are not drawn


def figure(
    groups: Mapping[str, pd.DataFrame], metric: str, blocks: list[int], style: Style, kind: str = "box"
) -> go.Figure:
    """groups: name -> group_tests.values; kind: ``box`` or ``violin``. The line in a box is the median."""
    fig = go.Figure()
    for at, (name, values) in enumerate(groups.items()):
        y, x = scaled(values["value"], metric), values["block"].map({block: str(block) for block in blocks})
        few = values.groupby("block").size().max() <= WITH_POINTS if len(values) else True
        look = {"x": x, "y": y, "name": name, "offsetgroup": str(at), "legendgroup": str(at)}
        look |= {"line": {"color": style.colour(at), "width": style.line_width}, "hoverinfo": "y+name"}
        marker = {"symbol": style.shape(at), "size": style.marker_size - 1, "color": style.colour(at), "opacity": 0.6}
        if kind == "violin":
            fig.add_trace(go.Violin(**look, points=False, meanline={"visible": True}, opacity=0.8))
        else:
            points = {"boxpoints": "all" if few else "outliers", "jitter": 0.4, "pointpos": 0, "boxmean": True}
            fig.add_trace(go.Box(**look, **points, marker=marker, fillcolor="rgba(0,0,0,0)"))
    for block in blocks:
        if not any((values["block"] == block).any() for values in groups.values()):
            fig.add_annotation(x=str(block), y=0.5, yref="paper", text="no value", textangle=-90)
    return theme.apply(fig, style).update_layout(
        boxmode="group",
        violinmode="group",
        height=560 if style.talk else 480,
        xaxis={"title": {"text": "block"}, "type": "category", "categoryarray": [str(block) for block in blocks]}
        | {"range": [-0.6, len(blocks) - 0.4], "showgrid": False},
        yaxis={"title": {"text": wording.title(metric)}},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        uirevision=f"{metric} {kind} {blocks}",
        margin={"t": 20, "b": 40},
    )


def alt_text(groups: Mapping[str, pd.DataFrame], metric: str) -> str:
    """One sentence for screen readers; the table below the figure has the numbers."""
    medians = [
        f"{name}, median {wording.in_words(metric, float(np.median(values['value'])))}"
        if len(values)
        else f"{name}, no value"
        for name, values in groups.items()
    ]
    return f"{wording.meaning(metric)} by block: {'; '.join(medians)}. The table has the numbers."
