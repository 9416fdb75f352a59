"""The data of ``spectrum`` as tables, for downloads and for reading the numbers."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from stiffcore.analysis.requests import Request
from stiffcore.analysis.results import Result
from stiffcore.figures import wording
from stiffcore.figures.spectra import slice_density
from stiffcore.metrics import definitions
from stiffcore.networks.network import Network

if TYPE_CHECKING:  # pandas would delay the first paint
    import pandas as pd


def _identity(result: Result) -> dict:
    request = result.request
    return {
        "network": request.network.name,
        "weights": str(result.made.get("weights", ""))[:16],
        "image": request.image.in_rows,
        "label": request.image.label_among(request.network.classes),
        "block": request.block,
        "convention": request.convention,
    }


def metrics_present(results: Sequence[Result]) -> list[str]:
    """The metrics for which any of the results has a value or a reason, in the order of tables.

    Metrics of other conventions are left out.
    """
    listed = {name for result in results for name in (*result.metrics, *result.reasons)}
    conventions = {result.request.convention for result in results}
    if not any(result.request.network.takes_images for result in results):
        listed.discard("live_fraction")  # a matrix has no outputs that could be dead
    return [
        metric.name
        for metric in definitions.in_table_order()
        if metric.name in listed and conventions & {*metric.conventions}
    ]


def main_metrics(results: Sequence[Result]) -> list[str]:
    """``metrics_present`` without those that say nothing about these spectra, because one crosses the imaginary axis."""
    crosses = any(result.metrics.get("min_re", 0.0) < 0 < result.metrics.get("max_re", 0.0) for result in results)
    return [name for name in metrics_present(results) if not (crosses and definitions.named(name).caveat)]


def cell(name: str, result: Result) -> str:
    """A metric of a result as text; "–" if blocks of this kind do not have the metric."""
    if name not in result.metrics and name not in result.reasons:
        return "–"
    return wording.in_bounds(name, result.metrics, result.reasons.get(name))


def metrics(results: Sequence[Result]) -> "pd.DataFrame":
    """A row per spectrum: metrics, or the word for a missing one; reasons in ``why``; and how it was computed."""
    import pandas as pd

    rows = []
    for result in results:
        names = metrics_present(results)
        why = "; ".join(f"{wording.title(name)} {result.reasons[name]}" for name in names if name in result.reasons)
        how = {name: result.made.get(name) for name in ("device", "precision", "seconds", "key")}
        values = {wording.title(name): cell(name, result) for name in names}
        rows.append(_identity(result) | values | {"why": why, "stored": result.stored} | how)
    return pd.DataFrame(rows)


def points(results: Sequence[Result]) -> "pd.DataFrame":
    """A row for every number in the figure, without thinning.

    Eigenvalues: kind, re, im, multiplicity (structural zeros and ones are one row each). Singular values: kind, value.
    Slices: kind ``density``, the edges of the bin, and its number of eigenvalues.
    """
    import pandas as pd

    return pd.concat([_points(result) for result in results], ignore_index=True)


def _points(result: Result) -> "pd.DataFrame":
    import pandas as pd

    arrays = result.arrays
    if "density" in arrays:
        frame = _bins(slice_density.without_structural(result), arrays["re_edges"], arrays["im_edges"])
        zeros = int(result.metrics.get("n_zero") or 0)
        if zeros:
            structural = pd.DataFrame([("structural", 0.0, 0.0, 0.0, 0.0, zeros)], columns=frame.columns)
            frame = pd.concat([frame, structural], ignore_index=True)
    elif "singular_values" in arrays:
        values = np.sort(arrays["singular_values"])[::-1]
        frame = pd.DataFrame({"kind": "singular value", "value": values, "multiplicity": 1})
    else:
        values = arrays.get("eigenvalues", np.zeros(0, complex))
        frame = pd.DataFrame({"kind": "eigenvalue", "re": values.real, "im": values.imag, "multiplicity": 1})
        structural = [(place, result.metrics.get(name) or 0) for place, name in ((0.0, "n_zero"), (1.0, "n_one"))]
        rows = [("structural", place, 0.0, int(count)) for place, count in structural if count > 0]
        if rows:
            frame = pd.concat([frame, pd.DataFrame(rows, columns=frame.columns)], ignore_index=True)
    for position, (name, value) in enumerate(_identity(result).items()):
        frame.insert(position, name, value)
    return frame


def _bins(density: np.ndarray, re_edges: np.ndarray, im_edges: np.ndarray) -> "pd.DataFrame":
    """The bins that are not empty."""
    import pandas as pd

    rows, columns = np.nonzero(density)
    return pd.DataFrame(
        {
            "kind": "density",
            "re_from": re_edges[columns],
            "re_to": re_edges[columns + 1],
            "im_from": im_edges[rows],
            "im_to": im_edges[rows + 1],
            "multiplicity": density[rows, columns],
        }
    )


def named_in_python(network: Network) -> str:
    """The network as an argument in Python: its name, or the file of matrices."""
    return repr(network.name) if network.takes_images else f"sc.matrix({network.title!r})"


def arguments_in_python(request: Request) -> str:
    """Network, image, block and convention as ``sc.request`` takes them."""
    image = request.image.in_rows if request.network.takes_images else 0  # of no consequence for matrices
    return f"{named_in_python(request.network)}, {image}, {request.block}, {str(request.convention)!r}"


def python(requests: Sequence[Request]) -> str:
    """Python code that computes and draws the same."""
    first, convention = requests[0], requests[0].convention
    images, blocks = (
        tuple(dict.fromkeys(values)) for values in ([r.image.in_rows for r in requests], [r.block for r in requests])
    )
    if not first.network.takes_images:
        images = (0,)  # of no consequence
    if len(requests) == 1:
        return f'import stiffcore as sc\n\nsc.analyse({arguments_in_python(first)}, "spectrum").plot().show()\n'
    named, made = named_in_python(first.network), ""
    if not first.network.takes_images:  # the file is read once
        named, made = "matrices", f"matrices = {named}\n"
    return f"""import stiffcore as sc
from stiffcore.figures.spectra import spectrum
from stiffcore.figures.theme import Style

{made}results = [
    sc.analyse({named}, image, block, {str(convention)!r}, "spectrum")
    for block in {blocks}
    for image in {images}
]
spectrum.figure(results, Style(), axes={convention.default_axes!r}).show()
"""
