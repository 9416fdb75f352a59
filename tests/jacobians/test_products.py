"""The quick products against the operators, whose order of vectors is (C, H, W)."""

import pytest
import torch

from stiffcore.conventions import Convention
from stiffcore.jacobians import maps, operator, products
from tests.made_up.blocks import small_blocks

MATRICES = [convention for convention in Convention if convention.has_matrix]


@pytest.mark.parametrize("convention", MATRICES)
@pytest.mark.parametrize("at_once", [1, products.AT_ONCE])
@pytest.mark.parametrize("block", small_blocks(), ids=repr)
def test_products_are_the_operators(block, at_once, convention, monkeypatch):
    monkeypatch.setattr(products, "AT_ONCE", at_once)  # windows of one vector at a time, or of all
    state, sizes = block.state, block.geometry
    quick = products.of_block(state, convention)
    random = torch.Generator().manual_seed(0)
    v = torch.randn(3, *sizes.input_shape, generator=random, dtype=torch.float64)
    w = torch.randn(3, *sizes.output_shape, generator=random, dtype=torch.float64)
    last = [x.permute(0, 2, 3, 1).flatten(1) for x in (v, w)]
    for x, product, slow, shape in (
        (last[0], quick.forward, operator.apply(state, convention, v.flatten(1)), sizes.output_shape),
        (last[1], quick.backward, operator.apply_transpose(state, convention, w.flatten(1)), sizes.input_shape),
    ):
        before = x.clone()
        channels, height, width = shape
        found = product(x).reshape(3, height, width, channels).permute(0, 3, 1, 2).flatten(1)
        torch.testing.assert_close(found, slow, rtol=1e-12, atol=1e-12)
        assert torch.equal(x, before)
    assert quick.shape == (sizes.n_out, sizes.n_in)


def test_a_matrix_is_its_own_product():
    matrix = torch.randn(5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    quick = products.of_block(maps.of_matrix(matrix, 1), Convention.BRANCH)
    torch.testing.assert_close(quick.forward(torch.eye(5, dtype=torch.float64)).T, matrix)
    torch.testing.assert_close(quick.backward(torch.eye(5, dtype=torch.float64)), matrix)
