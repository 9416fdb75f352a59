"""``robustness`` and, for maintainers, ``ship-robustness``: how small a change of an image changes a prediction.

pandas is imported by the functions that run, so that other commands do not wait for it.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from stiffcore.commands import own_networks, terminal
from stiffcore.images import cifar10, registry as images
from stiffcore.networks import registry as networks
from stiffcore.networks.network import Network

if TYPE_CHECKING:
    import pandas as pd

    from stiffcore.adversarial.verdict import Verdict

SHOWN = {"image": 7, "label": 10, "seen": 10, "margin": 7, "FGSM": 7, "whole": 7, "then seen": 10, "PGD": 7}


def add_parser(commands: terminal.Commands) -> None:
    parser = commands.add_parser(
        "robustness",
        help="find the smallest change of images that changes a network's prediction",
        description="The smallest FGSM step and the smallest PGD perturbation, in grey levels of 0 to 255 on a grid of 1/8, that change a "
        "right prediction, and the margin between the label's score and the next. A step is tried from below, up to 32 grey levels; "
        "PGD takes 20 steps from a seeded start and its size is bisected. Stored results are not computed again, so that an "
        "interrupted command continues where it stopped.",
    )
    own_networks.add_options(parser)
    parser.add_argument(
        "--images", default="bundled", help="bundled, all, or 0,3,10:20 (end excluded); default bundled"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="write the rows as Parquet, or CSV if the name ends in .csv"
    )
    parser.add_argument("--json", action="store_true", help="print JSON: the verdict, its table and the rows")
    parser.set_defaults(run=run_robustness, leaves_at_once=True)
    ship = commands.add_parser(
        "ship-robustness",
        help="for maintainers: put these rows into cache/shipped",
        description="Compute what is missing, and write the rows of a network to cache/shipped.",
    )
    ship.add_argument("network", metavar="NETWORK", help="a network whose weights ship")
    ship.add_argument("--images", default="bundled", help="as of robustness; default bundled")
    ship.set_defaults(run=run_ship, leaves_at_once=True)


def run_robustness(arguments: argparse.Namespace) -> int:
    from stiffcore.adversarial import compute, requests, rows
    from stiffcore.sweeps import shipping

    network = own_networks.network_of(arguments)
    wanted = images.listed(arguments.images)
    requests.check(network)
    if arguments.out is not None:  # a request that is refused leaves no folder
        terminal.writable(arguments.out)
    shipped = rows.rows(network)
    ships = set(shipped["image"])
    with terminal.progress("image") as progress:
        found = list(compute.compute_many(network, [one for one in wanted if one.in_rows not in ships], progress))
    for notice in dict.fromkeys(one.notice for one in found if one.notice):
        terminal.say(notice)
    table = rows.merged(shipped[shipped["image"].isin([one.in_rows for one in wanted])], rows.of(found))
    if arguments.out is not None:
        shipping.write(table.drop(columns="signs"), arguments.out)
    verdict, relations = _judged(network, table)
    if arguments.json:
        plain = relations.assign(reason=["" if one is None else str(one) for one in relations["reason"]])
        terminal.show_json(
            {
                "verdict": vars(verdict) | {"sentence": verdict.sentence},
                "relations": plain.to_dict("records"),
                "rows": table.drop(columns="signs").to_dict("records"),
            }
        )
        return 0
    _show(network.class_name, table)
    terminal.show(f"Does stiffness explain adversarial examples? {verdict.head} {verdict.sentence}")
    return 0


def _judged(network: Network, table: "pd.DataFrame") -> "tuple[Verdict, pd.DataFrame]":
    """The verdict and the table of correlations, from rows of stiffness that ship or are stored."""
    from stiffcore.adversarial import collect, relation, verdict

    relations = relation.table(collect.material(network, images.bundled(), table))
    return verdict.of(relations), relations


def _show(name: Callable[[int], str], table: "pd.DataFrame") -> None:
    lines = terminal.Table("Sizes in grey levels of 255; inf: none up to 32.", SHOWN)
    for row in table.to_dict("records"):
        if row["reason"]:
            cells = {"image": str(row["image"]), "label": name(row["label"]), "seen": name(row["predicted"])}
            lines.row(cells | {"margin": terminal.as_text(row["margin"])[:7]}, row["reason"])
            continue
        sizes = {"FGSM": row["fgsm_step"], "whole": row["fgsm_whole"], "PGD": row["pgd_radius"]}
        cells = {"image": str(row["image"]), "label": name(row["label"]), "seen": name(row["predicted"])}
        cells |= {
            "margin": f"{row['margin']:.3f}",
            "then seen": name(row["pgd_seen"]) if row["pgd_seen"] >= 0 else "as before",
        }
        lines.row(cells | {column: f"{size:g}" for column, size in sizes.items()})


def run_ship(arguments: argparse.Namespace) -> int:
    from stiffcore.adversarial import compute, rows

    network = networks.find(arguments.network)
    wanted = images.listed(arguments.images)
    shipped = set(rows.rows(network)["image"])
    with terminal.progress("image") as progress:
        for _ in compute.compute_many(network, [one for one in wanted if one.in_rows not in shipped], progress):
            pass
    numbers = cifar10.as_list(one.number for one in wanted if one.number is not None)
    path = rows.ship(network, wanted, f"python -m stiffcore ship-robustness {network.name} --images {numbers}")
    terminal.show(f"{path.name}: {len(rows.rows(network)):,} rows, {path.stat().st_size:,} bytes.")
    return 0
