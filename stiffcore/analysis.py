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

from stiffcore import catalogue, cifar10, manifest, own_images, result_cache
from stiffcore.errors import CannotCompute

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

    metrics: the names of ``stiffness.METRICS`` and the counts; NaN where undefined or not computed.
    reasons: metric -> "undefined: ..." or "not computed: ..." for every NaN.
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
    reasons: dict[str, str]
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
        header["reasons"],
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
    return math.nan if own_images.is_number(image) else float(made["loss"])


def header_of(result: Result) -> dict:
    """The JSON header that a result is stored under; its arrays go beside it."""
    return {
        "request": vars(result.request),
        "metrics": result_cache.numbers_to_json(result.metrics),
        "reasons": result.reasons,
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
    from stiffcore import resnets

    return resnets.load(network)


def model(network: str):
    """The network with its weights as they are now, kept for the next call; not to be changed."""
    return _model(network, manifest.entry(network).sha256)


def block_state(request: Request):
    """The request's block made linear at its image: a residual_blocks.BlockState."""
    return _states(check(request), {request.block})[request.block]


def _states(request: Request, blocks: set[int]) -> dict:
    from stiffcore import device, residual_blocks

    device.use_one_thread()
    network = model(request.network)
    image = cifar10.normalised(cifar10.image(request.image)[None])[0]
    return residual_blocks.block_states(network, catalogue.blocks(request.network), image, blocks)


def prediction(network: str, image: int) -> tuple[int, float]:
    """Predicted label and cross-entropy, NaN without a label; from the manifest for bundled images, else by a forward pass."""
    entry = manifest.entry(network)
    if image in entry.predicted:
        return entry.predicted[image], entry.loss[image]
    losses, label = all_losses(network, image), cifar10.label(image)
    return int(losses.argmin()), math.nan if label is None else float(losses[label])


def all_losses(network: str, image: int) -> np.ndarray:
    """Cross-entropy for each of the ten labels, float64 (10,), by a forward pass; exp(−loss) is the label's probability."""
    from stiffcore import resnets

    sha256 = manifest.entry(network).sha256
    losses = resnets.all_losses(model(network), cifar10.image(image)[None])[0]
    if own_images.is_number(image):
        own_images.note_prediction(image, sha256, int(losses.argmin()))
    return losses


def _fresh(request: Request, state, stage: Progress) -> Result:
    import torch

    began = time.perf_counter()
    computation = _slices if request.convention == "slices" else _matrix
    try:
        (metrics, reasons), arrays, health, extra = computation(request, state, stage)
    except RuntimeError as error:  # torch has no error of its own for this on a CPU
        if "not enough memory" in str(error) or "out of memory" in str(error):
            raise CannotCompute(
                f"Expected enough memory for block {request.block} of {request.network}, got too little: close other "
                "programs, choose a later block, or ask for the extremes only."
            ) from error
        raise
    predicted, loss, extra = *prediction(request.network, request.image), dict(extra)
    if own_images.is_number(request.image):
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


def _slices(request: Request, state, stage: Progress):
    from stiffcore import slices, stiffness

    made = slices.slice_spectrum(state, request.quantity, stage)
    live = state.live_outputs / state.geometry.n_out
    stage(1, 1, "baselines")
    expected = slices.expected_percent_negative(state)
    without_skip = made.max_re_without_skip, made.min_re_without_skip
    metrics = stiffness.of_slices(made, live, expected, without_skip, request.quantity != "extremes")
    arrays = {}
    if made.density is not None:
        arrays = {"density": made.density, "re_edges": made.re_edges, "im_edges": made.im_edges}
    return metrics, arrays, made.health, {}


def _by_extremes(request: Request, state, core, certificate, stage: Progress):
    """What _matrix returns, without the whole spectrum; None where only that has the extremes."""
    from stiffcore import deflation, spectrum, stiffness

    proved = certificate is not None and certificate.kind == "proved"
    try:
        outermost = spectrum.extremes(state, request.convention, stage, core, proved and not certificate.negative)
    except CannotCompute:
        if request.quantity == "extremes":
            raise
        return None
    there_is = outermost.min_re < -outermost.tolerance
    if proved and (there_is if not certificate.negative else outermost.min_re > outermost.tolerance):
        raise CannotCompute(
            f"Expected {certificate.negative} negative eigenvalues, as was proved ({certificate.how}), got {outermost.min_re:.3g} for the "
            "leftmost, from a matrix so far from normal that rounding moves it across the axis: ask for the whole spectrum instead."
        )
    if certificate and there_is and not proved:
        certificate = None  # an eigenvalue that is negative refutes an estimate
    extra = {"certificate": {"kind": certificate.kind, "how": certificate.how}} if certificate else {}
    live = state.live_outputs / state.geometry.n_out
    made = deflation.plan(state, request.convention)
    return stiffness.of_extremes(outermost, made, request.convention, live, certificate), {}, outermost.health, extra


def _matrix(request: Request, state, stage: Progress):
    from stiffcore import singular_values, spectrum, stiffness

    geometry, convention = state.geometry, request.convention
    live = state.live_outputs / geometry.n_out
    full = request.quantity == "spectrum"
    if not geometry.is_identity:
        singular = singular_values.compute(state, convention, request.quantity != "extremes", stage)
        metrics = stiffness.of_singular_values(singular, geometry.n_out, geometry.n_in, convention, live)
        arrays = {"singular_values": singular.values} if full else {}
        return metrics, arrays, singular.health, {"complete": singular.complete}
    core, certificate, extra = None, None, {}
    if convention == "block" and not full:
        certificate, core = spectrum.certified(state, request.quantity == "counts", stage)
        extra = {"certificate": {"kind": certificate.kind, "how": certificate.how}}
    by_extremes = request.quantity == "extremes" or (certificate and certificate.kind == "proved")
    if by_extremes and (found := _by_extremes(request, state, core, certificate, stage)) is not None:
        return found
    limit = spectrum.SPECTRUM_MEMORY if full else spectrum.METRICS_MEMORY
    whole = spectrum.full_spectrum(state, convention, stage, core, limit)
    metrics, reasons = stiffness.of_spectrum(whole, live)
    if metrics["n_negative"] and certificate and certificate.kind == "estimated":
        extra = {}  # refuted
    most = metrics["n_negative"] + metrics["n_undetermined"]
    health = whole.health | {"percent_negative_at_most": 100 * most / whole.n}
    arrays = {"eigenvalues": whole.eigenvalues} if full else {}
    return (metrics, reasons), arrays, health, extra | {"device": whole.device}


@dataclass(frozen=True)
class Estimate:
    """What a set of requests would cost here, on one core."""

    seconds: float
    bytes: int  # peak memory
    n_missing: int  # requests that are neither shipped nor stored
    sentence: str


# Seconds, measured on one core of a 2-core cloud machine (AMD EPYC, 2026): estimates, not claims.
SECONDS_PER_SIDE_CUBED = 3e-10  # one full spectrum in float64; two are computed, of K and of its transpose
SECONDS_PER_EXTREMES = 1.0
SHARE_OF_PROOF = 0.04  # of a full spectrum's seconds: one or two Cholesky factorisations and forming the core
SECONDS_PER_SLICE_EIGENVALUE = {"extremes": 4e-8, "counts": 5e-8, "spectrum": 2e-7}
SECONDS_TO_LOAD = 2.0
TYPICAL_LIVE_SHARE = 0.45  # of the units of an inner layer


def estimate(requests: Iterable[Request], again: bool = False) -> Estimate:
    """Seconds and memory for those of the requests that are not stored, or for all of them again; imports no torch."""
    missing = [request for request in requests if again or stored(request) is None]
    costs = [_cost(request) for request in missing]
    seconds = sum(cost[0] for cost in costs) + SECONDS_TO_LOAD * bool(missing)
    most = max((cost[1] for cost in costs), default=0)
    if not missing:
        return Estimate(0.0, 0, 0, "Everything asked for is stored.")
    count = "1 result" if len(missing) == 1 else f"{len(missing)} results"
    count += " again" if again else " is not stored yet" if len(missing) == 1 else " are not stored yet"
    sentence = f"{count}: about {_duration(seconds)} and {max(0.3, most / 1e9):.1f} GB of memory."
    return Estimate(seconds, most, len(missing), sentence)


def _cost(request: Request) -> tuple[float, int]:
    geometry = catalogue.block(request.network, request.block)
    if request.convention == "slices":
        return SECONDS_PER_SLICE_EIGENVALUE[request.quantity] * geometry.n_eigenvalues("slices"), 3 * 10**8
    side = TYPICAL_LIVE_SHARE * min(math.prod(shape) for shape in geometry.inner_shapes)
    if not geometry.is_identity:
        rows = 0.4 * geometry.n_out
        needed = int(24 * rows * geometry.n_in)
        if rows > 6000 or needed > 3 * 10**9:  # the outermost alone, by Lanczos: see singular_values.py
            return 60.0, 5 * 10**8
        return 2e-10 * rows**2 * geometry.n_in + 2, needed
    full = 2 * SECONDS_PER_SIDE_CUBED * side**3
    if request.quantity == "extremes" or (request.quantity == "counts" and request.convention == "block"):
        proof = SHARE_OF_PROOF * full if request.convention == "block" else 0.0
        return SECONDS_PER_EXTREMES + proof, int(24 * side**2)
    return full + 1.0, int(32 * side**2)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


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
