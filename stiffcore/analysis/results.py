"""What was computed: metrics, why some are missing, spectra, and how it was made; as a row, and as it is stored. Imports no torch."""

import math
from dataclasses import dataclass
from typing import cast

import numpy as np

from stiffcore.analysis.requests import Request
from stiffcore.errors import CannotCompute
from stiffcore.images.image import Image
from stiffcore.metrics import missing
from stiffcore.metrics.missing import Missing
from stiffcore.networks.network import Network
from stiffcore.storage import cache as result_cache


@dataclass(frozen=True)
class Result:
    """What was computed, and how.

    metrics: those of `metrics.definitions`; NaN where undefined or not computed.
    reasons: metric -> why it is NaN, for every NaN.
    arrays: ``block`` and ``branch``: ``eigenvalues`` complex128 of the deflated core (metrics["n_zero"] structural zeros
        and metrics["n_one"] structural ones come on top), or ``singular_values`` float64 where the block is not square;
        ``slices``: ``density`` int64 (rows: imaginary part, columns: real part), ``re_edges``, ``im_edges``; the structural zeros lie in the bin of 0.
        Empty unless quantity is "spectrum".
    health: trace_error, trace_square_error, conjugate_error, residual ...: name -> number.
    made: weights, image_sha256, predicted, loss, algorithm, device, precision, threads, seconds, date, key, quantity
        (the requested one), certificate (kind and how; ``block`` without its spectrum).
    """

    request: Request
    metrics: dict[str, float]
    reasons: dict[str, Missing]
    arrays: dict[str, np.ndarray]
    health: dict[str, float]
    made: dict[str, object]
    stored: bool = False
    notices: tuple[str, ...] = ()  # for example: the cache could not be written

    @property
    def loss(self) -> float:
        """The network's cross-entropy at the image's label, NaN if unlabelled."""
        return float(cast(float, self.made["loss"]))

    @property
    def predicted(self) -> int | None:
        """The label that the network sees in the image; None without a head."""
        seen = cast(int | None, self.made["predicted"])
        return None if seen is None else int(seen)

    @property
    def structural(self) -> tuple[int, int]:
        """How many eigenvalues structure makes 0, and 1; none where they are not defined."""
        zeros, ones = (int(self.metrics.get(name) or 0) for name in ("n_zero", "n_one"))
        return zeros, ones

    def check_spectrum(self) -> None:
        """Raises CannotCompute for a result without arrays, because another level was requested."""
        if not self.arrays:
            raise CannotCompute(
                f"Expected a result of level spectrum, got one of level {self.request.quantity}: compute it with that level."
            )

    def eigenvalues(self) -> np.ndarray:
        """All n eigenvalues, complex128, shape (n,): those of the core, then the structural zeros and ones.

        Raises CannotCompute where there are none: another level, a block that is not square, or slices (a density).
        """
        self.check_spectrum()
        if "eigenvalues" not in self.arrays:
            raise CannotCompute(
                f"Expected a result with eigenvalues, got {', '.join(self.arrays)}: choose an identity block under block or "
                "branch, or read `arrays`."
            )
        structural = np.repeat([0j, 1 + 0j], self.structural)
        return np.concatenate([self.arrays["eigenvalues"], structural])

    def row(self) -> dict[str, object]:
        """One flat row for tables and the command line; NaN where undefined or not computed (see ``reasons``).

        An image without a label has None as its ``label`` and ``correct``, and NaN as its ``loss``.
        """
        request, geometry = self.request, self.request.geometry
        label, predicted = request.network.label_of(request.image), self.predicted
        return {
            "network": request.network.name,
            "weights": self.made["weights"],
            "image": request.image.in_rows,
            "label": label,
            "predicted": predicted,
            "correct": None if label is None else predicted == label,
            "loss": self.made["loss"],
            "block": request.block,
            "convention": request.convention,
            "n_in": geometry.n_in,
            "n_out": geometry.n_out,
            **self.metrics,
            "seconds": self.made["seconds"],
            "device": self.made["device"],
            "precision": self.made["precision"],
            "stored": self.stored,
            **self.caveats(),
        }

    def caveats(self) -> dict[str, str]:
        """How the network's file was read, and why its numbers may be another network's; empty where neither is a question."""
        network = self.request.network
        said = {"reading": network.reading, "doubt": network.doubt}
        return {name: text for name, text in said.items() if text}

    def header(self) -> dict:
        """The JSON header of a stored result; the arrays are stored beside it."""
        return {
            "request": self.request.in_header(),
            "metrics": result_cache.numbers_to_json(self.metrics),
            "reasons": missing.as_texts(self.reasons),
            "health": result_cache.numbers_to_json(self.health),
            "made": self.made | result_cache.numbers_to_json({"loss": self.loss}),
        }


def from_entry(request: Request, entry: result_cache.Entry) -> Result:
    """The result that a cache entry holds."""
    header = entry.header
    return Result(
        request,
        result_cache.numbers_from_json(header["metrics"]),
        missing.from_texts(header["reasons"]),
        entry.arrays,
        result_cache.numbers_from_json(header["health"]),
        header["made"] | {"loss": _loss(request.network, request.image, header["made"])},
        stored=True,
    )


def _loss(network: Network, image: Image, made: dict) -> float:
    """The loss of a stored result. If the image was labelled later, it is chosen from the stored losses at all labels."""
    label = network.label_of(image)
    if label is None:
        return math.nan
    if "losses" in made:  # null where it was not finite
        return result_cache.numbers_from_json({"loss": made["losses"][label]})["loss"]
    return float(made["loss"]) if image.is_official and made["loss"] is not None else math.nan
