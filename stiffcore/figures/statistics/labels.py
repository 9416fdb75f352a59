"""A metric by label: a box or violin per label with its images as points. Computes nothing."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from stiffcore.figures import theme, wording
from stiffcore.figures.statistics.depth import scaled
from stiffcore.figures.theme import Style
from stiffcore.images.labels import LABELS

KINDS = {"box": "Boxes", "violin": "Violins"}
JITTER = 0.28  # of the distance between two labels
GOLDEN = 0.618_033_988_75  # its multiples modulo 1 are evenly distributed: a jitter that is the same in every run


def figure(
    values: pd.DataFrame,
    metric: str,
    style: Style,
    kind: str = "box",
    paper: pd.DataFrame | None = None,
    title: str = "",
) -> go.Figure:
    """values: tables.per_image; paper: columns label, published; title: with network and convention.

    A point's customdata is its image.
    """
    fig = go.Figure()
    for label, name in enumerate(LABELS):
        inside = values[values["label"] == label]
        y = scaled(inside["value"], metric)
        look = {
            "y": y,
            "x": np.full(len(y), label),
            "name": name,
            "line": {"color": style.colour(label)},
            "showlegend": False,
        }
        if kind == "violin" and len(y) > 1:
            fig.add_trace(
                go.Violin(**look, points=False, width=0.9, meanline={"visible": True}, hoverinfo="skip", opacity=0.6)
            )
        elif len(y):
            fig.add_trace(
                go.Box(**look, boxpoints=False, width=0.75, boxmean=True, hoverinfo="skip", fillcolor="rgba(0,0,0,0)")
            )
    for right, name in ((True, "predicted right"), (False, "predicted wrong")):
        _points(fig, values[values["correct"].astype(bool) == right], metric, style, name, right)
    if paper is not None and len(paper):
        fig.add_trace(
            go.Scatter(
                x=paper["label"],
                y=paper["published"],
                mode="markers",
                name="the paper's mean",
                marker={
                    "symbol": "diamond",
                    "size": style.marker_size + 7,
                    "color": style.paper,
                    "line": {"color": style.ink, "width": style.line_width},
                },
                hovertemplate="%{y:.4g}<extra>the paper's mean</extra>",
            )
        )
    theme.apply(fig, style).update_layout(
        height=600 if style.talk else 530,
        title=theme.over(title, style),
        xaxis={
            "tickvals": list(range(10)),
            "ticktext": list(LABELS),
            "range": [-0.6, 9.6],
            "showgrid": False,
            "zeroline": False,
        },
        yaxis={"title": {"text": wording.title(metric)}},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        hovermode="closest",
        clickmode="event+select",
        uirevision=f"{metric} {kind}",
        margin={"t": 96 if style.talk else 76, "b": 40},
    )
    return fig


def _points(fig: go.Figure, inside: pd.DataFrame, metric: str, style: Style, name: str, right: bool) -> None:
    jitter = ((inside["image"].to_numpy() * GOLDEN) % 1 - 0.5) * 2 * JITTER
    seen = [LABELS[int(label)] for label in inside["predicted"]]
    symbol, size = ("circle", style.marker_size) if right else ("x", style.marker_size + 2)
    # The legend shows the symbols, in no label's colour.
    fig.add_trace(
        go.Scatter(
            x=[None], y=[None], mode="markers", name=name, marker={"symbol": symbol, "size": size, "color": style.ink}
        )
    )
    fig.add_trace(
        go.Scatter(
            x=(inside["label"].to_numpy() + jitter).astype(np.float32),
            y=scaled(inside["value"], metric),
            mode="markers",
            name=name,
            showlegend=False,
            marker={
                "symbol": symbol,
                "size": size,
                "color": [style.colour(int(label)) for label in inside["label"]],
                "opacity": 0.55 if right else 0.95,
            },
            customdata=inside["image"].to_numpy()[:, None],
            text=seen,
            hovertemplate="image %{customdata[0]}, seen as %{text}<br>%{y:.4g}<extra></extra>",
            selected={"marker": {"opacity": 1}},
            unselected={"marker": {"opacity": 0.55 if right else 0.95}},
        )
    )


def alt_text(values: pd.DataFrame, metric: str) -> str:
    """One sentence for screen readers; the table below the figure has the numbers."""
    return f"{wording.meaning(metric)} of {len(values):,} images, distributed by label."
