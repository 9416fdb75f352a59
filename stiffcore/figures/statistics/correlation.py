"""Stiffness against loss, and for images predicted right and wrong. Computes nothing."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from stiffcore.figures import theme
from stiffcore.figures.theme import Style
from stiffcore.images.labels import LABELS

LARGEST_SVG = 3_000  # points; WebGL for more
SMALLEST_LOSS = 1e-7  # on the log axis: the float32 cross-entropy of a confident prediction is exactly 0
GOLDEN = 0.618_033_988_75


def figure(
    values: pd.DataFrame, title: str, style: Style, log_loss: bool = True, axis: str | None = None, said: str = ""
) -> go.Figure:
    """values: image, label, predicted, correct, loss, block, value. A point's customdata is (image, block).

    title: with network and convention; axis: title of the values' axis, by default ``title``; said: the correlation in a
    line, below the title.

    Above: loss against the value. Below, on the same axis: boxes of right and wrong predictions, with their points.
    """
    fig = make_subplots(2, 1, shared_xaxes=True, row_heights=[0.72, 0.28], vertical_spacing=0.04)
    kind = go.Scatter if len(values) <= LARGEST_SVG else go.Scattergl
    for place, (right, name) in enumerate(((False, "wrong"), (True, "right"))):
        inside = values[values["correct"].astype(bool) == right]
        marker = {
            "color": style.good if right else style.bad,
            "symbol": "circle" if right else "x",
            "size": style.marker_size + (0 if right else 2),
            "opacity": (0.5 if len(values) <= LARGEST_SVG else 0.25) if right else 0.9,
        }
        x = inside["value"].to_numpy().astype(np.float32)
        shared = {
            "mode": "markers",
            "marker": marker,
            "name": f"predicted {name} ({len(inside):,})",
            "legendgroup": name,
            "customdata": inside[["image", "block"]].to_numpy(),
            "text": [
                f"{LABELS[int(a)]}, seen as {LABELS[int(b)]}" for a, b in zip(inside["label"], inside["predicted"])
            ],
            "unselected": {"marker": {"opacity": marker["opacity"]}},
        }
        loss = np.maximum(inside["loss"].to_numpy(), SMALLEST_LOSS if log_loss else 0).astype(np.float32)
        hover = "image %{customdata[0]}, block %{customdata[1]}<br>%{text}<br>"
        fig.add_trace(
            kind(x=x, y=loss, hovertemplate=f"{hover}%{{x:.4g}}, loss %{{y:.3g}}<extra></extra>", **shared), 1, 1
        )
        jitter = ((inside["image"].to_numpy() * GOLDEN) % 1 - 0.5) * 0.5
        if len(x):
            fig.add_trace(
                go.Box(
                    x=x, y=np.full(len(x), place), orientation="h", boxpoints=False, boxmean=True, width=0.7, showlegend=False,
                    line={"color": style.ink, "width": style.line_width}, fillcolor="rgba(0,0,0,0)", hoverinfo="skip",
                ),
                2,
                1,
            )  # fmt: skip
        fig.add_trace(
            kind(
                x=x,
                y=(place + jitter).astype(np.float32),
                showlegend=False,
                hovertemplate=f"{hover}%{{x:.4g}}<extra></extra>",
                **{k: v for k, v in shared.items()},
            ),
            2,
            1,
        )
    line = (28 if style.talk else 20) if said else 0  # the title's second line
    below = f'<br><span style="color:{style.muted}">{said}</span>' if said else ""
    theme.apply(fig, style).update_layout(
        height=(740 if style.talk else 630) + line,
        title=theme.over(f"{title}{below}", style) | {"pad": {"t": 8 + line}},  # plotly anchors the last line
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        hovermode="closest",
        clickmode="event+select",
        uirevision=title,
        margin={"t": (96 if style.talk else 76) + line, "b": 48},
    )
    fig.update_xaxes(title_text=axis or title, row=2, col=1)
    fig.update_yaxes(title_text="loss", type="log" if log_loss else "linear", exponentformat="power", row=1, col=1)
    fig.update_yaxes(
        tickvals=[0, 1], ticktext=["wrong", "right"], range=[-0.6, 1.6], zeroline=False, showgrid=False, row=2, col=1
    )
    return fig


def alt_text(values: pd.DataFrame, title: str, said: str = "") -> str:
    """A sentence or two for screen readers; the table below the figure has the numbers. said: as in ``figure``."""
    wrong = int((~values["correct"].astype(bool)).sum())
    about = f"{title} against the loss of {len(values):,} points, {wrong:,} of them predicted wrong."
    return f"{about} {said[0].upper()}{said[1:]}." if said else about
