"""A block's Jacobian at one image: J v, Jᵀ w, and its live rows as a dense matrix.

branch:  J_F = A2 D1 A1  or  A3 D2 A2 D1 A1        block:  J = D_out (J_F + J_s)
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
    """J v. v: (batch, n_in) -> (batch, n_out), in v's precision and on its device."""
    x = inner = v.reshape(len(v), *state.geometry.input_shape)
    for position, convolution in enumerate(state.convolutions):
        inner = convolution(inner)
        if position < len(state.inner_masks):
            inner = inner * state.inner_masks[position].to(inner)
    if convention.has_skip:
        inner = inner + (x if state.skip is None else state.skip(x))
    if convention.masks_outputs:
        inner = inner * state.outer_mask.to(inner)
    return _flat(inner)


def apply_transpose(state: BlockState, convention: Convention, w: Tensor) -> Tensor:
    """Jᵀ w. w: (batch, n_out) -> (batch, n_in)."""
    geometry = state.geometry
    y = w.reshape(len(w), *geometry.output_shape)
    if convention.masks_outputs:
        y = y * state.outer_mask.to(y)
    sides = [geometry.input_shape[1], *(shape[1] for shape in geometry.inner_shapes)]
    inner = y
    for position in reversed(range(len(state.convolutions))):
        if position < len(state.inner_masks):
            inner = inner * state.inner_masks[position].to(inner)
        inner = state.convolutions[position].transpose(inner, sides[position])
    if convention.has_skip:
        inner = inner + (y if state.skip is None else state.skip.transpose(y, sides[0]))
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
    rows = torch.empty(len(live), state.geometry.n_in, dtype=torch.float64)
    for at in range(0, len(live), ROWS_AT_ONCE):
        chosen = live[at : at + ROWS_AT_ONCE]
        units = torch.zeros(len(chosen), n_out, dtype=torch.float64)
        units[torch.arange(len(chosen)), chosen] = 1
        rows[at : at + len(chosen)] = apply_transpose(state, convention, units)
    return rows


def branch_factors(state: BlockState) -> tuple[Tensor, Tensor]:
    """J_F = left @ right through the narrowest inner layer, so that its rank is at most that layer's live units b.

    Returns float64 of shapes (n_out, b) and (b, n_in).
    """
    layer = min(range(len(state.inner_masks)), key=lambda i: state.live_inner[i])
    mask = state.inner_masks[layer]
    live = mask.flatten().nonzero()[:, 0]
    left = torch.empty(len(live), state.geometry.n_out, dtype=torch.float64)
    right = torch.empty(len(live), state.geometry.n_in, dtype=torch.float64)
    sides = [state.geometry.input_shape[1], *(shape[1] for shape in state.geometry.inner_shapes)]
    for at in range(0, len(live), ROWS_AT_ONCE):
        chosen = live[at : at + ROWS_AT_ONCE]
        units = torch.zeros(len(chosen), mask.numel(), dtype=torch.float64)
        units[torch.arange(len(chosen)), chosen] = 1
        forward = backward = units.reshape(len(chosen), *mask.shape)
        for position in range(layer + 1, len(state.convolutions)):
            forward = state.convolutions[position](forward)
            if position < len(state.inner_masks):
                forward = forward * state.inner_masks[position].to(forward)
        for position in reversed(range(layer + 1)):
            backward = state.convolutions[position].transpose(backward, sides[position])
            if position > 0:
                backward = backward * state.inner_masks[position - 1].to(backward)
        left[at : at + len(chosen)], right[at : at + len(chosen)] = _flat(forward), _flat(backward)
    return left.T, right
