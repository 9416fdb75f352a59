"""The core and its multiplicities give the dense Jacobian's spectrum, in all special cases."""

import numpy as np
import pytest
import scipy.linalg
import torch

from stiffcore.analysis import compute as analysis
from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.jacobians import cycle, deflation, operator as jacobian, reference
from stiffcore.jacobians.cycle import Cycle
from stiffcore.spectra import full as full_spectra
from tests.made_up.asked import asked
from tests.made_up.blocks import linearised, make, small_blocks

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


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("block", IDENTITY, ids=repr)
def test_nothing_that_structure_makes_zero_is_left_in_the_core(block, convention):
    """The core of each small block has full rank, and its side is the count by hand: at each pixel the narrowest of the layers that
    1×1 convolutions join."""
    core = deflation.form_core(block.state, convention)
    rank = int(torch.linalg.matrix_rank(core.matrix)) if core.plan.side else 0
    assert rank == core.plan.side
    if len(block.state.layers) == 3:
        live = cycle.masks(block.state, convention)
        by_hand = 0
        for y in range(block.x.shape[1]):
            for x in range(block.x.shape[2]):
                by_hand += min(int(mask[:, y, x].sum()) for mask in live.values())
        assert core.plan.side == by_hand


def test_some_cores_of_bottlenecks_are_smaller_than_their_narrowest_layer():
    smaller = {
        block.name
        for block in IDENTITY
        for convention in CONVENTIONS
        if deflation.plan(block.state, convention).side
        < min(int(mask.sum()) for mask in cycle.masks(block.state, convention).values())
    }
    assert {"bottleneck-a<b", "bottleneck-a>b", "pre-activation-bottleneck-identity"} <= smaller


@pytest.mark.parametrize(("convention", "zeros", "ones"), [("branch", 7357, 0), ("block", 4066, 3291)])
def test_resnet50s_last_block_has_no_undetermined_eigenvalue(convention, zeros, ones):
    """Image 21: b1 and b2 are 987 and 976 in sum, and 835 at the narrower of the two at each pixel."""
    state = analysis.block_state(asked("resnet50", 21, 16, convention))
    found = full_spectra.full_spectrum(state, Convention(convention))
    assert (len(found.eigenvalues), found.zeros, found.ones) == (835, zeros, ones)
    assert not (np.abs(found.eigenvalues.real) <= found.tolerance).any()
    assert np.abs(found.eigenvalues - ones / max(ones, 1)).min() > 1e-6, "nor is an eigenvalue 0 of K left"


def _without_weights(module, x):
    """A zero-initialised residual."""
    with torch.no_grad():
        module.bn2.weight.zero_()


@pytest.mark.parametrize(("convention", "zeros", "ones"), [("branch", 1, 0), ("block", 0, 1)])
def test_a_residual_that_starts_at_zero_is_structure(convention, zeros, ones):
    block = make("basic-silent", "basic", 4, 4, 6, change=_without_weights)
    made, n, live = deflation.plan(block.state, Convention(convention)), block.geometry.n_out, block.state.live_outputs
    assert (made.side, made.zeros, made.ones) == (0, n if zeros else n - live, live * ones)


class _Stack(torch.nn.Module):
    """Post-activation, with convolutions of these kernels."""

    stride = 1

    def __init__(self, kernels):
        super().__init__()
        self.kernels = kernels
        for i, kernel in enumerate(kernels, 1):
            setattr(self, f"conv{i}", torch.nn.Conv2d(4, 4, kernel, padding=kernel // 2, bias=False))
            setattr(self, f"bn{i}", torch.nn.BatchNorm2d(4))

    def forward(self, x):
        y = x
        for i in range(1, len(self.kernels) + 1):
            y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
            y = y.relu() if i < len(self.kernels) else y
        return (x + y).relu()


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize(
    "kernels", [(1, 3), (3, 1), (1, 1), (1, 1, 1), (5, 1, 1), (1, 3, 1, 1), (3, 1, 3), (3, 1, 1, 3), (3, 3, 1)]
)
def test_every_stack_of_convolutions_has_the_dense_spectrum(kernels, convention):
    with torch.random.fork_rng():
        torch.manual_seed(sum(kernels))
        module, x = _Stack(kernels).double().eval(), torch.randn(4, 4, 4, dtype=torch.float64).relu()
    _, state = linearised(module, x)
    dense, core = reference.dense_jacobian(state, convention), deflation.form_core(state, convention)
    assert int(torch.linalg.matrix_rank(core.matrix)) == core.plan.side
    eye = torch.eye(core.plan.side, dtype=torch.float64)
    torch.testing.assert_close(Cycle(state, convention, core.plan.layers).product(eye).T, core.matrix)
    torch.testing.assert_close(Cycle(state, convention, core.plan.layers).transposed(eye), core.matrix)
    for power in range(1, 5):
        ours = float(torch.linalg.matrix_power(core.matrix + core.plan.shift * eye, power).trace()) + core.plan.ones
        theirs = float(torch.linalg.matrix_power(dense, power).trace())
        assert ours == pytest.approx(theirs, rel=1e-10, abs=1e-10)
