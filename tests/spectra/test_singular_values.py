"""Singular values against the dense Jacobian, all of them and the outermost by Lanczos."""

import numpy as np
import pytest
import torch

from stiffcore.conventions import Convention
from stiffcore.images import cifar10
from stiffcore.jacobians import forward, reference
from stiffcore.networks import catalogue, resnets
from stiffcore.spectra import singular_values
from tests.made_up.blocks import small_blocks

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
    # Lanczos may not reach the smallest, which is then reported; a number that it gives must be right.
    assert np.isnan(outer.values[1]) or outer.values[1] == pytest.approx(every[-1], rel=1e-3)
