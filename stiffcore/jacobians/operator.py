"""A block's Jacobian at one image: J v, Jᵀ w, and its live rows as a dense matrix.

branch:  J_F = L_k D_{k−1} … D_1 L_1 D_0        block:  J = D_out (J_F + J_s)
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator
from torch import Tensor

from stiffcore.conventions import Convention
from stiffcore.jacobians.linearise import BlockState

ROWS_AT_ONCE = 256  # vectors pushed through the convolutions together; bounds the memory of dense_rows


def _flat(x: Tensor) -> Tensor:
    return x.flatten(1)


def apply(state: BlockState, convention: Convention, v: Tensor) -> Tensor:
    """J v. v: (batch, n_in) -> (batch, n_out), in v's precision, on the state's device."""
    x = inner = v.reshape(len(v), *state.geometry.input_shape)
    for layer, mask in zip(state.layers, state.masks, strict=True):
        inner = layer(inner * mask.to(inner.dtype))
    if convention.has_skip:
        inner = inner + state.apply_skip(x)
    if convention.masks_outputs:
        inner = inner * state.outer_mask.to(inner.dtype)
    return _flat(inner)


def apply_transpose(state: BlockState, convention: Convention, w: Tensor) -> Tensor:
    """Jᵀ w. w: (batch, n_out) -> (batch, n_in)."""
    y = w.reshape(len(w), *state.geometry.output_shape)
    if convention.masks_outputs:
        y = y * state.outer_mask.to(y.dtype)
    inner = y
    for layer, mask in zip(reversed(state.layers), reversed(state.masks), strict=True):
        inner = layer.transpose(inner, tuple(mask.shape)) * mask.to(inner.dtype)
    if convention.has_skip:
        inner = inner + state.transpose_skip(y)
    return _flat(inner)


def as_linear_operator(state: BlockState, convention: Convention) -> LinearOperator:
    """J as a scipy LinearOperator with its transpose: float64, shape (n_out, n_in). Raises CannotCompute if J is not
    one matrix."""
    convention.check_matrix()

    def times(product: Callable[[BlockState, Convention, Tensor], Tensor], vectors: np.ndarray) -> np.ndarray:
        """vectors: (n,) or (n, k), as scipy passes them."""
        columns = torch.from_numpy(np.array(vectors, dtype=np.float64).reshape(len(vectors), -1).T.copy())
        return product(state, convention, columns).T.numpy().reshape(-1, *vectors.shape[1:])

    forward, backward = partial(times, apply), partial(times, apply_transpose)
    shape = state.geometry.n_out, state.geometry.n_in
    return LinearOperator(
        shape, matvec=forward, rmatvec=backward, matmat=forward, rmatmat=backward, dtype=np.dtype(np.float64)
    )


def dense_rows(state: BlockState, convention: Convention) -> Tensor:
    """The rows of J that are not structurally zero, float64. shape: (live outputs, n_in).

    For blocks that are not square and so have no smaller core; deflation.py handles square ones.
    """
    n_out = state.geometry.n_out
    live = state.kept_outputs(convention).flatten().nonzero()[:, 0]
    rows = torch.empty(len(live), state.geometry.n_in, dtype=torch.float64, device=state.device)
    for at in range(0, len(live), ROWS_AT_ONCE):
        chosen = live[at : at + ROWS_AT_ONCE]
        units = rows.new_zeros(len(chosen), n_out).scatter_(1, chosen[:, None], 1)
        rows[at : at + len(chosen)] = apply_transpose(state, convention, units)
    return rows


def branch_factors(state: BlockState) -> tuple[Tensor, Tensor]:
    """J_F = left @ right through the layer with the fewest live units b, of which its rank has at most as many.

    Returns float64 of shapes (n_out, b) and (b, n_in).
    """
    at = min(range(len(state.masks)), key=lambda i: int(state.masks[i].sum()))
    mask = state.masks[at]
    live = mask.flatten().nonzero()[:, 0]
    left = torch.empty(len(live), state.geometry.n_out, dtype=torch.float64, device=state.device)
    right = left.new_empty(len(live), state.geometry.n_in)
    for first in range(0, len(live), ROWS_AT_ONCE):
        chosen = live[first : first + ROWS_AT_ONCE]
        units = left.new_zeros(len(chosen), mask.numel()).scatter_(1, chosen[:, None], 1)
        forward = backward = units.reshape(len(chosen), *mask.shape)
        for position in range(at, len(state.layers)):
            forward = forward if position == at else forward * state.masks[position]
            forward = state.layers[position](forward)
        for position in reversed(range(at)):
            before = state.masks[position]
            backward = state.layers[position].transpose(backward, tuple(before.shape)) * before
        left[first : first + len(chosen)], right[first : first + len(chosen)] = _flat(forward), _flat(backward)
    return left.T, right
