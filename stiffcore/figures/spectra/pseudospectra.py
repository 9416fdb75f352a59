"""Pseudospectra as contours of log10 ε, with the eigenvalues and the numerical abscissa."""

import numpy as np
import plotly.graph_objects as go

from stiffcore.analysis.nonnormality import NonNormality
from stiffcore.figures import theme
from stiffcore.figures.theme import Style

HEIGHT = 460  # pixels
LARGEST_SVG = 2_000  # points
MOST_LEVELS = 9
DEEPEST = 20  # percentile of the grid's points; lower contours shrink to dots around single eigenvalues


def figure(pseudospectra: NonNormality, eigenvalues: np.ndarray, style: Style) -> go.Figure:
    """eigenvalues: those of the core. The lower half-plane mirrors the upper one, since the matrix is real."""
    request, finite = pseudospectra.request, np.isfinite(pseudospectra.log_resolvent)
    logs = -np.where(finite, pseudospectra.log_resolvent, pseudospectra.log_resolvent[finite].max())
    above = 1 if pseudospectra.y[0] == 0 else 0  # the real axis is not repeated
    y, z = np.concatenate([-pseudospectra.y[::-1], pseudospectra.y[above:]]), np.concatenate([logs[::-1], logs[above:]])
    fig = go.Figure()
    fig.add_vline(x=0, line={"color": style.muted, "width": style.line_width / 2})
    fig.add_trace(
        go.Contour(
            x=pseudospectra.x.astype(np.float32),
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
    fig.add_trace(
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
    fig.add_vline(x=pseudospectra.numerical_abscissa, line=line)
    fig.add_annotation(
        x=pseudospectra.numerical_abscissa, y=1, yref="y domain", yanchor="top", xanchor="right", text="ω(J)", xshift=-4,
        font={"color": style.bad, "size": style.font_size}, showarrow=False,
    )  # fmt: skip
    theme.apply(fig, style).update_layout(
        height=HEIGHT * (1.15 if style.talk else 1),
        showlegend=False,
        uirevision=f"pseudospectra {request.network.name} {request.block} {request.convention}",
        margin={"t": 12, "b": 40, "l": 50, "r": 10},
    )
    ends = [min(pseudospectra.x[0], 0.0), max(pseudospectra.x[-1], 1.05 * pseudospectra.numerical_abscissa)]
    fig.update_xaxes(title_text="Re z", range=ends, zeroline=False, constrain="domain")
    fig.update_yaxes(
        title_text="Im z", range=[-pseudospectra.y[-1], pseudospectra.y[-1]], scaleanchor="x", scaleratio=1
    )
    return fig


def levels(logs: np.ndarray) -> dict[str, float]:
    """Contours of log10 ε at equal distances of 1/4, 1/2, 1 ..., at most MOST_LEVELS, and none below DEEPEST."""
    low, high = float(np.percentile(logs, DEEPEST)), float(logs.max())
    size = next((size for size in (0.25, 0.5, 1.0, 2.0) if (high - low) / size <= MOST_LEVELS), 4.0)
    return {"start": np.ceil(low / size) * size, "end": np.floor(high / size) * size, "size": size}


def alt_text(pseudospectra: NonNormality) -> str:
    """One sentence for screen readers; the numbers are beside the figure."""
    return (
        f"Contours of the pseudospectra of block {pseudospectra.request.block} in the complex plane, from ε = "
        f"{10 ** -float(pseudospectra.log_resolvent[np.isfinite(pseudospectra.log_resolvent)].max()):.1g} to "
        f"{10 ** -float(pseudospectra.log_resolvent.min()):.1g}, with its eigenvalues and the numerical abscissa "
        f"{pseudospectra.numerical_abscissa:.3g}."
    )
