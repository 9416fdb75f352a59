"""Results with known numbers, stored where the app looks for them."""

import numpy as np

from stiffcore.analysis import compute as analysis, perturbation
from stiffcore.analysis.requests import ALGORITHM, Request
from stiffcore.analysis.results import Result
from stiffcore.metrics.missing import not_computed
from stiffcore.storage import cache as result_cache
from stiffcore.storage.shipped import ShippedResults


def made_up(request: Request) -> Result:
    """Eigenvalues −1 − image / 1000 and 0.25 ± 0.5 i; 100 · block structural zeros."""
    outermost = -1 - request.image.number / 1000
    eigenvalues = np.array([outermost, 0.25 + 0.5j, 0.25 - 0.5j])
    metrics = {
        "stiffness_index": 0.25 / outermost,
        "percent_negative": 12.5,
        "max_re": 0.25,
        "min_re": outermost,
        "n_eigenvalues": request.geometry.n_out,
        "n_zero": 100 * request.block,
        "stiffness_ratio": np.nan,
        "log_norm_upper": np.nan,
    }
    reasons = dict.fromkeys(("stiffness_ratio", "log_norm_upper"), not_computed("it is made up"))
    arrays = {"eigenvalues": eigenvalues}
    if not request.convention.has_matrix:
        arrays = {"density": np.ones((3, 3), np.int64), "re_edges": np.arange(4.0), "im_edges": np.arange(4.0)}
    elif not request.geometry.is_identity:
        arrays = {"singular_values": np.array([3.0, 2.0, 1.0])}
    made = {
        "weights": request.network.weights_sha256,
        "image_sha256": request.image.sha256,
        "predicted": request.image.label or 0,
        "loss": 0.5,
        "algorithm": ALGORITHM,
        "device": "cpu",
        "precision": "float64",
        "threads": 1,
        "seconds": 2.0,
        "date": "2026-01-01",
        "key": request.key,
    }
    return Result(request, metrics, reasons, arrays, {}, made)


def store(*requests: Request) -> None:
    for request in requests:
        result = made_up(request)
        notice = result_cache.default().put(request.key, result.header(), result.arrays)
        assert notice is None


def plant_perturbing(tmp_path, monkeypatch) -> None:
    """An empty cache, nothing shipped; FGSM that darkens, a network that sees a dog in own images, spectra made up."""
    monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(result_cache, "shipped", lambda: ShippedResults(tmp_path / "nothing"))
    monkeypatch.setattr(perturbation, "fgsm", lambda network, image, k: np.maximum(image.pixels, k) - np.uint8(k))

    def all_losses(network, image):
        losses = np.full(10, 4.0)
        losses[3 if image.is_official else 5] = 0.5
        return losses

    def compute(request, progress=None, where="auto"):
        result = made_up(request)
        assert result_cache.default().put(request.key, result.header(), result.arrays) is None
        return result

    monkeypatch.setattr(analysis, "all_losses", all_losses)
    monkeypatch.setattr(analysis, "compute", compute)
