"""The runs that ship in cache/shipped: read by pages, written by maintainers. Needs no torch.

run-<name>.json                         its description, without paths
rows-run-<name>-<convention>.parquet    a row per checkpoint, image and block; metrics to 7 digits
spectra-run-<name>.parquet              whole results by key, read by result_cache.shipped()
"""

import logging
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from stiffcore.analysis.requests import ALGORITHM, Request
from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.files import write_replaced
from stiffcore.images import uploaded as uploaded_images
from stiffcore.runs import kept, run as descriptions
from stiffcore.runs.run import Run
from stiffcore.statistics.row_values import ROW_IS
from stiffcore.storage import cache as result_cache, shipped as shipped_results
from stiffcore.sweeps import shipping

# Columns that depend on the sweep, or follow from the run's description, of every row.
LEFT_OUT = [
    *shipping.LEFT_OUT,
    "seconds",
    "run",
    "step",
    "seed",
    "checkpoint",
    "accuracy",
    "accuracy_bundled",
    "loss_bundled",
    "reading",
    "doubt",
]
_log = logging.getLogger(__name__)


def rows_path(name: str, convention: Convention) -> Path:
    return shipping.FOLDER / f"rows-run-{name}-{convention}.parquet"


def rows(run: Run, convention: Convention) -> pd.DataFrame:
    """The shipped rows of a run's networks; empty where there are none or the file is damaged."""
    path = rows_path(run.name, convention)
    if kept.is_own(run.name) or not path.exists():
        return pd.DataFrame(columns=ROW_IS)
    try:
        if not shipping.is_whole(path):
            raise ValueError("its SHA-256 is not the one in manifest.json")
        found = pd.read_parquet(path)
    except Exception as error:  # pyarrow raises many kinds
        _log.warning("Ignored the shipped rows in %s: %s.", path.name, error)
        return pd.DataFrame(columns=ROW_IS)
    short = found.select_dtypes("float32").columns
    return found.astype(dict.fromkeys(short, float)).assign(seconds=np.nan)


def named(run: Run, name: str, title: str) -> Run:
    """The run under another name and title; its networks are named after it."""
    checkpoints = tuple(
        replace(one, network=f"{name}-seed-{one.seed}-{run.unit}-{one.step}") for one in run.checkpoints
    )
    return replace(run, name=name, title=title, checkpoints=checkpoints)


def ship(run: Run, name: str, title: str) -> Run:
    """The run under the name and the title under which it ships, written without paths. For maintainers."""
    shipped = named(run, name, title)
    shipped = replace(shipped, checkpoints=tuple(replace(one, path="") for one in shipped.checkpoints))
    content = descriptions.as_json(shipped)
    try:
        descriptions.from_json(content)
    except ValueError as error:
        raise CannotCompute(
            f"The run cannot ship as {name!r}, {title!r} ({error}): choose another name or title."
        ) from error
    path = kept.shipped_path(name)
    write_replaced(path, content)
    facts = {"kind": "run", "weights": [checkpoint.weights for checkpoint in shipped.checkpoints], "commands": []}
    shipping.note(path, facts, f"python -m stiffcore ship-run {name}")
    return shipped


def ship_rows(run: Run, convention: Convention, new: pd.DataFrame, command: str) -> Path:
    """Merge rows into the shipped rows of a run and a convention; those of other weights go. For maintainers.

    run: as ``ship`` gives it. Raises CannotCompute for rows at uploaded images, and where a checkpoint has no row.
    """
    if any(uploaded_images.is_number(image) for image in new["image"]):
        raise CannotCompute("Only results of images that come with the project can ship: leave uploaded images out.")
    if lacking := {checkpoint.weights for checkpoint in run.checkpoints} - set(new["weights"]):
        raise CannotCompute(f"{len(lacking)} checkpoints have no rows under {convention}: compute all of them first.")
    names = {checkpoint.weights: checkpoint.network for checkpoint in run.checkpoints}
    new = new[new["weights"].isin(list(names))].drop(columns=LEFT_OUT, errors="ignore")
    before = rows(run, convention).drop(columns=LEFT_OUT, errors="ignore")
    before = before[before["weights"].isin(list(names))]
    before = before[before["algorithm"] == ALGORITHM] if len(before) else before
    path, together = (
        rows_path(run.name, convention),
        shipping.merged(before, new.assign(network=new["weights"].map(names))),
    )
    short = [name for name in together.select_dtypes("float64") if _is_measured(together[name])]
    together = together.astype(dict.fromkeys(short, np.float32))
    with shipping.files.replaced(path) as partial:
        long = [name for name in together if name not in short]
        together.to_parquet(
            partial, index=False, compression="zstd", compression_level=19, use_dictionary=long, use_byte_stream_split=short
        )  # fmt: skip
    facts = {
        "kind": "rows",
        "run": run.name,
        "convention": convention,
        "weights": sorted(together["weights"].unique()),
        "rows": len(together),
        "images": int(together["image"].nunique()),
        "images_by_block": {str(block): int(n) for block, n in together.groupby("block")["image"].nunique().items()},
        "quantities": sorted(together["quantity"].unique()),
        "device": sorted(together["device"].unique()),
        "precision": sorted(together["precision"].unique()),
        "algorithm": sorted(int(version) for version in together["algorithm"].unique()),
        "dates": [together["date"].min(), together["date"].max()],
    }
    shipping.note(path, facts, command)
    return path


def _is_measured(values: pd.Series) -> bool:
    """Whether some values are not whole numbers; counts stay exact."""
    defined = values[np.isfinite(values)]
    return bool((defined != defined.round()).any())


def ship_spectra(run: Run, requests: Iterable[Request], command: str) -> Path:
    """Copy whole results of a run's networks from the cache, beside those that ship already; those of other weights go.
    For maintainers. Raises CannotCompute for one that is not stored."""
    path, weights = shipping.FOLDER / f"spectra-run-{run.name}.parquet", {one.weights for one in run.checkpoints}
    entries = {
        key: entry
        for key, entry in shipped_results.entries_in(path).items()
        if entry.header["made"]["weights"] in weights and entry.header["made"]["algorithm"] == ALGORITHM
    }
    for request in requests:
        entry = result_cache.default().get(request.key) or entries.get(request.key)
        if entry is None:
            raise CannotCompute(
                f"The spectrum of {request.network.name}, image {request.image.name}, block {request.block} under "
                f"{request.convention} is not stored: compute it first."
            )
        asked_now = entry.header["request"] | {"network": request.network.name}  # it was computed under its file's name
        entries[request.key] = result_cache.Entry(entry.header | {"request": asked_now}, entry.arrays)
    count, asked = (
        result_cache.write_shipped(path, entries.items()),
        [one.header["request"] for one in entries.values()],
    )
    facts = {
        "kind": "spectra",
        "run": run.name,
        "rows": count,
        "images": len({fields["image"] for fields in asked}),
        "blocks": sorted({fields["block"] for fields in asked}),
        "conventions": sorted({fields["convention"] for fields in asked}),
        **shipping.how_made(entry.header for entry in entries.values()),
    }
    shipping.note(path, facts, command)
    return path
