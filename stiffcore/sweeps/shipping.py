"""Reads the rows and spectra that ship in cache/shipped, and writes them for maintainers. Needs no torch.

    rows-<network>-<convention>.parquet      one row per image and block
    spectra-<network>-<convention>.parquet   whole results by key, read by result_cache.shipped()
    manifest.json                            file -> command, weights, device, precision, dates, row counts, SHA-256

Rows that were computed with other weights than those that ship are left out, and the log says so.
"""

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from stiffcore import files
from stiffcore.analysis.requests import ALGORITHM, QUANTITIES, Request
from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.images import uploaded as uploaded_images
from stiffcore.images.image import Image
from stiffcore.networks import uploaded as uploaded_networks
from stiffcore.networks.network import Network
from stiffcore.statistics.row_values import ROW_IS
from stiffcore.storage import cache as result_cache, shipped as shipped_results
from stiffcore.sweeps import tasks as sweep_tasks

FOLDER = files.SHIPPED
LEFT_OUT = ["stored", "n_blocks", "square_blocks"]  # columns that depend on the run, or follow from the network
_log = logging.getLogger(__name__)


def rows_path(network: str, convention: Convention) -> Path:
    return FOLDER / f"rows-{network}-{convention}.parquet"


def rows(network: Network, convention: Convention) -> pd.DataFrame:
    """The shipped rows of a network's weights; empty where there are none or the file is damaged."""
    shipped = of_file(rows_path(network.name, convention), ROW_IS)
    return of_weights(shipped, network) if len(shipped) else shipped


def of_file(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """The rows of a shipped file that has these columns, and maybe more; empty where it is not there, or damaged: then the log says so."""
    nothing = pd.DataFrame(columns=list(columns))
    if not path.exists():
        return nothing
    try:
        if not is_whole(path):
            raise ValueError("its SHA-256 is not the one in manifest.json")
        shipped = pd.read_parquet(path)
        if missing := [name for name in columns if name not in shipped]:
            raise ValueError(f"it has no column {missing[0]}")
    except Exception as error:  # pyarrow raises many kinds
        _log.warning("Ignored the shipped rows in %s: %s.", path.name, error)
        return nothing
    return shipped


def is_whole(path: Path) -> bool:
    """Whether a shipped file is there and has the SHA-256 of the manifest."""
    return path.exists() and _sha256(path) == about().get(path.name, {}).get("sha256")


def of_weights(rows: pd.DataFrame, network: Network) -> pd.DataFrame:
    """The rows that belong to a network's weights; the others are left out, and the log says so."""
    same = rows["weights"] == network.weights_sha256
    if not same.all():
        _log.warning(
            "Ignored %d of %d rows of %s: they belong to other weights.", (~same).sum(), len(same), network.name
        )
    return rows[same].reset_index(drop=True).assign(**sweep_tasks.geometry_columns(network))


def about() -> dict[str, dict]:
    """manifest.json: file name -> what the file holds and how it was computed."""
    path = FOLDER / "manifest.json"
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


def merged(*frames: pd.DataFrame) -> pd.DataFrame:
    """Rows of several sources, with each image and block once: the row with the richest quantity; of equal quantities,
    the row of the later frame. A row without a quantity ranks last. A row that was computed before there were metrics of level
    norms takes them from a poorer one.
    """
    kept = [frame for frame in frames if len(frame)]
    if not kept:
        return pd.DataFrame(columns=ROW_IS)
    together = pd.concat(kept, ignore_index=True)
    ranks = {quantity: rank for rank, quantity in enumerate(QUANTITIES)}
    quantity = together["quantity"] if "quantity" in together else pd.Series("", together.index)
    order = quantity.map(ranks).fillna(-1).sort_values(kind="stable").index  # the last one is kept
    together = together.loc[order]
    if (twice := together.duplicated(ROW_IS, keep=False)).any():
        together = pd.concat([together[~twice], _one_each(together[twice])], ignore_index=True)
    return together.sort_values(["image", "block"], ignore_index=True)


def _one_each(ordered: pd.DataFrame) -> pd.DataFrame:
    """The last row of each image and block, with the metrics of level norms of an earlier one where it has none."""
    kept: dict[tuple, dict] = {}
    for row in ordered.to_dict("records"):
        which = tuple(row[name] for name in ROW_IS)
        poorer = kept.get(which)
        if poorer is not None and not sweep_tasks.has_norms(row) and sweep_tasks.has_norms(poorer):
            row |= sweep_tasks.norms_of(poorer, row)
        kept[which] = row
    return pd.DataFrame(kept.values(), columns=ordered.columns)


def ship_rows(network: Network, convention: Convention, new: pd.DataFrame, command: str) -> Path:
    """Merge rows into the shipped rows of a network and convention, and record it in the manifest. For maintainers.

    Raises CannotCompute where no row was computed with the weights that ship, and for uploaded networks or images.
    """
    for name, value in (("network", network.name), ("convention", convention)):
        if len(new) and set(new[name]) != {value}:
            raise ValueError(f"Expected rows of {name} {value}, got {sorted(set(new[name]))}.")
    _refuse_uploaded(network, map(uploaded_images.is_number, new["image"] if len(new) else ()))
    if len(new):
        new = of_weights(new, network).drop(columns=LEFT_OUT, errors="ignore")
    if not len(new):
        raise CannotCompute(
            f"There are no rows of {network.name} under {convention} that were computed with the weights that ship: "
            f"run `python -m stiffcore sweep {network.name} --convention {convention}` first."
        )
    before = rows(network, convention)
    before = before[before["algorithm"] == ALGORITHM] if len(before) else before
    path, together = rows_path(network.name, convention), merged(before, new)
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
    if not len(before):
        facts["commands"] = []  # no row of earlier commands is left
    note(path, facts, command)
    return path


def _refuse_uploaded(network: Network, are_uploaded: Iterable[bool]) -> None:
    """Uploaded networks and images do not ship with the project, so nor can their results."""
    if uploaded_networks.is_name(network.name) or any(are_uploaded):
        raise CannotCompute(
            "Only results of networks and images that come with the project can ship: keep the rows of uploaded ones with "
            "`sweep --out`."
        )


def ship_spectra(network: Network, convention: Convention, requests: Iterable[Request], command: str) -> Path:
    """Copy whole results from the cache to cache/shipped, and keep the shipped results of the same weights.

    Raises CannotCompute for a result that is not stored, and for uploaded networks or images.
    """
    requests = list(requests)
    _refuse_uploaded(network, (not request.image.is_official for request in requests))
    path = FOLDER / f"spectra-{network.name}-{convention}.parquet"
    before = shipped_results.entries_in(path)
    entries = {key: entry for key, entry in before.items() if _is_current(key, entry, network)}
    cache = result_cache.default()
    for request in requests:
        key = request.key
        entry = cache.get(key) or entries.get(key)
        if entry is None:
            raise CannotCompute(
                f"The spectrum of {network.name}, image {request.image.name}, block {request.block} under {convention} is not "
                "stored: run `python -m stiffcore sweep` with `--quantity spectrum` first."
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
        "images": len({fields["image"] for fields in requested}),
        "blocks": sorted({fields["block"] for fields in requested}),
        **how_made(entry.header for entry in entries.values()),
    }
    if not before.keys() & entries.keys():
        facts["commands"] = []  # no result of earlier commands is left
    note(path, facts, command)
    return path


def _is_current(key: str, entry: result_cache.Entry, network: Network) -> bool:
    """Whether an entry's key is the one that its request has today: same weights, algorithm and format."""
    asked, made = entry.header["request"], entry.header["made"]
    image = Image(str(asked["image"]), made["image_sha256"], np.empty((0, 0, 3), np.uint8))
    return Request(**asked | {"network": network, "image": image}).key == key


def how_made(headers: Iterable[Mapping]) -> dict[str, list]:
    """For the manifest: the devices, precisions, algorithm versions and the first and last date, from the results'
    headers. Headers without ``made``, for example of perturbed images, are left out."""
    made = [header["made"] for header in headers if "made" in header]
    facts = {name: sorted({fields[name] for fields in made}) for name in ("device", "precision", "algorithm")}
    return facts | {"dates": [min(fields["date"] for fields in made), max(fields["date"] for fields in made)]}


def note(path: Path, facts: dict, command: str) -> None:
    """Write a file's entry in the manifest: its facts, its hash and every command that contributed to it."""
    entries = about()
    before = facts.get("commands", entries.get(path.name, {}).get("commands", []))
    commands = [earlier for earlier in before if earlier != command] + [command]
    entries[path.name] = facts | {"commands": commands, "sha256": _sha256(path), "bytes": path.stat().st_size}
    _write_manifest(entries)


def remove(path: Path) -> None:
    """Takes a file out of what ships, and out of the manifest."""
    path.unlink(missing_ok=True)
    entries = about()
    if entries.pop(path.name, None) is not None:
        _write_manifest(entries)


def _write_manifest(entries: dict[str, dict]) -> None:
    text = json.dumps(dict(sorted(entries.items())), indent=1) + "\n"
    files.write_replaced(FOLDER / "manifest.json", text.encode())


def write(frame: pd.DataFrame, path: Path) -> None:
    """Write a Parquet file, or CSV if the name ends in .csv, in one step. Raises CannotCompute where it cannot be
    written."""
    try:
        with files.replaced(path) as partial:
            if Path(path).suffix == ".csv":
                frame.to_csv(partial, index=False)
            else:
                frame.to_parquet(partial, index=False, compression="zstd")
    except OSError as error:
        raise CannotCompute(f"{path} cannot be written ({error}): name another file.") from error


def read(path: Path) -> pd.DataFrame:
    """The rows of a file that ``write`` wrote. Raises CannotCompute for a file that is none."""
    if not path.is_file():
        raise CannotCompute(f"There is no such file: {path}. Name one that a sweep wrote with --out.")
    try:
        frame = pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
        if missing := [name for name in ROW_IS if name not in frame]:
            raise ValueError(f"it has no column {missing[0]}")
    except Exception as error:  # pyarrow raises many kinds
        raise CannotCompute(
            f"{path} has no rows of a sweep ({error}): name one that a sweep wrote with --out."
        ) from error
    return frame


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
