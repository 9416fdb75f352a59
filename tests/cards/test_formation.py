"""The core by batched products, tested on the CPU as that device, against the one formed pixel by pixel."""

import pytest
import torch

from stiffcore.analysis import compute as analysis
from stiffcore.conventions import Convention
from stiffcore.jacobians import batched_formation, cycle, deflation, layers
from tests.cards.fake_card import fake_card
from tests.made_up.asked import asked
from tests.made_up.blocks import make, small_blocks

CONVENTIONS = (Convention.BLOCK, Convention.BRANCH)
BLOCKS = [block for block in small_blocks() if block.geometry.is_identity]


def _groups(state):
    """Every layer alone, and the groups that 1×1 convolutions join."""
    alone = [(f"inner{i + 1}",) for i in range(len(state.inner_masks))]
    return [*alone, ("outer",), *cycle.joined(state)]


@pytest.mark.parametrize("at_once", [7000, batched_formation.ENTRIES_AT_ONCE])
@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("block", BLOCKS, ids=repr)
def test_batched_products_form_the_same_core(block, convention, at_once, monkeypatch):
    monkeypatch.setattr(batched_formation, "ENTRIES_AT_ONCE", at_once)  # some rows at a time, or all
    monkeypatch.setattr(batched_formation, "PIXELS_AT_ONCE", 5 if at_once == 7000 else 1024)
    live = cycle.masks(block.state, convention)
    for group in _groups(block.state):
        expected = deflation.form_core(block.state, convention, group).matrix
        found = batched_formation.matrix(block.state, live, group)
        assert float((found - expected).norm()) <= 1e-12 * float(expected.norm())


@pytest.mark.parametrize(("network", "block"), [("resnet18", 8), ("resnet18", 6), ("resnet50", 16)])
def test_so_do_those_of_real_blocks(network, block):
    state = analysis.block_state(asked(network, 0, block, "block"))
    core = deflation.form_core(state, Convention.BLOCK)
    found = batched_formation.matrix(state, cycle.masks(state, Convention.BLOCK), core.plan.layers)
    assert float((found - core.matrix).norm()) <= 1e-12 * float(core.matrix.norm())


@pytest.mark.parametrize("side", [1, 2, 3])
@pytest.mark.parametrize("kind", ["basic", "bottleneck"])
def test_images_smaller_than_a_window(kind, side):
    state = make("small", kind, 8, 8, side).state
    for group in _groups(state):
        expected = deflation.form_core(state, Convention.BRANCH, group).matrix
        found = batched_formation.matrix(state, cycle.masks(state, Convention.BRANCH), group)
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)


def test_a_card_forms_it_so_and_copies_nothing():
    state = make("basic", "basic", 4, 4, 6).state
    expected = deflation.form_core(state, Convention.BLOCK).matrix
    with fake_card() as card:
        there = state.to(card.device)
        card.forget()
        core = deflation.form_core(there, Convention.BLOCK)
        assert core.matrix.device == card.device
        assert (card.to_host, card.to_card) == ([], [])
        torch.testing.assert_close(core.matrix.cpu(), expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("kernel", "padding"), [(1, 0), (3, 1), (2, 0), (5, 2)])
def test_a_card_s_convolution_is_the_cpu_s(kernel, padding, stride):
    random = torch.Generator().manual_seed(0)
    weight = torch.randn(3, 2, kernel, kernel, dtype=torch.float64, generator=random)
    convolution = layers.ScaledConvolution(weight, stride, padding)
    x = torch.randn(4, 2, 7, 6, dtype=torch.float64, generator=random)
    y = convolution(x)
    back = convolution.transpose(y, (2, 7, 6))
    with fake_card() as card:
        there = convolution.to(card.device)
        torch.testing.assert_close(there(x.to(card.device)).cpu(), y, rtol=1e-12, atol=1e-12)
        found = there.transpose(y.to(card.device), (2, 7, 6)).cpu()
        torch.testing.assert_close(found, back, rtol=1e-12, atol=1e-12)
