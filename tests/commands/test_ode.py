"""The command ``flow``, with planted flows in place of the integration."""

import json

import numpy as np
import pytest

from stiffcore.commands import main as command_line
from stiffcore.odes import block_flow, block_flow_integration


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
