"""The forward pass on a card: the CPU's masks, from the CPU itself where the last bits could decide one."""

import pytest
import torch
from torch import nn

from stiffcore.device import CPU
from stiffcore.images import cifar10
from stiffcore.jacobians import forward, linearise
from stiffcore.jacobians.linearise import BlockState, Doubts
from stiffcore.networks import catalogue, resnets
from tests.cards.fake_card import fake_card
from tests.made_up.blocks import small_blocks

WANTED = [6, 7, 8]


@pytest.fixture(scope="module")
def network() -> tuple[nn.Module, torch.Tensor]:
    return resnets.load("resnet18"), cifar10.normalised(cifar10.image(cifar10.bundled()[0])[None])[0]


def same(here: BlockState, there: BlockState) -> None:
    for a, b in zip((*here.masks, here.outer_mask), (*there.masks, there.outer_mask), strict=True):
        assert torch.equal(a, b.cpu())
    for a, b in zip(here.layers, there.layers, strict=True):
        torch.testing.assert_close(b.weight.cpu(), a.weight, rtol=1e-14, atol=1e-15)
    torch.testing.assert_close(there.input.cpu(), here.input, rtol=1e-10, atol=1e-10)


def test_states_are_made_on_the_card_and_stay_there(network):
    model, image = network
    geometries = catalogue.blocks("resnet18")
    here = forward.block_states(model, geometries, image, WANTED)
    with fake_card() as card:
        forward.block_states(model, geometries, image, WANTED, card.device)  # recognises the blocks, once
        card.forget()
        there = forward.block_states(model, geometries, image, WANTED, card.device)
        assert card.to_host == []
        assert card.to_card == [tuple(image.shape)], "the network is there already"
        assert card.scalars < 5 * len(WANTED)
        assert there.keys() == here.keys()
        for block in WANTED:
            assert there[block].device == card.device
            same(here[block], there[block])


@pytest.mark.parametrize("block", small_blocks(), ids=repr)
def test_a_block_on_the_card_is_the_cpu_s(block):
    structure = forward.structure_of(block.module, block.geometry)
    with fake_card() as card:
        moved = forward._on(block.module, card.device)
        found = forward.structure_of(moved, block.geometry)
        assert found.kind == structure.kind
        there, _ = linearise.linearise(found, block.geometry, block.x.to(card.device))
        same(block.state, there)


def test_a_value_within_rounding_of_0_is_taken_from_the_cpu(network, monkeypatch):
    """One unit's bias moves its value to 1e-16: whatever the card finds there, the states are the CPU's."""
    model, image = network
    geometries = catalogue.blocks("resnet18")
    model = resnets.load("resnet18").double()
    block = model.layer4[1]
    values = []
    hook = block.bn1.register_forward_hook(lambda _, __, output: values.append(output[0, 0, 0, 0].item()))
    with torch.no_grad():
        model.eval()(image.double()[None])
        block.bn1.bias[0] -= values[0]
    hook.remove()
    passes = []
    states = forward._states
    monkeypatch.setattr(
        forward, "_states", lambda model, of, x, doubts: passes.append(x.device) or states(model, of, x, doubts)
    )
    with fake_card() as card:
        there = forward.block_states(model, geometries, image, [8], card.device)[8]
        assert passes == [card.device, CPU]
        assert there.device == card.device
        passes.clear()
        forward.block_states(model, geometries, image, [7], card.device)
        assert passes == [card.device], "masks of other blocks are not asked for"


def test_the_bound_is_above_rounding_and_far_below_values():
    """Sums in another order differ by less than the bound, which itself is below a millionth of the sums' size."""
    random = torch.Generator().manual_seed(0)
    weight = torch.randn(8, 512, 3, 3, dtype=torch.float64, generator=random)
    x = torch.randn(1, 512, 6, 6, dtype=torch.float64, generator=random)
    shift = torch.randn(8, dtype=torch.float64, generator=random)
    order = torch.randperm(512, generator=random)
    one, other = (
        nn.functional.conv2d(x[:, index], weight[:, index]) + shift[:, None, None]
        for index in (torch.arange(512), order)
    )
    bound = Doubts().of_sums(weight, shift, x)[None]
    assert float((one - other).abs().max()) > 0
    assert ((one - other).abs() <= bound).all()
    assert float(bound.max()) < 1e-6 * float(one.abs().mean())


def test_an_undecided_value_is_seen():
    doubts = Doubts()
    assert not doubts.any
    doubts.look(torch.tensor([[[[1.0, -1.0]]]], dtype=torch.float64), torch.tensor(1e-9))
    assert not doubts.any
    doubts.look(torch.tensor([[[[1.0, -1e-10]]]], dtype=torch.float64), torch.tensor(1e-9))
    assert doubts.any
