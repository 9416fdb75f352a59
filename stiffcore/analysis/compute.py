"""One request (network, image, block, convention) -> result, through the cache. Imports torch only to compute."""

import datetime
import logging
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from stiffcore.analysis import results
from stiffcore.analysis.requests import ALGORITHM, PRECISION, QUANTITIES, Request
from stiffcore.analysis.results import Result
from stiffcore.device_names import AUTO, CPU
from stiffcore.errors import CannotCompute, NotEnoughMemory
from stiffcore.images.image import Image
from stiffcore.metrics import definitions
from stiffcore.networks.network import Network
from stiffcore.progress import Progress, silent
from stiffcore.storage import cache as result_cache, kept

if TYPE_CHECKING:
    import torch

    from stiffcore.jacobians.linearise import BlockState

_log = logging.getLogger(__name__)


def stored(request: Request) -> Result | None:
    """The stored or shipped result, of the requested quantity or a richer one; None where there is none. Imports no torch."""
    request.checked()
    for quantity in QUANTITIES[QUANTITIES.index(request.quantity) :]:
        result = kept.find(replace(request, quantity=quantity).key, lambda entry: results.from_entry(request, entry))
        if result is not None:
            return result
    return None


def compute(request: Request, progress: Progress | None = None, where: str = AUTO) -> Result:
    """The result, stored or computed and then stored. progress(done, total, what) may raise Cancelled. where: see ``compute_many``.

    Raises CannotCompute for what a user can repair.
    """
    (result,) = compute_many([request], progress, where=where)
    return result


def compute_many(
    requests: Iterable[Request],
    progress: Progress | None = None,
    refused: Callable[[Request, CannotCompute], None] | None = None,
    again: bool = False,
    where: str = AUTO,
) -> Iterator[Result]:
    """Results grouped by image, in the order of the images; the blocks at one image share one forward pass.

    progress counts the requests and names the stage of the current one. refused: called for a request that cannot be computed,
    and the rest continue; without it the first such request raises. again: also compute what is stored; each new result
    replaces the stored one when it is complete, so cancelling leaves the stored one in place. where: "cpu", "cuda", "cuda:1", or "auto" for
    what the process was told (``device.use``), else for the quicker one; a stored result counts, wherever it was computed.
    """
    requests = list(requests)
    report = progress or silent
    by_image = defaultdict(list)
    for request in requests:
        by_image[request.network, request.image].append(request.checked())
    done = 0
    for group in by_image.values():
        shared = _Shared(where)
        for request in group:

            def stage(part: int, parts: int, what: str, done: int = done, place: str = _place(request)) -> None:
                report(done, len(requests), f"{place}: {what}")

            try:
                yield _one(request, group, shared, stage, again)
            except CannotCompute as error:
                if refused is None:
                    raise
                refused(request, error)
            done += 1
    report(done, len(requests), "done")


def _place(request: Request) -> str:
    return f"block {request.block} of {request.network.name} at image {request.image.name}"


@dataclass
class _Shared:
    """What the blocks at one image share: the device that was asked for, the linearised blocks, and the losses, None where the network lists
    them or has no head."""

    where: str
    states: "dict[int, BlockState]" = field(default_factory=dict)
    losses: np.ndarray | None = None


def _one(request: Request, group: list[Request], shared: _Shared, stage: Progress, again: bool = False) -> Result:
    """One result. The first request of a group that computes fills ``shared``."""
    name = request.key

    def fresh() -> tuple[Result, result_cache.Entry]:
        _log.info("computing %s: %s", name, ", ".join(f"{of}={value}" for of, value in request.in_header().items()))
        stage(0, 1, "one forward pass")
        if not shared.states:
            shared.states = _states(request, {other.block for other in group}, shared.where)
            if request.network.classes and not _is_listed(request.network, request.image):
                shared.losses = all_losses(request.network, request.image)
        result = _anywhere(request, shared, stage)
        return result, result_cache.Entry(result.header(), result.arrays)

    result, notice = kept.computed_once(name, lambda: stored(request), fresh, stage, again)
    return replace(result, notices=(*result.notices, notice)) if notice else result


def _anywhere(request: Request, shared: _Shared, stage: Progress) -> Result:
    """The result, computed on the device that was asked for, or that is quicker; on the CPU with a notice where a card's memory is too small."""
    from stiffcore import device
    from stiffcore.analysis import placement

    where = placement.of(request, shared.states[request.block], device.parsed(shared.where))
    if where != device.CPU:
        try:
            return _there(request, shared, where, stage)
        except (CannotCompute, RuntimeError, MemoryError) as error:
            if not device.is_out_of_memory(error):
                raise
        # Behind the clause, whose traceback holds the tensors.
        device.forget_unused(where)
        notice = f"{device.name(where)} has too little memory for {_place(request)}, which was computed on the CPU."
        _log.info(notice)
        return replace(_there(request, shared, device.CPU, stage), notices=(notice,))
    return _there(request, shared, where, stage)


def _there(request: Request, shared: _Shared, where: "torch.device", stage: Progress) -> Result:
    """The result, computed on a device; the state stays there for the next request about the same block."""
    state = shared.states[request.block] = shared.states[request.block].to(where)
    return _fresh(request, state, shared.losses, stage)


def block_state(request: Request) -> "BlockState":
    """The request's block, linearised at its image, on the CPU."""
    return _states(request.checked(), {request.block}, CPU)[request.block]


def _states(request: Request, blocks: set[int], where: str) -> "dict[int, BlockState]":
    """The blocks linearised by one pass where a vector of the largest one's size would be computed; each moves from there to its own place."""
    import torch

    from stiffcore import device
    from stiffcore.jacobians import forward

    device.use_one_thread()
    network = request.network
    image = network.normalised(request.image) if network.takes_images else torch.zeros(0)
    largest = max(max(network.block(block).n_in, network.block(block).n_out) for block in blocks)
    place = device.chosen("iteration", largest, device.parsed(where))
    try:
        return forward.block_states(network.module(), network.blocks, image, blocks, place)
    except (NotEnoughMemory, RuntimeError) as error:
        if place == device.CPU or not device.is_out_of_memory(error):
            raise
    device.forget_unused(place)
    return forward.block_states(network.module(), network.blocks, image, blocks)


def _is_listed(network: Network, image: Image) -> bool:
    """Whether the network lists its prediction for the image, so that no forward pass is needed."""
    return image.is_official and image.number in network.predicted


def _prediction(network: Network, image: Image, losses: np.ndarray | None) -> tuple[int | None, float]:
    """Predicted label, None without a head, and cross-entropy, NaN if unlabelled. losses: at all classes; None takes what the network
    lists."""
    if not network.classes:
        return None, math.nan
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

    from stiffcore import device
    from stiffcore.analysis import block_metrics

    began = time.perf_counter()
    try:
        if request.convention.has_matrix:
            computed = block_metrics.of_matrix(state, request.convention, request.quantity, stage)
        else:
            computed = block_metrics.of_slices(state, request.quantity, stage)
    except RuntimeError as error:
        if device.is_out_of_memory(error):
            raise NotEnoughMemory(
                f"Not enough memory for block {request.block} of {request.network.name}: close other programs, choose a later "
                "block, or ask for the extremes only."
            ) from error
        raise
    facts, arrays, health, extra = computed
    metrics, reasons = definitions.of(facts)
    predicted, loss = _prediction(request.network, request.image, losses)
    if losses is not None and not request.image.is_official:
        at_classes = result_cache.numbers_to_json({str(label): float(loss) for label, loss in enumerate(losses)})
        extra = extra | {"losses": list(at_classes.values())}
    made = {
        "weights": request.network.weights_sha256,
        "image_sha256": request.image.sha256,
        "predicted": predicted,
        "loss": loss,
        "algorithm": ALGORITHM,
        "device": device.name(state.device),
        "precision": PRECISION,
        "threads": torch.get_num_threads(),
        "seconds": round(time.perf_counter() - began, 4),
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d"),
        "key": request.key,
        "quantity": request.quantity,
    } | extra
    return Result(request, metrics, reasons, arrays, {k: float(v) for k, v in health.items()}, made)
