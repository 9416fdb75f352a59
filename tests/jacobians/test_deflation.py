"""The core and its multiplicities give the dense Jacobian's spectrum, in all special cases."""

import numpy as np
import pytest
import scipy.linalg
import torch

from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.jacobians import cycle, deflation, operator as jacobian, reference
from tests.made_up.blocks import small_blocks

BLOCKS = small_blocks()
IDENTITY = [block for block in BLOCKS if block.geometry.is_identity]
CONVENTIONS = (Convention.BLOCK, Convention.BRANCH)


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("block", BLOCKS, ids=repr)
def test_products_are_the_jacobians_columns_and_rows(block, convention):
    dense = reference.jacobian_of_module(block.module, block.x, convention).reshape(
        block.geometry.n_out, block.geometry.n_in
    )
    columns = jacobian.apply(block.state, convention, torch.eye(block.geometry.n_in, dtype=torch.float64)).T
    rows = jacobian.apply_transpose(block.state, convention, torch.eye(block.geometry.n_out, dtype=torch.float64))
    torch.testing.assert_close(columns, dense, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(rows, dense, rtol=1e-12, atol=1e-12)
    live = dense if convention == "branch" else dense[block.state.outer_mask.flatten()]
    torch.testing.assert_close(jacobian.dense_rows(block.state, convention), live, rtol=1e-12, atol=1e-12)


def _dense(block, convention) -> torch.Tensor:
    return reference.dense_jacobian(block.state, convention).reshape(block.geometry.n_out, block.geometry.n_in)


def _deflated(core: deflation.Core) -> np.ndarray:
    values = torch.linalg.eigvals(core.matrix).numpy() + core.plan.shift
    return np.concatenate([values, np.zeros(core.plan.zeros), np.ones(core.plan.ones)])


def _layers(block):
    """Every layer alone, and the groups that 1×1 convolutions join."""
    alone = [(f"inner{i + 1}",) for i in range(len(block.state.inner_masks))]
    return [*alone, ("outer",), *cycle.joined(block.state)]


def _with_conditions(matrix: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues and their condition numbers 1 / |yᴴ x|, x and y the normalised right and left eigenvectors."""
    values, left, right = scipy.linalg.eig(matrix.numpy(), left=True, right=True)
    return values, 1 / np.maximum(np.abs((left.conj() * right).sum(0)), 1e-300)


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("block", IDENTITY, ids=repr)
def test_core_has_the_dense_spectrum(block, convention):
    dense, core = _dense(block, convention), deflation.form_core(block.state, convention)
    expected, condition = _with_conditions(dense)
    got = _deflated(core)
    assert len(got) == len(expected) == block.geometry.n_out
    distance = np.abs(expected[:, None] - got[None, :]).min(1)
    good = condition < 1e3
    assert good.any()
    assert distance[good].max() < 1e-10 * max(1.0, float(dense.norm()))
    # The others sit in the clusters at 0 and 1, where a defective eigenvalue of the dense reference scatters by a
    # root of the roundoff: first order in κ, capped by the square root for Jordan blocks of size two.
    bad = ~good
    assert (distance[bad] < np.minimum(1e-12 * condition[bad], 1e-6) * max(1.0, float(dense.norm()))).all()


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("block", IDENTITY, ids=repr)
def test_traces_of_powers_agree_to_1e10(block, convention):
    """tr Jᵏ determines the spectrum, and is well-conditioned where single eigenvalues are not."""
    dense, core = _dense(block, convention), deflation.form_core(block.state, convention)
    shifted = core.matrix + core.plan.shift * torch.eye(core.plan.side, dtype=torch.float64)
    power, core_power = torch.eye(len(dense), dtype=torch.float64), torch.eye(core.plan.side, dtype=torch.float64)
    for _ in range(5):
        power, core_power = power @ dense, core_power @ shifted
        scale = max(1.0, float(power.abs().sum()))
        assert abs(float(core_power.trace()) + core.plan.ones - float(power.trace())) < 1e-10 * scale


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("block", IDENTITY, ids=repr)
def test_every_layer_carries_the_same_core(block, convention):
    """AB against BA: the traces of the core's powers agree for every layer that it is formed on."""
    traces = []
    for layers in _layers(block):
        core = deflation.form_core(block.state, convention, layers)
        square = core.matrix @ core.matrix
        traces.append([float(core.matrix.trace()), float(square.trace()), float((square @ core.matrix).trace())])
    for other in traces[1:]:
        np.testing.assert_allclose(other, traces[0], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("block", IDENTITY, ids=repr)
def test_the_operator_is_the_core(block, convention):
    core = deflation.form_core(block.state, convention)
    v = torch.randn(core.plan.side, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    shifted = core.matrix + core.plan.shift * torch.eye(core.plan.side, dtype=torch.float64)
    product = deflation.core_product(block.state, convention)
    transposed = deflation.core_product(block.state, convention, transpose=True)
    torch.testing.assert_close(product(v), shifted @ v, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(transposed(v), shifted.T @ v, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "zeros", "ones"), [("basic-a=0", "all", 0), ("basic-b=0", "dead", "live"), ("basic-a=b=0", "all", 0)]
)
def test_structural_multiplicities_where_nothing_is_left(name, zeros, ones):
    block = next(b for b in BLOCKS if b.name == name)
    made, n = deflation.plan(block.state, Convention.BLOCK), block.geometry.n_out
    live = block.state.live_outputs
    assert made.side == 0
    assert made.zeros == (n if zeros == "all" else n - live)
    assert made.ones == (live if ones == "live" else 0)


def test_blocks_that_are_not_square_are_refused():
    block = next(b for b in BLOCKS if b.name == "basic-downsampling")
    with pytest.raises(CannotCompute, match="singular values"):
        deflation.plan(block.state, Convention.BLOCK)
