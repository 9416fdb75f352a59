"""The forward pass on a card: the CPU's masks, from the CPU itself where the last bits could decide one."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from stiffcore.device import CPU
from stiffcore.images import cifar10
from stiffcore.jacobians import forward, linearise
from stiffcore.jacobians.layers import ScaledConvolution
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
        forward, "_states", lambda model, of, x, *doubts: passes.append(x.device) or states(model, of, x, *doubts)
    )
    with fake_card() as card:
        there = forward.block_states(model, geometries, image, [8], card.device)[8]
        assert passes == [card.device, CPU]
        assert there.device == card.device
        passes.clear()
        forward.block_states(model, geometries, image, [7], card.device)
        assert passes == [card.device], "masks of other blocks are not asked for"


def in_two_orders(x: torch.Tensor, convolution: ScaledConvolution) -> list[torch.Tensor]:
    order = torch.randperm(x.shape[1], generator=torch.Generator().manual_seed(1))
    return [
        replace(convolution, weight=convolution.weight[:, of])(x[:, of]) for of in (torch.arange(len(order)), order)
    ]


def random_sums(channels: int) -> tuple[torch.Tensor, ScaledConvolution]:
    random = torch.Generator().manual_seed(0)
    weight = torch.randn(8, channels, 3, 3, dtype=torch.float64, generator=random)
    return torch.randn(1, channels, 6, 6, dtype=torch.float64, generator=random), ScaledConvolution(weight, 1, 1)


def test_the_bound_is_above_rounding_and_far_below_values():
    """Sums in another order differ by less than the bound, which itself is below a millionth of the sums' size."""
    x, convolution = random_sums(512)
    shift = torch.randn(8, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    one, other = (value + shift[:, None, None] for value in in_two_orders(x, convolution))
    bound = Doubts().of_sums(convolution, shift, x, torch.zeros_like(x))
    assert float((one - other).abs().max()) > 0
    assert ((one - other).abs() <= bound).all()
    assert float(bound.max()) < 1e-6 * float(one.abs().mean())


def test_the_bound_is_carried_on():
    """Sums that cancel leave rounding behind that is large beside them, and that the next convolution makes larger."""
    x, first = random_sums(256)
    second, none = random_sums(8)[1], torch.zeros(8, dtype=torch.float64)
    values = in_two_orders(x, first)
    cancelling = -values[0] * (1 - 1e-9)
    one, other = (second(value + cancelling) for value in values)
    doubts = Doubts()
    bound = doubts.of_sums(first, none, x, torch.zeros_like(x))
    bound = doubts.of_sums(second, none, values[0] + cancelling, bound)
    assert ((one - other).abs() <= bound).all()
    assert float((one - other).abs().max()) > 1e-6 * float(bound.max())


def test_behind_a_relu_only_what_passes_is_in_doubt():
    z = torch.tensor([[[[-1.0, -1e-10, 0.0, 1.0]]]], dtype=torch.float64)
    bound = torch.full_like(z, 1e-9)
    doubts = Doubts()
    assert torch.equal(doubts.of_relu(z, bound), torch.tensor([[[[0.0, 1e-9, 1e-9, 1e-9]]]], dtype=torch.float64))
    assert doubts.any


def test_a_channel_of_zeros_is_no_doubt():
    """Its sums are 0 in any order; those of another one that happen to be 0 are."""
    weight = torch.ones(2, 2, 1, 1, dtype=torch.float64)
    weight[0] = 0
    doubts, convolution = Doubts(), ScaledConvolution(weight, 1, 0)
    x = torch.tensor([[[[1.0]], [[-1.0]]]], dtype=torch.float64)
    bound = doubts.of_sums(convolution, torch.zeros(2, dtype=torch.float64), x, doubts.of_input(weight, x))
    z = convolution(x)
    doubts.of_relu(z[:, :1], bound[:, :1])
    assert not doubts.any
    doubts.of_relu(z, bound)
    assert doubts.any


def test_the_cpu_has_no_doubts(network, monkeypatch):
    """Bounds took a tenth of a pass."""
    model, image = network

    def fails(*what):
        raise AssertionError("a bound")

    for name in ("of_input", "of_sums", "of_norm", "of_relu"):
        monkeypatch.setattr(Doubts, name, fails)
    assert forward.block_states(model, catalogue.blocks("resnet18"), image, WANTED).keys() == set(WANTED)


def test_a_card_without_a_number_is_the_current_one(network):
    model, image = network
    with fake_card() as card:
        states = forward.block_states(model, catalogue.blocks("resnet18"), image, [8], torch.device("cuda"))
        forward.block_states(model, catalogue.blocks("resnet18"), image, [8], card.device)
        assert set(forward._on_cards[model]) == {card.device}
        assert states[8].to(torch.device("cuda")) is states[8]


def test_an_undecided_value_is_seen():
    doubts = Doubts()
    assert not doubts.any
    doubts.of_relu(torch.tensor([[[[1.0, -1.0]]]], dtype=torch.float64), torch.tensor(1e-9))
    assert not doubts.any
    doubts.of_relu(torch.tensor([[[[1.0, -1e-10]]]], dtype=torch.float64), torch.tensor(1e-9))
    assert doubts.any
