"""The menu of devices: only where there is a card; it says where spectra are computed, and in which queue."""

import threading
from dataclasses import replace

import pytest
import torch

from pages.shared.state import service
from stiffcore import device
from stiffcore.analysis import compute as analysis, perturbation
from stiffcore.errors import CannotCompute
from tests.app.visitor import SPECTRUM, wait_for
from tests.made_up.asked import asked_perturbation
from tests.made_up.spectra import made_up, plant_perturbing, store

pytestmark = pytest.mark.usefixtures("nothing_ships")


@pytest.fixture
def two_cards(monkeypatch):
    """A server with two cards, whose jobs are planted."""
    monkeypatch.setattr(device, "cards", lambda: ["Card A", "Card B"])
    monkeypatch.setattr(torch.cuda, "set_device", lambda card: None)


def device_menu(page):
    return next((box for box in page.at.sidebar.selectbox if box.label == "Compute spectra on"), None)


def test_a_server_without_a_card_has_no_menu_of_devices(visitor, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    page = visitor().open(SPECTRUM, images="1")
    assert page.at.title[0].value
    assert device_menu(page) is None
    assert (service.device_chosen(), service.queue()) == ("auto", "")


def test_the_chosen_device_computes_on_every_page_and_is_no_part_of_the_link(visitor, engine, two_cards):
    page = visitor().open(SPECTRUM, images="1")
    assert device_menu(page).options == ["the quicker one", "CPU", "cuda:0 · Card A", "cuda:1 · Card B"]
    page.run(device_menu(page).set_value("cuda:1"))
    page.run(page.button("compute").click())
    wait_for(lambda: engine.asked)
    assert engine.places == ["cuda:1"]
    assert service.job_service().load("cuda:1") == 1
    assert "device" not in page.url
    page.go("pages/2_Blocks.py")
    assert device_menu(page).value == "cuda:1"
    page.run(device_menu(page).set_value("cpu"))
    page.go(SPECTRUM, images="2")
    page.run(page.button("compute").click())
    wait_for(lambda: len(engine.asked) == 2)  # beside the one on the card, which still waits for its end
    assert engine.places == ["cuda:1", "cpu"]
    assert service.job_service().load("") == 1


def test_without_a_choice_the_card_with_the_shortest_queue_computes(visitor, engine, two_cards):
    for images in ("1", "2", "3"):
        page = visitor().open(SPECTRUM, images=images)
        page.run(page.button("compute").click())
    wait_for(lambda: len(engine.asked) == 2)
    assert engine.places == ["auto", "auto"]
    assert sorted(service.job_service().load(f"cuda:{card}") for card in (0, 1)) == [1, 2]


def test_a_device_that_is_not_there_is_not_taken_from_a_session(visitor, engine, two_cards):
    page = visitor().open(SPECTRUM, images="1")
    page.at.session_state[service.DEVICE] = "cuda:7"
    page.run()
    assert device_menu(page).value == "auto"
    page.run(page.button("compute").click())
    wait_for(lambda: engine.asked)
    assert engine.places == ["auto"]


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("NVIDIA RTX 6000 Ada Generation", "cuda:0 · RTX 6000 Ada"),
        ("NVIDIA H100 80GB HBM3", "cuda:0 · H100 80GB HBM3"),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", "cuda:0 · RTX 4090 Laptop"),
        ("NVIDIA", "cuda:0"),
    ],
)
def test_the_menu_has_the_number_first_and_no_words_that_all_cards_have(monkeypatch, name, title):
    monkeypatch.setattr(device, "cards", lambda: [name])
    assert service.devices()["cuda:0"] == title


def test_only_what_a_card_may_compute_is_said_to_be_quicker_there(visitor, two_cards, monkeypatch):
    said = "On a card it may be quicker."
    page = visitor().open(SPECTRUM, images="1")
    assert said in page.texts("markdown")
    page.run(device_menu(page).set_value("cpu"))
    assert said not in page.texts("markdown")
    monkeypatch.setattr(device, "STEPS", dict.fromkeys(device.STEPS, (10**9,)))
    page.run(device_menu(page).set_value("auto"))
    assert said not in page.texts("markdown")


def test_a_lost_card_is_named_with_what_the_menu_offers_now(monkeypatch):
    work = service.work((), "cuda:1")
    monkeypatch.setattr(device, "cards", lambda: ["Card A"])
    offered = r"choose the quicker one, CPU, cuda:0 · Card A in the sidebar\.$"
    with pytest.raises(CannotCompute, match=rf"^The card cuda:1 is not there any more: {offered}"):
        work(lambda *_: None)
    monkeypatch.setattr(device, "cards", list)
    with pytest.raises(CannotCompute, match=r"any more: press the button again for the CPU\.$"):
        work(lambda *_: None)


def test_a_sweep_over_the_strength_takes_the_chosen_device(visitor, two_cards, tmp_path, monkeypatch):
    places = []
    page = visitor().open("pages/5_Compare.py", compare="perturbation")
    plant_perturbing(tmp_path, monkeypatch)
    perturbation.compute(asked_perturbation("resnet18", int(page.url["a.images"]), "fgsm", 4))
    planted = analysis.compute

    def compute(request, progress=None, where="auto"):
        places.append(where)
        return planted(request, progress, where)

    monkeypatch.setattr(analysis, "compute", compute)
    page.run(device_menu(page).set_value("cuda:1"))
    (sweep,) = [button for button in page.at.button if button.label == "Sweep ε"]
    page.run(sweep.click())
    wait_for(lambda: len(places) == len(perturbation.SWEEP))
    assert set(places) == {"cuda:1"}
    assert "jobs cuda:1" in {thread.name for thread in threading.enumerate()}


def test_a_notice_of_a_new_result_is_shown_though_it_is_stored(visitor, two_cards, monkeypatch):
    def compute_many(requests, progress=None, refused=None, where="auto", **_):
        for request in requests:
            store(request)
            yield replace(made_up(request), notices=("Card A has too little memory.",))

    monkeypatch.setattr(analysis, "compute_many", compute_many)
    page = visitor().open(SPECTRUM, images="1")
    page.run(page.button("compute").click())
    wait_for(lambda: not any(service.job_service().find(key).active for key in page.at.session_state["jobs"]))
    page.run()
    assert "Card A has too little memory." in page.texts("warning", "info", "caption", "markdown")
