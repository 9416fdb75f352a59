"""The commands ``growth`` and ``ship-growth``, with planted growth in place of the computation."""

import json

import pytest

from stiffcore.commands import main as command_line
from stiffcore.growth import compute, rows
from stiffcore.images import registry as images
from stiffcore.networks import registry as networks
from stiffcore.storage import cache as result_cache
from stiffcore.storage.shipped import ShippedResults
from stiffcore.sweeps import shipping
from tests.made_up.growth import made_up


@pytest.fixture(autouse=True)
def planted(tmp_path, monkeypatch):
    monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(shipping, "FOLDER", tmp_path / "shipped")
    monkeypatch.setattr(result_cache, "shipped", lambda: ShippedResults(tmp_path / "shipped"))
    monkeypatch.setattr(
        compute, "_fresh", lambda request, report: made_up(request.network.name, request.image.number or 0)
    )


def test_growth_prints_an_object_per_image(capsys):
    assert command_line.main(["growth", "resnet18", "--images", "0,3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(one["network"], one["image"], one["block"]) for one in found] == [
        ("resnet18", image, list(range(1, 9))) for image in (0, 3)
    ]
    assert found[0]["growth_from_image"] == pytest.approx([10 * 2.0**k for k in range(1, 9)])
    assert found[0]["growth_from_first"] == pytest.approx([2 * 2.0**k for k in range(1, 9)])
    assert found[0]["norm_to_logits"] == 3
    assert len(found[0]["singular_values"]) == len(found[0]["lyapunov"][-1]) == 10
    assert found[0]["predicted"] == 3
    assert (found[0]["correct"], found[1]["correct"]) == (True, False)


def test_growth_prints_a_line_per_block(capsys):
    assert command_line.main(["growth", "resnet18"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "resnet18 at image 0, changes in pixels from 0 to 1"
    assert lines[2].split() == ["1", "20", "2", "4", "0.4", "0.693"]
    assert lines[-1].startswith("image to logits: 3, 1.5, 1")


def test_an_unknown_image_is_one_line_and_exit_code_2(capsys):
    assert command_line.main(["growth", "resnet18", "--images", "x"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_ship_growth_writes_rows_and_whole_results(capsys):
    asked = ["ship-growth", "resnet18", "resnet18-untrained", "--images", "0,1"]
    assert command_line.main(asked) == 0
    assert capsys.readouterr().out.startswith("growth-resnet18.parquet")
    for name in ("resnet18", "resnet18-untrained"):
        assert set(rows.rows(networks.find(name))["image"]) == {0, 1}
    facts = shipping.about()["spectra-growth.parquet"]
    assert (facts["rows"], facts["images"]) == (2, 1)
    assert facts["weights"] == {name: networks.find(name).weights_sha256 for name in ("resnet18", "resnet18-untrained")}
    assert facts["commands"] == [
        f"python -m stiffcore ship-growth {name} --images 0,1 --whole 0" for name in ("resnet18", "resnet18-untrained")
    ]
    assert images.find(0).is_official
