"""The commands about whole networks: ``growth`` and, for maintainers, ``ship-growth``."""

import argparse

from stiffcore.commands import own_networks, terminal
from stiffcore.growth import compute
from stiffcore.growth.requests import Growth, GrowthRequest, check
from stiffcore.images import registry as images
from stiffcore.networks import registry as networks
from stiffcore.progress import Progress

FIRST_SET = ("resnet18", "resnet34", "resnet50", "resnet18-untrained", "resnet34-untrained", "resnet50-untrained")


def add_parser(commands: terminal.Commands) -> None:
    growth = commands.add_parser(
        "growth",
        help="how a whole network stretches small changes of an image, block by block",
        description="Print the norm of the derivative of each block's output with respect to the image, in pixels from 0 to 1, and to "
        "the input of the first block; the mean growth of random directions; the ten largest singular values from the image to the "
        "last block and to the logits; and Lyapunov exponents.",
    )
    own_networks.add_options(growth)
    growth.add_argument("--images", default="0", help="bundled, all, or 0,3,10:20 (end excluded); default 0")
    growth.add_argument("--json", action="store_true", help="print a JSON list of objects")
    growth.set_defaults(run=run_growth, leaves_at_once=True)
    ship = commands.add_parser(
        "ship-growth",
        help="for maintainers: put the growth of networks at images into cache/shipped",
        description="Compute, or take from the cache, the growth of networks at images, and write the rows to cache/shipped, and with "
        "their directions those of --whole. It can be stopped and run again.",
    )
    ship.add_argument(
        "networks", metavar="NETWORK", nargs="*", default=FIRST_SET, help=f"default {' '.join(FIRST_SET)}"
    )
    ship.add_argument("--images", required=True, help="bundled, all, or 0,3,10:20 (end excluded)")
    ship.add_argument("--whole", default="0", help="images whose directions ship, too; default 0")
    ship.set_defaults(run=run_ship)


def run_growth(arguments: argparse.Namespace) -> int:
    network = own_networks.network_of(arguments)
    requests = [check(GrowthRequest(network, image)) for image in images.listed(arguments.images)]
    if problem := terminal.cache_problem():
        terminal.say(problem)
    found: list[Growth] = []
    with terminal.progress() as progress:
        for at, request in enumerate(requests):
            found.append(compute.compute(request, _counted(progress, at, len(requests), request)))
    for notice in dict.fromkeys(growth.notice for growth in found if growth.notice):
        terminal.say(notice)
    if arguments.json:
        terminal.show_json([_object(growth) for growth in found])
    else:
        terminal.show("\n\n".join(map(_text, found)))
    return 0


def _counted(progress: Progress, at: int, total: int, request: GrowthRequest) -> Progress:
    return lambda _, __, what: progress(at, total, f"{request.where}: {what}")


def _object(growth: Growth) -> dict:
    """A result for programs; the directions are left out, since they are pictures."""
    return growth.request.in_header() | {
        "weights": growth.weights,
        "predicted": growth.predicted,
        "correct": growth.correct,
        "loss": growth.loss,
        "block": list(range(1, len(growth.growth) + 1)),
        "growth_from_image": growth.growth.tolist(),
        "growth_from_first": growth.growth_from_first.tolist(),
        "random_growth": growth.random_growth.tolist(),
        "random_growth_from_first": growth.random_growth_from_first.tolist(),
        "lyapunov": growth.lyapunov.tolist(),
        "singular_values": growth.singular_values.tolist(),
        "logit_singular_values": growth.logit_values.tolist(),
        "norm_to_logits": growth.to_logits,
        "residuals": growth.residuals.tolist(),
        "agreement": growth.agreement.tolist(),
        "model_error": growth.model_error,
        "seconds": growth.seconds,
    }


def _text(growth: Growth) -> str:
    lines = [
        f"{growth.request.network.name} at image {growth.request.image.name}, changes in pixels from 0 to 1",
        "block  from the image  random  from block 1  random  exponent",
    ]
    columns = (growth.growth, growth.random_growth, growth.growth_from_first, growth.random_growth_from_first)
    for block, values in enumerate(zip(*columns, growth.lyapunov[:, 0], strict=True), 1):
        image, random, first, random_first, exponent = values
        lines.append(f"{block:5}  {image:14.4g}  {random:6.3g}  {first:12.4g}  {random_first:6.3g}  {exponent:8.3f}")
    lines.append("image to the last block: " + ", ".join(f"{value:.4g}" for value in growth.singular_values))
    if len(growth.logit_values):
        lines.append("image to logits: " + ", ".join(f"{value:.4g}" for value in growth.logit_values))
    return "\n".join(lines)


def run_ship(arguments: argparse.Namespace) -> int:
    from stiffcore.growth import shipping  # pandas

    chosen, whole = images.listed(arguments.images), images.listed(arguments.whole)
    for name in arguments.networks:
        command = f"python -m stiffcore ship-growth {name} --images {arguments.images} --whole {arguments.whole}"
        with terminal.progress() as progress:
            path = shipping.ship(networks.find(name), chosen, whole, command, progress)
        terminal.show(f"{path.name}: {path.stat().st_size:,} bytes.")
    return 0
