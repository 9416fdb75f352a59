"""Each kind of request on the fake card: the CPU's numbers, and nothing copied but the state in, the results out and small matrices."""

import pytest
import torch

from stiffcore.analysis import compute as analysis
from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.jacobians import deflation, maps
from stiffcore.jacobians.linearise import BlockState
from stiffcore.spectra import arnoldi, full as full_spectra, lanczos, singular_values, symmetric_part
from tests.cards.fake_card import FakeCard, fake_card
from tests.cards.kinds import QUANTITIES, check_agreement, computed
from tests.made_up.asked import asked
from tests.made_up.blocks import make, small_blocks

CONVENTIONS = (Convention.BLOCK, Convention.BRANCH)
SQUARE = [block for block in small_blocks() if block.geometry.is_identity]
# small ones, whose extremes are those of the full spectrum
CHEAPEST = ((Convention.BLOCK, "counts"), (Convention.BLOCK, "spectrum"), (Convention.BRANCH, "spectrum"))
OTHERS = [block for block in small_blocks() if not block.geometry.is_identity]
STARTS = 9  # Arnoldi's two and the one that checks a full spectrum, Lanczos' four, the probe's and the correction's
LARGER = [make("basic", "basic", 8, 8, 8), make("bottleneck", "bottleneck", 64, 64, 6)]


def only_results_came_out(card: FakeCard, results: list[tuple[int, ...]], n: int) -> None:
    """To the host: results, and projected problems. To the card: random starts, and weights of a basis. n: of the shortest vector."""
    left = list(card.to_host)
    for shape in results:
        left.remove(shape)
    assert all(max(shape) < n // 2 for shape in left), (n, left)
    long = [shape for shape in card.to_card if max(shape) >= n // 2]
    assert all(len(shape) == 1 for shape in long), long
    assert len(long) <= STARTS


def checked(
    state: BlockState, convention: Convention, quantity: str, results: list[tuple[int, ...]], n: int
) -> FakeCard:
    here = computed(state, convention, quantity)
    with fake_card() as card:
        there = state.to(card.device)
        card.forget()
        found = computed(there, convention, quantity)
        only_results_came_out(card, results, n)
    check_agreement(here, found)
    return card


@pytest.mark.parametrize(("convention", "quantity"), CHEAPEST)
@pytest.mark.parametrize("block", [*SQUARE, *OTHERS], ids=repr)
def test_small_blocks(block, convention, quantity):
    here = computed(block.state, convention, quantity)
    with fake_card() as card:
        check_agreement(here, computed(block.state.to(card.device), convention, quantity))


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize("block", LARGER, ids=repr)
def test_only_results_are_copied(block, quantity, convention, monkeypatch):
    monkeypatch.setattr(full_spectra, "FULL_BELOW", 0)  # Arnoldi, as for the cores that a card is for
    monkeypatch.setattr(symmetric_part, "DENSE_BELOW", 0)
    monkeypatch.setattr(arnoldi, "FIRST_LOOK", 20)
    side = deflation.plan(block.state, convention).side
    spectra = [(side,), (side,)] if quantity == "spectrum" or (quantity == "counts" and convention == "branch") else []
    if quantity == "counts" and convention == "block":  # where nothing is proved, the full spectrum follows
        kind = computed(block.state, convention, quantity)[3]["certificate"]["kind"]
        spectra = [] if kind == "proved" else [(side,), (side,)]
    checked(block.state, convention, quantity, spectra, side)


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_a_trained_block(quantity):
    """ResNet18's last block: Arnoldi, the proof, and the full spectrum as they are for users."""
    state = analysis.block_state(asked("resnet18", 0, 8, "block"))
    side = deflation.plan(state, Convention.BLOCK).side
    checked(state, Convention.BLOCK, quantity, [(side,), (side,)] if quantity == "spectrum" else [], side)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_singular_values_copy_only_themselves(convention):
    state = make("basic", "basic", 4, 8, 8, stride=2).state
    rank = len(singular_values.compute(state, convention).values)
    checked(state, convention, "spectrum", [(rank,)], rank)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_outermost_singular_values_copy_nothing(convention, monkeypatch):
    monkeypatch.setattr(singular_values, "ALWAYS_ALL_BELOW", 0)
    state = make("basic", "basic", 4, 8, 8, stride=2).state
    checked(state, convention, "extremes", [], state.geometry.n_out)


@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize("convention", CONVENTIONS)
def test_a_matrix(convention, quantity):
    matrix = torch.randn(60, 60, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) / 60**0.5
    state = maps.of_matrix(matrix, 1)
    here = computed(state, convention, quantity)
    with fake_card() as card:
        check_agreement(here, computed(state.to(card.device), convention, quantity))


def test_lanczos_restarts_on_a_card(monkeypatch):
    """A basis that is too small for the memory."""
    monkeypatch.setattr(symmetric_part, "DENSE_BELOW", 0)
    state = LARGER[0].state
    here = symmetric_part.compute(state, Convention.BLOCK)
    monkeypatch.setattr(lanczos, "BASES_MEMORY", 0)
    monkeypatch.setattr(lanczos, "TOLERANCE", 1e-8)
    with fake_card() as card:
        there = symmetric_part.compute(state.to(card.device), Convention.BLOCK)
    assert (there.lower, there.upper, there.norm) == pytest.approx((here.lower, here.upper, here.norm), rel=1e-8)


def test_the_layers_alone_are_an_operator_on_a_card(monkeypatch):
    """Of a core that is too large to be formed."""
    monkeypatch.setattr(full_spectra, "FULL_BELOW", 0)
    here = [full_spectra.extremes(block.state, Convention.BRANCH) for block in LARGER]
    monkeypatch.setattr(deflation, "DENSE_ON_CARD", -1)
    for block, expected in zip(LARGER, here, strict=True):
        with fake_card() as card:
            found = full_spectra.extremes(block.state.to(card.device), Convention.BRANCH)
        assert (found.max_re, found.min_re, found.spectral_radius) == pytest.approx(
            (expected.max_re, expected.min_re, expected.spectral_radius), rel=1e-9
        )


def test_what_does_not_fit_on_the_card_is_refused_with_its_size(monkeypatch):
    state = LARGER[0].state
    with fake_card(memory=10**8) as card, pytest.raises(CannotCompute, match=r"Not enough memory.*compute on the CPU"):
        full_spectra.full_spectrum(state.to(card.device), Convention.BLOCK)
    with fake_card(memory=80 * 10**9) as card:
        full_spectra.check_core_memory(16_000, full_spectra.METRICS_MEMORY, card.device)
