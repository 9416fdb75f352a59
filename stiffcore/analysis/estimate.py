"""Estimates the cost of requests before they are computed: seconds and memory. Imports no torch."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from stiffcore.analysis import compute as analysis
from stiffcore.analysis.requests import Request
from stiffcore.networks import catalogue


@dataclass(frozen=True)
class Estimate:
    """The estimated cost of a set of requests on one core."""

    seconds: float
    bytes: int  # peak memory
    n_missing: int  # requests that are neither shipped nor stored
    sentence: str


# Seconds, measured on one core of a 2-core cloud machine (AMD EPYC, 2026): estimates, not claims.
SECONDS_PER_SIDE_CUBED, SECONDS_BESIDES = (
    6e-10,
    0.7,
)  # a full spectrum in float64: of K, of its transpose, and the checks
SECONDS_PER_EXTREMES = 1.0
SECONDS_PER_NORM = 2e-5  # times the block's inputs or outputs: 0.4 s for 16,384
BYTES_PER_NORM = 4000  # times the same: four bases of a hundred vectors, and the windows of a batch
SECONDS_OF_PROOF, SECONDS_OF_PROOF_PER_SIDE = 0.5, 3e-4  # with the extremes, where a proof holds
SEARCH = 1.15  # times the full spectrum, where none holds
SECONDS_PER_SLICE_EIGENVALUE = {"extremes": 4e-8, "counts": 5e-8, "spectrum": 2e-7}
SECONDS_OF_LANCZOS = 5.0  # both ends of the singular values
SECONDS_TO_LOAD = 2.0
TYPICAL_LIVE_SHARE = {True: 0.40, False: 0.45}  # of the units of an inner layer; True: where the outer ReLU masks, too
RANDOM_LIVE_SHARE = 0.5  # of networks with random or shuffled weights
WORTH_A_WORD = 30  # seconds
WORTH_A_WORD_UNKNOWN = 5  # seconds; of a network that may be untrained, whose proofs often do not hold


def of(requests: Iterable[Request], again: bool = False) -> Estimate:
    """The cost of those requests that are not stored, or of all of them if they are computed again. Imports no torch."""
    missing = [request for request in requests if again or analysis.stored(request) is None]
    costs = [_cost(request) for request in missing]
    seconds, worst = (sum(cost[i] for cost in costs) + SECONDS_TO_LOAD * bool(missing) for i in (0, 2))
    most = max((cost[1] for cost in costs), default=0)
    if not missing:
        return Estimate(0.0, 0, 0, "All results are stored.")
    count = "1 result" if len(missing) == 1 else f"{len(missing)} results"
    count += " again" if again else " is not stored yet" if len(missing) == 1 else " are not stored yet"
    least = WORTH_A_WORD_UNKNOWN if any(map(_is_of_unknown_training, missing)) else WORTH_A_WORD
    otherwise = f", up to {_duration(worst)} where no proof holds" if worst > max(2 * seconds, least) else ""
    sentence = f"{count}: about {_duration(seconds)}{otherwise} and {max(0.3, most / 1e9):.1f} GB of memory."
    return Estimate(seconds, most, len(missing), sentence)


def seconds(request: Request) -> float:
    """The seconds of a single request on one core, whether it is stored or not."""
    return _cost(request)[0]


def _is_of_unknown_training(request: Request) -> bool:
    """Whether the network comes from a file or from memory."""
    return request.network.name not in catalogue.NETWORKS


def _cost(request: Request) -> tuple[float, int, float]:
    """Seconds, bytes, and seconds where a proof that usually holds does not."""
    geometry, convention = request.geometry, request.convention
    if not convention.has_matrix:
        seconds = SECONDS_PER_SLICE_EIGENVALUE[request.quantity] * geometry.n_eigenvalues(convention)
        return seconds, 3 * 10**8, seconds
    longest = max(geometry.n_in, geometry.n_out)
    norms, memory = 0.1 + SECONDS_PER_NORM * longest, BYTES_PER_NORM * longest
    if request.quantity == "norms":
        return norms, memory, norms
    usually, needed, worst = _cost_beside_norms(request)
    return usually + norms, max(needed, memory), worst + norms


def _cost_beside_norms(request: Request) -> tuple[float, int, float]:
    """As ``_cost``, of what a level has beside the norms of ``block`` and ``branch``."""
    geometry, convention = request.geometry, request.convention
    if not geometry.is_identity:
        return _cost_of_singular_values(request)
    is_random, narrowest, side = _is_random(request), _narrowest(request), core_side(request)
    full = _full(side)
    by_proof = request.quantity != "spectrum" and convention.counts_are_provable
    if by_proof:
        proved = SECONDS_OF_PROOF + SECONDS_OF_PROOF_PER_SIDE * side
        most = max(side, RANDOM_LIVE_SHARE * narrowest) if _is_of_unknown_training(request) else side
        worst = SEARCH * _full(most) if request.quantity == "counts" else proved
        # Random weights leave hundreds of directions in which no proof holds.
        return worst if is_random else proved, int(24 * side**2), worst
    if request.quantity == "extremes":
        return SECONDS_PER_EXTREMES, int(24 * side**2), SECONDS_PER_EXTREMES
    return full, int(32 * side**2), full


def core_side(request: Request) -> float:
    """The side of an identity block's core: how many units of its narrowest inner layer are expected to live."""
    share = RANDOM_LIVE_SHARE if _is_random(request) else TYPICAL_LIVE_SHARE[request.convention.masks_outputs]
    return share * _narrowest(request) or request.geometry.n_in


def _is_random(request: Request) -> bool:
    """Whether the network is a baseline."""
    return request.network.name in catalogue.NETWORKS[len(catalogue.SHIPPED) :]


def _narrowest(request: Request) -> int:
    """The units of the narrowest inner layer; 0 of a map or a matrix, which has none."""
    return min(map(math.prod, request.geometry.inner_shapes), default=0)


def _full(side: float) -> float:
    """Seconds of a full spectrum."""
    return SECONDS_PER_SIDE_CUBED * side**3 + SECONDS_BESIDES


def _cost_of_singular_values(request: Request) -> tuple[float, int, float]:
    geometry = request.geometry
    rows = 0.4 * geometry.n_out
    needed = int(24 * rows * geometry.n_in)
    if rows > 6000 or needed > 3 * 10**9:  # only the outermost, by Lanczos: see singular_values.py
        return SECONDS_OF_LANCZOS, 5 * 10**8, SECONDS_OF_LANCZOS
    seconds = 2e-10 * rows**2 * geometry.n_in + 2
    return seconds, needed, seconds


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
