"""On a real card: every kind of request about a matrix equals the CPU's. Skipped where there is no CUDA device."""

import pytest
import torch

from stiffcore.conventions import Convention
from stiffcore.images import cifar10
from stiffcore.jacobians import cycle, deflation, forward, maps
from stiffcore.jacobians.linearise import BlockState
from stiffcore.networks import catalogue, resnets
from stiffcore.spectra import positive_definite
from tests.cards.kinds import QUANTITIES, check_agreement, computed
from tests.made_up.blocks import small_blocks

pytestmark = pytest.mark.cuda
CARD = torch.device("cuda")
CONVENTIONS = (Convention.BLOCK, Convention.BRANCH)


@pytest.fixture(scope="module")
def states() -> dict[str, dict[int, BlockState]]:
    """ResNet18's blocks 6, 7 (not square) and 8 by a pass on either side."""
    image = cifar10.normalised(cifar10.image(cifar10.bundled()[0])[None])[0]
    model, geometries = resnets.load("resnet18"), catalogue.blocks("resnet18")
    places = {"cpu": torch.device("cpu"), "cuda": CARD}
    return {name: forward.block_states(model, geometries, image, [6, 7, 8], where) for name, where in places.items()}


@pytest.mark.parametrize("block", [6, 7, 8])
def test_both_passes_have_the_same_masks(states, block):
    here, there = states["cpu"][block], states["cuda"][block]
    assert there.device.type == "cuda"
    for a, b in zip((*here.masks, here.outer_mask), (*there.masks, there.outer_mask), strict=True):
        assert torch.equal(a, b.cpu())
    torch.testing.assert_close(there.input.cpu(), here.input, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("block", [8, 6, 7])
def test_trained_blocks(states, block, convention, quantity):
    here = computed(states["cpu"][block], convention, quantity)
    check_agreement(here, computed(states["cuda"][block], convention, quantity))


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("block", [8, 6])
def test_the_core_is_the_cpu_s(states, block, convention):
    here = deflation.form_core(states["cpu"][block], convention).matrix
    there = deflation.form_core(states["cpu"][block].to(CARD), convention).matrix
    assert there.device.type == "cuda"
    assert float((there.cpu() - here).norm()) <= 1e-12 * float(here.norm())


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("block", small_blocks(), ids=repr)
def test_small_blocks(block, convention):
    here = computed(block.state, convention, "spectrum")
    check_agreement(here, computed(block.state.to(CARD), convention, "spectrum"))
    if block.geometry.is_identity:
        for group in cycle.joined(block.state):
            expected = deflation.form_core(block.state, convention, group).matrix
            found = deflation.form_core(block.state.to(CARD), convention, group).matrix
            torch.testing.assert_close(found.cpu(), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_a_matrix(quantity):
    matrix = torch.randn(500, 500, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) / 500**0.5
    state = maps.of_matrix(matrix, 1)
    here = computed(state, Convention.BRANCH, quantity)
    check_agreement(here, computed(state.to(CARD), Convention.BRANCH, quantity))


@pytest.mark.parametrize("least", [1.0, 1e-6, -1e-6, -1e-16, 0.0])
def test_proofs_are_the_cpu_s(least):
    basis = torch.linalg.qr(torch.randn(400, 400, dtype=torch.float64, generator=torch.Generator().manual_seed(1))).Q
    values = torch.linspace(1, 2, 400, dtype=torch.float64)
    values[0] = least
    matrix = basis * values @ basis.T
    matrix = (matrix + matrix.T) / 2
    assert positive_definite.is_proved(matrix.to(CARD)) == positive_definite.is_proved(matrix.clone()) == (least > 1e-9)
