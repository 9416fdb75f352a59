"""Growth as a table, a row for each block at each image: what ships, and what this machine has stored. Needs no torch.

Columns: network, weights, image, label, predicted, correct, loss, block, growth_from_image, growth_from_first, random_growth,
random_growth_from_first, norm_to_logits (of the whole network: the same in each of an image's rows), residual and agreement (the
worse of the two norms'), algorithm, date. Lengths of images are in pixels from 0 to 1.
"""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from stiffcore.growth import requests
from stiffcore.growth.requests import Growth, GrowthRequest
from stiffcore.images.image import Image
from stiffcore.networks.network import Network
from stiffcore.sweeps import shipping

COLUMNS = (
    "network", "weights", "image", "label", "predicted", "correct", "loss", "block", "growth_from_image", "growth_from_first",
    "random_growth", "random_growth_from_first", "norm_to_logits", "residual", "agreement", "algorithm", "date",
)  # fmt: skip


def path_of(network: Network) -> Path:
    return shipping.FOLDER / f"growth-{network.name}.parquet"


def rows(network: Network) -> pd.DataFrame:
    """The rows that ship for a network's weights; empty where there are none, and where the file is damaged or of others."""
    shipped = shipping.of_file(path_of(network), COLUMNS)[list(COLUMNS)]
    current = (shipped["weights"] == network.weights_sha256) & (shipped["algorithm"] == requests.ALGORITHM)
    return shipped[current].reset_index(drop=True)


def all_rows(network: Network, images: Iterable[Image]) -> pd.DataFrame:
    """The rows that ship, and those of results that this machine has stored at some images; computes nothing."""
    shipped = rows(network)
    known = set(shipped["image"])
    asked = [GrowthRequest(network, image) for image in images if image.in_rows not in known]
    found = [growth for request in asked if (growth := requests.stored(request)) is not None]
    frames = [frame for frame in (shipped, *map(of, found)) if len(frame)]
    return pd.concat(frames, ignore_index=True) if frames else shipped


def of(growth: Growth) -> pd.DataFrame:
    """The rows of one result."""
    network, image = growth.request.network, growth.request.image
    return pd.DataFrame(
        {
            "network": network.name,
            "weights": growth.weights,
            "image": image.in_rows,
            "label": network.label_of(image),
            "predicted": growth.predicted,
            "correct": growth.correct,
            "loss": growth.loss,
            "block": range(1, len(growth.growth) + 1),
            "growth_from_image": growth.growth,
            "growth_from_first": growth.growth_from_first,
            "random_growth": growth.random_growth,
            "random_growth_from_first": growth.random_growth_from_first,
            "norm_to_logits": growth.to_logits,
            "residual": growth.residuals.max(axis=0),
            "agreement": growth.agreement.max(axis=0),
            "algorithm": requests.ALGORITHM,
            "date": growth.date,
        }
    )
