"""Slow, obvious versions of the package's faster algorithms, for the tests and the benchmark."""

import numpy as np
import torch
from torch import Tensor, nn

from stiffcore.conventions import Convention
from stiffcore.jacobians.linearise import BlockState

LARGEST_ASSIGNMENT = 2000  # eigenvalues that spectral_distance matches optimally; above, greedily


def branch_of_module(block: nn.Module, x: Tensor) -> Tensor:
    """F(x) of torchvision's BasicBlock or Bottleneck, without skip and outer ReLU, or of a block with a method ``branch``;
    x: (N, C, H, W)."""
    if branch := getattr(block, "branch", None):
        output: Tensor = branch(x)
        return output
    last = 3 if hasattr(block, "conv3") else 2
    for i in range(1, last + 1):
        x = getattr(block, f"bn{i}")(getattr(block, f"conv{i}")(x))
        x = x.relu() if i < last else x
    return x


def jacobian_of_module(block: nn.Module, x: Tensor, convention: Convention, chunk_size: int | None = None) -> Tensor:
    """The Jacobian of a block in evaluation mode at x (C, H, W), by reverse differentiation of the module itself.

    Returns (n_out, n_in) for ``block`` and ``branch``, (C_out, H_out, W_out, C_in, H_in, W_in) for ``slices``.
    """
    function = branch_of_module if convention.is_right_hand_side else (lambda module, image: module(image))
    jacobian: Tensor = torch.func.jacrev(lambda image: function(block, image[None])[0], chunk_size=chunk_size)(x)
    jacobian = jacobian.detach()
    return jacobian.reshape(-1, x.numel()) if convention.has_matrix else jacobian


def dense_jacobian(state: BlockState, convention: Convention) -> Tensor:
    """The Jacobian of a block from its state: the block's linear maps applied to the identity.

    Shapes as in ``jacobian_of_module``.
    """
    geometry = state.geometry
    identity = torch.eye(geometry.n_in, dtype=torch.float64).reshape(-1, *geometry.input_shape)
    columns = identity
    for layer, mask in zip(state.layers, state.masks, strict=True):
        columns = layer(columns * mask)
    if convention.has_skip:
        columns = columns + state.apply_skip(identity)
    columns = columns * state.kept_outputs(convention)
    jacobian = columns.reshape(geometry.n_in, geometry.n_out).T
    return jacobian if convention.has_matrix else jacobian.reshape(*geometry.output_shape, *geometry.input_shape)


def eigenvalues(matrix: Tensor) -> np.ndarray:
    """complex128 eigenvalues of a square matrix, or of a batch of them, by LAPACK; the batch comes back flat."""
    values: np.ndarray = torch.linalg.eigvals(matrix.double()).reshape(-1).numpy()
    return values


def naive_slices(jacobian: Tensor) -> np.ndarray:
    """The ``slices`` convention as published: eigenvalues of every trailing H × W slice of the 6-d Jacobian tensor."""
    if jacobian.ndim != 6:
        raise ValueError(
            f"Expected a Jacobian (C_out, H_out, W_out, C_in, H_in, W_in), got shape {tuple(jacobian.shape)}."
        )
    return eigenvalues(jacobian)


def peeled_lapack(jacobian: Tensor) -> np.ndarray:
    """As ``naive_slices``, but LAPACK sees only the rows and columns that may carry a non-zero eigenvalue.

    Indices whose row or column is zero are dropped repeatedly until none is left. Slices with equally many
    remaining indices go to LAPACK as one batch, and each dropped index returns as an eigenvalue 0.
    """
    slices = jacobian.reshape(-1, *jacobian.shape[-2:])
    slices = slices[slices.abs().amax((1, 2)) > 0]
    kept = torch.ones(slices.shape[:2], dtype=torch.bool)
    while True:
        inside = (slices != 0) & kept[:, :, None] & kept[:, None, :]
        fewer = inside.any(1) & inside.any(2)
        if torch.equal(fewer, kept):
            break
        kept = fewer
    spectra = []
    for size in range(1, jacobian.shape[-1] + 1):
        chosen = kept.sum(1) == size
        index = kept[chosen].nonzero()[:, 1].reshape(-1, size)
        patches = slices[chosen].gather(1, index[:, :, None].expand(-1, -1, jacobian.shape[-1]))
        spectra.append(eigenvalues(patches.gather(2, index[:, None, :].expand(-1, size, -1))))
    total = int(np.prod(jacobian.shape[:-1]))
    peeled = total - sum(values.size for values in spectra)
    return np.concatenate([*spectra, np.zeros(peeled, dtype=np.complex128)])


def spectral_distance(a: np.ndarray, b: np.ndarray) -> float:
    """The largest distance between partners when two spectra of equal size are matched as multisets.

    Equal values are matched first. For up to LARGEST_ASSIGNMENT remaining values the matching minimises the sum
    of squared distances (Hungarian method); above, it is greedy, and the result is an upper bound of the best
    matching's.
    """
    (a, a_count), (b, b_count) = (np.unique(np.asarray(z, np.complex128).ravel(), return_counts=True) for z in (a, b))
    if a_count.sum() != b_count.sum():
        raise ValueError(f"Expected two spectra of equal size, got {a_count.sum()} and {b_count.sum()} eigenvalues.")
    _, in_a, in_b = np.intersect1d(a, b, return_indices=True)
    common = np.minimum(a_count[in_a], b_count[in_b])
    a_count[in_a] -= common
    b_count[in_b] -= common
    if a_count.sum() > LARGEST_ASSIGNMENT:
        return _greedy_distance(a, a_count, b, b_count)
    from scipy.optimize import linear_sum_assignment

    distance = np.abs(np.repeat(a, a_count)[:, None] - np.repeat(b, b_count)[None, :])
    rows, columns = linear_sum_assignment(distance**2)
    return float(distance[rows, columns].max(initial=0.0))


def _greedy_distance(a: np.ndarray, a_count: np.ndarray, b: np.ndarray, b_count: np.ndarray) -> float:
    """In rounds, each value of the side with more distinct values requests its nearest one on the other, nearest pairs first."""
    from scipy.spatial import cKDTree

    largest = 0.0
    while a_count.any():
        a, a_count, b, b_count = a[a_count > 0], a_count[a_count > 0], b[b_count > 0], b_count[b_count > 0]
        if len(a) < len(b):  # else a repeated value would be matched only once per round
            a, a_count, b, b_count = b, b_count, a, a_count
        distance, partner = cKDTree(np.column_stack([b.real, b.imag])).query(np.column_stack([a.real, a.imag]))
        for i in np.argsort(distance, kind="stable"):
            served = min(a_count[i], b_count[partner[i]])
            if served:
                a_count[i] -= served
                b_count[partner[i]] -= served
                largest = max(largest, float(distance[i]))
    return largest


def metrics(spectrum: np.ndarray) -> dict[str, float]:
    """The metrics of a complete spectrum by their definitions; NaN where undefined."""
    real = np.asarray(spectrum).real
    negative = real[real < 0]
    step = -2 * negative / np.abs(np.asarray(spectrum)[real < 0]) ** 2
    return {
        "n_eigenvalues": real.size,
        "n_negative": negative.size,
        "n_positive": int((real > 0).sum()),
        "max_re": float(real.max()),
        "min_re": float(real.min()),
        "spectral_radius": float(np.abs(spectrum).max()),
        "stiffness_index": float(real.max() / real.min()) if negative.size else float("nan"),
        "percent_negative": 100.0 * negative.size / real.size,
        "stiffness_ratio": float(np.abs(negative).max() / np.abs(negative).min()) if negative.size else float("nan"),
        "outside_euler": float((np.abs(1 + np.asarray(spectrum)) > 1).mean()),
        "largest_stable_step": float(step.min()) if negative.size else float("nan"),
        "share_positive": float((real > 0).mean()),
    }
