"""A mode: its eigenvalue in the spectrum, the image, and its right and left eigenvectors as maps over pixels."""

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from stiffcore.analysis.modes import Mode
from stiffcore.figures import theme
from stiffcore.figures.theme import Style

TITLES = ("right: response", "left: excitation")
HEIGHT = 330  # pixels
LARGEST_SVG = 2_000  # points
FEW_COMPONENTS = 40  # of a vector; each has a marker
FEW_PIXELS = 16  # maps of at most so many pixels show their numbers


def in_words(value: complex) -> str:
    return f"{value.real:.4g} {value.imag:+.4g} i".replace("-", "−")


def figure(mode: Mode, eigenvalues: np.ndarray, style: Style, picture: str = "") -> go.Figure:
    """eigenvalues: those of the core, for the plane; picture: the image as a data URI, or ""."""
    columns = [1.7, 1, 1, 1] if picture else [1.7, 1, 1]
    titles = [f"λ = {in_words(mode.eigenvalue)}", *(["image"] if picture else []), *TITLES]
    fig = make_subplots(1, len(columns), column_widths=columns, subplot_titles=titles, horizontal_spacing=0.05)
    fig.for_each_annotation(lambda note: note.update(font={"size": style.font_size - 1, "color": style.ink}))
    _plane(fig, mode.eigenvalue, eigenvalues, style)
    if picture:
        look = {"xref": "x2", "yref": "y2", "x": 0, "y": 0, "sizex": 1, "sizey": 1, "xanchor": "left", "yanchor": "top"}
        fig.add_layout_image(source=picture, sizing="stretch", layer="below", **look)
        _pixels(fig, 2, 1, 1)
    top = float(max(mode.right_map.max(), mode.left_map.max()))
    for at, values in enumerate((mode.right_map, mode.left_map)):
        draw = _components if len(values) == 1 < values.size else _map
        draw(fig, len(columns) - 1 + at, values, TITLES[at], style)
    bar = {"title": {"text": "‖·‖ over channels", "side": "right"}, "thickness": 10, "outlinewidth": 0}
    theme.apply(fig, style).update_layout(
        height=HEIGHT * (1.15 if style.talk else 1),
        showlegend=False,
        coloraxis={"colorscale": style.density, "cmin": 0, "cmax": top, "colorbar": bar},
        margin={"t": 36, "b": 40, "l": 50, "r": 10},
    )
    return fig


def _map(fig: go.Figure, column: int, values: np.ndarray, title: str, style: Style) -> None:
    """A norm at each pixel."""
    fig.add_trace(
        go.Heatmap(
            z=values.astype(np.float32),
            coloraxis="coloraxis",
            texttemplate="%{z:.2f}" if values.size <= FEW_PIXELS else None,
            hovertemplate=f"{title}<br>row %{{y}}, column %{{x}}: %{{z:.3g}}<extra></extra>",
        ),
        row=1,
        col=column,
    )
    _pixels(fig, column, values.shape[0], values.shape[1], half=0.5)


def _components(fig: go.Figure, column: int, values: np.ndarray, title: str, style: Style) -> None:
    """Absolute values along the components, where there are no pixels."""
    fig.add_trace(
        go.Scatter(
            x=np.arange(1, values.size + 1),
            y=values[0].astype(np.float32),
            mode="lines+markers" if values.size <= FEW_COMPONENTS else "lines",
            line={"color": style.colour(0), "width": style.line_width},
            hovertemplate=f"{title}<br>component %{{x}}: %{{y:.3g}}<extra></extra>",
        ),
        row=1,
        col=column,
    )
    fig.update_xaxes(title_text="component", row=1, col=column)
    fig.update_yaxes(rangemode="tozero", row=1, col=column)


def _plane(fig: go.Figure, value: complex, eigenvalues: np.ndarray, style: Style) -> None:
    """The chosen eigenvalue, its conjugate, which has the same maps, and all others."""
    kind = go.Scattergl if len(eigenvalues) > LARGEST_SVG else go.Scatter
    cloud = {"color": style.muted, "size": style.marker_size - 1, "opacity": 0.5}
    for values, name, marker in (
        (eigenvalues, "eigenvalues", cloud),
        (np.array([value, value.conjugate()]), "chosen, with its conjugate", _highlight(style)),
    ):
        fig.add_trace(
            kind(
                x=values.real.astype(np.float32),
                y=values.imag.astype(np.float32),
                mode="markers",
                marker=marker,
                name=name,
                hovertemplate=f"{name}<br>λ = %{{x:.4g}} %{{y:+.4g}} i<extra></extra>",
            ),
            row=1,
            col=1,
        )
    fig.update_xaxes(title_text="Re λ", row=1, col=1)
    fig.update_yaxes(title_text="Im λ", row=1, col=1)


def _highlight(style: Style) -> dict:
    line = {"color": style.ink, "width": 1.5}
    return {"color": style.bad, "symbol": ["diamond", "diamond-open"], "size": style.marker_size + 6, "line": line}


def _pixels(fig: go.Figure, column: int, rows: int, columns: int, half: float = 0.0) -> None:
    """Square pixels, the first row at the top, no ticks."""
    axis = "x" if column == 1 else f"x{column}"
    off = {"showticklabels": False, "ticks": "", "showgrid": False, "zeroline": False}
    fig.update_xaxes(range=[-half, columns - half], constrain="domain", **off, row=1, col=column)
    fig.update_yaxes(range=[rows - half, -half], scaleanchor=axis, constrain="domain", **off, row=1, col=column)


def alt_text(mode: Mode) -> str:
    """One sentence for screen readers; the table has the maps."""
    rows, columns = mode.right_map.shape
    what = f"maps of {rows} × {columns} pixels: norms over the channels" if rows > 1 else f"{columns} absolute values"
    return (
        f"Eigenvectors of the eigenvalue {in_words(mode.eigenvalue)} as {what}. Residual {mode.residual:.1e}, condition number "
        f"{mode.condition:.3g}."
    )
