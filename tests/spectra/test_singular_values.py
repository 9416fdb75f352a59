"""Singular values against the dense Jacobian, all of them and the outermost by Lanczos."""

import numpy as np
import pytest
import torch

from stiffcore.conventions import Convention
from stiffcore.images import cifar10
from stiffcore.jacobians import forward, reference
from stiffcore.metrics import definitions, facts
from stiffcore.networks import catalogue, resnets
from stiffcore.spectra import singular_values
from tests.made_up.blocks import make, small_blocks

OTHERS = [block for block in small_blocks() if not block.geometry.is_identity]


@pytest.mark.parametrize("convention", [Convention.BLOCK, Convention.BRANCH])
@pytest.mark.parametrize("block", OTHERS, ids=repr)
def test_singular_values_of_blocks_that_are_not_square(block, convention):
    dense = reference.dense_jacobian(block.state, convention).reshape(block.geometry.n_out, block.geometry.n_in)
    every = torch.linalg.svdvals(dense).numpy()
    found = singular_values.compute(block.state, convention)
    assert found.complete
    assert len(found.values) + found.structural_zeros == len(every)
    np.testing.assert_allclose(found.values, every[: len(found.values)], atol=1e-12)
    np.testing.assert_allclose(every[len(found.values) :], 0, atol=1e-12)


def test_outer_singular_values_by_lanczos(monkeypatch):
    image = cifar10.normalised(cifar10.image(cifar10.bundled()[0])[None])[0]
    state = forward.block_states(resnets.load("resnet18"), catalogue.blocks("resnet18"), image, [7])[7]
    whole = singular_values.compute(state, Convention.BLOCK, complete=False)
    every = whole.values
    assert whole.complete  # for so few rows all of them cost no more
    monkeypatch.setattr(singular_values, "ALWAYS_ALL_BELOW", 0)
    outer = singular_values.compute(state, Convention.BLOCK, complete=False)
    assert not outer.complete
    assert outer.values[0] == pytest.approx(every[0], rel=1e-9)
    assert outer.values[1] == pytest.approx(every[-1], rel=1e-8)
    assert every[0] / every[-1] < 100, "well conditioned"
    branch = singular_values.compute(state, Convention.BRANCH, complete=False)
    monkeypatch.undo()
    assert branch.values[0] == pytest.approx(singular_values.compute(state, Convention.BRANCH).values[0], rel=1e-9)
    assert np.isnan(branch.values[1]), "an inner layer limits the rank"


def _twins(module, x):
    """Output channels 0 and 1 are the same map, and live: rows of J that depend on each other."""
    with torch.no_grad():
        for part in (module.conv2, module.downsample[0]):
            part.weight[1] = part.weight[0]
        for norm in (module.bn2, module.downsample[1]):
            for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
                tensor[1] = tensor[0]
        module.bn2.bias[:2] += 1e2


@pytest.mark.parametrize("above", [0, 10**9])
def test_a_numerical_zero_is_no_smallest_singular_value(monkeypatch, above):
    """Two live output channels that are equal: dense LAPACK gives some 1e-17, and a condition number of some 1e16 with it."""
    block = make("twins", "basic", 4, 6, 6, stride=2, change=_twins)
    dense = reference.dense_jacobian(block.state, Convention.BLOCK)[block.state.outer_mask.flatten()]
    every = torch.linalg.svdvals(dense).numpy()
    assert every[-1] < 1e-14 * every[0]
    monkeypatch.setattr(singular_values, "ALWAYS_ALL_BELOW", above)
    found = singular_values.compute(block.state, Convention.BLOCK, complete=False)
    assert found.complete == (above > 0)
    assert found.values[-1] == 0
    metrics, reasons = definitions.of(facts.of_singular_values(found, *dense.shape, Convention.BLOCK, 1.0))
    assert metrics["largest_singular_value"] == pytest.approx(every[0])
    for name in ("smallest_singular_value", "condition_number"):
        assert np.isnan(metrics[name])
        assert str(reasons[name]) == "undefined: the smallest singular value is 0"
