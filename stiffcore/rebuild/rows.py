"""The rows of a network under a convention: ``rows-<network>-<convention>.parquet``."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pandas as pd

from stiffcore.analysis.requests import ALGORITHM, QUANTITIES, Request
from stiffcore.conventions import Convention
from stiffcore.images import registry as images
from stiffcore.networks import registry as networks
from stiffcore.networks.network import Network
from stiffcore.rebuild import seconds
from stiffcore.rebuild.target import Need, Target, Workers, refuse_failures, same_weights
from stiffcore.storage import cache as result_cache
from stiffcore.sweeps import shipping, tasks as sweep_tasks
from stiffcore.sweeps.tasks import Task

ALL, IDENTITY = "all", "identity"


@dataclass(frozen=True)
class Part:
    """Some blocks at the first images of each label, as ``images.balanced`` chooses them."""

    images: int
    blocks: tuple[int, ...] | str = ALL  # or IDENTITY
    quantity: str = "counts"

    def of(self, network: Network) -> tuple[int, ...]:
        """The numbers of the blocks."""
        if isinstance(self.blocks, tuple):
            return self.blocks
        chosen = network.blocks if self.blocks == ALL else network.identity_blocks()
        return tuple(block.block for block in chosen)


def tasks(network: Network, convention: Convention, parts: tuple[Part, ...]) -> list[Task]:
    """A task per level and image; a block at an image is in the richest level that asks for it."""
    taken: set[tuple[int | str, int]] = set()
    found: list[Task] = []
    for part in sorted(parts, key=lambda part: -QUANTITIES.index(part.quantity)):
        for image in images.balanced(part.images):
            blocks = tuple(block for block in part.of(network) if (image.in_rows, block) not in taken)
            taken |= {(image.in_rows, block) for block in blocks}
            if blocks:
                found.append(Task(network, image, blocks, convention, part.quantity))
    return found


@dataclass(frozen=True)
class Rows(Target):
    """parts: in which blocks at how many images; levels that are richer answer for poorer ones."""

    network: str
    convention: Convention
    parts: tuple[Part, ...]

    @property
    def networks(self) -> tuple[str, ...]:
        return (self.network,)

    def need(self) -> Need:
        network = networks.find(self.network)
        wanted = tasks(network, self.convention, self.parts)
        shipped = _current(shipping.rows(network, self.convention))
        lacking = list(_lacking(wanted, shipped))
        if not lacking:
            return Need()
        keys = result_cache.default().keys()
        to_do = [request for request in lacking if not _richer(request) & keys]
        total = sum(len(task.blocks) for task in wanted)
        said = self._why(network, len(lacking), total)
        if len(to_do) < len(lacking):
            said += (f"{len(lacking) - len(to_do):,} of them are stored on this machine",)
        return Need(said, len(to_do), seconds.of(to_do))

    def _why(self, network: Network, lacking: int, total: int) -> tuple[str, ...]:
        path = shipping.rows_path(self.network, self.convention)
        noted = shipping.about().get(path.name, {})
        if not path.exists():
            return (f"{path.name} is not there",)
        said = [same_weights(self.network, noted.get("weights"), network)]
        if set(noted.get("algorithm", [])) - {ALGORITHM}:
            said.append(f"computed by version {min(noted['algorithm'])} of the algorithm, now {ALGORITHM}")
        if not any(said) or lacking < total:
            said.append(f"{lacking:,} of {total:,} rows are missing")
        return tuple(filter(None, said))

    def everything(self) -> Need:
        wanted = tasks(networks.find(self.network), self.convention, self.parts)
        requests = [request for task in wanted for request in task.requests]
        return Need(("",), len(requests), seconds.of(requests))

    def put_away(self) -> None:
        network, path = networks.find(self.network), shipping.rows_path(self.network, self.convention)
        if not path.exists():
            return
        current = _current(shipping.rows(network, self.convention))
        if current.empty:
            shipping.remove(path)
        elif len(current) < shipping.about().get(path.name, {}).get("rows", 0):
            shipping.ship_rows(network, self.convention, current, self.command)

    def make(self, workers: Workers) -> None:
        network = networks.find(self.network)
        wanted = tasks(network, self.convention, self.parts)
        rows, remaining = sweep_tasks.split(wanted, _current(shipping.rows(network, self.convention)))
        outcomes = list(workers.outcomes(remaining, self.name))
        new = pd.DataFrame([*rows, *(row for outcome in outcomes for row in outcome.rows)])
        shipping.ship_rows(network, self.convention, new, self.command)
        for quantity, part in new.groupby("quantity"):
            means = part.groupby("block")["seconds"].mean().to_dict()
            seconds.note(self.network, str(self.convention), str(quantity), {int(at): s for at, s in means.items()})
        refuse_failures(outcomes)


def _current(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of this version of the algorithm; ``shipping.rows`` has left out those of other weights."""
    return rows[rows["algorithm"] == ALGORITHM] if len(rows) else rows


def _lacking(wanted: list[Task], rows: pd.DataFrame) -> Iterator[Request]:
    """The requests for which no row answers."""
    there = {(row["image"], row["block"]): row for row in rows.to_dict("records")}
    for task in wanted:
        for request in task.requests:
            row = there.get((request.image.in_rows, request.block))
            if row is None or not sweep_tasks.serves(row, request):
                yield request


def _richer(request: Request) -> set[str]:
    """The keys of the results that serve a request."""
    return {replace(request, quantity=name).key for name in QUANTITIES[QUANTITIES.index(request.quantity) :]}
