"""The kernels of ``kernels.py`` for a graphics card: one lane a matrix, sizes 1 to LARGEST_ROUTH, with the same bounds and flags.

Compiled by Triton for the card at hand, at the first launch: a second or less up to side 4, some 15 s at side 7, then kept in its cache
on disk. Matrices stand as on the host, values[row, i, j, channel]: neighbouring lanes are neighbouring channels, and read coalesced.
"""

import triton
import triton.language as tl

from stiffcore.slices import kernels
from stiffcore.slices.card_arithmetic import closed, load, real_parts, signs, sizes

LANES = 128  # matrices a program: four warps, a matrix a thread
# A product and a sum become one instruction with one rounding. Said here: Triton's default can be set from outside, and is to change.
OPTIONS = {"enable_fp_fusion": True}
SLOTS = tl.constexpr(64)  # of the tally: thousands of programs that add to one number would wait for each other
COUNT = tl.constexpr(kernels.COUNT)
NEGATIVE, POSITIVE = tl.constexpr(kernels.NEGATIVE), tl.constexpr(kernels.POSITIVE)
NON_ZERO = tl.constexpr(kernels.NON_ZERO)
INFINITY = tl.constexpr(float("inf"))
# The sets without column j as bits of a word: 2^j ones, 2^j zeros, and so on.
WITHOUT = tl.constexpr(tuple((2**64 - 1) // (2 ** (2**j) + 1) for j in range(6)))

# One compilation whatever the sizes are, and wherever the values of a group start.
_SIZES = ["total", "channels", "row_stride", "apart", "sparse"]
_POINTERS = ["values", "degrees", "high", "low", "size", "flags", "positives"]


@triton.jit(do_not_specialize=_SIZES, do_not_specialize_on_alignment=_POINTERS)
def scan(
    values,
    degrees,
    high,
    low,
    size,
    flags,
    positives,
    tally,
    total,
    channels,
    row_stride,
    apart,
    sparse,
    n: tl.constexpr,
    root: tl.constexpr,
    counting: tl.constexpr,
    lanes: tl.constexpr,
):
    """``total`` matrices of side n; lane k is that of row k // channels and channel k % channels. root: √n.

    row_stride: between two rows of values; apart: between two entries of a matrix. Writes bounds of the real parts and of the spectral
    radius (for n of 1 and 2 these numbers themselves), −∞, ∞ and 0 for matrices flagged COUNT and zero matrices; flags; positives, how
    many real parts are positive; and adds to tally. degrees: those of ``degree``, read if ``sparse``. Otherwise as ``kernels.scan_lanes``.
    """
    lane = tl.program_id(0).to(tl.int64) * lanes + tl.arange(0, lanes)
    used = lane < total
    matrix = load(n, values, lane // channels * row_stride + lane % channels, apart, used)
    norm, smallest, trace, square = sizes(n, matrix)
    if n <= 2:
        highest, lowest, radius, positive, certain = closed(n, matrix)
        degree = (lane * 0 + n).to(tl.int32)
        left = (smallest == 0) & (n > 1)  # where an entry is 0, the structure decides
        empty = norm == 0
    else:
        highest, lowest = real_parts(n, (n - 1) / n, norm, trace, square)
        radius = norm
        degree = tl.load(degrees + lane, mask=used & (sparse != 0), other=n).to(tl.int32)
        left = (smallest == 0) & (sparse == 0)
        empty = (norm == 0) | (degree == 0)
        positive, certain = degree * 0, degree == degree
        if counting:
            positive, certain = signs(n, root, matrix, norm, trace, square, degree)
    unsure = used & (empty == 0) & (left | (certain == 0))
    done = used & (empty == 0) & (unsure == 0)
    tl.store(high + lane, tl.where(done, highest, -INFINITY), mask=used)
    tl.store(low + lane, tl.where(done, lowest, INFINITY), mask=used)
    tl.store(size + lane, tl.where(done, radius, 0.0), mask=used)
    tl.store(flags + lane, tl.where(unsure, COUNT, 0).to(tl.int8), mask=used)
    tl.store(positives + lane, tl.where(done, positive, 0).to(tl.int8), mask=used)
    n_counted = tl.sum(tl.where(done, degree, 0), 0)
    n_positive = tl.sum(tl.where(done, positive, 0), 0)
    tally += tl.program_id(0) % SLOTS * 4
    tl.atomic_add(tally + NON_ZERO, n_counted.to(tl.int64))
    tl.atomic_add(tally + POSITIVE, n_positive.to(tl.int64))
    tl.atomic_add(tally + NEGATIVE, (n_counted - n_positive).to(tl.int64))


@triton.jit(do_not_specialize=_SIZES[:-1], do_not_specialize_on_alignment=_POINTERS[:2])
def degree(values, degrees, total, channels, row_stride, apart, n: tl.constexpr, lanes: tl.constexpr):
    """``_degree`` of each matrix; arguments as in ``scan``, degrees (int8) is written."""
    lane = tl.program_id(0).to(tl.int64) * lanes + tl.arange(0, lanes)
    used = lane < total
    matrix = load(n, values, lane // channels * row_stride + lane % channels, apart, used)
    tl.store(degrees + lane, _degree(n, matrix).to(tl.int8), mask=used)


@triton.jit
def _degree(n: tl.constexpr, matrix):
    """How many eigenvalues are not zero by the pattern of zeros alone: ``kernels._degree``, on sets of sets of columns.

    Bit S of reached[g] says that the columns of the set S are taken by the rows so far, g of which stayed where they are over a
    zero. Row by row, column j joins every set without it: a shift by 2^j. Column 6 has a word of its own.
    """
    none = (matrix[0] != matrix[0]).to(tl.int64) * 0
    low, high = (none + 1,), (none,)
    for g in tl.static_range(n):
        low, high = low + (none,), high + (none,)
    for row in tl.static_range(n):
        next_low, next_high = (), ()
        for g in tl.static_range(n + 1):
            into_low, into_high = none, none
            for j in tl.static_range(n):
                filled = matrix[row * n + j] != 0
                here_low, here_high = tl.where(filled, low[g], none), tl.where(filled, high[g], none)
                if j == row:
                    if g > 0:
                        here_low = tl.where(filled, low[g], low[g - 1])
                        here_high = tl.where(filled, high[g], high[g - 1])
                if j < 6:
                    into_low = into_low | ((here_low & WITHOUT[j]) << (2**j))
                    into_high = into_high | ((here_high & WITHOUT[j]) << (2**j))
                else:
                    into_high = into_high | here_low
            next_low, next_high = next_low + (into_low,), next_high + (into_high,)
        low, high = next_low, next_high
    best = (none + n).to(tl.int32)
    found = none != none
    for g in tl.static_range(n + 1):
        # All columns taken: the last set.
        if n == 7:
            reached = ((high[g] >> 63) & 1) != 0
        else:
            reached = ((low[g] >> (2**n - 1)) & 1) != 0
        best = tl.where(reached & (found == 0), n - g, best)
        found = found | reached
    return best
