"""Arnoldi's outermost eigenvalues against planted ones, LAPACK's and ARPACK's."""

import numpy as np
import pytest
import torch
from scipy.sparse.linalg import eigs

from stiffcore.errors import CannotCompute
from stiffcore.spectra import arnoldi


def by(matrix: np.ndarray) -> arnoldi.Product:
    whole = torch.from_numpy(matrix)
    return lambda v: whole @ v


def non_normal(side: int, seed: int) -> np.ndarray:
    """A random matrix whose upper triangle is five times as large as the rest: far from normal."""
    entries = np.random.default_rng(seed).standard_normal((side, side)) / np.sqrt(side)
    return entries + 4 * np.triu(entries, 1) / np.sqrt(side)


@pytest.mark.parametrize("side", [1, 2, 5, 60, 300])
def test_all_three_ends_are_lapacks(side):
    matrix = non_normal(side, seed=side)
    values = np.linalg.eigvals(matrix)
    found = arnoldi.outermost(by(matrix), side)
    assert found.values["right"].real == pytest.approx(values.real.max(), rel=1e-8, abs=1e-10)
    assert found.values["left"].real == pytest.approx(values.real.min(), rel=1e-8, abs=1e-10)
    assert abs(found.values["largest"]) == pytest.approx(abs(values).max(), rel=1e-8, abs=1e-10)
    assert found.residual < 1e-9
    assert found.disagreement < 1e-9


def test_arpack_finds_the_same():
    matrix = non_normal(700, seed=1)
    found = arnoldi.outermost(by(matrix), 700)
    for end, which in (("right", "LR"), ("left", "SR"), ("largest", "LM")):
        start = np.random.default_rng(5).standard_normal(700)
        by_arpack = eigs(matrix, k=2, which=which, ncv=80, v0=start, return_eigenvectors=False)
        assert float(arnoldi.ENDS[end](by_arpack).max()) == pytest.approx(
            float(arnoldi.ENDS[end](np.array(found.values[end]))), rel=1e-8
        )


def test_planted_outliers_are_found_in_few_products():
    """A bulk of 5,000 eigenvalues around 1 and an outlier at each end, as in a trained block."""
    diagonal = np.random.default_rng(0).uniform(0.9, 1.1, 5000)
    diagonal[[7, 77, 777]] = -2.5, 3.0, -0.5
    products, factors = [], torch.from_numpy(diagonal)
    found = arnoldi.outermost(lambda v: products.append(1) or factors * v, 5000)
    assert found.values["right"] == pytest.approx(3.0, rel=1e-10)
    assert found.values["left"] == pytest.approx(-2.5, rel=1e-10)
    assert found.values["largest"] == pytest.approx(3.0, rel=1e-10)
    assert len(products) < 120


def test_only_the_ends_that_are_asked_for():
    found = arnoldi.outermost(lambda v: v.new_tensor([1.0, -2.0, 0.5]) * v, 3, ("right",))
    assert found.values == {"right": pytest.approx(1.0)}


def test_a_space_that_closes_early_is_no_trouble():
    """The zero operator and the identity leave nothing after one vector."""
    for factor in (0.0, 1.0):
        found = arnoldi.outermost(lambda v, factor=factor: factor * v, 50)
        assert set(found.values.values()) == {complex(factor)}


def test_starts_that_disagree_are_refused(monkeypatch):
    """Both starts converge, to different eigenvalues: one of them missed the rightmost."""
    found = iter([1.0, 3.0])
    monkeypatch.setattr(arnoldi, "_from_one_start", lambda *_, **__: {"right": (complex(next(found)), 1e-14)})
    with pytest.raises(CannotCompute, match="agree"):
        arnoldi.outermost(lambda v: v, 4, ("right",))


def test_what_does_not_converge_is_refused(monkeypatch):
    monkeypatch.setattr(arnoldi, "MOST_VECTORS", 8)
    matrix = non_normal(300, seed=2)
    with pytest.raises(CannotCompute, match="agree"):
        arnoldi.outermost(by(matrix), 300)


@pytest.mark.parametrize("shift", [0.0, 1.0])
@pytest.mark.parametrize("rank", [1, 3, 20, 80])
def test_an_operator_of_low_rank_is_exhausted_and_not_iterated_on_rounding(rank, shift):
    generator = np.random.default_rng(100 + rank)  # not the stream of a start
    left, right = generator.standard_normal((2, 450, rank)) / np.sqrt(450)
    values = np.concatenate([np.linalg.eigvals(right.T @ left), [0]]) + shift
    found = arnoldi.outermost(by(left @ right.T + shift * np.eye(450)), 450)
    assert found.values["right"].real == pytest.approx(values.real.max(), abs=1e-9)
    assert found.values["left"].real == pytest.approx(values.real.min(), abs=1e-9)
    assert abs(found.values["largest"]) == pytest.approx(abs(values).max(), abs=1e-9)


@pytest.mark.parametrize("corner", [3.0, 10.0])
@pytest.mark.parametrize("hidden", [1.003, 1.03])
def test_what_is_still_on_its_way_is_waited_for(corner, hidden):
    """Eigenvalues 1 ± i·corner converge long before a real one slightly farther right: both starts would agree on them."""
    diagonal = torch.from_numpy(np.random.default_rng(1).uniform(-1, 0.97, 600))
    diagonal[0] = hidden

    def product(v):
        w = diagonal * v
        w[1], w[2] = v[1] - corner * v[2], corner * v[1] + v[2]
        return w

    assert arnoldi.outermost(product, 600, ("right",)).values["right"].real == pytest.approx(hidden, abs=1e-9)


def test_a_cancelled_iteration_ends_within_twenty_products():
    diagonal = torch.from_numpy(np.random.default_rng(0).uniform(0, 1, 2000))
    products = []

    def stop(done, total, what):
        if len(products) > 50:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        arnoldi.outermost(lambda v: products.append(1) or diagonal * v, 2000, progress=stop)
    assert len(products) <= 70
