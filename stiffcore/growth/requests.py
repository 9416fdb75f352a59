"""What is asked for, and what is stored: how a whole network stretches small changes of an image. Imports no torch.

With J_k the Jacobian of block k, J_stem that of what stands between the image and the first block, and J_head that of what stands
between the last block and the scores,

    growth from the image         ‖J_k ⋯ J_1 J_stem‖₂           growth from the first block   ‖J_k ⋯ J_1‖₂
    image to the last block       σ_i(J_L ⋯ J_1 J_stem)         image to logits               σ_i(J_head J_L ⋯ J_1 J_stem)
    Lyapunov exponents            (1/k) Σ_{j ≤ k} log R_j[i, i],      J_k Q_{k−1} = Q_k R_k

An image is measured in pixels from 0 to 1, so that networks with different normalisations can be compared: J_stem contains the
derivative of the normalisation, 1 / standard deviation.

J_k maps between spaces of different dimension where a block changes the shape; the QR decomposition is that of the propagated frame,
an n_k × 10 matrix, and needs no square J_k (Benettin et al. 1980). The first frame Q_0 holds the leading right singular vectors of
J_L ⋯ J_1, so that the exponents at the last block are (1/L) log σ_i(J_L ⋯ J_1). Before it they are those of the frame that leads at the
end, and log σ_1(J_k ⋯ J_1) is at least as large as the first one.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from stiffcore.errors import CannotCompute
from stiffcore.images.image import Image
from stiffcore.networks.network import Network
from stiffcore.storage import cache as result_cache, kept

ALGORITHM = 1  # raise it when equal requests would give other numbers
LEADING = 10  # singular values with their directions
RANDOM = 16  # random directions, whose mean growth is stored
PRECISION = "float64"  # of every stored number; directions are found in float32
_ARRAYS = (
    "growth", "growth_from_first", "random_growth", "random_growth_from_first", "residuals", "agreement", "singular_values",
    "input_directions", "singular_residuals", "singular_agreement", "logit_values", "logit_directions", "log_stretch",
)  # fmt: skip
_NUMBERS = ("loss", "exponent_error", "model_error", "seconds")


@dataclass(frozen=True)
class GrowthRequest:
    """A network at an image."""

    network: Network
    image: Image

    @property
    def where(self) -> str:
        """``ResNet18 at image 0``."""
        return f"{self.network.title or self.network.name} at image {self.image.name}"

    def in_header(self) -> dict[str, object]:
        """The request in a stored result's header: names in place of the objects."""
        return {"network": self.network.name, "image": self.image.in_rows}


@dataclass(frozen=True)
class Growth:
    """How a network stretches small changes of one image, block by block. L: its blocks; m = 10, or less in a tiny network.

    growth, growth_from_first: ‖J_k ⋯ J_1 J_stem‖₂ and ‖J_k ⋯ J_1‖₂, shape (L,). random_growth, random_growth_from_first: mean of
    ‖J v‖ / ‖v‖ over 16 seeded random directions v, shape (L,). residuals: ‖JᵀJ v − σ² v‖ / σ² of the two norms, in float64, and
    agreement: |σ − σ'| / σ of two random starts, shape (2, L). singular_values: of image → last block, descending, shape (m,);
    input_directions: their right singular vectors, float32, shape (m, 3, H, W), of norm 1 in pixels from 0 to 1; singular_residuals:
    ‖Jᵀu − σ v‖ / σ, shape (m,), and singular_agreement, of two starts. logit_values, logit_directions: the same of image → logits;
    empty without a head. log_stretch: log R_k[i, i], shape (L, m). exponent_error: |Σ_k log R_k[i, i] − log σ_i| of the largest,
    relative. model_error: of J v of the whole network beside torch.func.jvp of the module. predicted: None without a head; loss:
    NaN if unlabelled.
    """

    request: GrowthRequest
    growth: np.ndarray
    growth_from_first: np.ndarray
    random_growth: np.ndarray
    random_growth_from_first: np.ndarray
    residuals: np.ndarray
    agreement: np.ndarray
    singular_values: np.ndarray
    input_directions: np.ndarray
    singular_residuals: np.ndarray
    singular_agreement: np.ndarray
    logit_values: np.ndarray
    logit_directions: np.ndarray
    log_stretch: np.ndarray
    predicted: int | None
    loss: float
    exponent_error: float
    model_error: float
    seconds: float
    date: str
    weights: str
    notice: str = ""  # shown to the user if the result could not be stored

    @property
    def to_logits(self) -> float:
        """‖J_logits‖₂, of image → logits; NaN without a head."""
        return float(self.logit_values[0]) if len(self.logit_values) else math.nan

    @cached_property
    def lyapunov(self) -> np.ndarray:
        """Finite-depth exponents (1/k) Σ_{j ≤ k} log R_j[i, i], shape (L, m)."""
        depth = np.arange(1, len(self.log_stretch) + 1)
        exponents: np.ndarray = np.cumsum(self.log_stretch, axis=0) / depth[:, None]
        return exponents

    @property
    def correct(self) -> bool | None:
        """Whether the prediction is the image's label; None without either."""
        label = self.request.network.label_of(self.request.image)
        return None if label is None or self.predicted is None else self.predicted == label


def check(request: GrowthRequest) -> GrowthRequest:
    """The request itself. Raises CannotCompute for matrices, which follow no image and no other matrix."""
    if not request.network.takes_images:
        raise CannotCompute(
            "Expected a network, whose blocks follow each other, got matrices in place of one: choose a network."
        )
    return request


def key(request: GrowthRequest) -> str:
    """The key of a result in the cache."""
    fields = request.network.key_fields(request.image)
    return result_cache.key({"kind": "growth", "algorithm": ALGORITHM, **fields})


def stored(request: GrowthRequest) -> Growth | None:
    """The stored or shipped result; None where there is none, or where it is damaged. Imports no torch."""
    return kept.find(key(check(request)), lambda entry: from_entry(request, entry))


def as_entry(growth: Growth) -> result_cache.Entry:
    """The cache entry of a result."""
    header = {
        "kind": "growth",
        "algorithm": ALGORITHM,
        "request": growth.request.in_header(),
        "predicted": growth.predicted,
    }
    header |= {"numbers": result_cache.numbers_to_json({name: getattr(growth, name) for name in _NUMBERS})}
    header |= {"weights": growth.weights, "date": growth.date}
    return result_cache.Entry(header, {name: getattr(growth, name) for name in _ARRAYS})


def from_entry(request: GrowthRequest, entry: result_cache.Entry) -> Growth:
    """The result in an entry. Raises KeyError, TypeError or ValueError for an entry of another form."""
    fields: dict[str, Any] = {name: entry.arrays[name] for name in _ARRAYS}
    for name in ("input_directions", "logit_directions"):
        fields[name] = fields[name].astype(np.float32)  # what ships is in float16
    blocks = len(request.network.blocks)
    if len(fields["growth"]) != blocks or len(fields["log_stretch"]) != blocks:
        raise ValueError(f"it is not of {blocks} blocks")
    numbers: dict[str, Any] = result_cache.numbers_from_json({name: entry.header["numbers"][name] for name in _NUMBERS})
    about = {name: entry.header[name] for name in ("predicted", "date", "weights")}
    return Growth(request, **fields, **numbers, **about)
