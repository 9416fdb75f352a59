"""``perturb`` on planted losses and spectra."""

import json

import numpy as np
import pytest

from stiffcore.analysis import compute as analysis, perturbation
from stiffcore.commands import main as command_line
from stiffcore.images import cifar10
from stiffcore.storage import cache as result_cache
from stiffcore.storage.shipped import ShippedResults
from tests.made_up.spectra import made_up


@pytest.fixture(autouse=True)
def planted(tmp_path, monkeypatch):
    """An empty cache, nothing shipped; FGSM that darkens, a network that sees a dog in own images, spectra made up."""
    monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(result_cache, "shipped", lambda: ShippedResults(tmp_path / "nothing"))
    monkeypatch.setattr(perturbation, "fgsm", lambda network, image, k: np.maximum(image.pixels, k) - np.uint8(k))

    def all_losses(network, image):
        losses = np.full(10, 4.0)
        losses[3 if image.is_official else 5] = 0.5
        return losses

    def compute(request, progress=None):
        result = made_up(request)
        assert result_cache.default().put(request.key, result.header(), result.arrays) is None
        return result

    monkeypatch.setattr(analysis, "all_losses", all_losses)
    monkeypatch.setattr(analysis, "compute", compute)


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
