"""The fake card refuses what CUDA refuses, and counts what is copied."""

import copy

import numpy as np
import pytest
import torch

from stiffcore.jacobians.linearise import BlockState
from tests.cards.fake_card import NAME, OnCard, fake_card
from tests.made_up.blocks import small_blocks


def test_tensors_say_where_they_are_and_stay_there():
    with fake_card() as card:
        made = torch.zeros(3, 4, dtype=torch.float64, device=card.device)
        for x in (
            made,
            made + 1,
            made.T @ made,
            made.new_ones(2),
            torch.ones_like(made),
            made[0],
            *made,
            made.double(),
        ):
            assert isinstance(x, OnCard)
            assert x.device == card.device
        assert torch.linalg.qr(made).R.device == card.device
        assert torch.eye(2).device == torch.device("cpu")
        assert torch.cuda.is_available()
        assert torch.cuda.get_device_name(card.device) == NAME
    assert not torch.cuda.is_available()


def test_both_sides_in_one_function_are_refused():
    with fake_card() as card:
        here, there = torch.ones(3), torch.ones(3, device=card.device)
        for mixed in (
            lambda: here + there,
            lambda: torch.cat([here, there]),
            lambda: there @ here,
            lambda: there[torch.arange(2)],
            lambda: torch.nn.functional.conv2d(torch.ones(1, 1, 3, 3, device=card.device), torch.ones(1, 1, 3, 3)),
            lambda: torch.mm(there[None], there[:, None], out=torch.zeros(1, 1)),
            lambda: there.__setitem__(0, here),
            lambda: torch.randn(3, device=card.device) + torch.randn(3),
        ):
            with pytest.raises(RuntimeError, match="same device"):
                mixed()
        assert float((there * torch.tensor(2.0))[0]) == 2.0  # CUDA takes a number from the host


def test_numpy_does_not_see_it():
    with fake_card() as card:
        x = torch.ones(3, device=card.device)
        for seen in (x.numpy, lambda: np.asarray(x), lambda: np.array(x), lambda: np.linalg.norm(x)):
            with pytest.raises(TypeError, match="cpu"):
                seen()


def test_copies_are_counted_and_single_numbers_apart():
    with fake_card() as card:
        x = torch.arange(6.0, dtype=torch.float64).to(card.device)
        assert (card.to_card, card.card_bytes, card.to_host) == ([(6,)], 48, [])
        assert x.to(card.device, torch.float32).dtype == torch.float32
        x.to(x)
        assert len(card.to_card) == 1, "it is there already"
        assert float(x.sum()) == 15
        assert bool((x >= 0).all())
        assert x[3].item() == 3
        assert (card.scalars, card.to_host) == (3, [])
        assert x[:2].cpu().numpy().tolist() == [0, 1]
        assert x[:3].tolist() == [0, 1, 2]
        assert x.to("cpu").device == torch.device("cpu")
        torch.zeros(6, dtype=torch.float64).copy_(x)
        assert card.to_host == [(2,), (3,), (6,), (6,)]
        assert card.host_bytes == 8 * 17
        torch.tensor([1.0, 2.0], device=card.device)
        torch.as_tensor(np.ones(5), device=card.device)
        assert card.to_card == [(6,), (2,), (5,)]
        card.forget()
        assert (card.scalars, card.host_bytes, card.to_host) == (0, 0, [])


def test_what_is_written_into_a_view_is_written():
    with fake_card() as card:
        x = torch.zeros(4, 3, device=card.device)
        x[1] = 1
        x[2:].add_(2)
        x.T[0] += 5
        torch.mm(torch.ones(1, 2, device=card.device), torch.ones(2, 3, device=card.device), out=x[:1])
        assert x.cpu().tolist() == [[2, 2, 2], [6, 1, 1], [7, 2, 2], [7, 2, 2]]


def test_memory_that_is_not_there_raises_as_on_a_card():
    with fake_card(largest=800) as card, pytest.raises(torch.OutOfMemoryError):
        torch.zeros(101, dtype=torch.float64, device=card.device)


def test_a_module_moves_with_its_numbers():
    module = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2), torch.nn.ReLU()).double().eval()
    x = torch.randn(1, 1, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = module(x)
    with fake_card() as card, torch.no_grad():
        moved = module.to(card.device)
        assert all(p.device == card.device for p in [*moved.parameters(), *moved.buffers()])
        with pytest.raises(RuntimeError, match="same device"):
            moved(x)
        torch.testing.assert_close(moved(x.to(card.device)).cpu(), expected)
        card.forget()
        copied = copy.deepcopy(moved).double().to(card.device).eval()
        torch.testing.assert_close(copied(x.to(card.device)).cpu(), expected)
        assert card.to_card == [tuple(x.shape)]


@pytest.mark.parametrize("block", small_blocks()[:3], ids=repr)
def test_a_state_moves_with_all_that_it_holds(block):
    with fake_card() as card:
        state: BlockState = block.state.to(card.device)
        assert state.device == card.device
        assert state.to(card.device) is state
        back = state.to(torch.device("cpu"))
        assert torch.equal(back.outer_mask, block.state.outer_mask)
        with pytest.raises(RuntimeError, match="same device"):
            state.layers[0](block.state.input[None])
