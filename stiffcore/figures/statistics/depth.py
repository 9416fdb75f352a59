"""A metric along the depth of networks: a panel per network and convention, a bar per block. Computes nothing.

Bars are means over images; whiskers show the middle 90 % of the images. Blocks that change the shape are hatched. A
block without a value has the reason in its place: "undefined: not square", "not computed".
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from stiffcore.conventions import Convention
from stiffcore.figures import theme, wording
from stiffcore.figures.spectra.spectrum import Series
from stiffcore.figures.theme import Style
from stiffcore.metrics import definitions
from stiffcore.paper.published import network_title

OVERLAYS = {"paper": "The paper's", "baseline": "Baselines", "live": "Live outputs", "yours": "Your images"}
LONGEST_NOTE = 24  # characters that fit beside a bar; hover shows the whole reason
IDS = ("block", "network", "convention")  # the end of every mark's customdata, after the number of the image
Panels = Mapping[tuple[str, Convention], pd.DataFrame]  # (network, convention) -> comparison.along_depth
Place = dict[str, int]  # row and col of a subplot


def figure(
    panels: Panels,
    metric: str,
    style: Style,
    overlays: tuple[str, ...] = tuple(OVERLAYS),
    images: pd.DataFrame | None = None,
    series: Mapping[int, Series] | None = None,
    same_scale: bool = False,
    name_of: Callable[[str], str] = network_title,
) -> go.Figure:
    """A row per network, a column per convention. images: rows of the chosen images; series: the look of each image; name_of: a network's title."""
    networks, conventions = ([*dict.fromkeys(key[at] for key in panels)] for at in (0, 1))
    between = " · " if len(conventions) < 3 else "<br>"  # three titles collide in a narrow window
    fig = make_subplots(
        len(networks),
        len(conventions),
        subplot_titles=[f"{name_of(n)}{between}{c.title}" for n in networks for c in conventions],
        specs=[[{"secondary_y": True}] * len(conventions)] * len(networks),
        horizontal_spacing=0.1 if len(conventions) < 3 else 0.07,
        vertical_spacing=0.26 / len(networks),
    )
    fig.for_each_annotation(lambda note: note.update(font={"size": style.font_size, "color": style.ink}))
    named: set[str] = set()
    for (network, convention), table in panels.items():
        row, column = networks.index(network) + 1, conventions.index(convention) + 1
        place = {"row": row, "col": column}
        table = table.assign(network=network, convention=convention)
        _bars(fig, place, table, metric, style, named)
        if "baseline" in overlays and convention.has_baselines:
            _markers(fig, place, table, "baseline", _baseline(metric), metric, style, named, 2, "line-ew-open")
        if "paper" in overlays:
            _markers(
                fig, place, table, "published", "the paper's mean (slices)", metric, style, named, 1, "diamond-open"
            )
        if "yours" in overlays and images is not None and len(images):
            kept = images[(images["network"] == network) & (images["convention"] == convention)]
            _images(fig, place, kept, metric, series or {}, style, named)
        if "live" in overlays and metric != "live_fraction":
            _live(fig, place, table, style, named)
        fig.update_xaxes(dtick=1, range=[0.4, len(table) + 0.6], zeroline=False, **place)
    fig.update_xaxes(title_text="block", row=len(networks))
    fig.update_yaxes(title_text=wording.title(metric), col=1, secondary_y=False)
    if same_scale:
        fig.update_yaxes(matches="y", secondary_y=False)
    _layout(fig, metric, style, len(networks))
    return fig


def scaled(values: pd.Series | np.ndarray | Sequence[float], metric: str) -> np.ndarray:
    """The values with shares in per cent; float32."""
    return np.asarray(values, dtype=float).astype(np.float32) * wording.factor(metric)


def _baseline(metric: str) -> str | None:
    """The name of a metric's baseline in the legend, None if it has none."""
    return next((baseline.phrase for baseline in definitions.METRICS if baseline.baseline_of == metric), None)


def _legend(name: str, named: set[str]) -> dict:
    shown = name not in named
    named.add(name)
    return {"name": name, "legendgroup": name, "showlegend": shown}


def _bars(fig: go.Figure, place: Place, table: pd.DataFrame, metric: str, style: Style, named: set[str]) -> None:
    mean, low, high = (scaled(table[name], metric) for name in ("mean", "low", "high"))
    for keeps, name in ((True, "mean over images"), (False, "mean, block changes the shape")):
        at = np.flatnonzero(table["keeps_shape"].to_numpy() == keeps)
        fig.add_trace(
            go.Bar(
                x=table["block"].to_numpy()[at],
                y=mean[at],
                width=0.7,
                error_y={
                    "type": "data",
                    "symmetric": False,
                    "array": np.maximum(high - mean, 0)[at],
                    "arrayminus": np.maximum(mean - low, 0)[at],
                    "color": style.muted,
                    "thickness": style.line_width / 1.5,
                    "width": 3,
                },
                marker={
                    "color": style.accent,
                    "opacity": 0.85,
                    "pattern": {
                        "shape": "" if keeps else "/",
                        "fillmode": "overlay",
                        "fgcolor": style.paper,
                        "size": 8,
                        "solidity": 0.4,
                    },
                    "line": {"color": style.accent, "width": 1},
                },
                customdata=table[["median", "low", "high", "n", "n_undefined", *IDS]].to_numpy()[at],
                hovertemplate="block %{x}<br>mean %{y:.4g}, median %{customdata[0]:.4g}<br>90 % of the images: "
                "%{customdata[1]:.4g} to %{customdata[2]:.4g}<br>%{customdata[3]:,} images, "
                "%{customdata[4]:,} undefined<extra></extra>",
                **_legend(name, named),
            ),
            **place,
        )
    down = np.nansum(np.append(mean, table["published"].to_numpy())) < 0
    anchor, shift = ("top", -4) if down else ("bottom", 4)  # on the side of the other bars, where there is room
    for cell in table[table["state"] != ""].itertuples():
        why = str(cell.reason)
        fig.add_annotation(
            x=cell.block, y=0, text=why if len(why) <= LONGEST_NOTE else cell.state, xshift=-9, hovertext=why,
            textangle=-90, yanchor=anchor, yshift=shift,
            font={"color": style.muted, "size": style.font_size - 2}, **place,
        )  # fmt: skip


def _markers(
    fig: go.Figure,
    place: Place,
    table: pd.DataFrame,
    column: str,
    name: str | None,
    metric: str,
    style: Style,
    named: set[str],
    colour: int,
    symbol: str,
) -> None:
    there = table[table[column].notna()]
    if name is None or not len(there):
        return
    fig.add_trace(
        go.Scatter(
            x=there["block"],
            y=scaled(there[column], metric),
            mode="markers",
            marker={
                "symbol": symbol,
                "color": style.colour(colour),
                "size": style.marker_size + (14 if symbol.startswith("line") else 5),
                "line": {"width": style.line_width + 0.5, "color": style.colour(colour)},
            },
            customdata=there[list(IDS)].to_numpy(),
            hovertemplate=f"block %{{x}}<br>{name}: %{{y:.4g}}<extra></extra>",
            **_legend(name, named),
        ),
        **place,
    )


def _images(
    fig: go.Figure,
    place: Place,
    rows: pd.DataFrame,
    metric: str,
    series: Mapping[int, Series],
    style: Style,
    named: set[str],
) -> None:
    for image, part in rows.groupby("image", sort=False):
        look = series[int(image)]
        fig.add_trace(
            go.Scatter(
                x=part["block"],
                y=scaled(part[metric], metric) if metric in part else [],
                mode="markers",
                marker={
                    "symbol": look.shape,
                    "color": look.colour,
                    "size": style.marker_size + 2,
                    "line": {"color": style.paper, "width": 1},
                },
                customdata=part[["image", *IDS]].to_numpy(),
                hovertemplate=f"{look.name}<br>block %{{x}}: %{{y:.4g}}<extra></extra>",
                **_legend(look.name, named),
            ),
            **place,
        )


def _live(fig: go.Figure, place: Place, table: pd.DataFrame, style: Style, named: set[str]) -> None:
    if table["live_fraction"].isna().all():
        return
    fig.add_trace(
        go.Scatter(
            x=table["block"],
            y=scaled(table["live_fraction"], "live_fraction"),
            mode="lines+markers",  # a block between two missing ones has no line
            connectgaps=False,
            line={"color": style.muted, "width": style.line_width, "dash": "dot"},
            marker={"color": style.muted, "size": style.line_width + 3},
            hovertemplate="block %{x}<br>live outputs: %{y:.3g} %<extra></extra>",
            **_legend("live outputs, % (right axis)", named),
        ),
        secondary_y=True,
        **place,
    )
    axis = {"range": [0, 100], "tickmode": "array", "tickvals": [0, 50, 100], "showgrid": False, "zeroline": False}
    fig.update_yaxes(**axis, secondary_y=True, **place)


def _layout(fig: go.Figure, metric: str, style: Style, n_rows: int) -> None:
    theme.apply(fig, style).update_layout(
        height=110 + (330 if style.talk else 290) * n_rows,
        barmode="overlay",
        legend={"orientation": "h", "y": 1.0 + 0.16 / n_rows, "yanchor": "bottom", "x": 0},
        uirevision=metric,
        hovermode="closest",
        margin={"t": 20, "b": 40, "l": 60, "r": 30},
    )


def title(panels: Panels, metric: str, name_of: Callable[[str], str] = network_title) -> str:
    """The title of the whole figure; each panel's title has the network and the convention, too."""
    shown = ", ".join(f"{name_of(n)} under {c.title}" for n, c in panels)
    return f"{wording.meaning(metric)}, along the depth of {shown}"


def alt_text(panels: Panels, metric: str, name_of: Callable[[str], str] = network_title) -> str:
    """One sentence for screen readers; the table below the figure has the numbers."""
    shown = "; ".join(f"{name_of(n)} under {c}" for n, c in panels)
    return f"Bars of {wording.meaning(metric)} per block: {shown}."
