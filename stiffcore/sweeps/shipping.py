"""Rows and spectra that ship in cache/shipped: reading them, and the maintainer's way of writing them. Needs no torch.

    rows-<network>-<convention>.parquet      one row per image and block
    spectra-<network>-<convention>.parquet   whole results by key, read by result_cache.shipped()
    manifest.json                            file -> command, weights, device, precision, dates, row counts, SHA-256

Rows whose weights are not those that ship are never shown as theirs: they are left out, and the log says so.
"""

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from stiffcore import files
from stiffcore.analysis import requests as analysis
from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.images import uploaded as uploaded_images
from stiffcore.images.image import Image
from stiffcore.networks import uploaded as uploaded_networks
from stiffcore.networks.network import Network
from stiffcore.statistics.row_values import ROW_IS
from stiffcore.storage import cache as result_cache, shipped as shipped_results
from stiffcore.sweeps import local as local_sweep

FOLDER = files.SHIPPED
LEFT_OUT = ["stored", "n_blocks", "square_blocks"]  # of a row's columns: what one run says, and what the network says
_log = logging.getLogger(__name__)


def rows_path(network: str, convention: Convention) -> Path:
    return FOLDER / f"rows-{network}-{convention}.parquet"


def rows(network: Network, convention: Convention) -> pd.DataFrame:
    """The shipped rows of a network's weights; without rows where there are none, or the file is damaged."""
    path = rows_path(network.name, convention)
    if not path.exists():
        return pd.DataFrame(columns=ROW_IS)
    try:
        if not is_whole(path):
            raise ValueError("its SHA-256 is not the one in manifest.json")
        found = pd.read_parquet(path)
    except Exception as error:  # pyarrow's are many
        _log.warning("Shipped rows in %s are left out: %s.", path.name, error)
        return pd.DataFrame(columns=ROW_IS)
    return of_weights(found, network)


def is_whole(path: Path) -> bool:
    """Whether a shipped file is the one that the manifest describes."""
    return _sha256(path) == about().get(path.name, {}).get("sha256")


def of_weights(found: pd.DataFrame, network: Network) -> pd.DataFrame:
    """The rows that belong to a network's weights; the others are left out, and the log says so."""
    same = found["weights"] == network.weights_sha256
    if not same.all():
        _log.warning("%d of %d rows of %s belong to other weights: left out.", (~same).sum(), len(same), network.name)
    return found[same].reset_index(drop=True).assign(**local_sweep.geometry_columns(network))


def about() -> dict[str, dict]:
    """manifest.json: file name -> what it holds and how it was made."""
    path = FOLDER / "manifest.json"
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


def merged(*frames: pd.DataFrame) -> pd.DataFrame:
    """Rows of several sources, each image and block once: the richest quantity, of equally rich ones the later frame's.

    A row without a quantity counts as the poorest.
    """
    kept = [frame for frame in frames if len(frame)]
    if not kept:
        return pd.DataFrame(columns=ROW_IS)
    together = pd.concat(kept, ignore_index=True)
    ranks = {quantity: rank for rank, quantity in enumerate(analysis.QUANTITIES)}
    quantity = together["quantity"] if "quantity" in together else pd.Series("", together.index)
    order = quantity.map(ranks).fillna(-1).sort_values(kind="stable").index  # the last one stays
    together = together.loc[order].drop_duplicates(ROW_IS, keep="last")
    return together.sort_values(["image", "block"], ignore_index=True)


def ship_rows(network: Network, convention: Convention, new: pd.DataFrame, command: str) -> Path:
    """Merge rows into the shipped ones of a network and convention, and note it in the manifest. For maintainers.

    Raises CannotCompute where nothing is left once rows of other weights are out.
    """
    for name, value in (("network", network.name), ("convention", convention)):
        if len(new) and set(new[name]) != {value}:
            raise ValueError(f"Expected rows of {name} {value}, got {sorted(set(new[name]))}.")
    _refuse_uploaded(network, map(uploaded_images.is_number, new["image"] if len(new) else ()))
    if len(new):
        new = of_weights(new, network).drop(columns=LEFT_OUT, errors="ignore")
    if not len(new):
        raise CannotCompute(
            f"Expected rows of {network.name} under {convention} computed with the weights that ship, got none: "
            f"run `python -m stiffcore sweep {network.name} --convention {convention}` first."
        )
    path, together = rows_path(network.name, convention), merged(rows(network, convention), new)
    write(together, path)
    facts = {
        "kind": "rows",
        "network": network.name,
        "convention": convention,
        "weights": network.weights_sha256,
        "rows": len(together),
        "images": int(together["image"].nunique()),
        "images_by_block": {str(block): int(n) for block, n in together.groupby("block")["image"].nunique().items()},
        "device": sorted(together["device"].unique()),
        "precision": sorted(together["precision"].unique()),
        "algorithm": sorted(int(version) for version in together["algorithm"].unique()),
        "dates": [together["date"].min(), together["date"].max()],
    }
    note(path, facts, command)
    return path


def _refuse_uploaded(network: Network, are_uploaded: Iterable[bool]) -> None:
    """What others do not have cannot ship with the project."""
    if uploaded_networks.is_name(network.name) or any(are_uploaded):
        raise CannotCompute(
            "Expected a network and images that come with the project, got uploaded ones: sweep them, and keep the rows with "
            "--out; only the project's own ship."
        )


def ship_spectra(network: Network, convention: Convention, requests: Iterable[analysis.Request], command: str) -> Path:
    """Copy whole results from the cache to the shipped ones, beside those of the same weights that ship already.

    Raises CannotCompute for a missing one.
    """
    requests = list(requests)
    _refuse_uploaded(network, (not request.image.is_official for request in requests))
    path = FOLDER / f"spectra-{network.name}-{convention}.parquet"
    before = shipped_results.entries_in(path)
    entries = {key: entry for key, entry in before.items() if _is_current(key, entry, network)}
    cache = result_cache.default()
    for request in requests:
        key = analysis.key(request)
        entry = cache.get(key) or entries.get(key)
        if entry is None:
            raise CannotCompute(
                f"Expected a stored spectrum of {network.name}, image {request.image.name}, block {request.block} under "
                f"{convention}, got none: run `python -m stiffcore sweep` with `--quantity spectrum` first."
            )
        entries[key] = entry
    count = result_cache.write_shipped(path, entries.items())
    requested = [entry.header["request"] for entry in entries.values()]
    facts = {
        "kind": "spectra",
        "network": network.name,
        "convention": convention,
        "weights": network.weights_sha256,
        "rows": count,
        "images": len({one["image"] for one in requested}),
        "blocks": sorted({one["block"] for one in requested}),
        **how_made(entry.header for entry in entries.values()),
    }
    if not before.keys() & entries.keys():
        facts["commands"] = []  # nothing is left of what earlier ones made
    note(path, facts, command)
    return path


def _is_current(key: str, entry: result_cache.Entry, network: Network) -> bool:
    """Whether an entry is what its request gives today: same weights, algorithm and format."""
    asked, made = entry.header["request"], entry.header["made"]
    image = Image(str(asked["image"]), made["image_sha256"], np.empty((0, 0, 3), np.uint8))
    return analysis.key(analysis.Request(**asked | {"network": network, "image": image})) == key


def how_made(headers: Iterable[Mapping]) -> dict[str, list]:
    """For the manifest: the devices, precisions, versions and the first and last date of results, by their headers; one
    that does not say how it was made, a perturbed image for example, is left out."""
    made = [header["made"] for header in headers if "made" in header]
    facts = {name: sorted({one[name] for one in made}) for name in ("device", "precision", "algorithm")}
    return facts | {"dates": [min(one["date"] for one in made), max(one["date"] for one in made)]}


def note(path: Path, facts: dict, command: str) -> None:
    """Write one file's entry of the manifest: its facts, its hash and every command that added to it."""
    entries = about()
    before = facts.get("commands", entries.get(path.name, {}).get("commands", []))
    commands = [c for c in before if c != command] + [command]
    entries[path.name] = facts | {"commands": commands, "sha256": _sha256(path), "bytes": path.stat().st_size}
    text = json.dumps(dict(sorted(entries.items())), indent=1) + "\n"
    files.write_replaced(FOLDER / "manifest.json", text.encode())


def write(frame: pd.DataFrame, path: Path) -> None:
    """A Parquet file, or CSV by its name, replaced in one step. Raises CannotCompute where it cannot be written."""
    try:
        with files.replaced(path) as partial:
            if Path(path).suffix == ".csv":
                frame.to_csv(partial, index=False)
            else:
                frame.to_parquet(partial, index=False, compression="zstd")
    except OSError as error:
        raise CannotCompute(f"Expected a file that can be written, got {path} ({error}): name another one.") from error


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
