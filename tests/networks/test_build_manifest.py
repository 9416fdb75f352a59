"""Rebuilding the manifest for new weights, here for two networks at a few images."""

import shutil

import numpy as np
import pytest
from safetensors import safe_open

from stiffcore.images import cifar10
from stiffcore.networks import build_manifest, manifest, resnets


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A weights folder of its own, 20 bundled images, ResNet18 and its shuffled baseline."""
    shutil.copy(manifest.FOLDER / "resnet18.safetensors", tmp_path)
    bundled = cifar10.bundled()[:20]
    monkeypatch.setattr(manifest, "FOLDER", tmp_path)
    monkeypatch.setattr(cifar10, "bundled", lambda: bundled)
    monkeypatch.setattr(build_manifest.catalogue, "NETWORKS", ("resnet18", "resnet18-shuffled"))
    return tmp_path


def test_the_manifest_names_what_then_loads(small):
    """With test data every accuracy is measured and written to the trained weights, whose hash stays the same."""
    before = resnets.shipped_state("resnet18")[1]
    images = np.stack([cifar10.image(i) for i in range(10)])
    labels = np.array([cifar10.label(i) for i in range(10)])
    np.savez(small / "data.npz", test_images=images, test_labels=labels)
    lines = []
    assert build_manifest.build(small / "data.npz", lines.append) == small / "manifest.json"
    trained, shuffled = manifest.entry("resnet18"), manifest.entry("resnet18-shuffled")
    assert trained.sha256 == before != shuffled.sha256
    right = np.mean([trained.predicted[i] == label for i, label in enumerate(labels)])
    assert trained.accuracy == right == float(trained.recipe["accuracy"])
    assert shuffled.recipe == {"baseline": "shuffled", "of": "resnet18", "seed": 0, "version": 1}
    assert resnets.weights_sha256(resnets.load("resnet18-shuffled")) == shuffled.sha256
    with safe_open(small / "resnet18.safetensors", "pt") as file:
        assert float(file.metadata()["accuracy"]) == right
    assert len(lines) == 2


def test_without_test_data_the_metadata_counts(small):
    build_manifest.build(None, lambda line: None)
    recipe = build_manifest.recipe_of("resnet18")
    listed = manifest.entry("resnet18").accuracy
    assert listed == (float(recipe["accuracy"]) if "accuracy" in recipe else None)
    assert manifest.entry("resnet18-shuffled").accuracy is None
    assert manifest.entry("resnet18").recipe == recipe


def test_what_did_not_change_is_kept(small):
    build_manifest.build(None, lambda line: None)
    listed, lines = (small / "manifest.json").read_bytes(), []
    (small / "resnet18.safetensors").unlink()  # it would be needed to measure anything
    build_manifest.build(None, lines.append, changed=["resnet34"])
    assert (small / "manifest.json").read_bytes() == listed
    assert lines == []
