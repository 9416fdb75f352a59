"""Growth by depth on a log axis, a line per network and image; below it the Lyapunov exponents. Computes nothing."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from stiffcore.figures import theme
from stiffcore.figures.theme import Style
from stiffcore.growth.requests import Growth

STARTS = {"image": "From the image", "first": "From block 1"}
HEIGHT = 400  # pixels: whole on the first screen below the page's controls
DASHES = ("solid", "dash")  # the largest growth, and that of random directions
WIDTHS = (0.66, 0.34)  # of the two panels


def figure(results: Sequence[Growth], names: Sequence[str], start: str, style: Style) -> go.Figure:
    """results: of networks at one image, or of one network at images; names: of each line; start: of STARTS."""
    titles = (f"Growth of a small change, {STARTS[start].lower()}", "Lyapunov exponents")
    fig = make_subplots(1, 2, column_widths=WIDTHS, horizontal_spacing=0.09, subplot_titles=titles)
    fig.for_each_annotation(lambda note: note.update(font={"size": style.font_size, "color": style.ink}))
    deepest = max(len(growth.growth) for growth in results)
    for place, (growth, name) in enumerate(zip(results, names, strict=True)):
        _lines(fig, growth, name, place, start, style)
        _exponents(fig, growth, name, place, style)
    fig.add_hline(y=1, line={"color": style.muted, "width": 1, "dash": "dot"}, row=1, col=1)
    fig.add_hline(y=0, line={"color": style.muted, "width": 1, "dash": "dot"}, row=1, col=2)
    fig.update_xaxes(
        title_text="block", dtick=1 if deepest < 9 else 2, range=[0.6, deepest + 0.4], zeroline=False, col=1
    )
    fig.update_xaxes(title_text="direction i", dtick=1 if not style.talk else 3, zeroline=False, col=2)
    fig.update_yaxes(title_text="‖J v‖ / ‖v‖", type="log", row=1, col=1, **_ticks(results, start))
    fig.update_yaxes(title_text="(1/L) log σᵢ", zeroline=False, row=1, col=2)
    theme.apply(fig, style).update_layout(
        height=HEIGHT * (1.1 if style.talk else 1),
        legend={"orientation": "h", "y": -0.17, "yanchor": "top", "x": 0},
        uirevision=f"growth {start}",
        hovermode="closest",
        margin={"t": 30, "b": 44, "l": 60, "r": 12},
    )
    return fig


def values(growth: Growth, start: str) -> tuple[np.ndarray, np.ndarray]:
    """The largest growth and that of random directions by depth."""
    if start == "image":
        return growth.growth, growth.random_growth
    return growth.growth_from_first, growth.random_growth_from_first


def _ticks(results: Sequence[Growth], start: str) -> dict:
    """Powers of ten, with 2 and 5 between them where there are few."""
    drawn = np.concatenate([np.concatenate(values(growth, start)) for growth in results])
    drawn = drawn[np.isfinite(drawn) & (drawn > 0)]
    if not len(drawn):
        return {}
    low, high = np.log10(drawn.min()), np.log10(drawn.max())
    digits = (1, 2, 5) if high - low < 2.5 else (1,)
    powers = range(int(np.floor(low)), int(np.ceil(high)) + 1)
    ticks = [digit * 10.0**power for power in powers for digit in digits]
    room = 0.05 * (high - low) + 0.02
    return {"tickvals": ticks, "ticktext": [f"{tick:,.10g}" for tick in ticks], "range": [low - room, high + room]}


def _lines(fig: go.Figure, growth: Growth, name: str, place: int, start: str, style: Style) -> None:
    blocks = list(range(1, len(growth.growth) + 1))
    for kind, line, dash in zip(("largest", "random"), values(growth, start), DASHES, strict=True):
        fig.add_trace(
            go.Scatter(
                x=blocks,
                y=np.where(line > 0, line, np.nan),  # dead blocks: nothing passes
                mode="lines+markers",
                name=name if kind == "largest" else f"{name}, random directions",
                legendgroup=name,
                showlegend=kind == "largest",
                line={"color": style.colour(place), "width": style.line_width, "dash": dash},
                marker={
                    "color": style.colour(place),
                    "symbol": style.shape(place) + ("" if kind == "largest" else "-open"),
                    "size": style.marker_size + 2,
                },
                hovertemplate=f"{name}<br>behind block %{{x}}: %{{y:.4g}}, {kind}<extra></extra>",
            ),
            row=1,
            col=1,
        )


def _exponents(fig: go.Figure, growth: Growth, name: str, place: int, style: Style) -> None:
    exponents = growth.lyapunov[-1]
    fig.add_trace(
        go.Scatter(
            x=list(range(1, len(exponents) + 1)),
            y=np.where(np.isfinite(exponents), exponents, np.nan),
            mode="lines+markers",
            name=name,
            legendgroup=name,
            showlegend=False,
            line={"color": style.colour(place), "width": style.line_width / 2},
            marker={"color": style.colour(place), "symbol": style.shape(place), "size": style.marker_size + 2},
            hovertemplate=f"{name}<br>direction %{{x}}: %{{y:.4f}}<extra></extra>",
        ),
        row=1,
        col=2,
    )


def alt_text(results: Sequence[Growth], names: Sequence[str], start: str) -> str:
    """One sentence for screen readers; the table below the figure has the numbers."""
    parts = []
    for growth, name in zip(results, names, strict=True):
        largest, random = values(growth, start)
        parts.append(
            f"{name} from {largest[0]:.3g} to {largest[-1]:.3g}, of random directions from {random[0]:.3g} to {random[-1]:.3g}"
        )
    return f"Growth of a small change, {STARTS[start].lower()}, behind each block, on a log axis: {'; '.join(parts)}."
