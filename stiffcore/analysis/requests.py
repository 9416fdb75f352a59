"""One request (network, image, block, convention) -> result, through the cache. Imports torch only to compute."""

import datetime
import logging
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

import numpy as np

from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.images.image import Image
from stiffcore.metrics import definitions, missing
from stiffcore.metrics.missing import Missing
from stiffcore.networks.catalogue import BlockGeometry
from stiffcore.networks.network import Network
from stiffcore.progress import Progress, silent
from stiffcore.storage import cache as result_cache, kept

if TYPE_CHECKING:
    from stiffcore.jacobians.linearise import BlockState

FORMAT = 1  # of stored results: raise it when the stored fields change
# Raise it when a number can change; stored and shipped results are then computed again. It stayed 1 when `arnoldi` replaced
# ARPACK and when Lyapunov's proofs were added: both give the same numbers to 1e-9, the tolerance of the golden values.
ALGORITHM = 1
PRECISION = "float64"
QUANTITIES = ("extremes", "counts", "spectrum")  # each holds what the ones before it hold

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """What to compute. ``block`` counts from 1."""

    network: Network
    image: Image
    block: int
    convention: Convention
    quantity: str = "counts"

    @property
    def geometry(self) -> BlockGeometry:
        """The block's sizes. Raises CannotCompute for a block that the network does not have."""
        return self.network.block(self.block)

    def in_header(self) -> dict[str, object]:
        """The request in a stored result's header: names in place of the objects."""
        image = self.image.in_rows
        return vars(self) | {"network": self.network.name, "image": image, "convention": str(self.convention)}


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
    def predicted(self) -> int:
        """The label that the network sees in the image."""
        return int(cast(int, self.made["predicted"]))

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


def check(request: Request) -> Request:
    """The request itself. Raises CannotCompute for a block, quantity or label that does not exist."""
    request.network.block(request.block)
    label, classes = request.image.label, request.network.classes
    # An official image always has CIFAR-10's label; `label_of` says whether it counts for this network.
    if not request.image.is_official and label is not None and not 0 <= label < len(classes):
        raise CannotCompute(
            f"Expected a label of {request.network.name} from 0 to {len(classes) - 1}, got {label} for image "
            f"{request.image.name}: give the image one of them, or none."
        )
    check_quantity(request.quantity)
    return request


def check_quantity(quantity: str) -> None:
    """Raises CannotCompute for a quantity that does not exist."""
    if quantity not in QUANTITIES:
        raise CannotCompute(f"Expected a level among {', '.join(QUANTITIES)}, got {quantity!r}: choose one of them.")


def key(request: Request) -> str:
    """The key of a result in the cache: a hash of everything that determines it."""
    fields = request.network.key_fields(request.image) | {
        "block": request.block,
        "convention": request.convention,
        "quantity": request.quantity,
    }
    return result_cache.key(fields | {"format": FORMAT, "algorithm": ALGORITHM, "precision": PRECISION})


def stored(request: Request) -> Result | None:
    """The stored or shipped result, of the requested quantity or a richer one; None where there is none. Imports no torch."""
    check(request)
    for quantity in QUANTITIES[QUANTITIES.index(request.quantity) :]:
        result = kept.find(key(replace(request, quantity=quantity)), lambda entry: _from_entry(request, entry))
        if result is not None:
            return result
    return None


def _from_entry(request: Request, entry: result_cache.Entry) -> Result:
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
    if "losses" in made:
        return float(made["losses"][label])
    return float(made["loss"]) if image.is_official and made["loss"] is not None else math.nan


def header_of(result: Result) -> dict:
    """The JSON header of a stored result; the arrays are stored beside it."""
    return {
        "request": result.request.in_header(),
        "metrics": result_cache.numbers_to_json(result.metrics),
        "reasons": missing.as_texts(result.reasons),
        "health": result_cache.numbers_to_json(result.health),
        "made": result.made | result_cache.numbers_to_json({"loss": result.loss}),
    }


def compute(request: Request, progress: Progress | None = None) -> Result:
    """The result, stored or computed and then stored. progress(done, total, what) may raise Cancelled.

    Raises CannotCompute for what a user can repair.
    """
    (result,) = compute_many([request], progress)
    return result


def compute_many(
    requests: Iterable[Request],
    progress: Progress | None = None,
    refused: Callable[[Request, CannotCompute], None] | None = None,
    again: bool = False,
) -> Iterator[Result]:
    """Results grouped by image, in the order of the images; the blocks at one image share one forward pass.

    progress counts the requests and names the stage of the current one. refused: called for a request that cannot be computed,
    and the rest continue; without it the first such request raises. again: also compute what is stored; each new result
    replaces the stored one when it is complete, so cancelling leaves the stored one in place.
    """
    requests = list(requests)
    report = progress or silent
    by_image = defaultdict(list)
    for request in requests:
        by_image[request.network, request.image].append(check(request))
    done = 0
    for group in by_image.values():
        shared = _Shared()
        for request in group:
            where = f"block {request.block} of {request.network.name} at image {request.image.name}"

            def stage(part: int, parts: int, what: str, done: int = done, where: str = where) -> None:
                report(done, len(requests), f"{where}: {what}")

            try:
                yield _one(request, group, shared, stage, again)
            except CannotCompute as error:
                if refused is None:
                    raise
                refused(request, error)
            done += 1
    report(done, len(requests), "done")


@dataclass
class _Shared:
    """What the blocks at one image share: the linearised blocks, and the losses, None where the network lists them."""

    states: "dict[int, BlockState]" = field(default_factory=dict)
    losses: np.ndarray | None = None


def _one(request: Request, group: list[Request], shared: _Shared, stage: Progress, again: bool = False) -> Result:
    """One result. The first request of a group that computes fills ``shared``."""
    name = key(request)

    def fresh() -> tuple[Result, result_cache.Entry]:
        _log.info("computing %s: %s", name, ", ".join(f"{of}={value}" for of, value in request.in_header().items()))
        stage(0, 1, "one forward pass")
        if not shared.states:
            shared.states = _states(request, {other.block for other in group})
            if not _is_listed(request.network, request.image):
                shared.losses = all_losses(request.network, request.image)
        result = _fresh(request, shared.states[request.block], shared.losses, stage)
        return result, result_cache.Entry(header_of(result), result.arrays)

    result, notice = kept.computed_once(name, lambda: stored(request), fresh, stage, again)
    return replace(result, notices=(notice,)) if notice else result


def block_state(request: Request) -> "BlockState":
    """The request's block, linearised at its image."""
    return _states(check(request), {request.block})[request.block]


def _states(request: Request, blocks: set[int]) -> "dict[int, BlockState]":
    from stiffcore import device
    from stiffcore.jacobians import linearise

    device.use_one_thread()
    network, image = request.network, request.network.normalised(request.image)
    return linearise.block_states(network.module(), network.blocks, image, blocks)


def _is_listed(network: Network, image: Image) -> bool:
    """Whether the network lists its prediction for the image, so that no forward pass is needed."""
    return image.is_official and image.number in network.predicted


def _prediction(network: Network, image: Image, losses: np.ndarray | None) -> tuple[int, float]:
    """Predicted label and cross-entropy (NaN if unlabelled). losses: at all classes; None takes what the network lists."""
    if losses is None:
        assert image.number is not None  # it is listed
        return network.predicted[image.number], network.loss[image.number]
    label = network.label_of(image)
    return int(losses.argmin()), math.nan if label is None else float(losses[label])


def all_losses(network: Network, image: Image) -> np.ndarray:
    """Cross-entropy for each of the network's classes, float64 (classes,), by a forward pass; exp(−loss) is a probability."""
    from stiffcore.networks import resnets

    losses = resnets.all_losses(network.module(), image.pixels[None], preprocessing=network.preprocessing)[0]
    if image.on_prediction:
        image.on_prediction(network.weights_sha256, int(losses.argmin()))
    return losses


def _fresh(request: Request, state: "BlockState", losses: np.ndarray | None, stage: Progress) -> Result:
    import torch

    from stiffcore.analysis import block_metrics

    began = time.perf_counter()
    try:
        if request.convention.has_matrix:
            computed = block_metrics.of_matrix(state, request.convention, request.quantity, stage)
        else:
            computed = block_metrics.of_slices(state, request.quantity, stage)
    except RuntimeError as error:  # torch has no error class for this on a CPU
        if "not enough memory" in str(error) or "out of memory" in str(error):
            raise CannotCompute(
                f"Not enough memory for block {request.block} of {request.network.name}: close other programs, choose a later "
                "block, or ask for the extremes only."
            ) from error
        raise
    facts, arrays, health, extra = computed
    metrics, reasons = definitions.of(facts)
    predicted, loss = _prediction(request.network, request.image, losses)
    if losses is not None and not request.image.is_official:
        extra = extra | {"losses": losses.tolist()}
    made = {
        "weights": request.network.weights_sha256,
        "image_sha256": request.image.sha256,
        "predicted": predicted,
        "loss": loss,
        "algorithm": ALGORITHM,
        "device": "cpu",
        "precision": PRECISION,
        "threads": torch.get_num_threads(),
        "seconds": round(time.perf_counter() - began, 4),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "key": key(request),
        "quantity": request.quantity,
    } | extra
    return Result(request, metrics, reasons, arrays, {k: float(v) for k, v in health.items()}, made)


def row(result: Result) -> dict[str, object]:
    """One flat row for tables and the command line; NaN where undefined or not computed (see ``reasons``).

    An image without a label has None as its ``label`` and ``correct``, and NaN as its ``loss``.
    """
    request, geometry = result.request, result.request.geometry
    label, predicted = request.network.label_of(request.image), result.predicted
    return {
        "network": request.network.name,
        "weights": result.made["weights"],
        "image": request.image.in_rows,
        "label": label,
        "predicted": predicted,
        "correct": None if label is None else predicted == label,
        "loss": result.made["loss"],
        "block": request.block,
        "convention": request.convention,
        "n_in": geometry.n_in,
        "n_out": geometry.n_out,
        **result.metrics,
        "seconds": result.made["seconds"],
        "device": result.made["device"],
        "precision": result.made["precision"],
        "stored": result.stored,
    }
