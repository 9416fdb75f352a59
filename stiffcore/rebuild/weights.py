"""A network's weights with what is measured of them: its two baselines and its entries in the manifest of weights."""

from dataclasses import dataclass

from stiffcore.errors import CannotCompute
from stiffcore.networks import catalogue, manifest
from stiffcore.rebuild.target import Need, Target, Workers

SECONDS = 60.0  # of one core: statistics of two baselines, and predictions of three networks, at 1,000 images


@dataclass(frozen=True)
class Weights(Target):
    """Every other target of the network follows it."""

    network: str

    @property
    def networks(self) -> tuple[str, ...]:
        return ()  # it makes them

    @property
    def command(self) -> str:
        return f"python -m stiffcore weights-manifest {self.network}"

    def names(self) -> tuple[str, ...]:
        """The network and its baselines."""
        return (self.network, *(f"{self.network}-{baseline}" for baseline in catalogue.BASELINES))

    def changed(self) -> dict[str, str]:
        """Of its networks those whose files are not what the manifest names, and why. The shuffled baseline is made of the trained
        weights; the untrained one stays."""
        from stiffcore.networks import resnets

        found: dict[str, str] = {}
        for name in self.names():
            if self.network in found and name == f"{self.network}-shuffled":
                found[name] = f"it is made of {self.network}"
                continue
            try:
                listed = manifest.entry(name).sha256
                sha256 = resnets.shipped_sha256(name)
            except CannotCompute as error:
                found[name] = str(error)
                continue
            if sha256 != listed:
                found[name] = f"the file of {name} has weights {sha256[:8]}, the manifest names {listed[:8]}"
        return found

    def need(self) -> Need:
        changed = self.changed()
        return Need(tuple(changed.values()), len(changed), SECONDS) if changed else Need()

    def everything(self) -> Need:
        return Need(("",), len(self.names()), SECONDS)

    def make(self, workers: Workers) -> None:
        from stiffcore.networks import build_manifest

        workers.step(0, 1, f"{self.name}: baselines and predictions")
        untrained = f"{self.network}-untrained"
        kept = () if untrained in self.changed() else (untrained,)
        build_manifest.build(report=lambda line: None, changed=[self.network], kept=kept)
        workers.step(1, 1, self.name)
