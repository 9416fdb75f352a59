"""The commands about perturbed images: ``perturb`` and, for maintainers, ``ship-twins``."""

import argparse
from dataclasses import replace

from stiffcore.analysis import compute as analysis, perturbation
from stiffcore.analysis.perturbation import PerturbationRequest, Perturbed
from stiffcore.analysis.requests import QUANTITIES, Request
from stiffcore.commands import own_networks, terminal
from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.images import registry as images, uploaded as uploaded_images
from stiffcore.networks import registry as networks
from stiffcore.storage import cache as result_cache

SHIPPED = "spectra-twins.parquet"  # read with the spectra, by key
BLOCK, CONVENTION = 8, Convention.BRANCH  # what the Compare page opens on


def add_parser(commands: terminal.Commands) -> None:
    perturb = commands.add_parser(
        "perturb",
        help="add noise or an adversarial step to images, and print what a network predicts",
        description="Add Gaussian noise, or a step of the fast gradient sign method, of K grey levels to images. Print the network's "
        "prediction and loss before and after. The perturbed image gets a number that other commands accept as an image.",
    )
    own_networks.add_options(perturb)
    perturb.add_argument("--images", default="0", help="bundled, all, or 0,3,10:20 (end excluded); default 0")
    perturb.add_argument("--kind", choices=perturbation.KINDS, default="fgsm", help="default fgsm")
    perturb.add_argument("--strength", type=int, default=4, metavar="K", help="grey levels of 255; default 4")
    perturb.add_argument("--seed", type=int, default=0, help="seed of the noise; default 0")
    perturb.add_argument("--json", action="store_true", help="print a JSON list of objects")
    perturb.set_defaults(run=run_perturb, leaves_at_once=True)
    ship = commands.add_parser(
        "ship-twins",
        help="for maintainers: put the Compare page's adversarial twin into cache/shipped",
        description="Compute, or take from the cache, the perturbed image that the Compare page opens on, its spectrum, and "
        "the metrics against the strength, and write them to cache/shipped.",
    )
    ship.set_defaults(run=run_ship)


def run_perturb(arguments: argparse.Namespace) -> int:
    names = ("kind", "strength", "seed")
    network, chosen = own_networks.network_of(arguments), images.listed(arguments.images)
    requests = [
        perturbation.check(PerturbationRequest(network, image, *(getattr(arguments, name) for name in names)))
        for image in chosen
    ]
    rows: list[dict] = []
    notices: dict[str, None] = {}
    with terminal.progress() as progress:
        for at, request in enumerate(requests):
            progress(at, len(requests), perturbation.name_of(request))
            perturbed = perturbation.compute(request)
            rows.append(_row(perturbed))
            notices |= {perturbed.notice: None} if perturbed.notice else {}
    for notice in (*notices, uploaded_images.notice()):
        if notice:
            terminal.say(notice)
    if arguments.json:
        terminal.show_json(rows)
        return 0
    lines = ["image  label       seen before  seen after  loss before  loss after  number of the perturbed image"]
    for row in rows:
        words = f"{row['image']:5}  {row['label']:10}  {row['seen'][0]:11}  {row['seen'][1]:10}"
        lines.append(f"{words}  {row['loss'][0]:<11.4g}  {row['loss'][1]:<10.4g}  {row['perturbed']}")
    terminal.show("\n".join(lines))
    return 0


def _row(perturbed: Perturbed) -> dict:
    request = perturbed.request
    return request.in_header() | {
        "label": request.image.label_name,
        "seen": [request.network.class_name(label) for label in perturbed.seen],
        "loss": list(perturbed.loss),
        "perturbed": perturbed.image.in_rows,
    }


def twin() -> PerturbationRequest:
    """The perturbation that the Compare page opens on: of the first bundled cat."""
    cats = (image for image in images.bundled() if image.label_name == "cat")
    return PerturbationRequest(networks.find("resnet18"), next(cats), "fgsm", 4)


def run_ship(_: argparse.Namespace) -> int:
    from stiffcore.sweeps import shipping  # pandas

    asked = twin()
    with terminal.progress() as progress:
        perturbation.sweep(asked, BLOCK, CONVENTION, progress)
        perturbed = perturbation.compute(asked).image
        spectrum = Request(asked.network, perturbed, BLOCK, CONVENTION, "spectrum")
        analysis.compute(spectrum, progress)
    perturbed_images = [perturbation.compute(request).image for request in perturbation.sweep_requests(asked)]
    swept = [Request(asked.network, image, BLOCK, CONVENTION, "counts") for image in perturbed_images]
    entries = dict(_entry(request) for request in (spectrum, *swept))
    for request in perturbation.sweep_requests(asked):
        key, entry = _kept([perturbation.key(request)])
        entries[key] = entry
    path = shipping.FOLDER / SHIPPED
    rows = result_cache.write_shipped(path, entries.items())
    facts = {
        "kind": "twins",
        "rows": rows,
        "images": 1,
        "weights": {asked.network.name: asked.network.weights_sha256},
        **shipping.how_made(entry.header for entry in entries.values()),
    }
    shipping.note(path, facts, "python -m stiffcore ship-twins")
    terminal.show(f"{path.name}: {rows} results, {path.stat().st_size:,} bytes.")
    return 0


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
