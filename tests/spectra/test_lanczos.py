"""Lanczos' method against planted spectra."""

import numpy as np
import pytest
import torch

from stiffcore.progress import silent
from stiffcore.spectra import lanczos
from stiffcore.spectra.lanczos import Iteration

BOTH = (0, -1)


def planted(eigenvalues, seed: int = 3) -> torch.Tensor:
    """A symmetric matrix with these eigenvalues, in random directions."""
    random = np.random.default_rng(seed).standard_normal((len(eigenvalues), len(eigenvalues)))
    basis = np.linalg.qr(random)[0]
    return torch.from_numpy((basis * np.array(eigenvalues)) @ basis.T)


def run(matrices: dict[str, torch.Tensor], iterations: list[Iteration]) -> list[lanczos.Found]:
    def product(rows, kinds):
        assert list(kinds) == sorted(kinds, key=list(matrices).index)  # those of a kind stand together
        return torch.stack([matrices[kind] @ row for row, kind in zip(rows, kinds, strict=True)])

    return lanczos.outermost(product, len(next(iter(matrices.values()))), iterations)


@pytest.mark.parametrize("room", [24, 240])
def test_planted_ends_of_several_operators_in_lockstep(room, monkeypatch):
    """Also with a basis so small that it restarts; the ends' errors are far below the residuals."""
    monkeypatch.setattr(lanczos, "LARGEST_BASIS", room)
    inside = np.random.default_rng(0).uniform(-1, 1, 396)
    first = planted([-3, -1.2, *inside, 1.05, 1.06])
    second = planted([*(5 + inside), 0, 1, 6.3, 6.2])
    iterations = [Iteration("first", BOTH, 0), Iteration("first", BOTH, 1), Iteration("second", (-1,), 0)]
    found = run({"first": first, "second": second}, iterations)
    assert all(one.settled for one in found)
    for one, scale in zip(found, (3, 3, 6.3), strict=True):
        assert max(one.residuals) <= 2 * lanczos.TOLERANCE * scale
    for one in found[:2]:
        np.testing.assert_allclose(one.values, (-3, 1.06), rtol=1e-9)
    np.testing.assert_allclose(found[2].values, 6.3, rtol=1e-9)
    assert (found[0].products > 24) or room > 24  # it restarted


@pytest.mark.parametrize("side", [1, 2, 5])
@pytest.mark.parametrize("value", [0.0, 2.5])
def test_multiples_of_the_identity_and_zero(side, value):
    (found,) = run({"one": value * torch.eye(side, dtype=torch.float64)}, [Iteration("one", BOTH, 0)])
    assert found.settled
    np.testing.assert_allclose(found.values, value, atol=1e-14)
    assert found.products == 1


def test_a_small_matrix_is_exhausted():
    (found,) = run({"one": planted([-1, 0, 0, 1, 2])}, [Iteration("one", BOTH, 0)])
    assert found.settled
    np.testing.assert_allclose(found.values, (-1, 2), rtol=1e-12)


def test_what_does_not_settle_says_so(monkeypatch):
    monkeypatch.setattr(lanczos, "MOST_PRODUCTS", 12)
    (found,) = run({"one": planted(np.linspace(-1, 1, 300))}, [Iteration("one", BOTH, 0)])
    assert not found.settled
    assert found.products == 12
    assert -1 < found.values[0] < found.values[1] < 1  # Ritz values are never outside
    distance = [min(abs(np.linspace(-1, 1, 300) - value)) for value in found.values]
    assert all(d <= r for d, r in zip(distance, found.residuals, strict=True))


def test_progress_can_cancel():
    class Stop(Exception):
        pass

    def stop(done, total, what):
        raise Stop

    with pytest.raises(Stop):
        lanczos.outermost(lambda rows, kinds: rows, 9, [Iteration("one", BOTH, 0)], stop)
    assert lanczos.outermost(lambda rows, kinds: rows, 9, [Iteration("one", BOTH, 0)], silent)[0].settled


def lowest(matrix: torch.Tensor, wanted: int) -> np.ndarray:
    values, vectors = lanczos.lowest(lambda v: matrix @ v, len(matrix), wanted, 1e-3, 400)
    assert vectors.shape == (len(values), len(matrix))
    np.testing.assert_allclose((vectors @ vectors.T).numpy(), np.eye(len(values)), atol=1e-10)
    return values


def test_more_are_wanted_than_a_first_look_has():
    matrix = planted([*np.linspace(-2, -1, 30), *np.linspace(1, 2, 170)])
    assert lanczos.FIRST_LOOK < 30
    np.testing.assert_allclose(lowest(matrix, 30), np.linspace(-2, -1, 30), rtol=1e-2)


@pytest.mark.parametrize("eigenvalues", [[-2, *[1] * 49], [-1] * 20, [0] * 7, [*[-2] * 3, *[1] * 24, *[4] * 3]])
def test_eigenvalues_count_as_often_as_they_occur(eigenvalues):
    """The Krylov space of one start closes after as many vectors as there are different ones."""
    np.testing.assert_allclose(lowest(planted(eigenvalues), 6), eigenvalues[:6], atol=1e-10)


def test_those_that_do_not_settle_in_the_products_allowed_are_left_out():
    matrix = planted([-3, *np.linspace(-1, 1, 299)])
    values, _ = lanczos.lowest(lambda v: matrix @ v, 300, 6, 1e-6, 30)
    np.testing.assert_allclose(values, [-3], rtol=1e-6)


def test_the_tolerance_is_read_when_it_is_used(monkeypatch):
    matrix = planted(np.linspace(-1, 1, 300))
    products = []
    for tolerance in (1e-2, 1e-8):
        monkeypatch.setattr(lanczos, "TOLERANCE", tolerance)
        (found,) = run({"one": matrix}, [Iteration("one", BOTH, 0)])
        assert max(found.residuals) <= 2 * tolerance
        products.append(found.products)
    assert products[0] < products[1]
