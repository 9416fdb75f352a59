"""The millions of eigenvalues of the ``slices`` convention: their density, and each image's own extremes."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from stiffcore.analysis.results import Result
from stiffcore.figures import axes
from stiffcore.figures.panel import Panel, number_of
from stiffcore.figures.theme import Style

BULK = (0.5, 99.5)  # percentiles


def without_structural(result: Result) -> np.ndarray:
    """The density without the structural zeros, which the stored density counts in the bin of 0."""
    density, zeros = result.arrays["density"], int(result.metrics.get("n_zero") or 0)
    if zeros == 0 or density.sum() != result.metrics.get("n_eigenvalues"):
        return density
    density = density.copy()
    density[_bin(result.arrays["im_edges"], 0.0), _bin(result.arrays["re_edges"], 0.0)] -= zeros
    return density


def _bin(edges: np.ndarray, value: float) -> int:
    return int(np.clip(np.searchsorted(edges, value, "right") - 1, 0, len(edges) - 2))


def summed(inside: Sequence[Result]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Counts of all images in the bins of the widest one; bins across an edge are divided. (counts, re, im edges)"""
    densities = [result for result in inside if "density" in result.arrays]
    arrays = [result.arrays for result in densities]
    widest = max(arrays, key=lambda a: (np.ptp(a["re_edges"]), np.ptp(a["im_edges"])))
    re_edges, im_edges = widest["re_edges"], widest["im_edges"]
    total = np.zeros((len(im_edges) - 1, len(re_edges) - 1))
    for result, own in zip(densities, arrays, strict=True):
        rows, columns = _shares(own["im_edges"], im_edges), _shares(own["re_edges"], re_edges)
        total += rows.T @ without_structural(result) @ columns
    return total, re_edges, im_edges


def _shares(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """The share of each old bin that falls into each new bin, shape: (old bins, new bins); rows add up to 1."""
    if np.array_equal(old, new):
        return np.eye(len(old) - 1)
    overlap = np.minimum(old[1:, None], new[None, 1:]) - np.maximum(old[:-1, None], new[None, :-1])
    shares = np.clip(overlap, 0, None) / np.diff(old)[:, None]
    left_over = 1 - shares.sum(1)  # beyond the new edges: added to the outermost bin of that side
    is_left = old[:-1] < new[0]
    shares[:, 0] += np.where(is_left, left_over, 0)
    shares[:, -1] += np.where(is_left, 0, left_over)
    return shares


def scale(inside: Sequence[Result]) -> float:
    """The scale of an arcsinh axis: that of the bins' spacing, or a tenth of the width of the bulk."""
    _, re_edges, _ = summed(inside)
    right = re_edges[re_edges > 0]
    ratio = (
        right[1] / (2 * right[0]) if len(right) > 1 else 1.0
    )  # cosh of the bins' step, from sinh 2x = 2 sinh x cosh x
    if ratio > 1 + 1e-9:
        return axes.rounded(float(right[0] / np.sinh(np.arccosh(ratio))))
    low, high, _ = extent(inside, "bulk")
    return axes.rounded((high - low) / 10)


def draw(panel: Panel, inside: Sequence[Result]) -> None:
    """Draw counts on a log colour scale, summed over the images, and each image's own extremes on the real axis."""
    heat(panel, *summed(inside))
    draw_extremes(panel, inside)


def heat(panel: Panel, counts: np.ndarray, re_edges: np.ndarray, im_edges: np.ndarray) -> None:
    """Draw counts on a log colour scale that all panels share. counts: rows are imaginary parts; edges: true values."""
    logs = np.log10(np.where(counts > 0.5, counts, np.nan)).astype(np.float32)
    centres = [(edges[1:] + edges[:-1]) / 2 for edges in (re_edges, im_edges)]
    panel.figure.add_trace(
        go.Heatmap(
            x=panel.axes(re_edges).astype(np.float32),
            y=panel.axes(im_edges).astype(np.float32),
            z=logs,
            customdata=np.stack([np.round(counts), *np.meshgrid(*centres)], -1).astype(np.float32),
            coloraxis="coloraxis",
            hovertemplate="Re λ ≈ %{customdata[1]:.3g}, Im λ ≈ %{customdata[2]:.3g}<br>%{customdata[0]:,} eigenvalues"
            "<extra></extra>",
        ),
        **panel.place,
    )


def draw_extremes(panel: Panel, inside: Sequence[Result]) -> None:
    """Draw each image's own smallest and largest real part, on the real axis."""
    for result in inside:
        look, ends = panel.series[result.request.image], (result.metrics["min_re"], result.metrics["max_re"])
        panel.figure.add_trace(
            go.Scatter(
                x=panel.axes(np.array(ends)).astype(np.float32),
                y=np.zeros(2, np.float32),
                mode="markers",
                marker=panel.outlined(look),
                text=[f"{name} = {end:.4g}" for name, end in zip(("smallest Re λ", "largest Re λ"), ends, strict=True)],
                customdata=np.full(2, number_of(result.request.image), np.int32),
                hovertemplate=f"{look.name}<br>%{{text}}, drawn on the real axis<extra></extra>",
                **panel.legend(look.name),
            ),
            **panel.place,
        )


def extent(inside: Sequence[Result], fit: str) -> tuple[float, float, float]:
    """The (left, right, height) of a panel: of its own extremes and filled bins, or of the bulk of the density."""
    counts, re_edges, im_edges = summed(inside)
    if fit == "bulk" and counts.any():
        low, high = _percentiles(re_edges, counts.sum(0))
        return low, high, max(map(abs, _percentiles(im_edges, counts.sum(1))))
    low, high = (f(r.metrics[n] for r in inside) for f, n in ((min, "min_re"), (max, "max_re")))
    filled = np.flatnonzero(counts.any(1))
    height = np.abs(im_edges[[filled[0], filled[-1] + 1]]).max() if len(filled) else 0.1
    return float(low), float(high), float(height)


def _percentiles(edges: np.ndarray, counts: np.ndarray) -> tuple[float, float]:
    share = np.cumsum(counts) / counts.sum() * 100
    first, last = np.searchsorted(share, BULK)
    return float(edges[first]), float(edges[min(last + 1, len(edges) - 1)])


def colour_axis(figure: go.Figure, style: Style) -> dict:
    """A log colour scale with counts as ticks, shared by all panels."""
    densities = [trace.z for trace in figure.data if trace.type == "heatmap"]
    top = max((float(np.nanmax(z)) for z in densities if np.isfinite(z).any()), default=0.0)
    powers = range(int(np.ceil(top)) + 1)
    bar = {
        "title": {"text": "eigenvalues per bin", "side": "right", "font": {"size": style.font_size - 1}},
        "tickfont": {"size": style.font_size - 2, "color": style.muted},
        "tickvals": list(powers),
        "ticktext": [f"{10**power:,}" for power in powers],
        "len": 0.75,
        "thickness": 12,
        "outlinewidth": 0,
    }
    return {"colorscale": style.density, "cmin": 0, "cmax": max(top, 1), "colorbar": bar}
