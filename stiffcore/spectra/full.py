"""From a block's state to its spectrum: all eigenvalues, or the extremes only."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree

from stiffcore import device
from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute, not_finite
from stiffcore.jacobians import deflation
from stiffcore.jacobians.linearise import BlockState
from stiffcore.progress import Progress, silent
from stiffcore.spectra import arnoldi, certificate

FULL_BELOW = 400  # side; below it LAPACK takes a tenth of a second and Arnoldi gains nothing (measured)
METRICS_MEMORY = 3 * 10**9  # bytes, at most, for metrics alone
SPECTRUM_MEMORY = (
    8 * 10**9
)  # bytes, at most, for a full spectrum; on a card, which holds nothing else, either may take what is free
COPIES_OF_CORE = 2.3  # the core, the copy that LAPACK overwrites, and workspace (measured: 2.1)
COPIES_ON_CARD = (
    8.0  # with cuSOLVER's workspace and what torch keeps for later; 16 GB at a side of 16,000 (an estimate)
)
BESIDES = 4 * 10**8  # bytes: torch, the network and its scaled convolutions


@dataclass(frozen=True)
class Spectrum:
    """All eigenvalues of a block's Jacobian: those of the core, and the numbers of structural zeros and ones."""

    convention: Convention
    eigenvalues: np.ndarray  # complex128, shape (side,): of the core, shift included
    n: int
    zeros: int
    ones: int
    tolerance: float  # an eigenvalue with |Re| at most this is undetermined
    health: dict[str, float]
    device: str

    def complete(self) -> np.ndarray:
        """All n eigenvalues, structural ones included. complex128, shape (n,)."""
        return np.concatenate([self.eigenvalues, np.zeros(self.zeros, complex), np.ones(self.ones, complex)])


@dataclass(frozen=True)
class Extremes:
    """The outermost eigenvalues, structural 0 and 1 included."""

    max_re: float
    min_re: float
    spectral_radius: float
    tolerance: float
    health: dict[str, float]


def full_spectrum(
    state: BlockState,
    convention: Convention,
    progress: Progress = silent,
    core: deflation.Core | None = None,
    limit: int = SPECTRUM_MEMORY,
) -> Spectrum:
    """Every eigenvalue, in float64 by LAPACK or cuSOLVER on the core, where it is.

    The spectra of K and Kᵀ are both computed; d, the largest distance between matched eigenvalues, measures the error due to
    non-normality. Undetermined: |Re λ| ≤ max(10·m·u·‖K‖_F, 10·d). The residual is that of the outermost eigenvalues, with
    vectors from another method, Arnoldi's; NaN where that does not converge.
    Raises CannotCompute where the block is not an identity block or the core does not fit into memory.
    """
    plan = deflation.plan(state, convention)
    where = state.device if core is None else core.matrix.device
    check_core_memory(plan.side, limit, where)
    progress(0, 3, "forming the core")
    core = core or deflation.form_core(state, convention)
    matrix = core.matrix
    norm = float(matrix.norm())
    if not np.isfinite(norm):
        raise not_finite("a block's core")
    progress(1, 3, f"eigenvalues of a core of side {plan.side}")
    values = torch.linalg.eigvals(matrix).cpu().numpy()
    progress(2, 3, "checking against the transpose")
    of_transpose = torch.linalg.eigvals(matrix.T).cpu().numpy()
    distance = matching_distance(values, of_transpose)
    tolerance = max(10 * plan.side * device.UNIT_ROUNDOFF * norm, 10 * distance)
    eigenvalues = values + plan.shift
    health = _identities(values, matrix) | {
        "residual": _residual_of_outermost(values, matrix),
        "transpose_distance": distance,
        "core_side": plan.side,
        "frobenius_norm": norm,
        "tolerance": tolerance,
    }
    return Spectrum(convention, eigenvalues, plan.n, plan.zeros, plan.ones, tolerance, health, device.name(where))


def needed_memory(side: int, copies: float = COPIES_OF_CORE) -> int:
    """Peak bytes of a computation that holds this many matrices of the core's side."""
    return int(copies * 8 * side**2) + BESIDES


def allowed_memory(limit: int, where: torch.device) -> int:
    """Bytes that a computation may take on a device: the limit holds on the CPU, which other programs use, too."""
    free = int(0.9 * device.free_memory(where))
    return min(limit, free) if where == device.CPU else free


def check_core_memory(side: int, limit: int, where: torch.device = device.CPU) -> None:
    """Raises CannotCompute for a core that would not fit, before anything is allocated."""
    if where != device.CPU:
        instead = "compute on the CPU, or ask for the extremes only, which need no core"
        device.check_memory(needed_memory(side, COPIES_ON_CARD), 2**62, f"a core of side {side}", instead, where)
        return
    instead = "choose a later block, or ask for the extremes only, which need no core"
    if limit == METRICS_MEMORY and needed_memory(side) <= SPECTRUM_MEMORY:
        instead = "ask for the full spectrum, which may use more memory, or for the extremes only, which need no core"
    device.check_memory(needed_memory(side), limit, f"a core of side {side}", instead)


def _identities(values: np.ndarray, matrix: torch.Tensor) -> dict[str, float]:
    """Errors of Σλ = tr K and Σλ² = tr K², relative to ‖K‖_F and its square, and of the conjugate pairs."""
    norm = float(matrix.norm()) or 1.0  # 1 for an empty core and for zero
    trace_of_square = float((matrix * matrix.T).sum())
    return {
        "trace_error": abs(values.sum() - float(matrix.trace())) / norm,
        "trace_square_error": abs((values**2).sum() - trace_of_square) / norm**2,
        "conjugate_error": _conjugate_error(values) / norm,
    }


def _residual_of_outermost(values: np.ndarray, matrix: torch.Tensor) -> float:
    """A bound for ‖Kv − λv‖ / ‖K‖_F at the right, left and largest end: λ of the spectrum, v Arnoldi's unit vector.

    The bound is |λ − θ| + ‖Kv − θv‖ with Arnoldi's θ, so it also compares two methods that share no step.
    """
    if not len(values):
        return 0.0
    try:
        ends = arnoldi.outermost(lambda v: matrix @ v, len(values), seeds=arnoldi.SEEDS[:1], where=matrix.device)
    except CannotCompute:
        return float("nan")
    apart = max(float(np.abs(values - theta).min()) for theta in ends.values.values())
    return (apart + ends.residual) / (float(matrix.norm()) or 1.0)


def _conjugate_error(values: np.ndarray) -> float:
    """The largest distance between eigenvalues above the real axis and conjugates of those below; ∞ if their numbers differ."""
    above, below = values[values.imag > 0], values[values.imag < 0].conj()
    if len(above) != len(below):
        return float("inf")
    return float(np.abs(np.sort_complex(above) - np.sort_complex(below)).max(initial=0.0))


def matching_distance(a: np.ndarray, b: np.ndarray) -> float:
    """The largest distance when two spectra of equal length are matched one to one.

    Mutual nearest neighbours are matched first; the rest, usually a few, by optimal assignment.
    """
    if len(a) == 0:
        return 0.0
    first, second = (np.column_stack([x.real, x.imag]) for x in (a, b))
    distance, to_second = cKDTree(second).query(first)
    _, to_first = cKDTree(first).query(second)
    mutual = to_first[to_second] == np.arange(len(a))
    largest = float(distance[mutual].max(initial=0.0))
    rest_a = np.flatnonzero(~mutual)
    rest_b = np.setdiff1d(np.arange(len(b)), to_second[mutual])
    if len(rest_a):
        costs = np.abs(a[rest_a][:, None] - b[rest_b][None, :])
        largest = max(largest, float(costs[linear_sum_assignment(costs)].max()))
    return largest


def extremes(
    state: BlockState,
    convention: Convention,
    progress: Progress = silent,
    core: deflation.Core | None = None,
    nothing_negative: bool = False,
    most_vectors: int | None = None,
) -> Extremes:
    """The rightmost, leftmost and largest eigenvalue by Arnoldi's method, structural 0 and 1 included.

    Two random starts must agree; residuals ‖Kv − λv‖ are recomputed in float64. No core is formed where the convolutions are
    the cheaper operator. nothing_negative: it is proved that no eigenvalue is negative; a structural 0, if any, is then the
    leftmost and no other is searched for. Raises CannotCompute where the iteration does not converge in ``most_vectors``.
    """
    plan = deflation.plan(state, convention)
    if plan.side < FULL_BELOW:
        return _extremes_of(full_spectrum(state, convention, progress, core))
    ends = tuple(end for end in arnoldi.ENDS if end != "left" or not (nothing_negative and plan.zeros))
    operator = _operator(state, convention, core)
    outermost = arnoldi.outermost(operator, plan.side, ends, progress, most=most_vectors, where=state.device)
    structural = [0.0] * (plan.zeros > 0) + [1.0] * (plan.ones > 0)
    return Extremes(
        max([outermost.values["right"].real, *structural]),
        min([*([outermost.values["left"].real] if "left" in ends else []), *structural]),
        max([abs(outermost.values["largest"]), *structural]),
        10 * max(outermost.residual, outermost.disagreement),
        {"residual": outermost.residual, "seed_disagreement": outermost.disagreement, "core_side": plan.side},
    )


def _extremes_of(spectrum: Spectrum) -> Extremes:
    values = spectrum.complete()
    return Extremes(
        float(values.real.max()),
        float(values.real.min()),
        float(np.abs(values).max()),
        spectrum.tolerance,
        spectrum.health,
    )


def _operator(state: BlockState, convention: Convention, core: deflation.Core | None = None) -> arnoldi.Product:
    """v -> (shift + K) v by the faster of two operators: the dense core or the convolutions."""
    if core is None and deflation.is_quicker_dense(state, deflation.plan(state, convention).side):
        core = deflation.form_core(state, convention)
    if core is None:
        return deflation.core_product(state, convention)
    return deflation.quickest_product(state, convention, core)


def certified(state: BlockState, progress: Progress = silent) -> tuple[certificate.Certificate, deflation.Core | None]:
    """The number of eigenvalues of the whole block with a negative real part, where it is proved."""
    side = deflation.plan(state, Convention.BLOCK).side
    allowed = allowed_memory(METRICS_MEMORY, state.device)
    return certificate.negative_eigenvalues(state, lambda copies: needed_memory(side, copies) <= allowed, progress)
