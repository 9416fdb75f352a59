"""Lyapunov's proof: it succeeds where it should, never where an eigenvalue is on the left, and it accounts for rounding."""

import numpy as np
import pytest
import torch

from stiffcore.analysis import compute as analysis
from stiffcore.conventions import Convention
from stiffcore.jacobians import deflation
from stiffcore.spectra import certificate, lyapunov, positive_definite
from tests.made_up.asked import asked


def products(matrix: torch.Tensor, shift: int = 1):
    return lambda v: matrix @ v + shift * v, lambda v: matrix.T @ v + shift * v


def spoiled(side: int, outliers: int, seed: int, strength: float = 6.0) -> torch.Tensor:
    """K such that I + K has all eigenvalues right of 0.5, but an indefinite symmetric part from a few strong one-way couplings."""
    generator = np.random.default_rng(seed)
    matrix = 0.1 * generator.standard_normal((side, side)) / np.sqrt(side)
    for number in range(outliers):
        u, v = np.zeros(side), np.zeros(side)
        u[2 * number], v[2 * number + 1] = 1, 1
        matrix += strength * np.outer(u, v)  # nilpotent: moves no eigenvalue by itself
    return torch.from_numpy(matrix)


@pytest.mark.parametrize("outliers", [1, 3])
def test_a_few_directions_are_mended(outliers):
    matrix = spoiled(200, outliers, seed=outliers)
    true = torch.linalg.eigvals(matrix).real + 1
    assert true.min() > 0.05
    assert not lyapunov.is_proved(matrix, 1), "the symmetric part is indefinite"
    correction = lyapunov.correction(*products(matrix), 200, wanted=6)
    assert correction.complete
    assert correction.negative() == 0
    assert lyapunov.is_proved(matrix, 1, correction)


def test_the_corrected_matrix_is_lyapunovs():
    """P M + Mᵀ P with P = I + V Y Vᵀ, formed explicitly, is positive definite where it is proved."""
    matrix = spoiled(60, 1, seed=0)
    correction = lyapunov.correction(*products(matrix), 60, wanted=6)
    whole = matrix + torch.eye(60, dtype=torch.float64)
    p = torch.eye(60, dtype=torch.float64) + correction.basis @ correction.middle @ correction.basis.T
    assert torch.linalg.eigvalsh(p @ whole + whole.T @ p)[0] > 0
    assert torch.linalg.eigvalsh(whole + whole.T)[0] < 0


def given(basis: torch.Tensor, middle: torch.Tensor) -> lyapunov.Correction:
    return lyapunov.Correction(basis, middle, complete=True)


def planted_left(side: int, left: list[float], seed: int) -> torch.Tensor:
    """K with the eigenvalues ``left`` − 1 behind strong couplings: I + K then has as many eigenvalues left of the axis."""
    matrix = spoiled(side, 1, seed)
    for number, value in enumerate(left):
        at = side - 1 - number
        matrix[:, at], matrix[at, at] = 0, value - 1
        matrix[0, at] = 3  # far from normal
    return matrix


@pytest.mark.parametrize("left", [[-0.01], [-0.5], [-0.004, -0.3], [-0.2, -0.21, -0.9, -2.0]])
def test_eigenvalues_on_the_left_are_counted(left):
    matrix = planted_left(150, left, seed=4)
    true = torch.linalg.eigvals(matrix).real + 1
    assert int((true < 0).sum()) == len(left)
    correction = lyapunov.correction(*products(matrix), 150, wanted=12)
    assert lyapunov.is_proved(matrix, 1, correction)
    assert correction.negative() == len(left)


@pytest.mark.parametrize("left", [-0.01, -0.5, -39.0])
@pytest.mark.parametrize("columns", [1, 12])
def test_an_eigenvalue_on_the_left_is_never_denied(left, columns):
    """Whatever V and Y are: with a positive definite P the matrix P M + Mᵀ P is then indefinite (Lyapunov)."""
    matrix = planted_left(50, [left], seed=4)
    assert not lyapunov.is_proved(matrix, 1)
    for seed in range(4):
        generator = torch.Generator().manual_seed(seed)
        basis = torch.linalg.qr(torch.randn(50, columns, dtype=torch.float64, generator=generator)).Q
        positive = given(basis, torch.diag(5 * torch.rand(columns, dtype=torch.float64, generator=generator)))
        assert positive.negative() == 0
        assert not lyapunov.is_proved(matrix, 1, positive)


def test_whatever_is_proved_is_the_true_count():
    """Random P of every inertia on random matrices: where the proof succeeds, the number is right."""
    generator, proofs = np.random.default_rng(0), set()
    for _ in range(400):
        values = generator.choice([-1.0, 1.0], 6) * generator.uniform(0.5, 2, 6)
        similarity = np.eye(6) + 0.2 * generator.standard_normal((6, 6))
        whole = similarity @ np.diag(values) @ np.linalg.inv(similarity)
        basis = np.linalg.qr(np.eye(6) + 0.1 * generator.standard_normal((6, 6)))[0]
        correction = given(torch.from_numpy(basis), torch.from_numpy(np.diag(np.where(values < 0, -2.5, 0.5))))
        if lyapunov.is_proved(torch.from_numpy(whole - np.eye(6)), 1, correction):
            assert correction.negative() == int((values < 0).sum())
            proofs.add(correction.negative())
    assert len(proofs) > 3


def test_an_inertia_within_rounding_is_not_told():
    basis = torch.eye(4, dtype=torch.float64)[:, :2]
    assert given(basis, torch.diag(torch.tensor([-1.0, 2.0], dtype=torch.float64))).negative() is None
    assert given(basis, torch.diag(torch.tensor([-1.1, 2.0], dtype=torch.float64))).negative() == 1
    assert given(basis, torch.full((2, 2), float("nan"), dtype=torch.float64)).negative() is None


def test_positive_definite_symmetric_part_is_told():
    generator = torch.Generator().manual_seed(3)
    a = torch.randn(50, 50, dtype=torch.float64, generator=generator)
    skew = a - a.T
    assert lyapunov.is_proved(skew + 1e-3 * torch.eye(50, dtype=torch.float64), 0)
    assert not lyapunov.is_proved(skew, 0)
    assert lyapunov.is_proved(skew, 1)
    almost = torch.diag(torch.tensor([1.0, 1e-17], dtype=torch.float64))  # positive, but within rounding of singular
    assert not lyapunov.is_proved(almost, 0)
    assert not lyapunov.is_proved(almost * float("nan"), 0)


@pytest.mark.parametrize("side", [1, 2, 200])
def test_a_negative_direction_is_told_only_where_there_is_one(side):
    skew = torch.randn(side, side, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    skew = skew - skew.T
    positive = skew + 0.5 * torch.eye(side, dtype=torch.float64)
    assert not lyapunov.has_negative_direction(*products(positive, 0), side)
    assert lyapunov.has_negative_direction(*products(-positive, 0), side)
    assert not lyapunov.has_negative_direction(*products(positive * float("nan"), 0), side)
    if side > 2:
        assert lyapunov.has_negative_direction(*products(spoiled(side, 1, seed=1)), side)


def test_looking_for_a_negative_direction_first_changes_no_certificate(monkeypatch):
    """Blocks whose symmetric part is positive definite, and one where it is not."""
    for number in (6, 4):
        state = analysis.block_state(asked("resnet18", 0, number, "block"))
        found = []
        for above in (0, 10**9):
            monkeypatch.setattr(certificate, "PROBE_ABOVE", above)
            found.append(certificate.negative_eigenvalues(state)[0])
        assert found[0] == found[1]
        assert found[0].kind == "proved"
        assert found[0].how.startswith("P M" if number == 4 else "positive definite")


def banded(side: int, width: int, seed: int) -> torch.Tensor:
    full = torch.randn(side, side, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return torch.tril(torch.triu(full, -width), width)


@pytest.mark.parametrize("scale", [0.05, 0.3])
def test_a_band_in_disorder_gives_the_same_verdict(scale):
    """Positive and indefinite symmetric parts, factorised as a band and as a square."""
    matrix, shuffled = scale * banded(120, 6, seed=1), torch.randperm(120, generator=torch.Generator().manual_seed(2))
    there = torch.argsort(shuffled)
    in_disorder = matrix[there][:, there]  # in the order ``shuffled`` it is a band again
    band = positive_definite.band_of(in_disorder, 1, shuffled)
    assert band.shape == (7, 120)
    symmetric = matrix + matrix.T + 2 * torch.eye(120, dtype=torch.float64)
    for below in range(7):
        np.testing.assert_allclose(band[below, : 120 - below], symmetric.diagonal(-below).numpy(), rtol=0, atol=1e-15)
    expected = bool(torch.linalg.eigvalsh(symmetric)[0] > 0)
    assert expected == (scale == 0.05)
    assert lyapunov.is_proved(in_disorder, 1, order=shuffled) == expected == lyapunov.is_proved(in_disorder, 1)


def test_a_wide_matrix_is_no_band():
    assert positive_definite.band_of(banded(40, 20, seed=0), 1, torch.arange(40)) is None


def test_pixel_order_makes_a_band_of_a_real_core():
    """ResNet18's block 2 lives on 16×16 pixels and reaches two of them: about 2·(2·16 + 2)/256 of its entries."""
    from stiffcore.analysis import compute as analysis

    state = analysis.block_state(asked("resnet18", 0, 2, "block"))
    core = deflation.form_core(state, Convention.BLOCK)
    band = positive_definite.band_of(
        core.matrix, core.plan.shift, deflation.by_pixel(state, Convention.BLOCK, core.plan.layers)
    )
    assert band is not None
    assert len(band) < 0.2 * core.plan.side
    assert float(np.abs(band[0]).sum()) == pytest.approx(2 * float((core.matrix.diagonal() + 1).abs().sum()))


@pytest.mark.parametrize("side", [0, 1, 2, 9])
def test_a_core_of_zeros_leaves_the_skip(side):
    """A network whose last batch norms start at zero has such cores."""
    matrix, order = torch.zeros(side, side, dtype=torch.float64), torch.arange(side)
    assert lyapunov.is_proved(matrix, 1, order=order)
    assert lyapunov.is_proved(matrix, 1)
    assert lyapunov.is_proved(matrix, 0, order=order) == (side == 0)


@pytest.mark.parametrize("value", [-3.0, -1.0])
def test_one_eigenvalue_on_the_left_needs_no_direction(value):
    matrix = torch.tensor([[value]], dtype=torch.float64)
    correction = lyapunov.correction(*products(matrix), 1, wanted=6)
    assert (correction.columns, correction.complete) == (0, True)
    assert not lyapunov.is_proved(matrix, 1, correction)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e200])
def test_what_is_no_number_proves_nothing(bad):
    matrix = torch.zeros(4, 4, dtype=torch.float64)
    for basis, middle in ((bad, 1.0), (1.0, bad)):
        correction = given(
            torch.full((4, 1), basis, dtype=torch.float64), torch.full((1, 1), middle, dtype=torch.float64)
        )
        assert correction.negative() is None or not lyapunov.is_proved(matrix, 1, correction)
    matrix[3, 2] = bad
    assert not lyapunov.is_proved(matrix, 1, order=torch.arange(4))
    band = np.array([[1.0, float("nan"), 1.0]])
    assert not positive_definite.is_proved_of_band(band, 0.0)
