"""‖exp(tJ)‖₂ against the dense exponential."""

import numpy as np
import pytest
import torch
from scipy.linalg import expm

from stiffcore.conventions import Convention
from stiffcore.jacobians import maps, reference
from stiffcore.spectra import lanczos, transient
from tests.made_up.blocks import small_blocks

TIMES = np.array([0.0, 0.25, 1.0])
SQUARE = [block for block in small_blocks() if block.geometry.is_identity and block.geometry.n_out <= 200]


def dense_norms(matrix: np.ndarray) -> list[float]:
    return [float(np.linalg.norm(expm(time * matrix), 2)) for time in TIMES]


@pytest.mark.parametrize("convention", [Convention.BRANCH, Convention.BLOCK])
@pytest.mark.parametrize("block", SQUARE, ids=repr)
def test_small_blocks(block, convention):
    """Also dead ones, where exp(tJ) = 1."""
    matrix = reference.dense_jacobian(block.state, convention).reshape(block.geometry.n_out, -1).numpy()
    found = transient.norms_of_exponential(block.state, convention, TIMES, float(np.linalg.norm(matrix, 2)))
    np.testing.assert_allclose(found, dense_norms(matrix), rtol=1e-6)


@pytest.mark.parametrize("size", [0.0, 1.0, 30.0])
def test_matrices_that_decay_rotate_and_grow_first(size):
    """[[-1, size], [0, -2]]: for a large size growth of a hundred before the decay; several steps of the series."""
    matrix = np.array([[-1.0, size], [0.0, -2.0]])
    state = maps.of_matrix(torch.from_numpy(matrix), 1)
    found = transient.norms_of_exponential(state, Convention.BRANCH, TIMES, float(np.linalg.norm(matrix, 2)))
    np.testing.assert_allclose(found, dense_norms(matrix), rtol=1e-9)
    turned = np.array([[0.0, -5.0], [5.0, 0.0]])
    state = maps.of_matrix(torch.from_numpy(turned), 1)
    np.testing.assert_allclose(transient.norms_of_exponential(state, Convention.BRANCH, TIMES, 5.0), 1, rtol=1e-12)


def test_what_does_not_settle_is_nan(monkeypatch):
    monkeypatch.setattr(lanczos, "MOST_PRODUCTS", 2)
    found = transient.norms_of_exponential(SQUARE[0].state, Convention.BRANCH, TIMES, 3.0)
    assert found[0] == 1
    assert np.isnan(found[1:]).all()
