"""Partial correlation: how two variables go together once covariates are held constant. Needs no torch.

The covariates are numbers and labels: both variables are regressed on them, and their residuals are correlated (Fisher
1924; Anderson, "An Introduction to Multivariate Statistical Analysis", ch. 4.3). Where a partial correlation is
undefined every number is NaN and ``reason`` says why; there is no warning.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stiffcore.imports import scipy_stats
from stiffcore.metrics.missing import Missing, undefined
from stiffcore.statistics import permutation
from stiffcore.statistics.resampling import RESAMPLES, interval, weights

ROUNDING = 1e-10  # a residual below this part of its variable is rounding: the covariates determine the variable


@dataclass(frozen=True)
class Partial:
    """The partial r with its p and a percentile-bootstrap 95 % interval over the images.

    low and high are NaN where more than a tenth of the resamples have no partial correlation.
    """

    r: float
    p: float
    low: float
    high: float
    n: int  # images used
    n_left_out: int  # images without a label, or at which a variable or a covariate is undefined or not computed
    reason: Missing | None = None


def partial(
    x: np.ndarray,
    y: np.ndarray,
    numbers: Sequence[np.ndarray] = (),
    labels: np.ndarray | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Partial:
    """The correlation of two variables of shape (n,), one value an image, given covariates.

    numbers: covariates of shape (n,). labels: categories of shape (n,), each with a mean of its own; None for one mean.
    p is that of t = r √(d / (1 − r²)) with d = n − 2 − (independent columns of the covariates, the constant not counted)
    degrees of freedom. Resamples draw images and repeat both regressions. resamples: 0 for r and p alone, which is faster.
    """
    columns, labels, left_out = _complete([x, y, *numbers], labels)
    (x, y), (residuals, used) = columns[:2], _given(columns, labels)
    freedom = len(x) - 2 - used
    reason = _undefined([x, y], residuals[:2], len(x), freedom, left_out)
    if reason is not None:
        return Partial(np.nan, np.nan, np.nan, np.nan, len(x), left_out, reason)
    r = float(np.clip(residuals[0] @ residuals[1] / np.sqrt(np.prod(_squares(residuals[:2]))), -1, 1))
    with scipy_stats() as stats:
        p = float(2 * stats.t.sf(abs(r) * np.sqrt(freedom / max(1 - r * r, 1e-300)), freedom))
    if not resamples:
        return Partial(r, p, np.nan, np.nan, len(x), left_out)
    low, high = interval(*products(weights(len(x), seed, resamples), residuals, labels))
    return Partial(r, p, low, high, len(x), left_out)


def pooled(
    x: np.ndarray,
    y: np.ndarray,
    numbers: Sequence[np.ndarray] = (),
    labels: np.ndarray | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
    permutations: int = permutation.TIMES,
) -> Partial:
    """The partial correlation of all pairs of image and block: x, y and numbers of shape (images, blocks), labels (images,).

    Each block has regressions of its own, and r is that of all residuals, Σ e_x e_y / √(Σ e_x² Σ e_y²). p permutes the
    images' residuals e_x within labels (Kennedy 1995), resamples draw images; both keep an image's blocks together. n and
    n_left_out count images. permutations: 0 for no p.
    """
    blocks, each = np.shape(x)[1], 2 + len(numbers)
    flat = [np.asarray(variable)[:, block] for block in range(blocks) for variable in (x, y, *numbers)]
    columns, labels, left_out = _complete(flat, labels)
    given = [_given(columns[at : at + each], labels) for at in range(0, len(columns), each)]
    e_x, e_y = (np.stack([left[which] for left, _ in given], axis=1) for which in (0, 1))
    freedom = len(e_x) - 2 - max(used for _, used in given)
    whole = [np.concatenate(columns[which::each]) for which in (0, 1)]
    reason = _undefined(whole, [e_x.T.ravel(), e_y.T.ravel()], len(e_x), freedom, left_out)
    if reason is not None:
        return Partial(np.nan, np.nan, np.nan, np.nan, len(e_x), left_out, reason)
    r = float(np.clip((e_x * e_y).sum() / np.sqrt((e_x**2).sum() * (e_y**2).sum()), -1, 1))
    p = permutation.p_value(e_x, e_y, labels, seed, permutations) if permutations else np.nan
    if not resamples:
        return Partial(r, p, np.nan, np.nan, len(e_x), left_out)
    drawn = weights(len(e_x), seed, resamples)
    sums = np.sum([products(drawn, left, labels) for left, _ in given], axis=0)
    return Partial(r, p, *interval(*sums), len(e_x), left_out)


def _complete(variables: Sequence[np.ndarray], labels: np.ndarray | None) -> tuple[list[np.ndarray], np.ndarray, int]:
    """The variables where all are finite, the labels there as 0, 1, …, and how many images are left out."""
    columns = [np.asarray(variable, dtype=float) for variable in variables]
    if any(column.shape != columns[0].shape or column.ndim != 1 for column in columns):
        raise ValueError(f"Expected variables of one shape (n,), got {[column.shape for column in columns]}.")
    labels = np.zeros(len(columns[0]), dtype=int) if labels is None else np.asarray(labels)
    if labels.shape != columns[0].shape:
        raise ValueError(f"Expected a label for each of {len(columns[0])} images, got {labels.shape}.")
    labelled = np.array([label is not None and label == label for label in labels.tolist()], dtype=bool)
    known = np.isfinite(np.stack(columns)).all(axis=0) & labelled
    _, kept = np.unique(labels[known], return_inverse=True)
    return [column[known] for column in columns], kept, int((~known).sum())


def _within(column: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """A column less the mean of its label."""
    column = column - column.mean()  # first, so that large means do not cost digits
    return column - (np.bincount(labels, weights=column) / np.bincount(labels))[labels]


def _squares(columns: Sequence[np.ndarray]) -> list[float]:
    return [float(column @ column) for column in columns]


def _varies(column: np.ndarray, left: np.ndarray) -> bool:
    """Whether what is left of a column is more than rounding."""
    spread = np.linalg.norm(column - column.mean()) if len(column) else 0.0
    return bool(np.linalg.norm(left) > max(ROUNDING * spread, 1e-13 * abs(column.mean()) * np.sqrt(len(column))))


def _basis(numbers: Sequence[np.ndarray], labels: np.ndarray) -> tuple[list[np.ndarray], int]:
    """Orthonormal columns that span the numbers within labels, and how many columns the covariates use, labels included.

    Modified Gram-Schmidt, twice; a number that the others determine adds none.
    """
    basis: list[np.ndarray] = []
    for number in numbers:
        left = _project(number, basis, labels)
        if _varies(number, left):
            basis.append(left / np.linalg.norm(left))
    return basis, len(basis) + max(len(np.unique(labels)) - 1, 0)


def _project(column: np.ndarray, basis: Sequence[np.ndarray], labels: np.ndarray) -> np.ndarray:
    """A column less its part in the span of labels and basis; twice, so that rounding is projected away too."""
    for _ in range(2):
        column = _within(column, labels)
        for direction in basis:
            column = column - (direction @ column) * direction
    return column


def _given(columns: Sequence[np.ndarray], labels: np.ndarray) -> tuple[list[np.ndarray], int]:
    """The residuals of x and y, then the orthonormal columns of the covariates; and how many columns those use."""
    if not len(columns[0]):
        return list(columns[:2]), 0
    basis, used = _basis(columns[2:], labels)
    return [_project(column, basis, labels) for column in columns[:2]] + basis, used


def _undefined(
    variables: Sequence[np.ndarray], left: Sequence[np.ndarray], images: int, freedom: int, left_out: int
) -> Missing | None:
    if freedom < 1:
        also = f"; {left_out} are undefined or not computed" if left_out else ""
        return undefined(f"too few images for so many covariates ({images}{also})")
    for variable, rest, name in zip(variables, left, ("stiffness", "outcome"), strict=True):
        if not _varies(variable, rest):
            return undefined(f"given the covariates, the {name} does not vary")
    return None


def products(drawn: np.ndarray, columns: Sequence[np.ndarray], labels: np.ndarray) -> tuple[np.ndarray, ...]:
    """Σ e_x e_y, Σ e_x², Σ e_y² of the residuals e in every resample, each of shape (resamples,).

    drawn: how often each image is drawn, shape (resamples, n), the images in the order of their labels. columns: x, y and
    the covariates' numbers. With C the weighted products of the columns within labels, Σ_labels (Σ w c cᵀ −
    (Σ w c)(Σ w c)ᵀ / Σ w), what is asked for is the Schur complement of the covariates in C. All sums are matrix products,
    one a label; a label that is not drawn drops out.
    """
    order = np.argsort(labels, kind="stable")
    stacked = np.stack(columns, axis=1)[order]
    n, q = stacked.shape
    squares = (stacked[:, :, None] * stacked[:, None, :]).reshape(n, -1)
    terms, ends = np.concatenate([squares, stacked, np.ones((n, 1))], axis=1), np.cumsum(np.bincount(labels))
    C = np.zeros((len(drawn), q, q))
    for start, end in zip((0, *ends), ends):
        of_label = drawn[:, start:end] @ terms[start:end]
        sums = of_label[:, q * q : -1] / np.sqrt(np.maximum(of_label[:, -1:], 1))
        C += of_label[:, : q * q].reshape(-1, q, q) - sums[:, :, None] * sums[:, None, :]
    if q > 2:
        inverse = np.linalg.pinv(C[:, 2:, 2:], rcond=1e-10, hermitian=True)
        C = C[:, :2, :2] - C[:, :2, 2:] @ inverse @ C[:, 2:, :2]
    return C[:, 0, 1], C[:, 0, 0], C[:, 1, 1]
