"""What ships of whole networks by image: growth (``growth-<network>.parquet``) and robustness (``robustness-<network>.parquet``)."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from stiffcore.adversarial import compute as robustness, rows as robustness_rows
from stiffcore.growth import (
    compute as growth,
    estimate,
    requests as growth_requests,
    rows as growth_rows,
    shipping as growth_shipping,
)
from stiffcore.growth.requests import GrowthRequest
from stiffcore.images import registry as images
from stiffcore.images.image import Image
from stiffcore.networks import registry as networks
from stiffcore.networks.network import Network
from stiffcore.rebuild.target import Need, Target, Workers, same_weights
from stiffcore.storage import cache as result_cache, shipped
from stiffcore.sweeps import shipping
from stiffcore.sweeps.tasks import Errand

TOGETHER = 16  # images of an errand of robustness: a batch of its attacks
SECONDS_OF_ATTACKS = {
    8: 1.5,
    16: 3.0,
}  # an image's, on one core, by the number of blocks: guesses by the cost of a pass


@dataclass(frozen=True)
class ByImage(Target):
    """A network at the first images of each label."""

    network: str
    count: int

    @property
    def networks(self) -> tuple[str, ...]:
        return (self.network,)

    @abstractmethod
    def path(self, network: Network) -> Path:
        """The file of its rows."""

    @abstractmethod
    def key(self, network: Network, image: Image) -> str:
        """The key of an image's stored result."""

    @abstractmethod
    def seconds(self, network: Network) -> float:
        """Of one image on one core."""

    @abstractmethod
    def rows(self, network: Network) -> pd.DataFrame:
        """The rows that ship and are current."""

    @abstractmethod
    def errands(self, network: Network, lacking: Sequence[Image]) -> list[Errand]:
        """What computes and stores the results of images."""

    @abstractmethod
    def ship(self, network: Network, wanted: Sequence[Image]) -> None:
        """Puts stored results into what ships."""

    def lacking(self, network: Network, wanted: Sequence[Image]) -> list[Image]:
        """The images that do not ship."""
        there = set(self.rows(network)["image"])
        return [image for image in wanted if image.in_rows not in there]

    def need(self) -> Need:
        network, wanted = networks.find(self.network), images.balanced(self.count)
        lacking = self.lacking(network, wanted)
        if not lacking:
            return Need()
        stored = result_cache.default().keys()
        to_do = [image for image in lacking if self.key(network, image) not in stored]
        path = self.path(network)
        noted = shipping.about().get(path.name, {}).get("weights")
        said = same_weights(self.network, noted, network) if noted else f"{path.name} is not there"
        said = said or f"{len(lacking):,} of {len(wanted):,} images are missing, or of another version"
        return Need((said,), len(to_do), self.seconds(network) * len(to_do))

    def everything(self) -> Need:
        return Need(("",), self.count, self.seconds(networks.find(self.network)) * self.count)

    def put_away(self) -> None:
        network = networks.find(self.network)
        if self.rows(network).empty:
            shipping.remove(self.path(network))

    def make(self, workers: Workers) -> None:
        network, wanted = networks.find(self.network), images.balanced(self.count)
        stored = result_cache.default().keys()
        to_do = [image for image in self.lacking(network, wanted) if self.key(network, image) not in stored]
        workers.carry_out(self.errands(network, to_do), self.name)
        self.put_away()
        self.ship(network, wanted)


@dataclass(frozen=True)
class Growth(ByImage):
    """whole: at how many of the images the whole result with its directions ships."""

    whole: int = 1

    def path(self, network: Network) -> Path:
        return growth_rows.path_of(network)

    def key(self, network: Network, image: Image) -> str:
        return growth_requests.key(GrowthRequest(network, image))

    def seconds(self, network: Network) -> float:
        return estimate.seconds(network)

    def rows(self, network: Network) -> pd.DataFrame:
        return growth_rows.rows(network)

    def lacking(self, network: Network, wanted: Sequence[Image]) -> list[Image]:
        path = shipping.FOLDER / growth_shipping.WHOLE
        whole = shipped.keys_in(path) if shipping.is_whole(path) else frozenset()
        without = [image for image in images.balanced(self.whole) if self.key(network, image) not in whole]
        return list(dict.fromkeys([*without, *super().lacking(network, wanted)]))

    def errands(self, network: Network, lacking: Sequence[Image]) -> list[Errand]:
        return [Errand(network, image, work=_grow) for image in lacking]

    def ship(self, network: Network, wanted: Sequence[Image]) -> None:
        growth_shipping.ship(network, wanted, images.balanced(self.whole), self.command)


def _grow(network: Network, image: Image) -> None:
    growth.compute(GrowthRequest(network, image))


@dataclass(frozen=True)
class Robustness(ByImage):
    def path(self, network: Network) -> Path:
        return robustness_rows.path_of(network)

    def key(self, network: Network, image: Image) -> str:
        return robustness.key(network, image)

    def seconds(self, network: Network) -> float:
        return SECONDS_OF_ATTACKS.get(len(network.blocks), 3.0)

    def rows(self, network: Network) -> pd.DataFrame:
        return robustness_rows.rows(network)

    def errands(self, network: Network, lacking: Sequence[Image]) -> list[Errand]:
        batches = [tuple(lacking[at : at + TOGETHER]) for at in range(0, len(lacking), TOGETHER)]
        return [Errand(network, batch[0], work=Attacks(batch)) for batch in batches]

    def ship(self, network: Network, wanted: Sequence[Image]) -> None:
        robustness_rows.ship(network, wanted, self.command)


@dataclass(frozen=True)
class Attacks:
    """An errand's work: the attacks on a batch of images. A class, so that it can be sent to another process."""

    batch: tuple[Image, ...]

    def __call__(self, network: Network, image: Image) -> None:
        for _ in robustness.compute_many(network, self.batch):
            pass
