"""An eigenvalue's mode: the eigenvectors of a block's Jacobian J, mapped back from the core to the block's own space.

The core K is the product of the block's factors once around the cycle of its layers, from the core's layer on (deflation.py). Let
``W`` map that layer to the outputs and ``V`` the inputs to that layer, masks included: ``J_F = W V``, ``K = V W`` (under ``block``
both with the outer mask D, and J = D (J_F + I)). With μ = λ - shift, K y = μ y and zᵀ K = μ zᵀ,

    right:  x = W y               J x = λ x          what the block does to a direction of its inputs
    left:   branch  w = Vᵀ z      wᵀ J = λ wᵀ        which changes of the inputs excite it
            block   w = Jᵀ u / λ with u = D Vᵀ z, since J's rows of dead outputs are zero but its columns are not

(if the core is on the outputs themselves, W and V are the identity on them; where it is on several layers, on one of them at each
pixel, pixels of layers behind the outputs are reached by one more round, divided by μ). Inverse iteration with K in float64 gives y and z.
Residuals use the true J, by its convolutions. The condition number of λ is ``‖w‖ ‖x‖ / |wᵀ x|``: a perturbation of J of norm ε
moves λ by at most about ε times that (Wilkinson 1965); it is 1 for a normal matrix. Imports torch only to compute.
"""

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from stiffcore.analysis import compute as analysis, requests
from stiffcore.analysis.requests import Request
from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.progress import Progress, silent
from stiffcore.storage import cache as result_cache, kept

if TYPE_CHECKING:  # they import torch
    from stiffcore.jacobians.linearise import BlockState

ALGORITHM = 1  # raise it when equal requests would give other numbers
LARGEST_CORE = 1500  # side; above it factorising K - μI takes more than a few seconds
ITERATIONS = 3  # of inverse iteration; one is enough where λ is as accurate as LAPACK's
_NUMBERS = ("residual", "left_residual", "condition", "seconds")
_ARRAYS = ("right_map", "left_map", "right_channels", "left_channels")


@dataclass(frozen=True)
class Mode:
    """An eigenvalue's right and left eigenvector, each of norm 1, as maps and as norms per channel.

    right_map, left_map: ‖·‖ over the channels at each pixel, shape (H, W); of a matrix |x_k| and |w_k|, shape (1, n). right_channels, left_channels: ‖·‖ over the pixels
    of each channel, shape (C,). residual: ‖J x - λ x‖ / ‖x‖; left_residual: ‖Jᵀ w - λ w‖ / ‖w‖.
    """

    request: Request
    eigenvalue: complex
    right_map: np.ndarray
    left_map: np.ndarray
    right_channels: np.ndarray
    left_channels: np.ndarray
    residual: float
    left_residual: float
    condition: float
    seconds: float
    weights: str
    notice: str = ""  # shown to the user if the mode could not be stored


def check(convention: Convention, side: int) -> None:
    """Raises CannotCompute for a core that is too large, and for a convention without a matrix. side: of the core."""
    convention.check_matrix()
    if side > LARGEST_CORE:
        raise CannotCompute(
            f"Expected a core of side {LARGEST_CORE:,} at most for its modes, got {side:,}: choose a later block."
        )


def key(request: Request, eigenvalue: complex) -> str:
    """The key of a mode in the cache."""
    return result_cache.key(
        {
            "kind": "mode",
            "algorithm": [ALGORITHM, requests.ALGORITHM],
            **request.network.key_fields(request.image),
            "block": request.block,
            "convention": request.convention,
            "eigenvalue": [float(eigenvalue.real), float(eigenvalue.imag)],
        }
    )


def stored(request: Request, eigenvalue: complex) -> Mode | None:
    """The stored or shipped mode; None where there is none. Imports no torch."""

    def read(entry: result_cache.Entry) -> Mode:
        stored_numbers = {name: entry.header[name] for name in _NUMBERS}
        fields: dict[str, Any] = entry.arrays | result_cache.numbers_from_json(stored_numbers)
        return Mode(request, complex(eigenvalue), **fields, weights=entry.header["weights"])

    return kept.find(key(request, eigenvalue), read)


def as_entry(mode: Mode) -> result_cache.Entry:
    """The cache entry of a mode."""
    numbers = result_cache.numbers_to_json({name: getattr(mode, name) for name in _NUMBERS})
    header = {"request": mode.request.in_header(), "kind": "mode"} | numbers | {"weights": mode.weights}
    return result_cache.Entry(header, {name: getattr(mode, name) for name in _ARRAYS})


def compute(request: Request, eigenvalue: complex, progress: Progress | None = None, again: bool = False) -> Mode:
    """The mode of an eigenvalue of the core, stored or computed and then stored.

    again: compute it even if it is stored; the new mode replaces the stored one. Raises CannotCompute for an eigenvalue close
    to 0.
    """
    report = progress or silent

    def fresh() -> tuple[Mode, result_cache.Entry]:
        began = time.perf_counter()
        report(0, 3, "one forward pass")
        state = analysis.block_state(request)
        vectors = of_state(state, request.convention, eigenvalue, report)
        seconds = round(time.perf_counter() - began, 3)
        mode = Mode(request, complex(eigenvalue), **vectors, seconds=seconds, weights=request.network.weights_sha256)
        return mode, as_entry(mode)

    name = key(request, eigenvalue)
    mode, notice = kept.computed_once(name, lambda: stored(request, eigenvalue), fresh, report, again)
    return replace(mode, notice=notice)


def of_state(state: "BlockState", convention: Convention, eigenvalue: complex, report: Progress) -> dict:
    """The fields of a Mode for a linearise.BlockState."""
    from stiffcore.jacobians import deflation
    from stiffcore.jacobians.cycle import Cycle

    plan = deflation.plan(state, convention)
    check(convention, plan.side)
    report(1, 3, f"forming a core of side {plan.side}")
    core = deflation.form_core(state, convention).matrix.numpy()
    report(2, 3, "inverse iteration")
    around, value = Cycle(state, convention, plan.layers), complex(eigenvalue) - plan.shift
    y, z = core_vectors(core, value)
    x, w = around.to_outputs(y, value), around.to_inputs(z, value)
    if convention.masks_outputs and eigenvalue != 0:
        w = _product(state, convention, w, transpose=True) / eigenvalue
    x, w = _normalised(x, eigenvalue), _normalised(w, eigenvalue)
    right, left = (_product(state, convention, v, transpose) for v, transpose in ((x, False), (w, True)))
    overlap = abs(w @ x)
    planes = {"right": _planes(x, state.geometry.output_shape), "left": _planes(w, state.geometry.input_shape)}
    return {
        **{f"{name}_map": np.linalg.norm(plane, axis=0) for name, plane in planes.items()},
        **{f"{name}_channels": np.linalg.norm(plane, axis=(1, 2)) for name, plane in planes.items()},
        "residual": float(np.linalg.norm(right - eigenvalue * x)),
        "left_residual": float(np.linalg.norm(left - eigenvalue * w)),
        "condition": float(1 / overlap) if overlap > 0 else float("inf"),
    }


def _planes(vector: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A vector as (channels, rows, columns): one without channels in one row, one of tokens with its features as channels."""
    if len(shape) == 1:
        return vector.reshape(1, 1, -1)
    return vector.reshape(shape).T[:, None] if len(shape) == 2 else vector.reshape(*shape[:2], -1)


def core_vectors(core: np.ndarray, value: complex) -> tuple[np.ndarray, np.ndarray]:
    """Right and left eigenvectors, K y = μ y and zᵀ K = μ zᵀ, by inverse iteration with one LU factorisation of K - μI."""
    from scipy.linalg import lapack

    side, size = len(core), max(float(np.linalg.norm(core)), np.finfo(float).tiny)
    shifted = core.astype(complex) - value * np.eye(side)
    lu, pivots, info = lapack.zgetrf(shifted, overwrite_a=True)
    if info < 0:
        raise ValueError(f"LAPACK's zgetrf rejected its argument number {-info}.")
    diagonal = np.einsum("ii->i", lu)
    diagonal[np.abs(diagonal) < np.finfo(float).eps * size / side] = np.finfo(float).eps * size / side
    start = np.random.default_rng(0).standard_normal(side) + 0j
    vectors = []
    for trans in (0, 1):
        v = start / np.linalg.norm(start)
        for _ in range(ITERATIONS):
            v, info = lapack.zgetrs(lu, pivots, v, trans=trans)
            v = v / np.linalg.norm(v)
        vectors.append(v)
    return vectors[0], vectors[1]


def _product(state: "BlockState", convention: Convention, vector: np.ndarray, transpose: bool) -> np.ndarray:
    """J v or Jᵀ v of a complex vector, by the convolutions in float64."""
    import torch

    from stiffcore.jacobians import operator as jacobian

    parts = torch.from_numpy(np.stack([vector.real, vector.imag]))
    real, imaginary = (jacobian.apply_transpose if transpose else jacobian.apply)(state, convention, parts).numpy()
    return real + 1j * imaginary


def _normalised(vector: np.ndarray, eigenvalue: complex) -> np.ndarray:
    size = np.linalg.norm(vector)
    if not np.isfinite(size) or size < 1e-9:  # y, z have norm 1; W y = 0 means K y = 0
        raise CannotCompute(
            f"Expected an eigenvalue away from 0, got {eigenvalue:.3g}, whose vectors the core does not determine: "
            "choose another one."
        )
    return vector / size
