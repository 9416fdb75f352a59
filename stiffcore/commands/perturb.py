"""``perturb``: noise or an adversarial step added to images."""

import argparse

from stiffcore.analysis import perturbation
from stiffcore.analysis.perturbation import PerturbationRequest, Perturbed
from stiffcore.commands import own_networks, terminal
from stiffcore.images import registry as images, uploaded as uploaded_images


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
