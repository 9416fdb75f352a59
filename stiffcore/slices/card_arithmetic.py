"""What a lane of the card's kernels computes: ``kernels.py``'s power sums, polynomial, Routh's array and bounds for one matrix.

A matrix is a tuple of n² numbers in registers, row by row; loops over it are unrolled when Triton compiles a kernel. Sums run in the
host's order; where the compiler contracts a product and a sum (``card_kernels.OPTIONS``), a number may differ in its last bits, and a
flag only where an entry of Routh's array is within rounding of its bound.
"""

import triton
import triton.language as tl

from stiffcore.slices import kernels

# Numbers stand before these: to the interpreter, a constant times a number is a constant, which Triton 3.7 does not compare.
UNIT_ROUNDOFF = tl.constexpr(kernels.UNIT_ROUNDOFF)
BALL = tl.constexpr(kernels.BALL)


@triton.jit
def load(n: tl.constexpr, values, where, apart, used):
    """The entries of a lane's matrix, row by row; ones in lanes that are not used. apart: between two entries of a matrix."""
    matrix = ()
    for entry in tl.static_range(n * n):
        matrix = matrix + (tl.load(values + where + entry * apart, mask=used, other=1.0),)
    return matrix


@triton.jit
def multiply(n: tl.constexpr, a, b):
    product = ()
    for i in tl.static_range(n):
        for j in tl.static_range(n):
            total = a[i * n] * b[j]
            for k in tl.static_range(1, n):
                total += a[i * n + k] * b[k * n + j]
            product = product + (total,)
    return product


@triton.jit
def _trace_of_product(n: tl.constexpr, a, b):
    trace = a[0] * 0.0
    for i in tl.static_range(n):
        for j in tl.static_range(n):
            trace += a[i * n + j] * b[j * n + i]
    return trace


@triton.jit
def sizes(n: tl.constexpr, matrix):
    """‖K‖_F, the smallest magnitude of an entry, tr K and tr K²."""
    size, trace = matrix[0] * 0.0, matrix[0] * 0.0
    smallest = tl.abs(matrix[0])
    for entry in tl.static_range(n * n):
        size += matrix[entry] * matrix[entry]
        smallest = tl.minimum(smallest, tl.abs(matrix[entry]))
    for i in tl.static_range(n):
        trace += matrix[i * n + i]
    return tl.sqrt(size), smallest, trace, _trace_of_product(n, matrix, matrix)


@triton.jit
def _power_sums(n: tl.constexpr, k1, trace, square):
    """(n, tr K, tr K², …, tr Kⁿ)."""
    sums = (trace * 0.0 + n, trace, square)
    if n >= 3:
        k2 = multiply(n, k1, k1)
        sums = sums + (_trace_of_product(n, k1, k2),)
        if n >= 4:
            sums = sums + (_trace_of_product(n, k2, k2),)
        if n >= 5:
            k3 = multiply(n, k1, k2)
            sums = sums + (_trace_of_product(n, k2, k3),)
            if n >= 6:
                sums = sums + (_trace_of_product(n, k3, k3),)
            if n >= 7:
                k4 = multiply(n, k2, k2)
                sums = sums + (_trace_of_product(n, k3, k4),)
    return sums


@triton.jit
def _polynomial(n: tl.constexpr, root: tl.constexpr, sums, size):
    """Newton: k c_k = −Σ_{j<k} c_j s_{k−j}, of K / ‖K‖_F; with the error bounds. root: √n."""
    scale = 1.0 / size
    power = scale
    scaled = (sums[0],)
    for k in tl.static_range(1, n + 1):
        scaled = scaled + (sums[k] * power,)
        power = power * scale
    coefficient, error = (size * 0.0 + 1.0,), (size * 0.0,)
    reach = size * 0.0  # as on the host
    for k in tl.static_range(1, n + 1):
        total = size * 0.0
        for j in tl.static_range(k):
            total += coefficient[j] * scaled[k - j]
        last = tl.abs(coefficient[k - 1])
        sensitivity = reach + root * last
        reach += last
        coefficient = coefficient + (-total / k,)
        error = error + ((sensitivity * (BALL * root) + 8.0) * (n * UNIT_ROUNDOFF),)
    return coefficient, error


@triton.jit
def _routh(n: tl.constexpr, coefficient, error, degree):
    """Sign changes in the first column of Routh's array, and whether all its entries exceed their error bounds."""
    width: tl.constexpr = n // 2 + 2
    zero = coefficient[0] * 0.0
    above, above_e, here, here_e = (), (), (), ()
    for j in tl.static_range(width):
        if 2 * j <= n:
            above = above + (tl.where(2 * j <= degree, coefficient[2 * j], 0.0),)
            above_e = above_e + (tl.where(2 * j <= degree, error[2 * j], 0.0),)
        else:
            above, above_e = above + (zero,), above_e + (zero,)
        if 2 * j + 1 <= n:
            here = here + (tl.where(2 * j + 1 <= degree, coefficient[2 * j + 1], 0.0),)
            here_e = here_e + (tl.where(2 * j + 1 <= degree, error[2 * j + 1], 0.0),)
        else:
            here, here_e = here + (zero,), here_e + (zero,)
    changes = degree * 0
    certain = degree == degree
    for i in tl.static_range(1, n + 1):
        certain = certain & ((i > degree) | (tl.abs(here[0]) > here_e[0]))
        changes += ((i <= degree) & ((here[0] > 0) != (above[0] > 0))).to(tl.int32)
        below, below_e = (), ()
        for j in tl.static_range(width - 1):
            q = above[0] / here[0]
            q_e = (above_e[0] + tl.abs(q) * here_e[0]) / (tl.abs(here[0]) - here_e[0])
            p = q * here[j + 1]
            below = below + (above[j + 1] - p,)
            below_e = below_e + (
                above_e[j + 1]
                + tl.abs(q) * here_e[j + 1]
                + q_e * (tl.abs(here[j + 1]) + here_e[j + 1])
                + (tl.abs(above[j + 1]) + tl.abs(p)) * (4 * UNIT_ROUNDOFF),
            )
        above, above_e, here, here_e = here, here_e, below + (zero,), below_e + (zero,)
    return changes, certain


@triton.jit
def signs(n: tl.constexpr, root: tl.constexpr, matrix, size, trace, square, degree):
    """Positive real parts, and whether rounding cannot change a sign."""
    coefficient, error = _polynomial(n, root, _power_sums(n, matrix, trace, square), size)
    return _routh(n, coefficient, error, degree)


@triton.jit
def real_parts(n: tl.constexpr, most: tl.constexpr, size, trace, square):
    """Bounds of all real parts: Σ (Re λ)² is at most the squared norm of the symmetric part. most: (n − 1)/n."""
    symmetric = 0.5 * (size * size + square)
    mean = trace / n
    rounding = size * size * (n * n * UNIT_ROUNDOFF)
    spread = tl.sqrt(most * (tl.maximum(symmetric - n * mean * mean, 0.0) + rounding)) + 1e-12 * size
    return mean + spread, mean - spread


@triton.jit
def closed(n: tl.constexpr, matrix):
    """Largest and smallest real part, spectral radius, positive ones, and whether the signs are certain; n: 1 or 2."""
    if n == 1:
        v = matrix[0]
        return v, v, tl.abs(v), (v > 0).to(tl.int32), v == v
    else:
        a, b, c, d = matrix[0], matrix[1], matrix[2], matrix[3]
        trace, determinant, square_size = a + d, a * d - b * c, a * a + b * b + c * c + d * d
        certain = (tl.abs(determinant) > square_size * (64 * UNIT_ROUNDOFF)) & (
            (determinant <= 0) | (tl.abs(trace) > tl.sqrt(square_size) * (96 * UNIT_ROUNDOFF))
        )
        mean, half = 0.5 * trace, 0.5 * (a - d)
        square = half * half + b * c
        root = tl.sqrt(tl.maximum(square, 0.0))
        high, low = mean + root, mean - root
        pair = tl.sqrt(tl.maximum(mean * mean - square, 0.0))
        radius = tl.where(square >= 0, tl.maximum(tl.abs(high), tl.abs(low)), pair)
        positive = tl.where(determinant < 0, 1, tl.where(trace > 0, 2, 0))
        return high, low, radius, positive, certain
