"""Whole spectra of a network under a convention: ``spectra-<network>-<convention>.parquet``."""

from dataclasses import dataclass, replace

from stiffcore.analysis.requests import Request
from stiffcore.conventions import Convention
from stiffcore.networks import registry as networks
from stiffcore.networks.network import Network
from stiffcore.rebuild import rows, seconds
from stiffcore.rebuild.rows import Part
from stiffcore.rebuild.target import Need, Target, Workers, refuse_failures, same_weights
from stiffcore.storage import cache as result_cache, shipped
from stiffcore.sweeps import shipping, tasks as sweep_tasks
from stiffcore.sweeps.tasks import Task


@dataclass(frozen=True)
class Spectra(Target):
    """parts: in which blocks at how many images, always at the level ``spectrum``."""

    network: str
    convention: Convention
    parts: tuple[Part, ...]

    @property
    def networks(self) -> tuple[str, ...]:
        return (self.network,)

    @property
    def file(self) -> str:
        return f"spectra-{self.network}-{self.convention}.parquet"

    def tasks(self, network: Network) -> list[Task]:
        whole = tuple(replace(part, quantity="spectrum") for part in self.parts)
        return rows.tasks(network, self.convention, whole)

    def requests(self) -> list[Request]:
        """What has to ship."""
        return [request for task in self.tasks(networks.find(self.network)) for request in task.requests]

    def need(self) -> Need:
        path, wanted = shipping.FOLDER / self.file, self.requests()
        there = shipped.keys_in(path) if shipping.is_whole(path) else frozenset()
        lacking = [request for request in wanted if request.key not in there]
        if not lacking:
            return Need()
        keys = result_cache.default().keys()
        to_do = [request for request in lacking if request.key not in keys]
        noted = shipping.about().get(path.name, {})
        said = [f"{path.name} is not there"] if not path.exists() else []
        if noted and not said:
            said = [same_weights(self.network, noted.get("weights"), wanted[0].network)]
            said += [f"{len(lacking)} of {len(wanted)} spectra are missing or computed by another version"]
        return Need(tuple(filter(None, said)) or (f"{path.name} is damaged",), len(to_do), seconds.of(to_do))

    def everything(self) -> Need:
        wanted = self.requests()
        return Need(("",), len(wanted), seconds.of(wanted))

    def make(self, workers: Workers) -> None:
        """Those that are neither stored nor shipped are computed; spectra of other weights or versions have other keys."""
        network = networks.find(self.network)
        _, remaining = sweep_tasks.split(self.tasks(network))
        refuse_failures(list(workers.outcomes(remaining, self.name)))
        shipping.ship_spectra(network, self.convention, self.requests(), self.command)
