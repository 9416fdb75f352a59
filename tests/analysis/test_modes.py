"""Modes are eigenvectors of the true Jacobian, mapped back from the core."""

import numpy as np
import pytest
import scipy.linalg

from stiffcore.analysis import modes
from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.jacobians import cycle, deflation, reference
from tests.made_up.blocks import small_blocks

IDENTITY = [block for block in small_blocks() if block.geometry.is_identity and block.geometry.n_out <= 200]


def nothing(*stage) -> None:
    pass


def of_core(block, convention) -> np.ndarray:
    """Eigenvalues of the core away from 0, shift included, largest first."""
    core = deflation.form_core(block.state, convention)
    values = np.linalg.eigvals(core.matrix.numpy()) if core.plan.side else np.zeros(0)
    values = values[np.abs(values) > 1e-6] + core.plan.shift
    return values[np.argsort(-np.abs(values))]


@pytest.mark.parametrize("convention", [Convention.BRANCH, Convention.BLOCK])
@pytest.mark.parametrize("block", IDENTITY, ids=repr)
def test_a_mode_is_an_eigenvector_of_the_true_jacobian(block, convention):
    dense = reference.dense_jacobian(block.state, convention).reshape(block.geometry.n_out, -1).numpy()
    values, left, right = scipy.linalg.eig(dense, left=True, right=True)
    conditions = 1 / np.maximum(np.abs((left.conj() * right).sum(0)), 1e-300)
    checked, there = 0, of_core(block, convention)
    for value in there[[0, -1]] if len(there) else ():
        made = modes.of_state(block.state, convention, value, nothing)
        nearest = np.argmin(np.abs(values - value))
        if conditions[nearest] > 1e6 or np.sort(np.abs(values - value))[1] < 1e-6:
            continue  # dense LAPACK's vectors are inaccurate there
        assert made["residual"] < 1e-8
        assert made["left_residual"] < 1e-8
        assert made["condition"] == pytest.approx(conditions[nearest], rel=1e-4)
        shape = block.geometry.output_shape
        expected = np.linalg.norm(right[:, nearest].reshape(shape), axis=0)
        np.testing.assert_allclose(made["right_map"], expected / np.linalg.norm(expected), atol=1e-6)
        expected = np.linalg.norm(left[:, nearest].reshape(shape), axis=(1, 2))
        np.testing.assert_allclose(made["left_channels"], expected / np.linalg.norm(expected), atol=1e-6)
        checked += 1
    assert checked or block.name not in ("basic-identity", "bottleneck-side-2", "basic-a<b", "basic-a>b")


def test_every_layer_that_a_core_may_live_on_was_among_them():
    used = set()
    for block in IDENTITY:
        for convention in (Convention.BRANCH, Convention.BLOCK):
            layers = deflation.plan(block.state, convention).layers
            units = cycle.narrowest(cycle.masks(block.state, convention), layers)
            used |= {(len(layers), name) for name, mask in units.items() if mask.any()}
    assert used == {(1, "inner1"), (1, "outer"), (3, "inner1"), (3, "inner2"), (3, "outer")}


@pytest.mark.parametrize("name", ["basic-identity", "bottleneck-side-2", "basic-a<b"])
def test_maps_and_channels_hold_the_whole_vector(name):
    block = next(block for block in IDENTITY if block.name == name)
    made = modes.of_state(block.state, Convention.BLOCK, of_core(block, Convention.BLOCK)[0], nothing)
    channels, height, width = block.geometry.output_shape
    for side in ("right", "left"):
        assert made[f"{side}_map"].shape == (height, width)
        assert made[f"{side}_channels"].shape == (channels,)
        assert np.linalg.norm(made[f"{side}_map"]) == pytest.approx(1)
        assert np.linalg.norm(made[f"{side}_channels"]) == pytest.approx(1)
    dead = ~block.state.outer_mask.numpy().any(axis=(1, 2))
    assert (made["right_channels"][dead] == 0).all(), "a dead output is in no image of the block"


@pytest.mark.parametrize("value", [0.7 + 0.4j, -1.3 + 0j])
def test_core_vectors_of_a_planted_matrix(value):
    generator = np.random.default_rng(0)
    planted = (
        np.array([value, np.conj(value), 0.2, -0.1, 0.05]) if value.imag else np.array([value, 0.3, 0.2, -0.1, 0.05])
    )
    basis = generator.normal(size=(5, 5)) + 0j
    if value.imag:
        basis[:, 0] += 1j * generator.normal(size=5)
        basis[:, 1] = basis[:, 0].conj()
    matrix = (basis @ np.diag(planted) @ np.linalg.inv(basis)).real
    y, z = modes.core_vectors(matrix, value)
    np.testing.assert_allclose(matrix @ y, value * y, atol=1e-12)
    np.testing.assert_allclose(z @ matrix, value * z, atol=1e-12)


def test_a_defective_eigenvalue_has_a_huge_condition_number_and_a_small_residual():
    y, z = modes.core_vectors(np.array([[0.5, 1.0], [0.0, 0.5]]), 0.5)
    assert abs(z @ y) < 1e-7
    assert np.linalg.norm(np.array([[0.0, 1.0], [0.0, 0.0]]) @ y) < 1e-7


def test_zero_slices_and_large_cores_are_refused():
    block = next(block for block in IDENTITY if block.name == "basic-dead-inner-channel")
    with pytest.raises(CannotCompute, match="choose block or branch"):
        modes.check(Convention.SLICES, 10)
    with pytest.raises(CannotCompute, match="1,500 at most"):
        modes.check(Convention.BRANCH, 6419)
    with pytest.raises(CannotCompute, match="away from 0"):
        modes._normalised(np.zeros(block.geometry.n_out, complex), 0j)
