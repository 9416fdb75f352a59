"""Too many eigenvalues for points: counts in equal bins, with each image's own extremes on top."""

from collections.abc import Sequence

import numpy as np

from stiffcore.analysis.results import Result
from stiffcore.figures.panel import Panel
from stiffcore.figures.spectra import eigenvalue_cloud, slice_density

BINS = 180  # across the visible range
MOST_BINS = 600  # across all eigenvalues, whose range may be much larger


def summed(
    panel: Panel, inside: Sequence[Result], shown: tuple[float, float, float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Counts of all images' eigenvalues in bins that are drawn as squares. (counts, re edges, im edges), true values.

    0 is an edge of the bins of real parts, so that no bin mixes signs, and the centre of a bin of imaginary parts.
    """
    values = np.concatenate([result.arrays.get("eigenvalues", np.zeros(0, complex)) for result in inside])
    x, y = panel.axes(values.real), panel.axes(values.imag)
    left, right, height = (float(panel.axes(value)) for value in shown)
    reach = max(np.ptp(np.append(x, 0)), 2 * np.abs(y).max(initial=0), 1e-12)
    size = max(max(right - left, 2 * height) / BINS, reach / MOST_BINS)
    first, last = (int(np.floor(end(np.append(x, 0)) / size)) for end in (np.min, np.max))
    rows = int(np.ceil(np.abs(y).max(initial=0) / size)) + 1
    re_edges, im_edges = np.arange(first, last + 2) * size, (np.arange(-rows, rows + 2) - 0.5) * size
    counts, _, _ = np.histogram2d(y, x, bins=(im_edges, re_edges))
    return counts, panel.axes.true(re_edges), panel.axes.true(im_edges)


def draw(panel: Panel, inside: Sequence[Result], shown: tuple[float, float, float]) -> None:
    """The density of all images together, and the extremes of each. shown: (left, right, height), true values."""
    if any(len(result.arrays.get("eigenvalues", ())) for result in inside):
        slice_density.heat(panel, *summed(panel, inside, shown))
    for result in inside:
        eigenvalue_cloud.draw_extremes(panel, result)
