"""For maintainers: the growth that ships. Rows of many images, and whole results with their directions of a few.

growth-<network>.parquet    a row for each block at each image (growth/rows.py)
spectra-growth.parquet      whole results by key, of all networks; read with the spectra. Directions in float16: they are pictures
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from stiffcore.errors import CannotCompute
from stiffcore.growth import compute, requests, rows
from stiffcore.growth.requests import Growth, GrowthRequest
from stiffcore.images.image import Image
from stiffcore.networks.network import Network
from stiffcore.progress import Progress, silent
from stiffcore.storage import cache as result_cache, shipped as shipped_results
from stiffcore.sweeps import shipping

WHOLE = "spectra-growth.parquet"


def ship(
    network: Network, images: Sequence[Image], whole: Sequence[Image], command: str, progress: Progress = silent
) -> Path:
    """Compute, or take from the cache, the growth of a network at images, and write it to cache/shipped beside what is there.

    whole: those among the images whose directions ship, too. Stopped and run again, it computes only what is missing. Raises
    CannotCompute for uploaded images, which do not ship.
    """
    if not all(image.is_official for image in (*images, *whole)):
        raise CannotCompute("Only results of images that come with the project can ship: name images of the test set.")
    before = rows.rows(network)
    known, frames, kept = set(before["image"]), [before], []
    for at, image in enumerate(images):
        request = GrowthRequest(network, image)
        if image.in_rows in known and image not in whole:
            continue

        def report(done: int, total: int, what: str, at: int = at, request: GrowthRequest = request) -> None:
            progress(at, len(images), f"{request.where}: {what}")

        growth = compute.compute(request, report)
        kept += [growth] if image in whole else []
        frames += [rows.of(growth)] if image.in_rows not in known else []
    together = pd.concat([frame for frame in frames if len(frame)], ignore_index=True)
    path = rows.path_of(network)
    shipping.write(together.sort_values(["image", "block"], ignore_index=True), path)
    shipping.note(path, _facts("growth", network, together), command)
    if kept:
        _ship_whole(kept, command)
    return path


def _facts(kind: str, network: Network, table: pd.DataFrame) -> dict:
    return {
        "kind": kind,
        "network": network.name,
        "weights": network.weights_sha256,
        "rows": len(table),
        "images": int(table["image"].nunique()),
        "device": ["cpu"],
        "precision": [requests.PRECISION],
        "algorithm": [requests.ALGORITHM],
        "dates": [min(table["date"]), max(table["date"])],
    }


def _ship_whole(results: Sequence[Growth], command: str) -> None:
    path = shipping.FOLDER / WHOLE
    entries = shipped_results.entries_in(path)
    networks = {growth.request.network for growth in results}
    current = {network.name: network.weights_sha256 for network in networks}
    entries = {
        key: entry
        for key, entry in entries.items()
        if entry.header["algorithm"] == requests.ALGORITHM
        and current.get(entry.header["request"]["network"], entry.header["weights"]) == entry.header["weights"]
    }
    entries |= {requests.key(growth.request): requests.as_entry(_in_half(growth)) for growth in results}
    count = result_cache.write_shipped(path, entries.items())
    headers = [entry.header for entry in entries.values()]
    facts = {
        "kind": "growth",
        "rows": count,
        "images": len({header["request"]["image"] for header in headers}),
        "weights": {header["request"]["network"]: header["weights"] for header in headers},
        "device": ["cpu"],
        "precision": [requests.PRECISION],
        "algorithm": [requests.ALGORITHM],
        "dates": [min(header["date"] for header in headers), max(header["date"] for header in headers)],
    }
    shipping.note(path, facts, command)


def _in_half(growth: Growth) -> Growth:
    pictures = {name: getattr(growth, name).astype(np.float16) for name in ("input_directions", "logit_directions")}
    return replace(growth, **pictures)
