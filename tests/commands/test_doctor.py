"""What ``doctor`` says of cards, and of what is computed where and why."""

import json

import torch

from stiffcore import device
from stiffcore.commands import doctor as doctor_command
from stiffcore.slices import card_lanes
from tests.cards.fake_card import fake_card


def test_doctor_says_what_runs_where_and_why(monkeypatch):
    with fake_card():
        monkeypatch.setattr(device, "_is_quicker", lambda card, work, size: size >= 1000 and work != "iteration")
        monkeypatch.setattr(card_lanes, "reason", lambda: "Slices are computed on the CPU: planted.")
        found = doctor_command.devices()
    assert found["placement"] == {
        "spectrum": "on the card from side 1,000, as measured here",
        "iteration": "on the CPU at every size, as measured here",
        "patches": "Slices are computed on the CPU: planted.",
    }
    (card,) = found["cards"]
    assert card["free"] == card["memory"] > 0
    findings = json.loads(json.dumps(found))
    lines = doctor_command.device_lines(findings)
    assert lines[1].startswith(f"card       {card['name']}, ")
    assert "where      spectrum: on the card from side 1,000, as measured here" in lines


def test_doctor_says_why_everything_is_on_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    found = doctor_command.devices()
    assert (found["device"], found["cards"]) == ("cpu", [])
    why = "finds no CUDA device" if torch.version.cuda else "is built without CUDA"
    assert found["placement"] == {"everything": f"on the CPU: torch {torch.__version__} {why}"}
    assert len(doctor_command.device_lines(found)) == 2
