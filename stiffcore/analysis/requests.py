"""One request (network, image, block, convention) -> result, through the cache. Imports torch only to compute."""

import datetime
import logging
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from stiffcore.errors import CannotCompute
from stiffcore.images import cifar10, uploaded as uploaded_images
from stiffcore.metrics import definitions, missing
from stiffcore.metrics.missing import Missing
from stiffcore.networks import catalogue, manifest
from stiffcore.storage import cache as result_cache

FORMAT = 1  # of what is stored: raise it when the stored fields change
# Raise it when a number can change; stored and shipped results are then computed anew. It stayed 1 when ARPACK gave way to
# `arnoldi` and Lyapunov's proofs came: both find the same numbers, to the 1e-9 that the golden values are held to.
ALGORITHM = 1
PRECISION = "float64"
QUANTITIES = ("extremes", "counts", "spectrum")  # each holds what the ones before it hold
Progress = Callable[[int, int, str], None]  # done, total, what; raises errors.Cancelled to stop

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """What to compute. ``image`` is an official test index, or an own image's number; ``block`` counts from 1."""

    network: str
    image: int
    block: int
    convention: str
    quantity: str = "counts"


@dataclass(frozen=True)
class Result:
    """What was computed, and how.

    metrics: as `metrics.definitions` lists them; NaN where undefined or not computed.
    reasons: metric -> why, for every NaN.
    arrays: ``block`` and ``branch``: ``eigenvalues`` complex128 of the deflated core (metrics["n_zero"] structural zeros
        and metrics["n_one"] structural ones come on top), or ``singular_values`` float64 where the block is not square;
        ``slices``: ``density`` int64 (rows: imaginary part, columns: real part), ``re_edges``, ``im_edges``; the structural zeros lie in the bin of 0.
        Empty unless quantity is "spectrum".
    health: trace_error, trace_square_error, conjugate_error, residual ...: name -> number.
    made: weights, image_sha256, predicted, loss, algorithm, device, precision, threads, seconds, date, key, quantity
        (as asked for when it was computed), certificate (kind and how; ``block`` without its spectrum).
    """

    request: Request
    metrics: dict[str, float]
    reasons: dict[str, Missing]
    arrays: dict[str, np.ndarray]
    health: dict[str, float]
    made: dict[str, object]
    stored: bool = False
    notices: tuple[str, ...] = ()  # for example: the cache could not be written


def check(request: Request) -> Request:
    """The request itself. Raises CannotCompute for an unknown network, image, block, convention or quantity."""
    catalogue.block(request.network, request.block)
    catalogue.check_convention(request.convention)
    if request.quantity not in QUANTITIES:
        raise CannotCompute(
            f"Expected a level among {', '.join(QUANTITIES)}, got {request.quantity!r}: choose one of them."
        )
    cifar10.image(request.image)
    return request


def key(request: Request) -> str:
    """The name of a result: a hash over all that determines it."""
    return result_cache.key(
        {
            "format": FORMAT,
            "algorithm": ALGORITHM,
            "weights": manifest.entry(request.network).sha256,
            "image": cifar10.image_sha256(request.image),
            "block": request.block,
            "convention": request.convention,
            "precision": PRECISION,
            "quantity": request.quantity,
        }
    )


def stored(request: Request) -> Result | None:
    """The result if it was stored before or ships, richer quantities serving poorer ones; imports no torch.

    What this machine stored goes before what ships: a shipped result that was computed again is shown as computed here,
    and deleting cache/results/ brings back the shipped one.
    """
    check(request)
    for quantity in QUANTITIES[QUANTITIES.index(request.quantity) :]:
        name = key(replace(request, quantity=quantity))
        for place in (result_cache.default(), result_cache.shipped()):
            entry = place.get(name)
            if entry is None:
                continue
            try:
                return _from_entry(request, entry)
            except (KeyError, TypeError, ValueError) as error:
                _log.warning("Stored result %s is not used, because it cannot be read: %r", name, error)
    return None


def _from_entry(request: Request, entry: result_cache.Entry) -> Result:
    header = entry.header
    return Result(
        request,
        result_cache.numbers_from_json(header["metrics"]),
        missing.from_texts(header["reasons"]),
        entry.arrays,
        result_cache.numbers_from_json(header["health"]),
        header["made"] | {"loss": _loss(request.image, header["made"])},
        stored=True,
    )


def _loss(image: int, made: dict) -> float:
    """Of a stored result. A label may have been said, or changed, since: then all ten losses are there to choose from."""
    label = cifar10.label(image)
    if label is None:
        return math.nan
    if "losses" in made:
        return float(made["losses"][label])
    return math.nan if uploaded_images.is_number(image) else float(made["loss"])


def header_of(result: Result) -> dict:
    """The JSON header that a result is stored under; its arrays go beside it."""
    return {
        "request": vars(result.request),
        "metrics": result_cache.numbers_to_json(result.metrics),
        "reasons": missing.as_texts(result.reasons),
        "health": result_cache.numbers_to_json(result.health),
        "made": result.made | result_cache.numbers_to_json({"loss": result.made["loss"]}),
    }


def compute(request: Request, progress: Progress | None = None) -> Result:
    """The result, from the cache or fresh; fresh ones are stored. progress(done, total, what) may raise Cancelled.

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
    """Results grouped by image, in the order in which the images come; the blocks at one image share one forward pass.

    progress counts the requests, and names the stage of the current one. refused: told of a request that cannot be
    computed, and the others go on; without it the first one raises. again: compute what is stored, too; each new result
    takes the stored one's place when it is complete, and whatever is cancelled leaves it as it was.
    """
    requests = list(requests)
    report = progress or (lambda done, total, what: None)
    by_image = defaultdict(list)
    for request in requests:
        by_image[request.network, request.image].append(check(request))
    done = 0
    for group in by_image.values():
        states: dict = {}
        for request in group:
            where = f"block {request.block} of {request.network} at image {cifar10.name(request.image)}"

            def stage(part: int, parts: int, what: str, done=done, where=where) -> None:
                report(done, len(requests), f"{where}: {what}")

            try:
                yield _one(request, group, states, stage, again)
            except CannotCompute as error:
                if refused is None:
                    raise
                refused(request, error)
            done += 1
    report(done, len(requests), "done")


def _one(request: Request, group: list[Request], states: dict, stage: Progress, again: bool = False) -> Result:
    """One result; ``states`` is filled by the first request of a group that has to compute."""
    found = None if again else stored(request)
    if found is not None:
        return found
    cache, name = result_cache.default(), key(request)

    def waiting() -> None:
        stage(0, 1, "another computation of the same is under way")

    with cache.computed_once(name, waiting):
        found = None if again else stored(request)
        if found is not None:
            return found
        _log.info("computing %s: %s", name, request)
        stage(0, 1, "one forward pass")
        if not states:
            states.update(_states(request, {other.block for other in group}))
        result = _fresh(request, states[request.block], stage)
        notice = cache.put(name, header_of(result), result.arrays)
    return replace(result, notices=(notice,) if notice else ())


@lru_cache(maxsize=3)
def _model(network: str, sha256: str):
    """A network, kept for the next request; sha256 makes changed weights another entry."""
    from stiffcore.networks import resnets

    return resnets.load(network)


def model(network: str):
    """The network with its weights as they are now, kept for the next call; not to be changed."""
    return _model(network, manifest.entry(network).sha256)


def block_state(request: Request):
    """The request's block made linear at its image: a linearise.BlockState."""
    return _states(check(request), {request.block})[request.block]


def _states(request: Request, blocks: set[int]) -> dict:
    from stiffcore import device
    from stiffcore.jacobians import linearise

    device.use_one_thread()
    network = model(request.network)
    image = cifar10.normalised(cifar10.image(request.image)[None])[0]
    return linearise.block_states(network, catalogue.blocks(request.network), image, blocks)


def prediction(network: str, image: int) -> tuple[int, float]:
    """Predicted label and cross-entropy, NaN without a label; from the manifest for bundled images, else by a forward pass."""
    entry = manifest.entry(network)
    if image in entry.predicted:
        return entry.predicted[image], entry.loss[image]
    losses, label = all_losses(network, image), cifar10.label(image)
    return int(losses.argmin()), math.nan if label is None else float(losses[label])


def all_losses(network: str, image: int) -> np.ndarray:
    """Cross-entropy for each of the ten labels, float64 (10,), by a forward pass; exp(−loss) is the label's probability."""
    from stiffcore.networks import resnets

    sha256 = manifest.entry(network).sha256
    losses = resnets.all_losses(model(network), cifar10.image(image)[None])[0]
    if uploaded_images.is_number(image):
        uploaded_images.note_prediction(image, sha256, int(losses.argmin()))
    return losses


def _fresh(request: Request, state, stage: Progress) -> Result:
    import torch

    from stiffcore.analysis import block_metrics

    began = time.perf_counter()
    try:
        if request.convention == "slices":
            computed = block_metrics.of_slices(state, request.quantity, stage)
        else:
            computed = block_metrics.of_matrix(state, request.convention, request.quantity, stage)
    except RuntimeError as error:  # torch has no error of its own for this on a CPU
        if "not enough memory" in str(error) or "out of memory" in str(error):
            raise CannotCompute(
                f"Expected enough memory for block {request.block} of {request.network}, got too little: close other "
                "programs, choose a later block, or ask for the extremes only."
            ) from error
        raise
    facts, arrays, health, extra = computed
    metrics, reasons = definitions.of(facts)
    predicted, loss, extra = *prediction(request.network, request.image), dict(extra)
    if uploaded_images.is_number(request.image):
        extra["losses"] = [float(loss) for loss in all_losses(request.network, request.image)]
    made = {
        "weights": manifest.entry(request.network).sha256,
        "image_sha256": cifar10.image_sha256(request.image),
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

    An own image without a label has None as its ``label`` and ``correct``, and NaN as its ``loss``.
    """
    request, geometry = result.request, catalogue.block(result.request.network, result.request.block)
    label, predicted = cifar10.label(request.image), int(result.made["predicted"])
    return {
        "network": request.network,
        "weights": result.made["weights"],
        "image": request.image,
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
