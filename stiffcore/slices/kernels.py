"""Compiled loops over batches of tiny matrices: signs of the eigenvalues' real parts, and bounds for their extremes.

Counts come from the characteristic polynomial ``λⁿ + c₁ λⁿ⁻¹ + … + cₙ`` of K / ‖K‖_F, by power sums and Newton's
identities, and Routh's array: the sign changes in its first column are the eigenvalues with Re λ > 0. Each entry
carries an error bound that covers every perturbation of K by BALL · n · u · ‖K‖_F · √n. Where a bound reaches its
entry, an eigenvalue may lie on the axis, or the polynomial is too ill-conditioned to decide: such a matrix is flagged
for LAPACK. Sizes 1 and 2 have closed forms.

numba compiles the loops at the first call (some seconds) and caches them beside the source, or in the user's cache folder.
They stay in one long file, because numba recompiles when the file of the outermost function changes, but not when the file of
a function that it calls does.
"""

import logging
from collections.abc import Callable
from typing import Any

import numba
import numpy as np

LANES = 32  # matrices processed side by side: fills vector registers, and the workspace fits into the first-level cache
LARGEST_ROUTH = 7  # side; the patch of a basic block with stride. Larger matrices go to LAPACK
UNIT_ROUNDOFF = 2.0**-53
BALL = 20.0  # twice the 10·m·u·‖K‖_F within which an eigenvalue counts as undetermined

DONE, COUNT, EXTREME = 0, 1, 2  # flags: nothing left to do; LAPACK decides all; only the extremes are open
HIGH, LOW, RADIUS, OTHER_HIGH, OTHER_LOW = range(5)  # extremes; OTHER: over the slices that do not carry the skip's 1
NEGATIVE, POSITIVE, UNDETERMINED, NON_ZERO = range(4)  # tallies; NON_ZERO: eigenvalues that are not structural zeros


def compiled(function: Callable) -> Any:  # numba's dispatcher
    """Compiles with numba, without the GIL; division by zero gives infinity. Cached on disk where that is writable."""
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract", "nsz"}}
    try:
        dispatcher: Any = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no folder for the cache: compile again in each process
        return numba.njit(**options)(function)
    dispatcher._cache.save_overload = _best_effort(dispatcher._cache.save_overload)
    return dispatcher


def _best_effort(save: Callable) -> Callable:
    """If the disk is full, the next process compiles again; this one goes on."""

    def attempted(*arguments: object) -> None:
        try:
            save(*arguments)
        except OSError as error:
            logging.getLogger(__name__).warning("Compiled code could not be cached: %s", error)

    return attempted


@compiled
def scan_1(values: np.ndarray, own: np.ndarray, extremes: np.ndarray, tally: np.ndarray) -> None:
    """1×1: the entry is the eigenvalue. Arguments as in ``scan_lanes``."""
    for o in range(values.shape[0]):
        for c in range(values.shape[3]):
            v = values[o, 0, 0, c]
            tally[NEGATIVE] += v < 0
            tally[POSITIVE] += v > 0
            tally[NON_ZERO] += v != 0
            extremes[HIGH] = max(extremes[HIGH], v)
            extremes[LOW] = min(extremes[LOW], v)
            extremes[RADIUS] = max(extremes[RADIUS], abs(v))
            if c != own[o]:
                extremes[OTHER_HIGH] = max(extremes[OTHER_HIGH], v)
                extremes[OTHER_LOW] = min(extremes[OTHER_LOW], v)


@compiled
def scan_2(values: np.ndarray, own: np.ndarray, extremes: np.ndarray, tally: np.ndarray, flags: np.ndarray) -> None:
    """2×2: (a + d)/2 ± √(((a − d)/2)² + b c), signs by determinant and trace. Arguments as in ``scan_lanes``."""
    for o in range(values.shape[0]):
        for i in range(values.shape[3]):
            a, b, c, d = values[o, 0, 0, i], values[o, 0, 1, i], values[o, 1, 0, i], values[o, 1, 1, i]
            if a == 0 or b == 0 or c == 0 or d == 0:
                flags[o, i] = COUNT if a != 0 or b != 0 or c != 0 or d != 0 else DONE
                continue
            trace, determinant, square_size = a + d, a * d - b * c, a * a + b * b + c * c + d * d
            # For n = 2 the perturbation of the module's docstring changes determinant and trace by at most this.
            if abs(determinant) <= 64 * UNIT_ROUNDOFF * square_size or (
                determinant > 0 and abs(trace) <= 96 * UNIT_ROUNDOFF * np.sqrt(square_size)
            ):
                flags[o, i] = COUNT
                continue
            mean, half = 0.5 * trace, 0.5 * (a - d)
            square = half * half + b * c
            root = np.sqrt(max(square, 0.0))
            high, low = mean + root, mean - root
            radius = max(abs(high), abs(low)) if square >= 0 else np.sqrt(mean * mean - square)
            positive = 1 if determinant < 0 else 2 if trace > 0 else 0
            tally[NON_ZERO] += 2
            tally[POSITIVE] += positive
            tally[NEGATIVE] += 2 - positive
            extremes[HIGH] = max(extremes[HIGH], high)
            extremes[LOW] = min(extremes[LOW], low)
            extremes[RADIUS] = max(extremes[RADIUS], radius)
            if i != own[o]:
                extremes[OTHER_HIGH] = max(extremes[OTHER_HIGH], high)
                extremes[OTHER_LOW] = min(extremes[OTHER_LOW], low)


@compiled
def _multiply(n: int, a: np.ndarray, b: np.ndarray, product: np.ndarray) -> None:
    for i in range(n):
        for j in range(n):
            for s in range(LANES):
                product[i, j, s] = a[i, 0, s] * b[0, j, s]
            for k in range(1, n):
                for s in range(LANES):
                    product[i, j, s] += a[i, k, s] * b[k, j, s]


@compiled
def _trace_of_product(n: int, a: np.ndarray, b: np.ndarray, trace: np.ndarray) -> None:
    for s in range(LANES):
        trace[s] = 0.0
    for i in range(n):
        for j in range(n):
            for s in range(LANES):
                trace[s] += a[i, j, s] * b[j, i, s]


@compiled
def _power_sums(n: int, powers: np.ndarray, sums: np.ndarray) -> None:
    """sums[k] = tr Kᵏ for k from 3 to n; powers[0] holds K."""
    _multiply(n, powers[0], powers[0], powers[1])
    _trace_of_product(n, powers[0], powers[1], sums[3])
    if n >= 4:
        _trace_of_product(n, powers[1], powers[1], sums[4])
    if n >= 5:
        _multiply(n, powers[0], powers[1], powers[2])
        _trace_of_product(n, powers[1], powers[2], sums[5])
    if n >= 6:
        _trace_of_product(n, powers[2], powers[2], sums[6])
    if n >= 7:
        _multiply(n, powers[1], powers[1], powers[3])
        _trace_of_product(n, powers[2], powers[3], sums[7])


@compiled
def _polynomial(n: int, sums: np.ndarray, size: np.ndarray, coefficient: np.ndarray, error: np.ndarray) -> None:
    """Newton: k c_k = −Σ_{j<k} c_j s_{k−j}, of K / ‖K‖_F; with the error bounds."""
    for s in range(LANES):
        scale = 1.0 / size[s]
        power = 1.0
        for k in range(1, n + 1):
            power *= scale
            sums[k, s] *= power
        coefficient[0, s] = 1.0
        error[0, s] = 0.0
        reach = 0.0  # bounds ‖K^(k−1) + c₁ K^(k−2) + … + c_(k−1) I‖_F: how far c_k moves with K
        for k in range(1, n + 1):
            total = 0.0
            for j in range(k):
                total += coefficient[j, s] * sums[k - j, s]
            coefficient[k, s] = -total / k
            sensitivity = reach + np.sqrt(n) * abs(coefficient[k - 1, s])
            reach += abs(coefficient[k - 1, s])
            error[k, s] = n * UNIT_ROUNDOFF * (BALL * np.sqrt(n) * sensitivity + 8.0)


@compiled
def _routh(
    n: int,
    coefficient: np.ndarray,
    error: np.ndarray,
    rows: np.ndarray,
    errors: np.ndarray,
    changes: np.ndarray,
    certain: np.ndarray,
    degree: np.ndarray,
) -> None:
    """Sign changes in the first column of Routh's array, and whether all its entries exceed their error bounds.

    degree: of each lane's polynomial without its factor λ^(n − degree), whose array is the same but for rows of zeros.
    """
    width = rows.shape[1]
    for i in range(2):
        for j in range(width):
            k = 2 * j + i
            for s in range(LANES):
                rows[i, j, s] = coefficient[k, s] if k <= degree[s] else 0.0
                errors[i, j, s] = error[k, s] if k <= degree[s] else 0.0
    for s in range(LANES):
        changes[s] = 0
        certain[s] = True
    for i in range(1, n + 1):
        above, here, below = rows[(i - 1) % 3], rows[i % 3], rows[(i + 1) % 3]
        above_e, here_e, below_e = errors[(i - 1) % 3], errors[i % 3], errors[(i + 1) % 3]
        for s in range(LANES):
            certain[s] &= i > degree[s] or abs(here[0, s]) > here_e[0, s]
            changes[s] += i <= degree[s] and (here[0, s] > 0) != (above[0, s] > 0)
        for j in range(width - 1):
            for s in range(LANES):
                q = above[0, s] / here[0, s]
                q_e = (above_e[0, s] + abs(q) * here_e[0, s]) / (abs(here[0, s]) - here_e[0, s])
                p = q * here[j + 1, s]
                below[j, s] = above[j + 1, s] - p
                below_e[j, s] = (
                    above_e[j + 1, s]
                    + abs(q) * here_e[j + 1, s]
                    + q_e * (abs(here[j + 1, s]) + here_e[j + 1, s])
                    + 4 * UNIT_ROUNDOFF * (abs(above[j + 1, s]) + abs(p))
                )
        for s in range(LANES):
            below[width - 1, s] = 0.0
            below_e[width - 1, s] = 0.0


@compiled
def _load(
    n: int,
    values: np.ndarray,
    o: int,
    c: int,
    used: int,
    matrix: np.ndarray,
    sums: np.ndarray,
    size: np.ndarray,
    smallest: np.ndarray,
) -> None:
    """Loads the lanes from channel c on, with trace, tr K², ‖K‖_F and the smallest magnitude of an entry."""
    for s in range(LANES):
        smallest[s] = np.inf
        size[s] = 0.0
        sums[1, s] = 0.0
    for i in range(n):
        for j in range(n):
            lanes = matrix[i, j]
            entry = values[o, i, j, c : c + used]
            lanes[:] = 1.0
            for s in range(used):
                lanes[s] = entry[s]
            for s in range(LANES):
                v = abs(lanes[s])
                size[s] += v * v
                smallest[s] = v if v < smallest[s] else smallest[s]
        for s in range(LANES):
            sums[1, s] += matrix[i, i, s]
    _trace_of_product(n, matrix, matrix, sums[2])
    for s in range(LANES):
        size[s] = np.sqrt(size[s])


@compiled
def _degree(n: int, matrices: np.ndarray, s: int, best: np.ndarray) -> int:
    """How many of the n eigenvalues of matrices[:, :, s] are not zero by its pattern of zeros alone.

    A coefficient c_k of the characteristic polynomial is a sum over sets of disjoint cycles through k indices. The largest k: the
    permutation with most entries that are not zero, in which an index may stay where it is at no gain; by rows, over the sets of
    columns that are taken. best: workspace of 2ⁿ numbers.
    """
    best[: 1 << n] = -1
    best[0] = 0
    for taken in range((1 << n) - 1):
        if best[taken] < 0:
            continue
        row = 0
        for j in range(n):
            row += (taken >> j) & 1
        for j in range(n):
            gain = 1 if matrices[row, j, s] != 0 else 0
            if (taken >> j) & 1 == 0 and (gain or j == row):
                after = taken | (1 << j)
                best[after] = max(best[after], best[taken] + gain)
    return best[(1 << n) - 1]


@compiled
def degrees(matrices: np.ndarray, found: np.ndarray) -> None:
    """``_degree`` of each matrix; matrices: (n, n, M); found: int64 (M,), which is written."""
    n = matrices.shape[0]
    best = np.empty(1 << n, np.int64)
    for k in range(matrices.shape[2]):
        found[k] = _degree(n, matrices, k, best)


@compiled
def scan_lanes(
    n: int,
    values: np.ndarray,
    own: np.ndarray,
    counting: bool,
    sparse: bool,
    extremes: np.ndarray,
    tally: np.ndarray,
    flags: np.ndarray,
) -> None:
    """n×n matrices, n from 3 to LARGEST_ROUTH, LANES of them side by side.

    values: (N, n, n, C), the matrix of output o and channel c at [o, :, :, c]; own: (N,), the channel whose slice
    carries the skip's 1, or −1; counting: whether to count; sparse: whether entries that are 0 are many, so that the eigenvalues
    that they make zero are found here, and not by LAPACK's caller. Adds to tally, and fills flags (N, C). The extremes are only
    read: a matrix whose bounds exceed one of them is flagged EXTREME. (``scan_1`` and ``scan_2`` update them.)
    """
    width = n // 2 + 2
    most = (n - 1) / n
    powers = np.empty((4, n, n, LANES))
    sums, coefficient, error = np.empty((n + 1, LANES)), np.empty((n + 1, LANES)), np.empty((n + 1, LANES))
    rows, errors = np.empty((3, width, LANES)), np.empty((3, width, LANES))
    size, smallest, high, low = np.empty(LANES), np.empty(LANES), np.empty(LANES), np.empty(LANES)
    changes, certain = np.empty(LANES, np.int64), np.empty(LANES, np.bool_)
    degree, best = np.empty(LANES, np.int64), np.empty(1 << n, np.int64)
    channels = values.shape[3]
    for o in range(values.shape[0]):
        for c in range(0, channels, LANES):
            used = min(LANES, channels - c)
            _load(n, values, o, c, used, powers[0], sums, size, smallest)
            for s in range(LANES):
                # Σ (Re λ)² is at most the squared norm of the symmetric part, which cancels where K is nearly skew.
                square = size[s] * size[s]
                symmetric = 0.5 * (square + sums[2, s])
                mean = sums[1, s] / n
                rounding = n * n * UNIT_ROUNDOFF * square
                spread = np.sqrt(most * (max(symmetric - n * mean * mean, 0.0) + rounding)) + 1e-12 * size[s]
                high[s], low[s] = mean + spread, mean - spread
                degree[s] = n
                if sparse and smallest[s] == 0 and s < used:
                    degree[s] = _degree(n, powers[0], s, best) if size[s] > 0 else 0
            if counting:
                _power_sums(n, powers, sums)
                _polynomial(n, sums, size, coefficient, error)
                _routh(n, coefficient, error, rows, errors, changes, certain, degree)
            for s in range(used):
                if degree[s] == 0:
                    continue
                if smallest[s] == 0 and not sparse:
                    flags[o, c + s] = COUNT if size[s] > 0 else DONE
                    continue
                tally[NON_ZERO] += degree[s]
                other = c + s != own[o]
                if counting and not certain[s]:
                    flags[o, c + s] = COUNT
                    tally[NON_ZERO] -= degree[s]
                    continue
                if counting:
                    tally[POSITIVE] += changes[s]
                    tally[NEGATIVE] += degree[s] - changes[s]
                if (
                    high[s] > extremes[HIGH]
                    or low[s] < extremes[LOW]
                    or size[s] > extremes[RADIUS]
                    or (other and (high[s] > extremes[OTHER_HIGH] or low[s] < extremes[OTHER_LOW]))
                ):
                    flags[o, c + s] = EXTREME


@compiled
def place(eigenvalues: np.ndarray, re_edges: np.ndarray, im_edges: np.ndarray, density: np.ndarray) -> None:
    """Adds complex eigenvalues to density (imaginary part, real part); those outside the edges go to the outermost bins."""
    for k in range(len(eigenvalues)):
        row = np.searchsorted(im_edges, eigenvalues[k].imag, "right") - 1
        column = np.searchsorted(re_edges, eigenvalues[k].real, "right") - 1
        density[min(max(row, 0), density.shape[0] - 1), min(max(column, 0), density.shape[1] - 1)] += 1


@compiled
def eigenvalues_2(matrices: np.ndarray, eigenvalues: np.ndarray) -> None:
    """Both eigenvalues of each 2×2 matrix; matrices: (M, 2, 2), eigenvalues, which are written: complex (M, 2)."""
    for k in range(len(matrices)):
        a, b, c, d = matrices[k, 0, 0], matrices[k, 0, 1], matrices[k, 1, 0], matrices[k, 1, 1]
        mean, half = 0.5 * (a + d), 0.5 * (a - d)
        square = half * half + b * c
        root = np.sqrt(abs(square))
        if square < 0:
            eigenvalues[k, 0], eigenvalues[k, 1] = complex(mean, root), complex(mean, -root)
        else:
            eigenvalues[k, 0], eigenvalues[k, 1] = complex(mean + root, 0.0), complex(mean - root, 0.0)
