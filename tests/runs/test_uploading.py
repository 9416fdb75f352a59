"""Networks that were uploaded together are a run; their files' names say the steps."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from stiffcore.errors import CannotCompute
from stiffcore.images import registry as images
from stiffcore.networks import catalogue, registry as networks, uploaded
from stiffcore.runs import kept, uploading
from tests.made_up.runs import weights


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(kept, "SHIPPED", tmp_path / "shipped")
    monkeypatch.setattr(
        uploaded, "get", lambda name: SimpleNamespace(architecture=catalogue.architecture_of("resnet18"))
    )


def three(base="resnet18"):
    return [
        replace(networks.find(base), name=f"resnet18-own-{step:012x}", weights_sha256=weights(step))
        for step in (1, 2, 3)
    ]


@pytest.mark.parametrize(
    ("names", "steps", "unit"),
    [
        (["epoch-10.pt", "epoch-2.pt", "epoch-1.pt"], {"epoch-1.pt": 1, "epoch-2.pt": 2, "epoch-10.pt": 10}, "epoch"),
        (["c.pt", "a.pt", "b.pt"], {"a.pt": 0, "b.pt": 1, "c.pt": 2}, "step"),
    ],
)
def test_the_names_say_the_steps_and_the_run_is_remembered(names, steps, unit):
    run = uploading.remember(three(), names, images.bundled())
    assert {one.file: one.step for one in run.checkpoints} == steps
    assert (run.unit, kept.known()) == (unit, (run,))
    assert {one.network for one in run.checkpoints} == {network.name for network in three()}
    assert {round(one.accuracy_bundled, 3) for one in run.checkpoints} == {0.909}
    assert not run.can_compute, "they were removed since"


def test_a_file_of_that_name_beside_the_app_is_not_read(tmp_path, monkeypatch):
    import torch
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, tmp_path / "epoch-1.safetensors", metadata={"epoch": "77"})
    monkeypatch.chdir(tmp_path)
    run = uploading.remember(three()[:1], ["epoch-1.safetensors"], ())
    assert [one.step for one in run.checkpoints] == [1]


def test_networks_of_two_structures_are_no_run():
    pair = [*three()[:1], networks.find("resnet34")]
    with pytest.raises(CannotCompute, match="another structure"):
        uploading.remember(pair, ["a-1.pt", "a-2.pt"], ())
    assert kept.known() == ()
