"""``perturb`` on planted losses and spectra."""

import json

import pytest

from stiffcore.commands import main as command_line
from stiffcore.images import cifar10
from tests.made_up.spectra import plant_perturbing


@pytest.fixture(autouse=True)
def planted(tmp_path, monkeypatch):
    plant_perturbing(tmp_path, monkeypatch)


def test_perturb_prints_what_is_seen_before_and_after(capsys):
    assert command_line.main(["perturb", "resnet18", "--images", "0", "--strength", "2"]) == 0
    line = capsys.readouterr().out.splitlines()[1].split()
    assert line[:4] == ["0", "cat", "cat", "dog"]
    assert [float(loss) for loss in line[4:6]] == [0.5, 4.0]
    assert cifar10.name(int(line[6])) == "0 + FGSM 2/255"
    assert command_line.main(["perturb", "resnet18", "--kind", "noise", "--seed", "3", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["kind"], row["strength"], row["seed"], row["seen"]) == ("noise", 4, 3, ["cat", "dog"])


def test_what_is_no_strength_is_one_line_and_exit_code_2(capsys):
    assert command_line.main(["perturb", "resnet18", "--strength", "300"]) == 2
    assert capsys.readouterr().err == "Expected a strength from 0 to 64, got 300: choose a whole number in between.\n"
