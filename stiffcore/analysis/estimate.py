"""Estimates the cost of requests before they are computed: seconds and memory. Imports no torch."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from stiffcore.analysis import compute as analysis
from stiffcore.analysis.requests import Request


@dataclass(frozen=True)
class Estimate:
    """The estimated cost of a set of requests on one core."""

    seconds: float
    bytes: int  # peak memory
    n_missing: int  # requests that are neither shipped nor stored
    sentence: str


# Seconds, measured on one core of a 2-core cloud machine (AMD EPYC, 2026): estimates, not claims.
SECONDS_PER_SIDE_CUBED = 3e-10  # one full spectrum in float64; two are computed, of K and of its transpose
SECONDS_PER_EXTREMES = 1.0
SHARE_OF_PROOF = 0.04  # of a full spectrum's seconds: one or two Cholesky factorisations and forming the core
SECONDS_PER_NORM = 2e-5  # times the block's inputs or outputs: 0.4 s for 16,384
BYTES_PER_NORM = 4000  # times the same: four bases of a hundred vectors, and the windows of a batch
SECONDS_PER_SLICE_EIGENVALUE = {"extremes": 4e-8, "counts": 5e-8, "spectrum": 2e-7}
SECONDS_TO_LOAD = 2.0
TYPICAL_LIVE_SHARE = 0.45  # of the units of an inner layer


def of(requests: Iterable[Request], again: bool = False) -> Estimate:
    """The cost of those requests that are not stored, or of all of them if they are computed again. Imports no torch."""
    missing = [request for request in requests if again or analysis.stored(request) is None]
    costs = [_cost(request) for request in missing]
    seconds = sum(cost[0] for cost in costs) + SECONDS_TO_LOAD * bool(missing)
    most = max((cost[1] for cost in costs), default=0)
    if not missing:
        return Estimate(0.0, 0, 0, "All results are stored.")
    count = "1 result" if len(missing) == 1 else f"{len(missing)} results"
    count += " again" if again else " is not stored yet" if len(missing) == 1 else " are not stored yet"
    sentence = f"{count}: about {_duration(seconds)} and {max(0.3, most / 1e9):.1f} GB of memory."
    return Estimate(seconds, most, len(missing), sentence)


def seconds(request: Request) -> float:
    """The seconds of a single request on one core, whether it is stored or not."""
    return _cost(request)[0]


def _cost(request: Request) -> tuple[float, int]:
    geometry = request.geometry
    if not request.convention.has_matrix:
        return SECONDS_PER_SLICE_EIGENVALUE[request.quantity] * geometry.n_eigenvalues(request.convention), 3 * 10**8
    longest = max(geometry.n_in, geometry.n_out)
    if request.quantity == "norms":
        return 0.1 + SECONDS_PER_NORM * longest, BYTES_PER_NORM * longest
    side = TYPICAL_LIVE_SHARE * min(map(math.prod, geometry.inner_shapes)) if geometry.inner_shapes else geometry.n_in
    if not geometry.is_identity:
        rows = 0.4 * geometry.n_out
        needed = int(24 * rows * geometry.n_in)
        if rows > 6000 or needed > 3 * 10**9:  # only the outermost, by Lanczos: see singular_values.py
            return 60.0, 5 * 10**8
        return 2e-10 * rows**2 * geometry.n_in + 2, needed
    full = 2 * SECONDS_PER_SIDE_CUBED * side**3
    if request.quantity == "extremes" or (request.quantity == "counts" and request.convention.counts_are_provable):
        proof = SHARE_OF_PROOF * full if request.convention.counts_are_provable else 0.0
        return SECONDS_PER_EXTREMES + proof, int(24 * side**2)
    return full + 1.0, int(32 * side**2)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
