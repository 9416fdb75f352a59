"""How far a block's Jacobian J is from normal: numerical abscissa, Henrici's departure, pseudospectra.

Eigenvalues alone do not characterise stiffness (Higham and Trefethen 1993, BIT 33): if J is not normal, solutions of x' = J x
may grow for long before they decay, and so may steps within the stability region.

    numerical abscissa    ω(J) = max eigenvalue of (J + Jᵀ)/2 = d/dt ‖exp(tJ)‖₂ at t = 0        >= max Re λ
    Henrici's departure   dep(J) = (‖J‖²_F - Σ|λ|²)^½ = ‖N‖_F,  J = U (Λ + N) Uᴴ                0 if and only if J is normal
    transient growth      ‖exp(tJ)‖₂, 0 < t <= 1, and Kreiss's constant                          e^(tm) <= ‖exp(tJ)‖₂ <= e^(tω)
    pseudospectra         {z : ‖(zI - J)⁻¹‖₂ >= 1/ε} = eigenvalues of all J + E with ‖E‖₂ <= ε

They are properties of J, not of the core: schur_form.py gives the Schur form from which they are computed. Imports torch only
to compute.
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
    from stiffcore.spectra.schur_form import Triangle

ALGORITHM = 1  # raise it when equal requests would give other numbers
LARGEST_CORE = 1500  # side
COLUMNS, ROWS = 20, 10  # of the grid, equally spaced; as many again are placed by quantiles of the eigenvalues
SECONDS_PER_POINT = 4e-8  # times the side squared, on one core; for the estimate
TIMES = (0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0)  # of x' = Jx: a block's time is 1
_NUMBERS = ("numerical_abscissa", "norm", "frobenius", "departure", "seconds")


@dataclass(frozen=True)
class NonNormality:
    """How far a Jacobian is from normal.

    x, y: the grid, float64, with y >= 0 only, since J is real; log_resolvent: log10 ‖(zI - J)⁻¹‖₂, shape (len(y), len(x)).
    """

    request: Request
    numerical_abscissa: float
    norm: float  # ‖J‖₂
    frobenius: float  # ‖J‖_F
    departure: float
    x: np.ndarray
    y: np.ndarray
    log_resolvent: np.ndarray
    seconds: float
    weights: str
    notice: str = ""  # shown to the user if the result could not be stored
    growth: np.ndarray | None = None  # ‖exp(tJ)‖₂ at TIMES; None in results that were stored before


def check(convention: Convention, side: int) -> None:
    """Raises CannotCompute for a core that is too large, and for a convention without a matrix. side: of the core."""
    convention.check_matrix()
    if side > LARGEST_CORE:
        raise CannotCompute(
            f"Expected a core of side {LARGEST_CORE:,} at most for pseudospectra, got {side:,}: choose a later block."
        )


def key(request: Request) -> str:
    """The key of a result in the cache."""
    return result_cache.key(
        {
            "kind": "non-normality",
            "algorithm": [ALGORITHM, requests.ALGORITHM],
            **request.network.key_fields(request.image),
            "block": request.block,
            "convention": request.convention,
        }
    )


def stored(request: Request) -> NonNormality | None:
    """The stored or shipped result; None where there is none. Imports no torch."""

    def read(entry: result_cache.Entry) -> NonNormality:
        stored_numbers = {name: entry.header[name] for name in _NUMBERS}
        fields: dict[str, Any] = entry.arrays | result_cache.numbers_from_json(stored_numbers)
        return NonNormality(request, **fields, weights=entry.header["weights"])

    return kept.find(key(request), read)


def as_entry(result: NonNormality) -> result_cache.Entry:
    """The cache entry of a result."""
    numbers = result_cache.numbers_to_json({name: getattr(result, name) for name in _NUMBERS})
    arrays = {name: getattr(result, name) for name in ("x", "y", "log_resolvent", "growth")}
    arrays = {name: array for name, array in arrays.items() if array is not None}
    header = {"request": result.request.in_header(), "kind": "non-normality"} | numbers | {"weights": result.weights}
    return result_cache.Entry(header, arrays)


def estimated_seconds(side: int) -> float:
    """Seconds on one otherwise idle CPU core, for the Schur form and the grid. side: of the core."""
    return 6 + 2e-8 * side**3 + 4 * COLUMNS * ROWS * SECONDS_PER_POINT * side**2


def compute(request: Request, progress: Progress | None = None, again: bool = False) -> NonNormality:
    """One block's non-normality at an image, stored or computed and then stored.

    again: compute it even if it is stored; the new result replaces the stored one.
    """
    report = progress or silent

    def fresh() -> tuple[NonNormality, result_cache.Entry]:
        began = time.perf_counter()
        report(0, 0, "one forward pass")
        state = analysis.block_state(request)
        numbers = of_state(state, request.convention, report)
        seconds = round(time.perf_counter() - began, 2)
        computed = NonNormality(request, **numbers, seconds=seconds, weights=request.network.weights_sha256)
        return computed, as_entry(computed)

    result, notice = kept.computed_once(key(request), lambda: stored(request), fresh, report, again)
    return replace(result, notice=notice)


def of_state(state: "BlockState", convention: Convention, report: Progress) -> dict:
    """The numbers and arrays of a NonNormality, by the names of its fields."""
    from stiffcore.jacobians import deflation
    from stiffcore.spectra import schur_form

    check(convention, deflation.plan(state, convention).side)
    report(0, 0, "Schur form")
    triangle = schur_form.triangular_form(state, convention)
    report(0, 0, "numerical abscissa")
    abscissa, norm = outermost(state, convention)
    x, y = grid(np.append(triangle.upper.diagonal(), [s for s, _ in triangle.couplings]))
    log_resolvent = log_resolvent_norms(triangle, x, y, report)
    if not np.isfinite(log_resolvent).any():
        raise CannotCompute(
            "The resolvent norms are beyond float64 all over the plane around the eigenvalues: choose another block, or scale the matrix."
        )
    return {
        "numerical_abscissa": abscissa, "norm": norm, "departure": triangle.departure,
        "frobenius": float(np.hypot(np.sqrt(schur_form.sum_of_squares(state, convention, triangle)), triangle.departure)),
        "x": x, "y": y, "log_resolvent": log_resolvent, "growth": growth(state, convention, norm, report),
    }  # fmt: skip


def outermost(state: "BlockState", convention: Convention) -> tuple[float, float]:
    """ω(J), which is the upper logarithmic norm, and ‖J‖₂. Raises CannotCompute where Lanczos' method does not settle."""
    from stiffcore.spectra import symmetric_part

    norms = symmetric_part.compute(state, convention)
    if norms.upper is None or norms.norm is None:
        raise CannotCompute("Lanczos' iteration for ω(J) and ‖J‖₂ did not settle: choose another block.")
    return norms.upper, norms.norm


def growth(state: "BlockState", convention: Convention, norm: float, report: Progress) -> np.ndarray:
    """‖exp(tJ)‖₂ at TIMES. norm: ‖J‖₂."""
    from stiffcore.spectra import transient

    report(0, 0, "growth within a block's time")
    return transient.norms_of_exponential(state, convention, np.array(TIMES), norm, report)


def kreiss_constant(found: NonNormality, max_re: float) -> float:
    """A lower bound for Kreiss's constant of J - αI, α = max Re λ: max (Re z - α) ‖(zI - J)⁻¹‖ over the grid's points right of α.

    It is sup_ε (α_ε - α)/ε of the pseudospectra's abscissas α_ε, and a lower bound for sup_t e^(-αt) ‖exp(tJ)‖₂, which is at most e n
    times it (Kreiss's matrix theorem; Trefethen and Embree 2005, § 14-18). 1 for a normal matrix: the value far to the right.
    """
    distances = np.broadcast_to(found.x - max_re, found.log_resolvent.shape)
    right = (distances > 0) & np.isfinite(found.log_resolvent)
    return max(1.0, float((distances[right] * 10 ** found.log_resolvent[right]).max(initial=0.0)))


def grid(eigenvalues: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where resolvent norms are computed: an even grid around the eigenvalues, denser where there are many."""
    left, right, height = eigenvalues.real.min(), eigenvalues.real.max(), np.abs(eigenvalues.imag).max()
    extent = max(right - left, 2 * height)
    margin = 0.25 * (max(extent, 1e-3) if extent else 1.0)  # all at one point: a unit around it
    shares = (np.arange(COLUMNS) + 0.5) / COLUMNS
    x = np.union1d(np.linspace(left - margin, right + margin, COLUMNS), np.quantile(eigenvalues.real, shares))
    by_height = np.quantile(np.abs(eigenvalues.imag), (np.arange(ROWS) + 0.5) / ROWS)
    y = np.union1d(np.linspace(0, height + margin, ROWS), by_height)
    return _apart(x), _apart(y)


def _apart(values: np.ndarray) -> np.ndarray:
    """Without values that are closer to the previous one than a thousandth of the range."""
    kept = [values[0]]
    for value in values[1:]:
        if value - kept[-1] > 1e-3 * np.ptp(values):
            kept.append(value)
    return np.array(kept)


def log_resolvent_norms(triangle: "Triangle", x: np.ndarray, y: np.ndarray, report: Progress) -> np.ndarray:
    """log10 ‖(zI - J)⁻¹‖₂ of a schur_form.Triangle on a grid, shape (len(y), len(x)); infinite at an eigenvalue."""
    from stiffcore.spectra import schur_form

    norms = np.empty((len(y), len(x)))
    workspace = np.asfortranarray(-triangle.upper)
    for row, height in enumerate(y):
        for column, re in enumerate(x):
            report(row * len(x) + column, norms.size, "resolvent norms")
            with np.errstate(divide="ignore"):
                norms[row, column] = np.log10(schur_form.resolvent_norm(triangle, complex(re, height), workspace))
    return norms
