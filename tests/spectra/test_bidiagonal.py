"""Both ends of the singular values by Lanczos bidiagonalisation, against planted and dense ones."""

import numpy as np
import pytest
import torch

from stiffcore.spectra import bidiagonal


def planted(values: np.ndarray, rows: int, seed: int = 0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    left = np.linalg.qr(generator.standard_normal((rows, len(values))))[0]
    right = np.linalg.qr(generator.standard_normal((len(values), len(values))))[0]
    return (left * values) @ right.T


def products(matrix: np.ndarray) -> tuple[bidiagonal.Product, bidiagonal.Product]:
    whole = torch.from_numpy(matrix)
    return lambda v: whole @ v, lambda u: whole.T @ u


def ends(matrix: np.ndarray, both: bool = True) -> tuple[float, float]:
    product, adjoint = products(matrix)
    return bidiagonal.outermost(product, adjoint, matrix.shape[1], both)


@pytest.mark.parametrize("condition", [1.0, 47.0, 1e4])
@pytest.mark.parametrize("spacing", [np.linspace, np.geomspace])
def test_both_ends_are_the_planted_ones(condition, spacing):
    """47: where restarted Lanczos gave NaN. Evenly spaced values lie closest together at the small end."""
    values = spacing(1.0, condition, 600)
    largest, smallest = ends(planted(values, 700))
    assert largest == pytest.approx(condition, rel=1e-9)
    assert smallest == pytest.approx(1.0, rel=1e-8)


def test_a_far_smallest_one_is_not_lost_to_squaring():
    """At a condition of 1e10 the square of the smallest is below rounding, it itself is not."""
    values = np.concatenate([[1e-10], np.linspace(0.5, 1, 80)])
    assert ends(planted(values, 100))[1] == pytest.approx(1e-10, rel=1e-4)


@pytest.mark.parametrize("zeros", [1, 5, 80])
def test_a_numerical_zero_is_told_as_zero(zeros):
    values = np.concatenate([np.zeros(zeros), np.linspace(1, 0.5, 81 - zeros)])
    largest, smallest = ends(planted(values, 100))
    assert largest == pytest.approx(1, rel=1e-9)
    assert smallest == 0


@pytest.mark.parametrize("columns", [1, 2, 7])
def test_the_zero_operator_and_tiny_ones(columns):
    assert ends(np.zeros((9, columns))) == (0.0, 0.0)
    matrix = np.random.default_rng(1).standard_normal((9, columns))
    every = np.linalg.svd(matrix, compute_uv=False)
    assert ends(matrix) == pytest.approx((every[0], every[-1]), rel=1e-12)


def test_what_is_not_reached_is_not_given(monkeypatch):
    monkeypatch.setattr(bidiagonal, "MOST_STEPS", 30)
    largest, smallest = ends(planted(np.linspace(1.0, 1e4, 600), 700))
    assert largest == pytest.approx(1e4, rel=1e-2)
    assert np.isnan(smallest)


def test_the_largest_alone_takes_fewer_products():
    matrix, used = planted(np.linspace(1.0, 47.0, 600), 700), []
    product, adjoint = products(matrix)
    bidiagonal.outermost(lambda v: used.append(0) or product(v), adjoint, 600, both=False)
    alone = len(used)
    ends(matrix)
    bidiagonal.outermost(lambda v: used.append(0) or product(v), adjoint, 600)
    assert alone < len(used) - alone
