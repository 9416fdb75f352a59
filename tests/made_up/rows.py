"""Rows with planted numbers, for the tests of the statistics."""

import json

import numpy as np
import pandas as pd

from stiffcore.analysis.requests import ALGORITHM
from stiffcore.conventions import Convention
from stiffcore.images import cifar10
from stiffcore.networks import catalogue, manifest, registry as networks
from stiffcore.sweeps import shipping
from stiffcore.sweeps.tasks import geometry_columns


def rows(network="resnet18", convention=Convention.SLICES, images=20, blocks=None, seed=0, **columns) -> pd.DataFrame:
    """A row per image and block, labels in turn, every fifth image wrong; convention: or its name; ``columns`` replace whole columns."""
    rng, about = np.random.default_rng(seed), geometry_columns(networks.find(network))
    convention, made = Convention(convention), []
    for image in range(images):
        loss, label = float(rng.exponential()), image % 10
        for block in blocks or [b.block for b in catalogue.blocks(network)]:
            geometry = catalogue.block(network, block)
            made.append(
                {
                    "network": network,
                    "weights": "f" * 64,
                    "convention": convention,
                    "image": image,
                    "label": label,
                    "predicted": label if image % 5 else (label + 1) % 10,
                    "correct": bool(image % 5),
                    "loss": loss,
                    "block": block,
                    "n_in": geometry.n_in,
                    "n_out": geometry.n_out,
                    "n_eigenvalues": geometry.n_eigenvalues(convention),
                    "stiffness_index": -block - float(rng.random()),
                    "percent_negative": 3.0 * block + float(rng.random()),
                    "expected_percent_negative": 2.0 * block,
                    "stiffness_index_without_skip": -1.0,
                    "max_re": 1.0,
                    "min_re": -0.1,
                    "live_fraction": 0.5,
                    "reasons": "{}",
                    "device": "cpu",
                    "precision": "float64",
                    "seconds": 0.1,
                    **about,
                }
            )
    return pd.DataFrame(made).assign(**columns)


def undefined(frame: pd.DataFrame, where, metric: str = "stiffness_index", reason: str = "undefined: min Re λ = 0"):
    """A copy of the rows with one metric taken out."""
    frame = frame.copy()
    frame.loc[where, metric] = np.nan
    frame.loc[where, "reasons"] = json.dumps({metric: reason})
    return frame


def bundled(network="resnet18", convention=Convention.SLICES, images=20, **columns) -> pd.DataFrame:
    """Rows of bundled images with their true labels and predictions, of the shipped weights, ready to be shipped.

    Under block and branch the blocks that are not square are undefined.
    """
    frame, entry = rows(network, convention, images), manifest.entry(network)
    frame["image"] = frame["image"].map(dict(enumerate(cifar10.bundled())))
    frame["label"] = frame["image"].map(cifar10.label)
    frame["predicted"], frame["loss"] = frame["image"].map(entry.predicted), frame["image"].map(entry.loss)
    frame["correct"] = frame["predicted"] == frame["label"]
    frame = frame.assign(weights=entry.sha256, algorithm=ALGORITHM, date="2026-01-01", quantity="counts", **columns)
    if Convention(convention).has_matrix:
        changes = frame["block"].map({block.block: not block.is_identity for block in catalogue.blocks(network)})
        for metric in ("stiffness_index", "percent_negative"):
            frame.loc[changes, metric] = np.nan
        frame.loc[changes, "reasons"] = json.dumps(
            dict.fromkeys(("stiffness_index", "percent_negative"), "undefined: not square")
        )
    return frame


def ship(frame: pd.DataFrame) -> pd.DataFrame:
    """Into shipping.FOLDER, which a test has moved; returns the rows."""
    network, convention = networks.find(frame["network"].iloc[0]), Convention(frame["convention"].iloc[0])
    shipping.ship_rows(network, convention, frame, "python -m stiffcore sweep")
    return frame
