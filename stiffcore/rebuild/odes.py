"""The default results of the page Stiff ODEs: the fits of a ResNet and an ODE-Net, and flows of every network's last stage."""

import datetime
from dataclasses import dataclass

from stiffcore.images import registry as images
from stiffcore.networks import catalogue, registry as networks
from stiffcore.odes import block_flow, ode_net
from stiffcore.odes.block_flow import FlowRequest
from stiffcore.rebuild.target import Need, Target, Workers
from stiffcore.storage import cache as result_cache, shipped
from stiffcore.sweeps import shipping
from stiffcore.sweeps.tasks import Errand

FILE = "spectra-stiff-odes.parquet"  # read with the spectra, by key
LABELS = 10  # an image of each
SECONDS_OF_A_FLOW, SECONDS_OF_THE_FITS = 3.0, 60.0  # of one core, on average


def flows() -> list[FlowRequest]:
    """The last stage's blocks of the paper's networks at the first image of each label."""
    return [
        FlowRequest(network, image, block)
        for network in map(networks.find, catalogue.PAPER)
        for block in block_flow.last_stage_blocks(network)
        for image in images.balanced(LABELS)
    ]


@dataclass(frozen=True)
class Odes(Target):
    @property
    def networks(self) -> tuple[str, ...]:
        return catalogue.PAPER

    def need(self) -> Need:
        path = shipping.FOLDER / FILE
        there = shipped.keys_in(path) if shipping.is_whole(path) else frozenset()
        stored, lacking = result_cache.default().keys(), [one for one in flows() if block_flow.key(one) not in there]
        fits = ode_net.key(ode_net.Settings()) not in there
        if not lacking and not fits:
            return Need()
        to_do = [one for one in lacking if block_flow.key(one) not in stored]
        names = dict.fromkeys(one.network.name for one in lacking)
        said = [f"{len(lacking)} flows are missing, of {', '.join(names)}"] if lacking else []
        said += ["the fits are missing"] if fits else []
        seconds = SECONDS_OF_A_FLOW * len(to_do) + SECONDS_OF_THE_FITS * fits
        return Need(tuple(said), len(to_do) + fits, seconds)

    def everything(self) -> Need:
        count = len(flows())
        return Need(("",), count + 1, SECONDS_OF_A_FLOW * count + SECONDS_OF_THE_FITS)

    def make(self, workers: Workers) -> None:
        """Flows that ship already, or are stored, are not computed again."""
        from stiffcore.odes import block_flow_integration, ode_net_fit  # torch

        wanted = flows()
        missing = [one for one in wanted if block_flow.stored(one) is None]
        workers.carry_out([Errand(one.network, one.image, work=Flow(one.block)) for one in missing], self.name)
        workers.step(0, 1, f"{self.name}: the fits")
        settings = ode_net.Settings()
        entries = [(ode_net.key(settings), ode_net.as_entry(ode_net_fit.compute(settings)))]
        found = [block_flow_integration.compute(one) for one in wanted]
        entries += [(block_flow.key(flow.request), block_flow.as_entry(flow)) for flow in found]
        rows = result_cache.write_shipped(shipping.FOLDER / FILE, entries)
        weights = {flow.request.network.name: flow.weights for flow in found}
        facts = {"kind": "odes", "rows": rows, "images": LABELS, "weights": weights, "commands": []} | _how_made()
        shipping.note(shipping.FOLDER / FILE, facts, self.command)


@dataclass(frozen=True)
class Flow:
    """An errand's work: the flow of a block. A class, so that it can be sent to another process."""

    block: int

    def __call__(self, network: networks.Network, image: images.Image) -> None:
        from stiffcore.odes import block_flow_integration

        block_flow_integration.compute(FlowRequest(network, image, self.block))


def _how_made() -> dict[str, list]:
    """Fits and flows are always computed in float64 on the CPU. They hold no date, so the date is that of shipping."""
    today = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")
    algorithms = sorted({block_flow.ALGORITHM, ode_net.ALGORITHM})
    return {"device": ["cpu"], "precision": ["float64"], "algorithm": algorithms, "dates": [today, today]}
