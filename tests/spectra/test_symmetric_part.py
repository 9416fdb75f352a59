"""Logarithmic norms and norms against dense eigenvalues of the symmetric part and dense singular values."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.images import cifar10
from stiffcore.jacobians import forward, maps, operator, reference
from stiffcore.networks import catalogue, resnets
from stiffcore.networks.geometry import MAP, BlockGeometry
from stiffcore.spectra import lanczos, symmetric_part
from tests.made_up.blocks import small_blocks

MATRICES = [convention for convention in Convention if convention.has_matrix]


def of_reference(state, convention) -> tuple[float | None, float | None, float]:
    """m, M and ‖J‖₂, slowly."""
    dense = reference.dense_jacobian(state, convention).reshape(state.geometry.n_out, state.geometry.n_in)
    norm = float(torch.linalg.svdvals(dense)[0])
    if not state.geometry.is_identity:
        return None, None, norm
    ends = torch.linalg.eigvalsh((dense + dense.T) / 2)
    return float(ends[0]), float(ends[-1]), norm


def assert_close(found: symmetric_part.Norms, expected, atol=1e-9) -> None:
    assert (found.lower is None) == (expected[0] is None)
    pairs = zip((found.lower, found.upper, found.norm), expected, strict=True)
    for value, right in pairs:
        assert value is right is None or value == pytest.approx(right, rel=1e-9, abs=atol)


@pytest.mark.parametrize("convention", MATRICES)
@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize("block", small_blocks(), ids=repr)
def test_small_blocks_of_every_kind(block, dense, convention, monkeypatch):
    """Also dead ones, of side 1, and not square: by LAPACK, and by Lanczos' method."""
    monkeypatch.setattr(symmetric_part, "DENSE_BELOW", 10**6 if dense else 0)
    monkeypatch.setattr(symmetric_part, "FORMED_BELOW", 0)  # nothing is formed behind our back
    monkeypatch.setattr(lanczos, "TOLERANCE", 1e-10)  # a small dense spectrum has no gaps at its ends
    found = symmetric_part.compute(block.state, convention)
    assert_close(found, of_reference(block.state, convention))


@pytest.mark.parametrize("convention", MATRICES)
@pytest.mark.parametrize("block", [7, 8])
def test_real_blocks(block, convention):
    """Against the operator that was checked against autograd, made dense."""
    state = state_of("resnet18", block)
    found = symmetric_part.compute(state, convention)
    dense = torch.cat(
        [operator.apply_transpose(state, convention, w) for w in torch.eye(2048, dtype=torch.float64).split(256)]
    )
    assert found.norm == pytest.approx(float(torch.linalg.eigvalsh(dense @ dense.T)[-1]) ** 0.5, rel=1e-9)
    assert 0 < found.health["norm_residual"] < 3e-6 * found.norm
    if state.geometry.is_identity:
        ends = torch.linalg.eigvalsh((dense + dense.T) / 2)[[0, -1]].tolist()
        assert (found.lower, found.upper) == pytest.approx(ends, rel=1e-9)
        assert found.health["log_norm_residual"] < 3e-6 * max(-found.lower, found.upper)
        assert found.health["log_norm_disagreement"] < 1e-9


@pytest.mark.parametrize(
    ("block", "expected"),
    [(1, (-2.19, 3.22, 0.51)), (2, (-1.57, 2.62, 0.52)), (4, (-2.86, 4.27, 0.71)), (8, (-1.78, 0.75, -0.52))],
)
def test_check_values_of_the_design(block, expected):
    """DESIGN, section 3: ResNet18, image 0, branch, found with another program."""
    found = symmetric_part.compute(state_of("resnet18", block), Convention.BRANCH)
    assert (found.lower, found.upper, found.indicator) == pytest.approx(expected, abs=0.005)


def state_of(network: str, block: int):
    image = cifar10.normalised(cifar10.image(0)[None])[0]
    return forward.block_states(resnets.load(network), catalogue.blocks(network), image, [block])[block]


@pytest.mark.parametrize("convention", MATRICES)
def test_matrices_dense_and_by_lanczos(convention, monkeypatch):
    """branch: A; block: I + A. A shifted rotation has m = M = its shift, and its norm is hand-worked."""
    shift = convention.has_skip - 3.0
    rotation = torch.tensor([[-3.0, -4.0], [4.0, -3.0]], dtype=torch.float64)
    found = symmetric_part.compute(maps.of_matrix(rotation, 1), convention)
    assert_close(found, (shift, shift, np.hypot(shift, 4)))
    assert found.indicator == pytest.approx(shift)
    random = torch.randn(300, 300, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    state = maps.of_matrix(random, 1)
    dense = symmetric_part.compute(state, convention)
    monkeypatch.setattr(symmetric_part, "MATRICES_BELOW", 0)
    assert_close(symmetric_part.compute(state, convention), (dense.lower, dense.upper, dense.norm))
    whole = random.numpy() + np.eye(300) * convention.has_skip
    assert_close(dense, (*np.linalg.eigvalsh((whole + whole.T) / 2)[[0, -1]], np.linalg.norm(whole, 2)))


@pytest.mark.parametrize("size", [1e-100, 1e100])
def test_huge_and_tiny_matrices(size):
    found = symmetric_part.of_matrix(size * torch.tensor([[0.0, 2.0], [0.0, 0.0]], dtype=torch.float64))
    assert (found.lower / size, found.upper / size, found.norm / size) == pytest.approx((-1, 1, 2))


def test_any_map():
    """f(x) = x + W tanh(x) at 0: J_F = W."""
    module = nn.Linear(6, 6, bias=False).double()
    sizes = BlockGeometry.of_map(1, (6,), kind=MAP)
    state = maps.of_function(lambda x: x + module(torch.tanh(x)), sizes, torch.zeros(6, dtype=torch.float64))
    weight = module.weight.detach().numpy()
    found = symmetric_part.compute(state, Convention.BRANCH)
    assert_close(found, (*np.linalg.eigvalsh((weight + weight.T) / 2)[[0, -1]], np.linalg.norm(weight, 2)))


def test_what_does_not_settle_is_formed_or_missing(monkeypatch):
    state = small_blocks()[4].state  # side 512
    settled = symmetric_part.compute(state, Convention.BRANCH)
    monkeypatch.setattr(lanczos, "MOST_PRODUCTS", 3)
    formed = symmetric_part.compute(state, Convention.BRANCH)
    assert_close(formed, (settled.lower, settled.upper, settled.norm))
    monkeypatch.setattr(symmetric_part, "FORMED_BELOW", 0)
    missing = symmetric_part.compute(state, Convention.BRANCH)
    assert (missing.lower, missing.upper, missing.norm, missing.indicator) == (None,) * 4


def test_starts_that_disagree_are_missing(monkeypatch):
    found = [lanczos.Found((value,), (1e-9,), True, 9) for value in (1.0, 1.1)]
    assert symmetric_part._agreed(found) is None
    assert symmetric_part._agreed(found[:1] * 2) == ((1.0,), 1e-9, 0.0)


def test_slices_are_refused():
    with pytest.raises(CannotCompute, match="block or branch"):
        symmetric_part.compute(small_blocks()[0].state, Convention.SLICES)


@pytest.mark.parametrize("convention", MATRICES)
@pytest.mark.parametrize("dense", [True, False])
def test_weights_that_are_not_finite_are_refused(convention, dense, monkeypatch):
    monkeypatch.setattr(symmetric_part, "DENSE_BELOW", 10**6 if dense else 0)
    state = small_blocks()[0].state
    weight = state.layers[0].weight.clone()
    weight[0] = float("nan")
    broken = replace(state, layers=(replace(state.layers[0], weight=weight), *state.layers[1:]))
    with pytest.raises(CannotCompute, match="Expected finite weights, got NaN or infinity"):
        symmetric_part.compute(broken, convention)


@pytest.mark.parametrize("dense", [True, False])
def test_the_lower_end_of_a_block_without_a_branch_is_zero(dense, monkeypatch):
    """J = D_out: m is 0 and not the rounding of a vector that has no live part."""
    monkeypatch.setattr(symmetric_part, "DENSE_BELOW", 10**6 if dense else 0)
    monkeypatch.setattr(symmetric_part, "FORMED_BELOW", 0)
    for block in small_blocks():
        state = block.state
        if (
            not block.geometry.is_identity
            or state.skip is not None
            or not 0 < state.live_outputs < block.geometry.n_out
        ):
            continue
        last = replace(state.layers[-1], weight=torch.zeros_like(state.layers[-1].weight))
        without = replace(state, layers=(*state.layers[:-1], last), skip_is_masked=False)
        found = symmetric_part.compute(without, Convention.BLOCK)
        assert found.lower == 0
        assert found.upper == pytest.approx(1, rel=1e-12)
