"""The adversarial twin that the page Compare opens on: perturbed images, a spectrum, and metrics against the strength."""

from dataclasses import dataclass, replace

from stiffcore.analysis import compute as analysis, perturbation
from stiffcore.analysis.perturbation import PerturbationRequest
from stiffcore.analysis.requests import ALGORITHM, QUANTITIES, Request
from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.images import registry as images
from stiffcore.networks import registry as networks
from stiffcore.rebuild.target import Need, Target, Workers, same_weights
from stiffcore.storage import cache as result_cache, shipped
from stiffcore.sweeps import shipping

FILE = "spectra-twins.parquet"  # read with the spectra, by key
NETWORK, BLOCK, CONVENTION = "resnet18", 8, Convention.BRANCH  # what the page opens on
KIND, STRENGTH, LABEL = "fgsm", 4, "cat"
SECONDS = 30.0  # of one core


def twin() -> PerturbationRequest:
    """The perturbation that the Compare page opens on: of the first bundled cat."""
    cats = (image for image in images.bundled() if image.label_name == LABEL)
    return PerturbationRequest(networks.find(NETWORK), next(cats), KIND, STRENGTH)


@dataclass(frozen=True)
class Twins(Target):
    @property
    def networks(self) -> tuple[str, ...]:
        return (NETWORK,)

    def need(self) -> Need:
        path, asked = shipping.FOLDER / FILE, twin()
        noted = shipping.about().get(FILE, {})
        if not shipping.is_whole(path):
            said = f"{FILE} is damaged" if path.exists() else f"{FILE} is not there"
            return Need((said,), 1, SECONDS)
        said = same_weights(NETWORK, noted.get("weights", {}).get(NETWORK), asked.network)
        if not said and noted.get("algorithm") != [ALGORITHM]:
            said = f"computed by version {min(noted['algorithm'])} of the algorithm, now {ALGORITHM}"
        wanted = {perturbation.key(request) for request in perturbation.sweep_requests(asked)}
        if not said and wanted - shipped.keys_in(path):
            said = "perturbed images are missing"
        return Need((said,), 1, SECONDS) if said else Need()

    def everything(self) -> Need:
        return Need(("",), 1, SECONDS)

    def make(self, workers: Workers) -> None:
        asked = twin()
        perturbation.sweep(asked, BLOCK, CONVENTION, workers.step, where=workers.here)
        perturbed = perturbation.compute(asked).image
        spectrum = Request(asked.network, perturbed, BLOCK, CONVENTION, "spectrum")
        result = analysis.compute(spectrum, workers.step, workers.here)
        workers.notices.update(dict.fromkeys(result.notices))
        steps = perturbation.sweep_requests(asked)
        swept = [Request(asked.network, perturbation.compute(one).image, BLOCK, CONVENTION, "counts") for one in steps]
        entries = dict(_entry(request) for request in (spectrum, *swept))
        entries |= dict(_kept([perturbation.key(one)]) for one in steps)
        rows = result_cache.write_shipped(shipping.FOLDER / FILE, entries.items())
        facts = {
            "kind": "twins",
            "rows": rows,
            "images": 1,
            "weights": {asked.network.name: asked.network.weights_sha256},
            "commands": [],
            **shipping.how_made(entry.header for entry in entries.values()),
        }
        shipping.note(shipping.FOLDER / FILE, facts, self.command)


def _entry(request: Request) -> tuple[str, result_cache.Entry]:
    """The key and entry that serve a request, of its own quantity or of a richer one."""
    richer = QUANTITIES[QUANTITIES.index(request.quantity) :]
    return _kept([replace(request, quantity=quantity).key for quantity in richer])


def _kept(keys: list[str]) -> tuple[str, result_cache.Entry]:
    """The first key that is stored, with its entry. Raises CannotCompute where the cache keeps no results."""
    for key in keys:
        entry = result_cache.default().get(key) or result_cache.shipped().get(key)
        if entry is not None:
            return key, entry
    raise CannotCompute(
        "The cache did not keep a result that was just computed: free space there, or set STIFFCORE_CACHE to another folder."
    )
