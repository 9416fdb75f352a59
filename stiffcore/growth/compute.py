"""A GrowthRequest -> Growth, through the cache. Imports torch only to compute.

Directions are found in float32 by ``krylov``, from two random starts; every stored number is then computed in float64 from the better of
the two: σ = ‖J v‖, with the residual ‖JᵀJ v − σ² v‖ / σ². An error ε of a direction changes σ by ε² only.
"""

import datetime
import math
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from stiffcore.growth.requests import LEADING, RANDOM, Growth, GrowthRequest, as_entry, check, key, stored
from stiffcore.networks.network import Network
from stiffcore.progress import Progress, silent
from stiffcore.storage import cache as result_cache, kept

if TYPE_CHECKING:
    from stiffcore.growth.chain import Chain
    from stiffcore.growth.krylov import Problem

__all__ = ["Growth", "GrowthRequest", "compute", "stored"]
WIDTH = 4  # of a block that looks for ten directions; a wider one takes fewer steps, and more products
MOST_ROWS = 100  # scores, of which J_logits is formed row by row
COLUMNS = 40  # of a space, usually
MEMORY = 12 * 10**9  # bytes, at most
FROM_IMAGE, FROM_FIRST, TO_SCORES = "image", "first", "scores"


def compute(request: GrowthRequest, progress: Progress | None = None, again: bool = False) -> Growth:
    """How a network stretches small changes of an image, stored or computed and then stored.

    again: compute it even if it is stored; the new result replaces the stored one. progress may raise Cancelled. Raises CannotCompute
    for matrices in place of a network, and where the blocks do not follow each other.
    """
    report = progress or silent

    def fresh() -> tuple[Growth, result_cache.Entry]:
        growth = _fresh(request, report)
        return growth, as_entry(growth)

    growth, notice = kept.computed_once(key(check(request)), lambda: stored(request), fresh, report, again)
    return replace(growth, notice=notice)


def _fresh(request: GrowthRequest, report: Progress) -> Growth:
    import torch

    from stiffcore import device
    from stiffcore.growth import chain as chains, krylov

    _check_memory(request.network)
    device.use_one_thread()
    began, network = time.perf_counter(), request.network
    with torch.no_grad():
        report(0, 1, "one forward pass, and every block linearised")
        chain = chains.of(network, request.image)
        problems = _problems(chain)
        krylov.solve(chain, [one for pair in problems.values() for one in pair], report)
        krylov.reconcile(chain, list(problems.values()), report)
        report(1, 1, "norms and residuals in float64")
        fields = _measured(chain, problems) | _pushed(chain)
        directions = fields.pop("first_directions")
        fields |= _stretched(chain, directions, fields.pop("first_values"))
    predicted, loss = _prediction(request, chain)
    now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")
    seconds = round(time.perf_counter() - began, 3)
    about: dict[str, Any] = {
        "predicted": predicted,
        "loss": loss,
        "model_error": chain.model_error,
        "seconds": seconds,
        "date": now,
    }
    return Growth(request, **fields, **about, weights=network.weights_sha256)


def _check_memory(network: Network) -> None:
    """Raises CannotCompute where the spaces and the vectors that are pushed together do not fit into memory."""
    from stiffcore import device

    depth, side = len(network.blocks), network.preprocessing.image_size
    widest = max(max(block.n_in, block.n_out, *map(math.prod, block.inner_shapes), 0) for block in network.blocks)
    spaces = 4 * COLUMNS * 2 * depth * (3 * side**2 + network.blocks[0].n_in)  # float32, two starts at every depth
    pushed = 8 * 3 * (4 * depth + 2 * WIDTH + 2 * RANDOM) * widest
    what = f"the growth through {network.title or network.name}"
    device.check_memory(spaces + pushed, MEMORY, what, "close other programs, or choose a smaller network")


def _problems(chain: "Chain") -> "dict[tuple[str, int], tuple[Problem, Problem]]":
    """(from where, depth) -> the problem from two starts: one direction at every depth, ten at the last, and ten to many scores."""
    from stiffcore.growth.krylov import ROUGH, Problem

    found = {}
    for depth in range(1, chain.depth + 1):
        for start in (FROM_IMAGE, FROM_FIRST):
            first = Problem(depth, start == FROM_IMAGE, 1)
            second = replace(first, seed=2, settled=ROUGH)
            if depth == chain.depth:
                first = replace(first, wanted=LEADING, width=WIDTH)
                second = replace(first, seed=2) if start == FROM_IMAGE else second
            found[start, depth] = first, second
    if chain.scores is not None and len(chain.scores) > MOST_ROWS:
        first = Problem(chain.depth, True, 1, True, LEADING, WIDTH)
        found[TO_SCORES, chain.depth] = first, replace(first, seed=2)
    return found


def _measured(chain: "Chain", problems: "dict[tuple[str, int], tuple[Problem, Problem]]") -> dict:
    """Norms, leading singular values and directions in float64, with their residuals and the agreement of the two starts."""
    import torch

    from stiffcore.growth import krylov

    better = {at: max(pair, key=lambda one: (one.wanted, float(one.values[0]))) for at, pair in problems.items()}
    frames = [torch.linalg.qr(one.vectors.double().T).Q.T for one in better.values()]
    forward = krylov.forward(chain, list(better.values()), frames)
    triplets = []
    for frame, images in zip(frames, forward, strict=True):  # W = A V: singular values in the space of V
        left, values, right = torch.linalg.svd(images.T, full_matrices=False)
        triplets.append((left.T, values.abs(), right @ frame))  # LAPACK gives -0 for a zero matrix
    back = krylov.backward(chain, list(better.values()), [left for left, _, _ in triplets])
    found = {}
    for at, (_, values, right), adjoint in zip(better, triplets, back, strict=True):
        size = values.clamp(min=torch.finfo(torch.float64).tiny)
        residuals = (adjoint - values[:, None] * right).norm(dim=1) / size
        first, second = (one.values.sqrt()[: min(len(other.values) for other in problems[at])] for one in problems[at])
        agreement = (first - second).abs() / first.clamp(min=torch.finfo(torch.float64).tiny)
        found[at] = [tensor.numpy() for tensor in (values, right, residuals, agreement)]
    if chain.head is not None and (TO_SCORES, chain.depth) not in found:
        found[TO_SCORES, chain.depth] = _of_rows(chain)
    return _fields(chain, found)


def _of_rows(chain: "Chain") -> list[np.ndarray]:
    """The singular values and right singular vectors of J_logits, formed by one adjoint pass for each score."""
    import torch

    assert chain.head is not None
    assert chain.scores is not None
    rows = chain.head.transpose(torch.eye(len(chain.scores), dtype=torch.float64))
    for number in range(chain.depth, 0, -1):
        rows = chain.step_back(number, rows)
    _, values, right = torch.linalg.svd(chain.leave(rows), full_matrices=False)
    return [values[:LEADING].abs().numpy(), right[:LEADING].numpy()]


def _fields(chain: "Chain", found: dict[tuple[str, int], list[np.ndarray]]) -> dict:
    depths, last = range(1, chain.depth + 1), chain.depth

    def by_depth(column: int) -> np.ndarray:
        return np.array([[found[start, depth][column][0] for depth in depths] for start in (FROM_IMAGE, FROM_FIRST)])

    def pictures(directions: np.ndarray) -> np.ndarray:
        return _with_signs(directions).reshape(-1, *chain.image_shape).astype(np.float32)

    values, directions, residuals, agreement = found[FROM_IMAGE, last]
    scores = found.get((TO_SCORES, last), [np.zeros(0), np.zeros((0, chain.n_image))])
    norms = by_depth(0)
    return {
        "growth": norms[0],
        "growth_from_first": norms[1],
        "residuals": by_depth(2),
        "agreement": by_depth(3),
        "singular_values": values,
        "input_directions": pictures(directions),
        "singular_residuals": residuals,
        "singular_agreement": agreement,
        "logit_values": scores[0],
        "logit_directions": pictures(scores[1]),
        "first_values": found[FROM_FIRST, last][0],
        "first_directions": found[FROM_FIRST, last][1],
    }


def _with_signs(directions: np.ndarray) -> np.ndarray:
    """The directions with a positive largest entry: a singular vector's sign is arbitrary. shape: (m, n)"""
    largest = np.take_along_axis(directions, np.abs(directions).argmax(axis=1)[:, None], axis=1)
    return directions * np.where(largest < 0, -1.0, 1.0)


def _pushed(chain: "Chain") -> dict:
    """The mean growth of random directions, ‖J v‖ / ‖v‖ with v from N(0, 1), at every depth, in float64."""
    import torch

    found: dict[str, list[float]] = {"random_growth": [], "random_growth_from_first": []}
    generator = torch.Generator().manual_seed(0)
    at_image = torch.randn(RANDOM, chain.n_image, dtype=torch.float64, generator=generator)
    at_first = torch.randn(RANDOM, chain.n_first, dtype=torch.float64, generator=generator)
    sizes = torch.cat([at_image.norm(dim=1), at_first.norm(dim=1)])
    flow = torch.cat([chain.enter(at_image), at_first])
    for depth in range(1, chain.depth + 1):
        flow = chain.step(depth, flow)
        for values, part in zip(found.values(), (flow.norm(dim=1) / sizes).split(RANDOM), strict=True):
            values.append(float(part.mean()))
    return {name: np.array(values) for name, values in found.items()}


def _stretched(chain: "Chain", directions: np.ndarray, values: np.ndarray) -> dict:
    """log R_k[i, i] of the frame's QR decompositions, block by block, and how well they add up to log σ_i.

    directions: right singular vectors of J_L ⋯ J_1 as rows, (m, n_first); values: σ_i.
    """
    import torch

    frame, rows = torch.from_numpy(directions), []
    for depth in range(1, chain.depth + 1):
        q, r = torch.linalg.qr(chain.step(depth, frame).T)
        frame = q.T.contiguous()
        rows.append(np.abs(np.diagonal(r.numpy())))
    with np.errstate(divide="ignore"):
        stretch = np.log(np.array(rows))  # −∞ where a direction is lost
    there = values > np.finfo(float).eps * len(directions) * values[:1].max(initial=0)
    errors = np.abs(stretch.sum(axis=0)[there] - np.log(values[there]))
    return {"log_stretch": stretch, "exponent_error": float(errors.max(initial=0.0))}


def _prediction(request: GrowthRequest, chain: "Chain") -> tuple[int | None, float]:
    """Predicted label, None without a head, and cross-entropy, NaN if unlabelled."""
    import torch

    if chain.scores is None:
        return None, math.nan
    label = request.network.label_of(request.image)
    losses = -torch.log_softmax(chain.scores, 0)
    return int(losses.argmin()), math.nan if label is None else float(losses[label])
