"""Pseudospectra as contours of log10 ε, with the eigenvalues and the numerical abscissa."""

import numpy as np
import plotly.graph_objects as go

from stiffcore.analysis.nonnormality import NonNormality
from stiffcore.figures import theme
from stiffcore.figures.theme import Style

HEIGHT = 460  # pixels
LARGEST_SVG = 2_000  # points
MOST_LEVELS = 9
DEEPEST = 20  # percentile of the grid's points: below it contours shrink to dots around single eigenvalues


def figure(found: NonNormality, eigenvalues: np.ndarray, style: Style) -> go.Figure:
    """eigenvalues: of the core. The lower half mirrors the upper one: the matrix is real."""
    finite = np.isfinite(found.log_resolvent)
    logs = -np.where(finite, found.log_resolvent, found.log_resolvent[finite].max())
    above = 1 if found.y[0] == 0 else 0  # the real axis is there once
    y, z = np.concatenate([-found.y[::-1], found.y[above:]]), np.concatenate([logs[::-1], logs[above:]])
    made = go.Figure()
    made.add_vline(x=0, line={"color": style.muted, "width": style.line_width / 2})
    made.add_trace(
        go.Contour(
            x=found.x.astype(np.float32),
            y=y.astype(np.float32),
            z=z.astype(np.float32),
            contours={"coloring": "lines", "showlabels": True, "labelfont": {"size": style.font_size - 3}}
            | levels(logs),
            colorscale=[[0, style.series[0]], [1, style.muted]],
            line={"width": style.line_width},
            showscale=False,
            name="log₁₀ ε",
            hovertemplate="z = %{x:.3g} %{y:+.3g} i<br>ε = 10^%{z:.2f}<extra></extra>",
        )
    )
    kind = go.Scattergl if len(eigenvalues) > LARGEST_SVG else go.Scatter
    made.add_trace(
        kind(
            x=eigenvalues.real.astype(np.float32),
            y=eigenvalues.imag.astype(np.float32),
            mode="markers",
            marker={"color": style.ink, "size": style.marker_size - 1.5, "opacity": 0.55},
            name="eigenvalues",
            hovertemplate="λ = %{x:.4g} %{y:+.4g} i<extra></extra>",
        )
    )
    line = {"color": style.bad, "width": style.line_width, "dash": "dash"}
    made.add_vline(x=found.numerical_abscissa, line=line)
    made.add_annotation(
        x=found.numerical_abscissa, y=1, yref="y domain", yanchor="top", xanchor="right", text="ω(J)", xshift=-4,
        font={"color": style.bad, "size": style.font_size}, showarrow=False,
    )  # fmt: skip
    theme.apply(made, style).update_layout(
        height=HEIGHT * (1.15 if style.talk else 1),
        showlegend=False,
        uirevision=f"pseudospectra {found.request.network.name} {found.request.block} {found.request.convention}",
        margin={"t": 12, "b": 40, "l": 50, "r": 10},
    )
    ends = [min(found.x[0], 0.0), max(found.x[-1], 1.05 * found.numerical_abscissa)]
    made.update_xaxes(title_text="Re z", range=ends, zeroline=False, constrain="domain")
    made.update_yaxes(title_text="Im z", range=[-found.y[-1], found.y[-1]], scaleanchor="x", scaleratio=1)
    return made


def levels(logs: np.ndarray) -> dict[str, float]:
    """Contours of log10 ε at equal distances of 1/4, 1/2, 1 ..., at most MOST_LEVELS, and none for the deepest points."""
    low, high = float(np.percentile(logs, DEEPEST)), float(logs.max())
    size = next((size for size in (0.25, 0.5, 1.0, 2.0) if (high - low) / size <= MOST_LEVELS), 4.0)
    return {"start": np.ceil(low / size) * size, "end": np.floor(high / size) * size, "size": size}


def alt_text(found: NonNormality) -> str:
    """One sentence for screen readers; the numbers stand beside the figure."""
    return (
        f"Contours of the pseudospectra of block {found.request.block} in the complex plane, from ε = "
        f"{10 ** -float(found.log_resolvent[np.isfinite(found.log_resolvent)].max()):.1g} to "
        f"{10 ** -float(found.log_resolvent.min()):.1g}, with its eigenvalues and the numerical abscissa "
        f"{found.numerical_abscissa:.3g}."
    )
