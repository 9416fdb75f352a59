"""``tables`` and, for maintainers, ``ship`` and ``ship-run``: what the rows of a sweep are for.

pandas is imported by the functions that run, so that other commands do not wait for it.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from stiffcore.analysis.requests import QUANTITIES
from stiffcore.commands import sweep, terminal
from stiffcore.commands.sweep import add_network, add_selection, sweep_command
from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.images import registry as images
from stiffcore.networks import registry as networks
from stiffcore.networks.network import Network
from stiffcore.sweeps import tasks as sweep_tasks

if TYPE_CHECKING:
    import pandas as pd


def add_parser(commands: terminal.Commands) -> None:
    _add_tables(commands)
    _add_ship(commands)
    _add_ship_run(commands)


def _add_tables(commands: terminal.Commands) -> None:
    parser = commands.add_parser(
        "tables",
        help="print the paper's tables beside ours",
        description="Print the paper's tables beside ours, from the shipped rows and the rows in the cache. Computes nothing.",
    )
    add_network(parser)
    parser.add_argument(
        "--kind",
        type=_kind,
        default="all",
        help="kind of table: correlation, by_block, by_label, sizes or all; default all",
    )
    parser.add_argument(
        "--rows",
        type=Path,
        metavar="FILE",
        help="the rows that a sweep wrote with --out, instead of the shipped and stored ones",
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON: a list of rows per table")
    form.add_argument("--markdown", action="store_true", help="print Markdown tables")
    parser.set_defaults(run=run_tables)


def _kind(text: str) -> str:
    """Checks a kind for argparse. Imports the list of kinds only if a kind is given."""
    if text == "all":
        return text
    from stiffcore.paper import published

    if text not in published.KINDS:
        raise argparse.ArgumentTypeError(f"expected one of {', '.join(published.KINDS)} or all, got {text!r}")
    return text


def run_tables(arguments: argparse.Namespace) -> int:
    from stiffcore.paper import comparison, published, tables_text
    from stiffcore.statistics.row_values import as_texts

    network, convention = networks.find(arguments.network), Convention(arguments.convention)
    rows = _rows(network, convention, arguments.rows)
    kinds = list(published.KINDS) if arguments.kind == "all" else [arguments.kind]
    by_kind = {kind: comparison.side_by_side(network, kind, rows, convention) for kind in kinds}
    norms = {kind: tables_text.norms(rows, kind) for kind in kinds if kind in ("by_block", "by_label")}
    if arguments.json:
        more = {f"norms_{kind}": table for kind, table in norms.items()}
        terminal.show_json({kind: as_texts(table).to_dict("records") for kind, table in (by_kind | more).items()})
        return 0
    n_images = rows["image"].nunique() if len(rows) else 0
    fewest = int(rows.groupby("block")["image"].nunique().min()) if len(rows) else 0
    few = "" if fewest == n_images else "up to "  # some blocks have fewer
    terminal.show(f"{network.title}, {convention.title}, {few}{n_images:,} images")
    if network.doubt:
        terminal.show(f"In doubt: {network.doubt}")
    if not n_images:
        terminal.show(f"Ours is not computed. To compute it: {sweep_command(network, convention)}")
    form = tables_text.markdown if arguments.markdown else tables_text.text
    for kind, table in by_kind.items():
        terminal.show(f"\n{published.title(network, kind)}\n\n{form(table)}")
        if len(norms.get(kind, ())):
            shown = tables_text.norms_in_words(norms[kind])
            as_text = tables_text.as_markdown(shown) if arguments.markdown else shown.to_string(index=False)
            terminal.show(f"\nStiffness indicator, logarithmic norms and norm, means over images\n\n{as_text}")
    if len(rows) and (note := tables_text.undetermined(rows)):
        terminal.show(f"\n{note}")
    return 0


def _rows(network: Network, convention: Convention, path: Path | None) -> "pd.DataFrame":
    from stiffcore.sweeps import shipping
    from stiffcore.sweeps.stored_rows import StoredRows

    if path is None:
        return shipping.merged(
            shipping.rows(network, convention), StoredRows().rows(network, convention, images.bundled())
        )
    rows = shipping.read(path)
    rows = rows[(rows["network"] == network.name) & (rows["convention"] == convention)]
    return shipping.of_weights(rows, network)


def _add_ship(commands: terminal.Commands) -> None:
    parser = commands.add_parser(
        "ship",
        help="for maintainers: put computed rows or spectra into cache/shipped",
        description="Copy the results of a sweep into cache/shipped and record them in its manifest. Rows are merged with the "
        "shipped ones; rows of other weights are left out. --quantity spectrum copies whole spectra.",
    )
    add_network(parser)
    add_selection(parser)
    parser.add_argument("--quantity", default="counts", choices=QUANTITIES, help="default counts")
    parser.add_argument(
        "--rows",
        type=Path,
        metavar="FILE",
        help="the rows that a sweep wrote with --out on another machine, instead of the cache",
    )
    parser.set_defaults(run=run_ship)


def run_ship(arguments: argparse.Namespace) -> int:
    import pandas as pd

    from stiffcore.sweeps import shipping

    network, convention = networks.find(arguments.network), Convention(arguments.convention)
    quantity = arguments.quantity
    chosen, blocks = images.listed(arguments.images), terminal.parse_blocks(network, arguments.blocks)
    tasks = sweep_tasks.plan(network, chosen, blocks, convention, quantity)
    command = f"{sweep_command(network, convention, arguments.blocks, arguments.images)} --quantity {quantity}"
    if quantity == "spectrum":
        requests = [request for task in tasks for request in task.requests]
        path = shipping.ship_spectra(network, convention, requests, command)
    else:
        new = (
            _rows(network, convention, arguments.rows) if arguments.rows else pd.DataFrame(sweep_tasks.split(tasks)[0])
        )
        path = shipping.ship_rows(network, convention, new, command)
    facts = shipping.about()[path.name]
    terminal.show(f"{path.name}: {facts['rows']:,} rows, {facts['images']:,} images, {facts['bytes']:,} bytes.")
    return 0


def _add_ship_run(commands: terminal.Commands) -> None:
    parser = commands.add_parser(
        "ship-run",
        help="for maintainers: compute a run's rows or spectra and put them into cache/shipped",
        description="Compute what is missing of a training's checkpoints, as sweep does, and write the run's description, its rows and "
        "the manifest to cache/shipped. Run it once for each convention and quantity: rows and spectra are merged with the shipped "
        "ones, and those of other weights go. --quantity spectrum ships whole spectra of the training with the most checkpoints.",
    )
    parser.add_argument("name", metavar="NAME", help="of the run, for example resnet20")
    parser.add_argument("--title", required=True, help="as the page Over training shows it")
    sweep.add_checkpoints(parser, "the checkpoints; one folder for each seed", required=True)
    parser.add_argument("--convention", default=Convention.SLICES.value, metavar="NAME", help="default slices")
    add_selection(parser)
    parser.add_argument("--quantity", default="counts", choices=QUANTITIES, help="default counts")
    sweep.add_where(parser)
    parser.set_defaults(run=run_ship_run, network=None, out=None, json=False)


def run_ship_run(arguments: argparse.Namespace) -> int:
    """Computes, then ships."""
    import pandas as pd

    from stiffcore.analysis.requests import Request
    from stiffcore.runs import kept, shipping as run_shipping
    from stiffcore.sweeps import shipping

    if kept.is_own(arguments.name):
        raise CannotCompute(f"Expected the name of a run that ships, got {arguments.name!r}: choose one without own-.")
    plan, convention = sweep.of_run(arguments), Convention(arguments.convention)
    if (code := sweep.carry_out(plan, arguments)) or plan.run is None:
        return code
    run = run_shipping.ship(plan.run, arguments.name, arguments.title)
    selection = (convention, arguments.blocks, arguments.images, arguments.quantity)
    command = sweep.run_command(plan.run, *selection).replace("sweep", f"ship-run {run.name}", 1)
    if arguments.quantity == "spectrum":
        blocks = terminal.parse_blocks(run.network(run.drawn[0]), arguments.blocks)
        asked = [
            (one, image, block) for one in run.drawn for image in images.listed(arguments.images) for block in blocks
        ]
        requests = [Request(run.network(one), image, block, convention, "spectrum") for one, image, block in asked]
        path = run_shipping.ship_spectra(run, requests, command)
    else:
        path = run_shipping.ship_rows(run, convention, pd.DataFrame(plan.rows), command)
    facts = shipping.about()[path.name]
    terminal.show(f"{path.name}: {facts['rows']:,} rows, {facts['images']:,} images, {facts['bytes']:,} bytes.")
    return 0
