"""The commands ``flow`` and ``ship-odes``, with planted flows in place of the integration."""

import json
import re

import numpy as np
import pytest

from stiffcore.commands import main as command_line
from stiffcore.networks import catalogue
from stiffcore.odes import block_flow, block_flow_integration, ode_net, ode_net_fit
from stiffcore.storage import cache as result_cache
from stiffcore.storage.shipped import ShippedResults
from stiffcore.sweeps import shipping


@pytest.fixture
def planted(monkeypatch):
    """Flows by a formula; the requests asked for, in order."""
    asked = []

    def compute(request, progress=None):
        asked.append(request)
        distance = np.array(block_flow.STEPS) / (request.block + 1)
        return block_flow.BlockFlow(request, distance, 2 * distance, 1.5, 1e-6, 300, 2.0, "f" * 64)

    monkeypatch.setattr(block_flow_integration, "compute", compute)
    return asked


def test_flow_prints_a_row_per_image_and_block(planted, capsys):
    assert command_line.main(["flow", "resnet34", "--images", "0,1", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["image"], row["block"]) for row in rows] == [(0, 15), (0, 16), (1, 15), (1, 16)]
    assert rows[0]["distance"][:2] == [1 / 16, 1 / 32]
    assert command_line.main(["flow", "resnet18"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:4] == ["image", "block", "h=1/1", "h=1/2"]
    assert lines[1].split()[:4] == ["0", "8", "0.1111", "0.05556"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["resnet18", "--blocks", "7"], "Expected an identity block"),
        (["resnet18", "--blocks", "1"], "Expected a block of at most 8,192 dimensions"),
        (["resnet18", "--images", "x"], "Expected"),
    ],
)
def test_what_cannot_be_followed_is_one_line_and_exit_code_2(planted, capsys, arguments, said):
    assert command_line.main(["flow", *arguments]) == 2
    refusal = capsys.readouterr().err
    assert refusal.startswith(said)
    assert refusal.count("\n") == 1
    assert planted == []


def test_ship_odes_writes_what_the_page_opens_on(planted, capsys, tmp_path, monkeypatch):
    def fit(settings):
        numbers = {name: np.zeros(2) for name in ode_net.Fit.__dataclass_fields__}
        return ode_net.Fit(
            **numbers | {"settings": settings, "line_loss": 1.0, "parameters": (1, 2), "seconds": (1, 2)}
        )

    monkeypatch.setattr(ode_net_fit, "compute", fit)
    monkeypatch.setattr(shipping, "FOLDER", tmp_path)
    assert command_line.main(["ship-odes"]) == 0
    shipped = ShippedResults(tmp_path)
    assert len(planted) == 50  # ten labels, and the last stages of ResNet18 (1), 34 (2) and 50 (2)
    assert shipped.keys() == {block_flow.key(request) for request in planted} | {ode_net.key(ode_net.Settings())}
    monkeypatch.setattr(result_cache, "shipped", lambda: shipped)
    assert block_flow.stored(planted[3]).growth == 1.5
    facts = shipping.about()["spectra-stiff-odes.parquet"]
    assert (facts["rows"], facts["device"], facts["precision"]) == (51, ["cpu"], ["float64"])
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d", date) for date in facts["dates"])
    assert len(facts["dates"]) == 2
    assert {request.network.name for request in planted} == set(catalogue.PAPER)
