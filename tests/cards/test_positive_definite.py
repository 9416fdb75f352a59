"""Proofs by the residual, which hold whatever a card's library does, tested on the CPU as that device."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.jacobians import maps
from stiffcore.jacobians.layers import ScaledConvolution
from stiffcore.spectra import lyapunov, positive_definite
from tests.cards.fake_card import fake_card
from tests.cards.kinds import check_agreement, computed
from tests.made_up.blocks import make


def symmetric(values: np.ndarray, seed: int = 0) -> torch.Tensor:
    """A symmetric matrix with these eigenvalues."""
    side = len(values)
    basis = np.linalg.qr(np.random.default_rng(seed).standard_normal((side, side)))[0]
    made = (basis * values) @ basis.T
    return torch.from_numpy((made + made.T) / 2)


def both(matrix: torch.Tensor, rounding: float = 0.0) -> tuple[bool, bool]:
    return (
        positive_definite.by_cholesky(matrix.clone(), rounding),
        positive_definite.by_residual(matrix.clone(), rounding),
    )


@pytest.mark.parametrize("side", [1, 2, 30, 300])
@pytest.mark.parametrize("least", [1.0, 1e-3, 1e-8])
def test_both_prove_what_is_clearly_positive(side, least):
    values = np.linspace(1.0, least, side)[::-1].copy() if side > 1 else np.array([least])
    assert both(symmetric(values)) == (True, True)


@pytest.mark.parametrize("side", [2, 30, 300])
@pytest.mark.parametrize("least", [-1.0, -1e-8, -1e-14, -1e-16, 0.0])
def test_neither_proves_what_is_indefinite_or_singular(side, least):
    """Rounding moves eigenvalues of size 1 by 1e-16, so that the barely indefinite ones may in fact be positive, and still are not proved."""
    values = np.linspace(1.0, 2.0, side)
    values[0] = least
    assert both(symmetric(values)) == (False, False)


def test_the_bound_is_not_far_above_rounding():
    """Between what is proved and what is not lies no more than some thousand times rounding."""
    values = np.linspace(1.0, 2.0, 200)
    edge = [2.0**-k for k in range(10, 60) if both(symmetric(np.where(np.arange(200) == 0, 2.0**-k, values)))[1]]
    trace = values.sum()
    assert min(edge) < 40 * (200 + 3) * 2.0**-53 * trace
    assert min(edge) > (200 + 2) * 2.0**-53 * trace


def test_what_is_not_known_well_enough_is_not_proved():
    matrix = symmetric(np.linspace(0.5, 2, 40))
    assert both(matrix, rounding=0.01) == (True, True)
    assert both(matrix, rounding=0.6) == (False, False)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [(0, 0), (3, 1), (4, 4)])
def test_what_is_not_finite_is_refused(value, place):
    matrix = symmetric(np.linspace(1, 2, 5))
    matrix[place] = value
    assert both(matrix) == (False, False)


def test_a_factor_that_is_wrong_proves_nothing(monkeypatch):
    """A library may round as it likes, or fail without saying so: the product shows it."""
    matrix = symmetric(np.linspace(1.0, 2.0, 50))
    factor, info = torch.linalg.cholesky_ex(matrix)
    indefinite = symmetric(np.concatenate([[-1e-6], np.linspace(1.0, 2.0, 49)]))
    for wrong in (factor + 1e-3 * torch.ones_like(factor), 0 * factor, factor * math.nan, factor):
        monkeypatch.setattr(torch.linalg, "cholesky_ex", lambda _, wrong=wrong: (wrong, info))
        assert not positive_definite.by_residual(indefinite.clone())
    monkeypatch.undo()
    assert positive_definite.by_residual(matrix)


def test_random_matrices_are_proved_only_if_they_are_positive():
    generator, proved = np.random.default_rng(0), 0
    for seed in range(200):
        values = generator.uniform(0, 1, 8)
        values[0] = generator.choice([-1.0, 1.0]) * 10.0 ** generator.uniform(-15, -1)
        matrix = symmetric(values, seed)
        if positive_definite.by_residual(matrix.clone()):
            proved += 1
            assert np.linalg.eigvalsh(matrix.numpy())[0] > 0
    assert proved > 50


def spoiled(side: int, outliers: int) -> torch.Tensor:
    """K with I + K right of 0.5 and a symmetric part that a few strong one-way couplings make indefinite."""
    matrix = 0.1 * np.random.default_rng(outliers).standard_normal((side, side)) / np.sqrt(side)
    for number in range(outliers):
        matrix[2 * number, 2 * number + 1] += 6.0
    return torch.from_numpy(matrix)


@pytest.mark.parametrize("outliers", [0, 1, 3])
def test_lyapunov_s_correction_on_a_card(outliers):
    """Its own Lanczos finds the directions that ARPACK finds on the CPU, and the proof is the residual's."""
    matrix = spoiled(200, outliers)
    with fake_card() as card:
        there = matrix.to(card.device)
        card.forget()
        forward, backward = lambda v: there @ v + v, lambda v: there.T @ v + v
        assert lyapunov.has_negative_direction(forward, backward, 200, where=card.device) == (outliers > 0)
        assert lyapunov.is_proved(there, 1) == (outliers == 0)
        correction = lyapunov.correction(forward, backward, 200, 6, card.device)
        assert correction.complete
        assert correction.negative() == 0
        assert lyapunov.is_proved(there, 1, correction)
        assert all(max(shape) < 200 for shape in card.to_host)
        assert all((max(shape) <= 200 and len(shape) == 1) or max(shape) < 200 for shape in card.to_card)


def test_what_could_underflow_is_not_proved(monkeypatch):
    """Squares of such numbers are 0, and with them every norm that speaks against a wrong factor."""
    indefinite = torch.tensor([[1.0, 2.0], [2.0, 1.0]], dtype=torch.float64)
    monkeypatch.setattr(torch.linalg, "cholesky_ex", lambda x: (torch.zeros_like(x), torch.tensor(0)))
    for size in (1.0, 1e-100, 1e-140, 1e-155, 1e-170, 1e-300):
        assert not positive_definite.by_residual(size * indefinite)
    monkeypatch.undo()
    assert both(1e-100 * torch.eye(3, dtype=torch.float64)) == (True, True)


def test_a_matrix_without_rows_is_positive_definite():
    assert both(torch.zeros(0, 0, dtype=torch.float64)) == (True, True)


def coupled(side: int) -> torch.Tensor:
    matrix = torch.zeros(side, side, dtype=torch.float64)
    matrix[0, 1] = 6.0
    return matrix


def along(side: int) -> torch.Tensor:
    v = torch.randn(side, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return -3 * v @ v.T / float(v.T @ v)


@pytest.mark.parametrize(
    "matrix", [-2 * torch.eye(20, dtype=torch.float64), -torch.eye(6, dtype=torch.float64), along(50), coupled(30)]
)
def test_few_different_eigenvalues_are_counted_as_on_the_cpu(matrix):
    """Krylov spaces of one start close after a few vectors there."""
    state = maps.of_matrix(matrix, 1)
    here = computed(state, Convention.BLOCK, "counts")
    with fake_card() as card:
        check_agreement(here, computed(state.to(card.device), Convention.BLOCK, "counts"))


def test_many_directions_of_a_card_are_found():
    """More than a first look has vectors."""
    matrix = spoiled(200, 20)
    with fake_card() as card:
        there = matrix.to(card.device)
        correction = lyapunov.correction(lambda v: there @ v + v, lambda v: there.T @ v + v, 200, 30, card.device)
        assert correction.complete
        assert correction.negative() == 0
        assert lyapunov.is_proved(there, 1, correction)


@pytest.mark.parametrize("quantity", ["extremes", "counts", "spectrum"])
@pytest.mark.parametrize("convention", [Convention.BLOCK, Convention.BRANCH])
@pytest.mark.parametrize("kind", ["convolutions", "matrix"])
def test_a_core_that_overflows_cannot_be_computed(kind, convention, quantity):
    block = make("basic", "basic", 6, 6, 6).state
    large = tuple(ScaledConvolution(layer.weight * 1e160, 1, 1) for layer in block.convolutions)
    matrix = torch.randn(40, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    state = replace(block, layers=large) if kind == "convolutions" else maps.of_matrix(1e160 * matrix, 1)
    with pytest.raises(CannotCompute, match="Expected finite weights"):
        computed(state, convention, quantity)
    with fake_card() as card, pytest.raises(CannotCompute, match="Expected finite weights"):
        computed(state.to(card.device), convention, quantity)
