"""The menu of devices: only where there is a card; it says where spectra are computed, and in which queue."""

import pytest
import torch

from pages.shared.state import service
from stiffcore import device
from tests.app.visitor import SPECTRUM, wait_for

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
    assert device_menu(page).options == ["the quicker one", "CPU", "Card A", "Card B"]
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
