"""Where a request is computed: chosen once, overruled by a name, and no part of the key under which a result is found."""

import numpy as np
import pytest
import torch

from stiffcore import device, device_names
from stiffcore.analysis import block_metrics, compute as analysis, placement
from stiffcore.errors import CannotCompute, NotEnoughMemory
from stiffcore.images.image import NO_IMAGE, Image
from stiffcore.jacobians import memory
from stiffcore.matrices import as_network
from stiffcore.networks.network import Preprocessing
from stiffcore.slices import card
from stiffcore.storage import cache as result_cache, shipped as shipped_results
from tests.cards.fake_card import NAME, fake_card
from tests.made_up.asked import asked

CARD = torch.device("cuda", 0)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(result_cache, "shipped", lambda: shipped_results.ShippedResults(tmp_path / "nothing ships"))
    monkeypatch.setattr(device, "_asked", None)
    for forget in (device._compared.cache_clear, device._say_once.cache_clear):
        forget()
    yield
    device._compared.cache_clear()


@pytest.fixture
def on_card(monkeypatch):
    """Notes on which devices the engine is asked for numbers."""
    places, of_matrix = [], block_metrics.of_matrix

    def noted(state, *others):
        places.append(state.device)
        return of_matrix(state, *others)

    monkeypatch.setattr(block_metrics, "of_matrix", noted)
    return places


def test_names():
    with fake_card():
        assert device.cards() == [NAME]
        assert [device.parsed(name) for name in ("auto", "cpu", "cuda", "cuda:0")] == [None, device.CPU, CARD, CARD]
        with pytest.raises(
            CannotCompute, match=r"^Expected a card from cuda:0 to cuda:0, got 'cuda:1': choose one of them\.$"
        ):
            device.parsed("cuda:1")
    for name in ("", "gpu", "cuda:", "cuda:-1", "cuda:0 ", "CPU", "cuda:1234"):
        with pytest.raises(CannotCompute, match=r"^Expected a device among auto, cpu, cuda and cuda:NUMBER, got"):
            device_names.number_of(name)


def test_a_machine_without_a_card_says_so_and_chooses_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device.cards() == []
    with pytest.raises(CannotCompute, match="got a machine on which torch finds none: choose auto or cpu"):
        device.parsed("cuda")
    assert device.chosen("spectrum", 10**6) == device.CPU


def test_the_quicker_one_is_measured_once_for_each_step_of_the_size(monkeypatch):
    seconds = {"card": 1.0, "cpu": 2.0}
    measured = []

    def sample(work, size):
        measured.append((work, size))
        return lambda where: "card" if where == CARD else "cpu"

    monkeypatch.setattr(device, "_sample", lambda work, size: lambda where: lambda: sample(work, size)(where))
    monkeypatch.setattr(device, "_seconds", lambda task: seconds[task()])
    with fake_card():
        assert device.chosen("spectrum", 249) == device.CPU
        assert not measured
        assert device.chosen("spectrum", 1000) == device.chosen("spectrum", 9000) == CARD
        assert set(measured) == {("spectrum", 1000)}
        seconds["card"] = 3.0
        assert device.chosen("spectrum", 1000) == CARD, "kept"
        assert device.chosen("spectrum", 999) == device.CPU
        assert device.chosen("patches", 10**6) == device.CPU
        assert set(measured) == {("spectrum", 1000), ("spectrum", 500), ("patches", 10**6)}


def test_a_name_overrules_the_process_and_that_what_is_quicker(monkeypatch):
    monkeypatch.setattr(device, "_is_quicker", lambda card, work, size: True)
    with fake_card():
        assert device.chosen("spectrum", 1000) == CARD
        device.use("cpu")
        assert device.chosen("spectrum", 1000) == device.CPU
        assert device.chosen("spectrum", 1000, CARD) == CARD
        device.use("cuda")
        assert device.chosen("iteration", 1) == CARD
        assert device.chosen("iteration", 1, device.CPU) == device.CPU
        device.use("auto")
        assert device.chosen("iteration", 1) == device.CPU
        assert device.chosen("iteration", 1000) == CARD


@pytest.mark.parametrize("work", device.STEPS)
def test_both_sides_of_a_comparison_do_the_same_work(work):
    """Only the answer comes to the host, and it is the same on both sides."""
    size = 64
    with fake_card() as there_is:
        task = device._sample(work, size)
        on_card = task(CARD)
        there_is.forget()
        there, here = on_card(), task(device.CPU)()
        assert there_is.to_card == []
        assert there_is.to_host == ([(size,)] if work == "spectrum" else [])
    assert torch.equal(torch.as_tensor(there), torch.as_tensor(here))
    assert device._seconds(task(device.CPU)) > 0


@pytest.mark.parametrize(
    ("block", "convention", "quantity", "work", "size"),
    [
        (8, "slices", "counts", "patches", 2048 * 512),
        (8, "branch", "norms", "iteration", 2048),
        (7, "block", "extremes", "iteration", 4096),
        (7, "block", "counts", "spectrum", 2048),
        (8, "branch", "spectrum", "spectrum", "core_side"),
    ],
)
def test_what_takes_longest_and_its_size(monkeypatch, block, convention, quantity, work, size):
    """Of the core, which is smaller than the block, the size is known before it is formed: it is the side in the result."""
    request, said = asked("resnet18", 0, block, convention, quantity), []
    state = analysis.block_state(request)
    with monkeypatch.context() as patch:
        patch.setattr(device, "chosen", lambda *what: said.append(what) or device.CPU)
        assert placement.of(request, state, CARD) == device.CPU
    side = analysis.compute(request).health["core_side"] if size == "core_side" else size
    assert said == [(work, side, CARD)]


def test_slices_without_kernels_stay_on_the_cpu_and_say_so(monkeypatch):
    """Without Triton, or without a compiler for it, ``reason`` is a sentence; the fake card has none."""
    request = asked("resnet18", 0, 8, "slices", "counts")
    state = analysis.block_state(request)
    with fake_card():
        monkeypatch.setattr(card, "reason", lambda: "")
        assert placement.of(request, state, CARD) == CARD
        monkeypatch.setattr(card, "reason", lambda: "Slices are computed on the CPU: there is no Triton.")
        assert placement.of(request, state, CARD) == device.CPU
        assert analysis.compute(request, where="cuda").made["device"] == "cpu"


def test_a_result_is_found_by_the_same_key_wherever_it_was_computed(on_card):
    request = asked("resnet18", 0, 8, "branch", "extremes")
    on_cpu = analysis.compute(request, where="cpu")
    assert (on_cpu.made["device"], on_cpu.stored, on_card) == ("cpu", False, [device.CPU])
    with fake_card():
        assert analysis.compute(request, where="cuda").made["device"] == "cpu", (
            "stored: nothing is computed on the card"
        )
        assert on_card == [device.CPU]
        (again,) = analysis.compute_many([request], again=True, where="cuda:0")
        assert on_card == [device.CPU, CARD]
    assert (again.made["device"], again.made["key"]) == (NAME, on_cpu.made["key"])
    found = analysis.compute(request, where="cpu")
    assert found.stored
    assert found.made["device"] == found.row()["device"] == found.header()["made"]["device"] == NAME
    assert found.metrics == pytest.approx(on_cpu.metrics, rel=1e-10, nan_ok=True)


def test_each_request_at_an_image_is_computed_where_it_is_quicker(monkeypatch, on_card):
    """With a step between two cores of block 8: the outer ReLU makes the one under ``block`` smaller. The shared state moves, and comes back."""
    monkeypatch.setattr(device, "_is_quicker", lambda card, work, size: size >= 1000)
    requests = [asked("resnet18", 0, 8, convention, "spectrum") for convention in ("branch", "block")]
    with fake_card():
        results = list(analysis.compute_many(requests))
    sides = [int(result.health["core_side"]) for result in results]
    assert sides[0] >= 1000 > sides[1]
    assert on_card == [CARD, device.CPU]
    assert [result.made["device"] for result in results] == [NAME, "cpu"]


def test_a_card_without_enough_memory_leaves_it_to_the_cpu_and_says_so():
    request = asked("resnet18", 0, 8, "branch", "extremes")
    with fake_card(largest=10**6) as small:  # bytes: fewer than a convolution of block 8 has
        result = analysis.compute(request, where="cuda")
        assert not small.to_host
    assert result.made["device"] == "cpu"
    assert result.notices == (
        f"{NAME} has too little memory for block 8 of resnet18 at image 0, which was computed on the CPU.",
    )
    assert analysis.stored(request).metrics == pytest.approx(result.metrics, nan_ok=True)
    assert analysis.stored(request).notices == ()


def test_a_card_that_is_full_while_it_is_measured_is_asked_again_later(caplog):
    """``auto``: the request is computed on the CPU, as if the card were slow, and one line of the log says why."""
    request = asked("resnet18", 0, 8, "block")
    with fake_card(largest=1000):
        (result,) = analysis.compute_many([request], again=True)
        assert result.made["device"] == "cpu"
        assert device.chosen("spectrum", 1000) == device.chosen("spectrum", 1000) == device.CPU
    said = f"{NAME} has too little memory to be compared with the CPU, and is left out for now."
    assert caplog.messages.count(said) == 1
    with fake_card():
        device.chosen("spectrum", 1000)
    assert device._compared.cache_info().currsize == 1


def test_a_card_that_fails_while_it_is_measured_is_not_used(monkeypatch, caplog):
    def fails(x):
        raise RuntimeError("CUDA error: no kernel image is available for execution on the device")

    monkeypatch.setattr(torch.linalg, "eigvals", fails)
    with fake_card():
        assert device.chosen("spectrum", 1000) == device.chosen("spectrum", 1000) == device.CPU
    assert caplog.messages == [
        f"{NAME} is not used: CUDA error: no kernel image is available for execution on the device"
    ]
    assert device._compared.cache_info().currsize == 1


def test_a_core_that_is_too_large_for_a_card_is_left_to_the_cpu():
    """The engine itself refuses it, before anything is allocated."""
    with fake_card(memory=10**8):
        result = analysis.compute(asked("resnet18", 0, 8, "branch", "spectrum"), where="cuda")
    assert result.made["device"] == "cpu"
    assert result.notices[0].startswith(f"{NAME} has too little memory for block 8")


def test_a_matrix_goes_to_a_card_and_a_module_that_is_a_map_stays_on_the_cpu():
    matrix = as_network.of_arrays(np.diag([-1.0, -100.0]), "")
    whole = memory.network(
        torch.nn.Sequential(torch.nn.Tanh()), "map", Preprocessing((0.0,) * 3, (1.0,) * 3, 8), None, ("0",)
    )
    with fake_card():
        of_matrix = analysis.compute(asked(matrix, NO_IMAGE, 1, "branch", "spectrum"), where="cuda")
        of_map = analysis.compute(
            asked(whole, Image.of(np.zeros((8, 8, 3), np.uint8)), 1, "branch", "norms"), where="cuda"
        )
    assert (of_matrix.made["device"], of_matrix.metrics["min_re"]) == (NAME, -100.0)
    assert of_map.made["device"] == "cpu"


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate`"),
        RuntimeError("CUDA error: out of memory"),
        NotEnoughMemory("Not enough memory: a core of side 16000 needs 9 GB, 2 GB are available."),
    ],
)
def test_every_word_for_too_little_memory_is_understood(monkeypatch, error):
    of_matrix = block_metrics.of_matrix

    def fails_on_card(state, *others):
        if state.device != device.CPU:
            raise error
        return of_matrix(state, *others)

    monkeypatch.setattr(block_metrics, "of_matrix", fails_on_card)
    with fake_card():
        result = analysis.compute(asked("resnet18", 0, 8, "branch", "extremes"), where="cuda")
    assert result.made["device"] == "cpu"
    assert len(result.notices) == 1


@pytest.mark.parametrize(
    "error",
    [RuntimeError("CUDA error: an illegal memory access was encountered"), CannotCompute("Expected finite weights.")],
)
def test_every_other_failure_on_a_card_is_told(monkeypatch, error):
    def fails(state, *others):
        raise error

    monkeypatch.setattr(block_metrics, "of_matrix", fails)
    with fake_card(), pytest.raises(type(error), match=str(error)):
        analysis.compute(asked("resnet18", 0, 8, "branch", "extremes"), where="cuda")


def test_the_memory_of_the_device_counts():
    with fake_card(memory=10**9):
        assert device.free_memory(CARD) == 10**9
        device.check_memory(8 * 10**8, 10**10, "a core", "wait", CARD)
        with pytest.raises(NotEnoughMemory, match=r"a core needs 1\.0 GB, 0\.9 GB are available: wait"):
            device.check_memory(10**9, 10**10, "a core", "wait", CARD)


@pytest.mark.cuda
@pytest.mark.parametrize(
    ("block", "convention", "quantity"), [(8, "branch", "spectrum"), (8, "block", "counts"), (7, "block", "norms")]
)
def test_a_card_and_the_cpu_agree_and_share_a_key(block, convention, quantity):
    request = asked("resnet18", 0, block, convention, quantity)
    there = analysis.compute(request, where="cuda")
    assert (there.made["device"], there.notices) == (torch.cuda.get_device_name(), ())
    (here,) = analysis.compute_many([request], again=True, where="cpu")
    assert (here.made["device"], here.made["key"]) == ("cpu", there.made["key"])
    assert here.metrics == pytest.approx(there.metrics, rel=1e-10, nan_ok=True)


@pytest.mark.cuda
def test_a_card_that_is_full_leaves_it_to_the_cpu():
    """All but 1 MB is taken, by a limit of torch's own; the card itself stays as free as it is for others."""
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(10**6 / total)
    try:
        result = analysis.compute(asked("resnet18", 0, 8, "branch", "extremes"), where="cuda")
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert result.made["device"] == "cpu"
    assert result.notices[0].startswith(torch.cuda.get_device_name())


@pytest.mark.cuda
def test_what_is_chosen_is_quicker_on_this_card():
    """The host needs seconds for a core of side 4,000, every card that we know a fraction of that."""
    assert device.chosen("spectrum", 4000).type == "cuda"
    assert device.chosen("spectrum", 100) == device.CPU
