"""A sweep's tasks (network, image, blocks, convention): idempotent and resumable. Needs torch only to compute.

Every result goes to the cache as soon as it is computed. A sweep that was interrupted, by Ctrl-C, ``kill -9`` or a
power cut, therefore computes only what is missing when it runs again.
"""

import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from stiffcore.analysis import compute as analysis, on_card
from stiffcore.analysis.requests import ALGORITHM, QUANTITIES, Request, check_quantity
from stiffcore.analysis.results import Result
from stiffcore.conventions import Convention
from stiffcore.device_names import AUTO
from stiffcore.errors import CannotCompute
from stiffcore.images.image import Image
from stiffcore.metrics import definitions, missing
from stiffcore.metrics.metric import Group
from stiffcore.networks.network import Network

if TYPE_CHECKING:
    import pandas as pd

DIED = "the worker process was killed or ran out of memory: run the same command again to compute what is missing"
MISTAKE = "an error in the program; the log has the details"
NORMS = tuple(metric.name for metric in definitions.of_group(Group.GROWTH))
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Task:
    """The unit of work of a worker: some blocks of a network at one image, with one forward pass."""

    network: Network
    image: Image
    blocks: tuple[int, ...]
    convention: Convention
    quantity: str = "counts"

    @property
    def requests(self) -> list[Request]:
        return [Request(self.network, self.image, b, self.convention, self.quantity) for b in self.blocks]

    def carried_out(self, where: str = AUTO) -> "Outcome":
        """Computed in this process. where: the device, see ``analysis.compute.compute_many``."""
        return compute(self, where)


@dataclass(frozen=True)
class Errand(Task):
    """Other work about a network at an image, for the same workers: ``work(network, image)``, a function of a module, stores its own result.
    It counts as one block, 0. On this machine's CPU only: a cluster's workers know tasks."""

    blocks: tuple[int, ...] = (0,)
    convention: Convention = Convention.SLICES
    work: Callable[[Network, Image], object] = lambda network, image: None

    def carried_out(self, where: str = AUTO) -> "Outcome":
        began, failures = time.perf_counter(), {}
        try:
            self.work(self.network, self.image)
        except CannotCompute as error:
            failures[0] = str(error)
        return Outcome(self, (), failures, time.perf_counter() - began, os.getpid(), _peak_memory())


@dataclass(frozen=True)
class Outcome:
    """The outcome of a task: a row per block that has a result, a reason per block that has none."""

    task: Task
    rows: tuple[dict, ...]
    failures: dict[int, str]
    seconds: float = 0.0
    worker: int = 0  # its process id
    peak_memory: int = 0  # bytes, of the worker so far; 0 where the system does not report it
    notices: tuple[str, ...] = ()  # of its results, each once


def plan(
    network: Network, images: Iterable[Image], blocks: Iterable[int], convention: Convention, quantity: str
) -> list[Task]:
    """A task per image. Raises CannotCompute for a block or quantity that does not exist."""
    numbers = tuple(network.block(number).block for number in blocks)
    check_quantity(quantity, convention)
    return [Task(network, image, numbers, convention, quantity) for image in images]


def row(result: Result) -> dict:
    """The result's row, with how it was computed, and with the reasons for missing values as JSON.
    ``statistics.row_values`` reads them to distinguish undefined values from those that are not computed."""
    made = result.made
    certificate = made.get("certificate")
    return result.row() | {
        "quantity": "counts" if made.get("quantity") == "spectrum" else made.get("quantity", "counts"),
        "certificate": certificate.get("kind", "") if isinstance(certificate, dict) else "",
        "algorithm": made["algorithm"],
        "date": made["date"],
        **geometry_columns(result.request.network),
        "reasons": _as_text(missing.as_texts(result.reasons)),
    }


def geometry_columns(network: Network) -> dict[str, object]:
    """What a table needs to know about blocks without a row: how many blocks the network has, and which are square."""
    square = ",".join(str(block.block) for block in network.identity_blocks())
    return {"n_blocks": len(network.blocks), "square_blocks": square}


def split(tasks: Iterable[Task], known: "pd.DataFrame | None" = None) -> tuple[list[dict], list[Task]]:
    """The rows that exist already, and the remaining tasks, each with the blocks that it lacks.

    known: rows that exist in addition to the cache's, for example those that ship. They belong to the tasks' network,
    weights and convention.
    """
    known_rows = {} if known is None else {(r["image"], r["block"]): r for r in known.to_dict("records")}
    rows, remaining = [], []
    for task in tasks:
        lacking = []
        for request in task.requests:
            # Rows are known by the image's number, which only CIFAR-10's images have for ever.
            shipped = known_rows.get((request.image.in_rows, request.block)) if request.image.is_official else None
            if shipped is not None and serves(shipped, request):
                rows.append(shipped)
            elif (result := analysis.stored(request)) is not None:
                rows.append(row(result))
            else:
                lacking.append(request.block)
        if lacking:
            remaining.append(replace(task, blocks=tuple(lacking)))
    return rows, remaining


def serves(row: dict, request: Request) -> bool:
    """Whether a row serves a request. A row holds no spectrum, so it never serves one; nor does one of another version of the algorithm."""
    order = QUANTITIES.index
    if (
        row.get("algorithm") != ALGORITHM
        or request.quantity == "spectrum"
        or order(row["quantity"]) < order(request.quantity)
    ):
        return False
    return not request.convention.has_matrix or has_norms(row)


def has_norms(row: Mapping) -> bool:
    """Whether a row has the metrics of level norms, or says why it has none."""
    given = _reasons(row)
    return all(name in given or not math.isnan(row.get(name, math.nan)) for name in NORMS)


def with_norms(rows: "pd.DataFrame") -> "pd.Series":
    """Which rows have the metrics of level norms, or say why not. Index as in rows."""
    import pandas as pd

    needed = rows.reindex(columns=[*NORMS, "reasons"])
    return pd.Series([has_norms(row) for row in needed.to_dict("records")], index=rows.index, dtype=bool)


def norms_of(row: Mapping, other: Mapping) -> dict[str, object]:
    """The metrics of level norms of a row, and the reasons of another one with theirs."""
    given = {name: why for name, why in _reasons(row).items() if name in NORMS}
    together = _reasons(other) | given
    return {name: row[name] for name in NORMS} | {"reasons": _as_text(together)}


def _reasons(row: Mapping) -> dict[str, str]:
    """metric -> why it is missing, as a text; empty for a row that says nothing."""
    text = row.get("reasons")
    return dict(json.loads(text)) if isinstance(text, str) and text else {}


def _as_text(reasons: Mapping[str, str]) -> str:
    return json.dumps(reasons, sort_keys=True, ensure_ascii=False)


def compute(task: Task, where: str = AUTO) -> Outcome:
    """Compute a task in this process; each result is in the cache when this returns. A block that fails raises
    nothing. where: the device, see ``analysis.compute.compute_many``."""
    began = time.perf_counter()
    rows: dict[int, dict] = {}
    failures: dict[int, str] = {}
    notices: dict[str, None] = {}

    def add(result: Result) -> None:
        rows[result.request.block] = row(result)
        notices.update(dict.fromkeys(on_card.with_reason(result, where).notices))

    try:
        for result in analysis.compute_many(task.requests, where=where):
            add(result)
    except Exception:  # one block failed: compute the others one by one
        for request in task.requests:
            if request.block not in rows:
                try:
                    add(analysis.compute(request, where=where))
                except CannotCompute as error:
                    failures[request.block] = str(error)
                except Exception as error:
                    why = f"{MISTAKE} ({type(error).__name__}: {error})"
                    if why not in failures.values():
                        _log.exception("%s failed", request)
                    failures[request.block] = why
    ordered = tuple(rows[block] for block in task.blocks if block in rows)
    seconds = time.perf_counter() - began
    return Outcome(task, ordered, failures, seconds, os.getpid(), _peak_memory(), tuple(notices))


def _peak_memory() -> int:
    try:
        import resource
    except ImportError:  # not on Windows
        return 0
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
