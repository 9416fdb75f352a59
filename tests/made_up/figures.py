"""Results with few known eigenvalues, for figures."""

import math

import numpy as np

from stiffcore.analysis.results import Result
from stiffcore.metrics.missing import NOT_SQUARE
from stiffcore.networks import catalogue
from tests.made_up.asked import asked

MADE = {"weights": "ab" * 32, "device": "cpu", "precision": "float64", "seconds": 1.5, "key": "cd" * 32}


def planted(image=0, block=8, convention="branch", network="resnet18", values=None, zeros=1000, ones=0):
    """A result with known eigenvalues; a downsampling block gets singular values, ``slices`` a density."""
    request = asked(network, image, block, convention, "spectrum")
    values = np.array([-0.9, 0.1 + 0.2j, 0.1 - 0.2j]) if values is None else np.asarray(values, complex)
    metrics, reasons = {"n_zero": zeros, "n_one": ones, "max_re": 0.5, "min_re": -0.25}, {}
    arrays = {"eigenvalues": values}
    if convention == "slices":
        density = np.zeros((4, 8), np.int64)
        density[1, 2], density[2, 5], density[2, 2] = 400, 7, zeros  # the structural zeros lie in the bin of 0
        metrics["n_eigenvalues"] = 407 + zeros
        arrays = {"density": density, "re_edges": np.linspace(-0.5, 1.5, 9), "im_edges": np.linspace(-1, 1, 5)}
    elif not catalogue.block(network, block).is_identity:
        arrays = {"singular_values": np.array([0.5, 2.0, 1.0])}
        metrics = {"n_zero": zeros, "largest_singular_value": 2.0, "stiffness_index": math.nan}
        reasons = {"stiffness_index": NOT_SQUARE}
    return Result(request, metrics, reasons, arrays, {}, MADE)
