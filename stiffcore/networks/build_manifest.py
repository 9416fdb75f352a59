"""Rebuilds the files that ship with the trained weights: the baselines' batch-norm statistics and manifest.json. For maintainers."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.torch import save_file

from stiffcore import files
from stiffcore.images import cifar10
from stiffcore.networks import baselines, catalogue, manifest, resnets


def build(
    data: Path | None = None,
    report: Callable[[str], None] = print,
    changed: Sequence[str] = catalogue.SHIPPED,
    kept: Sequence[str] = (),
) -> Path:
    """Write the baselines' statistics and the manifest for the trained weights in weights/.

    changed: the architectures whose weights are new; the manifest keeps its entries for the others, and for the baselines in kept: an
    untrained one does not depend on the trained weights, and its statistics would have other last bits on another machine.
    data: an ``.npz`` with test_images and test_labels, on which every accuracy is measured; it is also written to the metadata
    of the trained weights. Without it, a trained network's accuracy comes from its metadata, a baseline's stays unknown.
    """
    indices = cifar10.bundled()
    images = np.stack([cifar10.image(index) for index in indices])
    labels = np.array([cifar10.label(index) for index in indices])
    test = cifar10.load_arrays(data, ("test_images", "test_labels")) if data else None
    entries = []
    for network in catalogue.NETWORKS:
        if network in kept or catalogue.architecture(network) not in changed:
            entries.append(manifest.entry(network))
            continue
        if "-" in network:
            _write_statistics(network, images)
        state, sha256 = resnets.shipped_state(network)
        model = resnets.with_weights(network, state, sha256)
        predicted, loss = resnets.predictions(model, images, labels)
        recipe = recipe_of(network)
        accuracy = float(recipe["accuracy"]) if "accuracy" in recipe else None
        if test:
            accuracy = float((resnets.predictions(model, test["test_images"])[0] == test["test_labels"]).mean())
            if "-" not in network:
                _stamp(manifest.FOLDER / f"{network}.safetensors", accuracy)
            recipe = recipe_of(network)
        entry = manifest.Entry(
            network,
            sha256,
            accuracy,
            float((predicted == labels).mean()),
            recipe,
            dict(zip(indices, predicted.tolist(), strict=True)),
            {index: float(f"{value:.6g}") for index, value in zip(indices, loss, strict=True)},
        )
        entries.append(entry)
        measured = "not measured" if accuracy is None else f"{100 * accuracy:.2f} %"
        report(f"{network}: {sha256[:12]}, bundled images {100 * entry.accuracy_bundled:.1f} %, test set {measured}")
    return manifest.write(entries)


def recipe_of(network: str) -> dict:
    """How the weights were made: a trained file's metadata block, a baseline's definition."""
    source, _, baseline = network.partition("-")
    if baseline:
        return {"baseline": baseline, "of": source, "seed": baselines.SEED, "version": baselines.VERSION}
    metadata = _metadata(manifest.FOLDER / f"{network}.safetensors")
    return metadata | ({"recipe": json.loads(metadata["recipe"])} if "recipe" in metadata else {})


def _metadata(path: Path) -> dict[str, str]:
    with safe_open(path, "pt") as file:
        return dict(file.metadata() or {})


def _stamp(path: Path, accuracy: float) -> None:
    """Write a measured accuracy into a file's metadata, if it differs; the tensors, and so their hash, stay the same."""
    metadata = _metadata(path)
    if metadata.get("accuracy") != str(accuracy):
        with files.replaced(path) as partial:
            save_file(resnets.read_tensors(path), partial, metadata | {"accuracy": str(accuracy)})


def _write_statistics(network: str, images: np.ndarray) -> None:
    source, _, baseline = network.partition("-")
    shape_of = resnets.template(source).state_dict()
    if baseline == "untrained":
        state = baselines.untrained(shape_of)
    else:
        state = baselines.shuffled(resnets.shipped_state(source)[0])
    model = resnets.with_weights(source, state, "being built")
    with files.replaced(manifest.FOLDER / f"{network}.safetensors") as partial:
        save_file(baselines.estimated_statistics(model, images), partial, {"baseline": baseline, "of": source})
