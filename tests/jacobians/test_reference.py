"""The slow versions against each other and against planted answers."""

import numpy as np
import pytest
import torch

from stiffcore.conventions import Convention
from stiffcore.jacobians import reference
from tests.made_up.blocks import small_blocks

SMALL = small_blocks()


@pytest.mark.parametrize("convention", [Convention.SLICES, Convention.BLOCK, Convention.BRANCH])
@pytest.mark.parametrize("small", SMALL, ids=repr)
def test_linear_maps_of_the_state_give_the_jacobian_that_autograd_finds(small, convention):
    from_state = reference.dense_jacobian(small.state, convention)
    from_module = reference.jacobian_of_module(small.module, small.x, convention, chunk_size=64)
    assert from_state.shape == from_module.shape
    torch.testing.assert_close(from_state, from_module, rtol=0, atol=1e-14)


@pytest.mark.parametrize("small", SMALL, ids=repr)
def test_peeling_before_lapack_leaves_the_slices_spectrum_alone(small):
    jacobian = reference.dense_jacobian(small.state, Convention.SLICES)
    naive, peeled = reference.naive_slices(jacobian), reference.peeled_lapack(jacobian)
    assert naive.size == small.geometry.n_eigenvalues(Convention.SLICES)
    assert reference.spectral_distance(naive, peeled) < 1e-13
    if not small.state.masks_inputs:  # else further zeros are scattered over the slices, and their signs are rounding
        assert reference.metrics(naive)["n_negative"] == reference.metrics(peeled)["n_negative"]


def test_table_holds_the_cases_that_it_names():
    by_name = {small.name: small for small in SMALL}
    assert len(by_name) == len(SMALL)
    for kind in ("basic", "bottleneck"):
        for relation, holds in {"a<b": "__lt__", "a=b": "__eq__", "a>b": "__gt__"}.items():
            state = by_name[f"{kind}-{relation}"].state
            assert getattr(state.live_outputs, holds)(min(state.live_inner)) is True
        assert by_name[f"{kind}-a=0"].state.live_outputs == 0
        assert by_name[f"{kind}-all-alive"].state.live_outputs == by_name[f"{kind}-all-alive"].geometry.n_out
        zeros = by_name[f"{kind}-zero-pre-activations"].state
        assert not zeros.inner_masks[0][0].any()
        assert not zeros.outer_mask[0][zeros.input[0] == 0].any()
    assert by_name["basic-b=0"].state.live_inner == (0,)
    assert by_name["bottleneck-b2=0"].state.live_inner[1] == 0


def test_spectral_distance_matches_multisets_and_not_positions():
    generator = np.random.default_rng(0)
    for size in (5, 300, 5000):  # the last one is matched greedily
        a = generator.normal(size=size) + 1j * generator.normal(size=size)
        shift = 1e-9 * np.exp(2j * np.pi * generator.random(size))
        assert reference.spectral_distance(a, generator.permutation(a)) == 0
        assert reference.spectral_distance(a, generator.permutation(a + shift)) == pytest.approx(1e-9, rel=1e-3)
        a[0] += 10
        assert reference.spectral_distance(a, generator.permutation(a - 10 * (np.arange(size) == 0))) > 5


def test_spectral_distance_sees_a_missing_multiplicity():
    assert reference.spectral_distance([0, 0, 1], [0, 1, 1]) == 1
    assert reference.spectral_distance(np.zeros(10_000), 1e-8 * np.exp(1j * np.arange(10_000))) == pytest.approx(1e-8)
    with pytest.raises(ValueError, match="equal size"):
        reference.spectral_distance([1], [1, 1])


def test_metrics_of_a_planted_spectrum():
    found = reference.metrics(np.array([2.0, 0.0, -0.5 + 1j, -0.5 - 1j, -4.0]))
    assert (found["n_eigenvalues"], found["n_negative"], found["n_positive"]) == (5, 3, 1)
    assert (found["max_re"], found["min_re"], found["spectral_radius"]) == (2, -4, 4)
    assert found["stiffness_index"] == -0.5
    assert found["percent_negative"] == 60
    assert found["stiffness_ratio"] == 8
    assert found["largest_stable_step"] == 0.5  # of -4; -0.5 ± i allow 0.8
    assert found["outside_euler"] == 4 / 5  # all but 0, which lies on the circle


def test_metrics_without_a_negative_eigenvalue_are_undefined():
    found = reference.metrics(np.array([0.0, 1.0, 1.0 + 1j, 1.0 - 1j]))
    assert all(np.isnan(found[name]) for name in ("stiffness_index", "stiffness_ratio", "largest_stable_step"))
