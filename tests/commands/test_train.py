"""train: from any checkpoint, with snapshots on the way."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from stiffcore.commands import main as command_line
from stiffcore.images import cifar10
from stiffcore.networks import manifest, resnets
from stiffcore.networks.training import loop as training


@pytest.fixture(autouse=True)
def small(tmp_path, monkeypatch):
    """Four images of each kind, one thread, and the accuracy of a snapshot on twenty images."""
    images, labels = np.zeros((4, 32, 32, 3), np.uint8), np.arange(4)
    np.savez(tmp_path / "data.npz", train_images=images, train_labels=labels, test_images=images, test_labels=labels)
    few = cifar10.bundled()[:20]
    monkeypatch.setattr(cifar10, "bundled", lambda: few)
    monkeypatch.setattr(training.device, "training_device", lambda: torch.device("cpu"))


def train(folder: Path, *more: str) -> int:
    plain = [
        "--data",
        str(folder / "data.npz"),
        "--batch-size",
        "4",
        "--no-compile",
        "--out",
        str(folder / "w.safetensors"),
    ]
    return command_line.main(["train", "resnet18", *plain, *more])


def test_it_goes_on_from_a_checkpoint_as_training_scripts_write_it(tmp_path, capsys):
    """In a dictionary, under other names; at a tiny learning rate the weights stay, and the first snapshot is the start."""
    state = load_file(manifest.FOLDER / "resnet18.safetensors")
    torch.save({"net": {f"module.{name}": tensor for name, tensor in state.items()}, "acc": 90.4}, tmp_path / "best.pt")
    options = ["--epochs", "1", "--learning-rate", "1e-12", "--weight-decay", "0", "--padding", "0", "--snapshots"]
    assert train(tmp_path, "--start-from", str(tmp_path / "best.pt"), *options, str(tmp_path / "run"), "--json") == 0
    assert json.loads(capsys.readouterr().out)["epochs"] == 1
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "epoch-000.safetensors",
        "epoch-001.safetensors",
    ]
    assert resnets.tensors_sha256(load_file(tmp_path / "run" / "epoch-000.safetensors")) == resnets.tensors_sha256(
        state
    )
    with safe_open(tmp_path / "w.safetensors", "pt") as file:
        recipe = json.loads(file.metadata()["recipe"])
        assert torch.allclose(file.get_tensor("fc.weight"), state["fc.weight"], atol=1e-4)
    assert (recipe["weight_decay"], recipe["padding"], recipe["start_from"]) == (0, 0, resnets.tensors_sha256(state))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--start-from", "nowhere.pt"], "nowhere.pt, got No such file or directory"),
        (["--start-from", "{folder}/page.pt"], "Expected a"),
        (["--start-from", "{folder}/other.safetensors"], "other.safetensors holds weights of resnet34, not of resnet18: name resnet34"),
        (["--snapshot-epochs", "0"], "Expected --snapshots FOLDER with --snapshot-epochs, got no folder"),
        (["--snapshots", "{folder}/run", "--snapshot-epochs", "0,101"], "Expected epochs of the snapshots from 0 to 100 like 0,1,5"),
        (["--snapshots", "{folder}/page.pt"], "epoch-000.safetensors cannot be written"),
        (["--weight-decay", "-1"], "Expected weight_decay from 0, got -1.0"),
        (["--padding", "40"], "Expected padding from 0 to 31 pixels, got 40"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(more, said, tmp_path, capsys):
    (tmp_path / "page.pt").write_text("<html>")
    (tmp_path / "other.safetensors").symlink_to(manifest.FOLDER / "resnet34.safetensors")
    before = sorted(path.name for path in tmp_path.iterdir())
    assert train(tmp_path, *(text.format(folder=tmp_path) for text in more)) == 2
    printed = capsys.readouterr()
    assert said in printed.err
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert set(before) - {"run"} == {path.name for path in tmp_path.iterdir()} - {"run"}
