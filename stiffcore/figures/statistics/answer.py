"""A metric against the relative depth of several networks, trained and untrained, in one panel. Computes nothing.

Lines are means over images; bands show the middle 90 % of the images. A block's relative depth is its number divided by the number of
blocks, so that networks of 8 and of 16 blocks share the axis.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from stiffcore.figures import theme, wording
from stiffcore.figures.axes import Axes, rounded
from stiffcore.figures.theme import Style

HEIGHT = {False: 360, True: 430}  # pixels, by talk mode
LAST = 2000  # in the legend
SHADED = 0.3  # of the plane below a threshold, at least
FADED = 0.5  # opacity of a baseline's line


def figure(
    tables: Mapping[str, pd.DataFrame],
    metric: str,
    style: Style,
    faded: Mapping[str, pd.DataFrame] | None = None,
    published: bool = False,
    threshold: tuple[float, str] | None = None,
    scale: float | None = None,
    named: bool = True,
) -> go.Figure:
    """tables: a network's title -> comparison.along_depth. faded: the same titles, of a baseline, as dashed lines.

    published: with the paper's means. threshold: a level below which the plane is shaded, and what it means. scale: of an arcsinh axis.
    named: whether the legend lists the networks; not beside a figure that lists them in the same colours.
    """
    fig, axes = go.Figure(), Axes(scale)
    for at, (title, table) in enumerate(tables.items()):
        there = table[np.isfinite(table["mean"].astype(float))]
        if len(there):
            _line(fig, at, title, there, len(table), axes, metric, style)
            fig.data[-1].showlegend = named
        if published and table["published"].notna().any():
            _published(fig, at, table[table["published"].notna()], len(table), axes, style)
        baseline = (faded or {}).get(title)
        if baseline is not None and np.isfinite(baseline["mean"].astype(float)).any():
            _faded(fig, at, baseline[np.isfinite(baseline["mean"].astype(float))], len(baseline), axes, style)
    if threshold is not None:
        _threshold(fig, *threshold, axes, style)
    low, high = _ends(fig)
    if threshold is not None:
        low = min(low, float(axes(threshold[0])) - SHADED)
    margin = 0.06 * (high - low) or 1.0
    fig.update_yaxes(
        title_text=wording.title(metric),
        zeroline=True,
        range=[low - margin, high + margin],
        **axes.ticks(float(axes.true(low)), float(axes.true(high))),
    )
    fig.update_xaxes(
        title_text="relative depth",
        range=[0, 1.04],
        tickvals=[0, 0.25, 0.5, 0.75, 1],
        ticktext=["0", "¼", "½", "¾", "last"],
    )
    return theme.apply(fig, style).update_layout(
        height=HEIGHT[style.talk],
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0},
        hovermode="closest",
        uirevision=metric,
        margin={"t": 20, "b": 44, "l": 56, "r": 10},
    )


def _line(
    fig: go.Figure, at: int, title: str, table: pd.DataFrame, blocks: int, axes: Axes, metric: str, style: Style
) -> None:
    x, colour = table["block"].to_numpy() / blocks, style.colour(at)
    low, mean, high = (axes(table[name].to_numpy(float)) for name in ("low", "mean", "high"))
    fig.add_trace(
        go.Scatter(
            x=np.concatenate([x, x[::-1]]), y=np.concatenate([high, low[::-1]]), fill="toself", mode="lines",
            line={"width": 0}, fillcolor=theme.faint(colour, 0.14), hoverinfo="skip", showlegend=False, legendgroup=title,
        )
    )  # fmt: skip
    fig.add_trace(
        go.Scatter(
            x=x, y=mean, mode="lines+markers", name=title, legendgroup=title,
            line={"color": colour, "width": style.line_width}, marker={"symbol": style.shape(at), "size": style.marker_size + 2},
            customdata=table[["block", "mean", "low", "high", "n"]].to_numpy(),
            hovertemplate=f"{title}, block %{{customdata[0]}}<br>{wording.title(metric)} %{{customdata[1]:.3g}}, 90 % of the images: "
            "%{customdata[2]:.3g} to %{customdata[3]:.3g}<br>%{customdata[4]:,} images<extra></extra>",
        )
    )  # fmt: skip


def _faded(fig: go.Figure, at: int, table: pd.DataFrame, blocks: int, axes: Axes, style: Style) -> None:
    first = not any(trace.legendgroup == "baseline" for trace in fig.data)
    fig.add_trace(
        go.Scatter(
            x=table["block"] / blocks, y=axes(table["mean"].to_numpy(float)), mode="lines", opacity=FADED,
            name="a random initialisation", legendgroup="baseline", legendrank=LAST, showlegend=first,
            line={"color": style.colour(at), "width": style.line_width, "dash": "dash"},
            customdata=table[["block", "mean"]].to_numpy(),
            hovertemplate="random initialisation, block %{customdata[0]}: %{customdata[1]:.3g}<extra></extra>",
        )
    )  # fmt: skip


def _published(fig: go.Figure, at: int, table: pd.DataFrame, blocks: int, axes: Axes, style: Style) -> None:
    first = not any(trace.legendgroup == "published" for trace in fig.data)
    fig.add_trace(
        go.Scatter(
            x=table["block"] / blocks, y=axes(table["published"].to_numpy(float)), mode="markers", name="the paper's",
            legendgroup="published", legendrank=LAST, showlegend=first,
            marker={"symbol": "diamond-open", "size": style.marker_size + 4, "color": style.colour(at), "line": {"width": 1.5}},
            customdata=table[["block", "published"]].to_numpy(),
            hovertemplate="the paper, block %{customdata[0]}: %{customdata[1]:.3g}<extra></extra>",
        )
    )  # fmt: skip


def _threshold(fig: go.Figure, level: float, meaning: str, axes: Axes, style: Style) -> None:
    at = float(axes(level))
    fig.add_hline(y=at, line={"color": style.bad, "width": style.line_width, "dash": "dot"})
    fig.add_hrect(y0=at, y1=at - 10, fillcolor=style.bad, opacity=0.1, line_width=0)
    fig.add_annotation(
        x=0.02, xref="paper", xanchor="left", y=at, yanchor="top", text=meaning,
        font={"color": style.bad, "size": style.font_size - 1},
    )  # fmt: skip


def _ends(fig: go.Figure) -> tuple[float, float]:
    values = np.concatenate([np.asarray(trace.y, dtype=float) for trace in fig.data]) if fig.data else np.zeros(1)
    values = values[np.isfinite(values)] if np.isfinite(values).any() else np.zeros(1)
    return float(values.min()), float(values.max())


def arcsinh_scale(tables: Mapping[str, pd.DataFrame]) -> float:
    """The scale of an arcsinh axis for means of very different sizes: their median."""
    means = np.abs(np.concatenate([table["mean"].to_numpy(float) for table in tables.values()] or [np.ones(1)]))
    means = means[np.isfinite(means) & (means > 0)]
    return rounded(float(np.median(means))) if len(means) else 1.0


def alt_text(tables: Mapping[str, pd.DataFrame], metric: str) -> str:
    """One sentence for screen readers; the table has the numbers."""
    return f"Lines of {wording.meaning(metric)} by depth: {'; '.join(tables)}. The table has the numbers."
