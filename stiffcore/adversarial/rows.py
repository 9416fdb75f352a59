"""Robustness as a table, a row for each image: what ships, and what this machine has stored. Needs no torch.

Columns: network, weights, image, label, predicted, correct, loss, margin, fgsm_step, fgsm_whole, fgsm_seen, pgd_radius, pgd_seen,
reason, algorithm, date, signs; ``compute.Robustness`` describes them. Sizes are in grey levels.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from stiffcore import files
from stiffcore.adversarial import compute
from stiffcore.adversarial.compute import CLASSES, NUMBERS, Robustness
from stiffcore.adversarial.requests import ALGORITHM, HOW
from stiffcore.errors import CannotCompute
from stiffcore.images.image import Image
from stiffcore.networks.network import Network
from stiffcore.storage import cache as result_cache
from stiffcore.sweeps import shipping

COLUMNS = ("network", "weights", "image", "correct", *CLASSES, *NUMBERS, "reason", "algorithm", "date", "signs")


def path_of(network: Network) -> Path:
    return files.SHIPPED / f"robustness-{network.name}.parquet"


def rows(network: Network) -> pd.DataFrame:
    """The rows that ship for a network's weights; empty where there are none, and where the file is damaged or of others."""
    shipped = shipping.of_file(path_of(network), COLUMNS)[list(COLUMNS)]
    current = (shipped["weights"] == network.weights_sha256) & (shipped["algorithm"] == ALGORITHM)
    return shipped[current].reset_index(drop=True)


def all_rows(network: Network, images: Iterable[Image]) -> pd.DataFrame:
    """The rows that ship, and those that this machine has stored at some images; computes nothing."""
    shipped = rows(network)
    known, keys = set(shipped["image"]), result_cache.default().keys()
    missing = [image for image in images if image.in_rows not in known and compute.key(network, image) in keys]
    found = [one for image in missing if (one := compute.stored(network, image)) is not None]
    return merged(shipped, of(found))


def of(results: Iterable[Robustness]) -> pd.DataFrame:
    """The rows of results."""
    return pd.DataFrame([one.row() for one in results], columns=list(COLUMNS))


def merged(*frames: pd.DataFrame) -> pd.DataFrame:
    """Rows of several sources, each image once, of the last frame that has it; ordered by image."""
    kept = [frame for frame in frames if len(frame)]
    if not kept:
        return pd.DataFrame(columns=list(COLUMNS))
    together = pd.concat(kept, ignore_index=True).drop_duplicates("image", keep="last")
    texts = together["image"].map(str)  # numbers, and names of arrays
    return together.iloc[np.lexsort([texts, texts.str.len()])].reset_index(drop=True)


def ship(network: Network, images: Iterable[Image], command: str) -> Path:
    """Put stored results into the shipped rows of a network, and record them in the manifest. For maintainers.

    Rows of the same weights that ship already are kept. Raises CannotCompute where no result is stored, and for
    images that do not come with the project.
    """
    images = list(images)
    if any(not image.is_official for image in images):
        raise CannotCompute("Only results of images that come with the project can ship: name none of your own.")
    new = of(one for image in images if (one := compute.stored(network, image)) is not None)
    if new.empty:
        raise CannotCompute(f"No result of {network.name} is stored: run `{HOW} {network.name}` first.")
    path, together = path_of(network), merged(rows(network), new)
    shipping.write(together, path)
    facts = {
        "kind": "robustness",
        "network": network.name,
        "weights": network.weights_sha256,
        "rows": len(together),
        "images": len(together),
        "device": ["cpu"],
        "precision": ["float32"],
        "algorithm": [ALGORITHM],
        "dates": [together["date"].min(), together["date"].max()],
    }
    shipping.note(path, facts, command)
    return path


def signs(row: "pd.Series", shape: tuple[int, ...]) -> np.ndarray:
    """The signs of the gradient of a row, −1 or 1, int16 of an image's shape. Raises ValueError for another length."""
    packed = np.frombuffer(row["signs"], np.uint8)
    count = int(np.prod(shape))
    if packed.size != -(-count // 8):
        raise ValueError(f"Expected the signs of {count} values, got {8 * packed.size}.")
    return 2 * np.unpackbits(packed, count=count).reshape(shape).astype(np.int16) - 1


def perturbed(image: Image, row: "pd.Series") -> np.ndarray:
    """The image after the smallest whole FGSM step: uint8 of its shape."""
    step = int(row["fgsm_whole"])
    return np.clip(image.pixels + step * signs(row, image.pixels.shape), 0, 255).astype(np.uint8)
