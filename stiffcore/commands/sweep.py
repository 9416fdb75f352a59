"""The commands about many images: ``sweep``, ``tables`` and, for maintainers, ``ship``.

pandas, and what needs it, is imported by the function that runs: other commands need not wait for it.
"""

import argparse
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from stiffcore.analysis import requests as analysis
from stiffcore.commands import terminal
from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.images import cifar10, registry as images
from stiffcore.images.image import Image
from stiffcore.networks import catalogue, registry as networks
from stiffcore.networks.network import Network
from stiffcore.sweeps import local as local_sweep

if TYPE_CHECKING:
    import pandas as pd

FAILED, INTERRUPTED = 1, 130  # exit codes; 2 is bad input


def add_parser(subparsers: terminal.Commands) -> None:
    """Register the commands; each sets ``run``, which takes the arguments and returns the exit code."""
    _add_sweep(subparsers)
    _add_tables(subparsers)
    _add_ship(subparsers)


def _add_common(parser: argparse.ArgumentParser, images: bool = True) -> None:
    parser.add_argument("network", metavar="NETWORK", help=", ".join(catalogue.NETWORKS))
    parser.add_argument("--convention", default=Convention.SLICES.value, metavar="NAME", help=", ".join(Convention))
    if images:
        parser.add_argument(
            "--images", default="bundled", metavar="LIST", help="bundled, all, or 0,3,10:20 (end excluded)"
        )
        parser.add_argument("--blocks", default="all", metavar="LIST", help="all, or numbers from 1 like 6,8")


def _add_sweep(subparsers: terminal.Commands) -> None:
    parser = subparsers.add_parser(
        "sweep",
        help="compute many images, resumable",
        description="Compute every block at every image, in one process a core. What is stored already is not computed "
        "again, so that an interrupted sweep goes on where it was. Exit code 1 if a task failed, 130 after Ctrl-C.",
    )
    _add_common(parser)
    parser.add_argument(
        "--quantity", default="counts", choices=analysis.QUANTITIES, help="each holds the ones before it"
    )
    parser.add_argument("--workers", type=int, metavar="N", help="processes; by default one a GPU, else one a core")
    parser.add_argument(
        "--scheduler", metavar="ADDRESS", help="of a Dask cluster, like tcp://host:8786; runs there instead"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write all rows as .parquet or .csv")
    parser.add_argument("--json", action="store_true", help="print a summary for programs, no progress")
    parser.set_defaults(run=run_sweep)


def run_sweep(arguments: argparse.Namespace) -> int:
    """What is missing is computed and stored as it comes; then the table is written and the failures are listed."""
    from stiffcore.sweeps import shipping

    if arguments.workers is not None and arguments.workers < 1:  # whether there is anything to compute or not
        raise CannotCompute(f"Expected at least one worker, got {arguments.workers}: give a number from 1.")
    network, convention = networks.find(arguments.network), Convention(arguments.convention)
    chosen, blocks = _chosen(arguments.images), terminal.parse_blocks(network, arguments.blocks)
    tasks = local_sweep.plan(network, chosen, blocks, convention, arguments.quantity)
    if arguments.out:
        terminal.writable(arguments.out)
    if problem := terminal.cache_problem():  # before hours of work that would not be kept
        terminal.say(problem)
    rows, remaining = local_sweep.split(tasks, shipping.rows(network, convention))
    failures: dict[tuple[int, int], str] = {}
    there, began, code = len(rows), time.perf_counter(), 0
    stop = threading.Event()
    outcomes = _outcomes(remaining, arguments, stop.is_set)
    with (
        _ctrl_c_asks(stop, arguments),
        closing(outcomes),
        closing(_Bar(len(tasks), len(tasks) - len(remaining), quiet=arguments.json)) as bar,
    ):
        try:
            for outcome in outcomes:
                rows += outcome.rows
                failures |= {(outcome.task.image.in_rows, block): why for block, why in outcome.failures.items()}
                bar.step(failures)
        except KeyboardInterrupt:
            code = INTERRUPTED
    code = code or (FAILED if failures else 0)
    if arguments.out and rows:
        shipping.write(shipping.merged(_frame(rows)), arguments.out)
    _report(arguments, there, rows, failures, len(chosen) * len(blocks), time.perf_counter() - began, code)
    return code


def _chosen(text: str) -> list[Image]:
    return [images.find(number) for number in cifar10.parse_images(text)]


def _frame(rows: list[dict]) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(rows)


@contextmanager
def _ctrl_c_asks(stop: threading.Event, arguments: argparse.Namespace) -> Iterator[None]:
    """The first Ctrl-C only asks a sweep on this machine to stop; a second one is Python's own."""
    if arguments.scheduler or threading.current_thread() is not threading.main_thread():
        yield
        return

    def asked(number: int, frame: object) -> None:
        signal.signal(signal.SIGINT, before)
        stop.set()

    before = signal.signal(signal.SIGINT, asked)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _outcomes(
    remaining: list[local_sweep.Task], arguments: argparse.Namespace, stop: Callable[[], bool]
) -> Iterator[local_sweep.Outcome]:
    if not remaining:
        return local_sweep.run([], 1)
    if arguments.scheduler:
        from stiffcore.sweeps import cluster

        return cluster.run(remaining, arguments.scheduler)
    workers = local_sweep.default_workers() if arguments.workers is None else arguments.workers
    return local_sweep.run(remaining, workers, stop)


class _Bar:
    """A progress bar on a terminal's error stream: images done, rate, time that remains, failures."""

    def __init__(self, total: int, done: int, quiet: bool):
        from tqdm import tqdm

        self._bar = tqdm(total=total, initial=done, unit="image", disable=quiet, smoothing=0.05, dynamic_ncols=True)

    def step(self, failures: dict) -> None:
        self._bar.update()
        if failures:
            self._bar.set_postfix_str(f"{len(failures)} failed")

    def close(self) -> None:
        self._bar.close()


def _report(
    arguments: argparse.Namespace, there: int, rows: list, failures: dict, wanted: int, seconds: float, code: int
) -> None:
    """In words, or as JSON: what was computed, what was there, what failed and why."""
    computed = len(rows) - there
    summary = {"wanted": wanted, "there": there, "computed": computed, "failed": len(failures), "seconds": seconds}
    if arguments.json:
        listed = [{"image": image, "block": block, "reason": why} for (image, block), why in failures.items()]
        terminal.show_json(summary | {"failures": listed, "out": arguments.out, "exit_code": code})
        return
    said = f"{computed:,} computed in {seconds:.0f} s, {there:,} there before, {len(failures):,} failed, of {wanted:,}"
    terminal.say(f"{said} blocks × images.")
    by_reason: dict[str, list[str]] = {}
    for (image, block), why in failures.items():
        by_reason.setdefault(why, []).append(f"image {image} block {block}")
    for why, places in by_reason.items():
        more = f" and {len(places) - 5:,} more" if len(places) > 5 else ""
        terminal.say(f"Failed: {', '.join(places[:5])}{more}: {why}")
    if code == INTERRUPTED:
        terminal.say("Interrupted: run the same command again for what is missing.")


def _add_tables(subparsers: terminal.Commands) -> None:
    parser = subparsers.add_parser(
        "tables",
        help="the paper's tables beside ours",
        description="Print the paper's tables beside ours, from the rows that ship and those in the cache; computes none.",
    )
    _add_common(parser, images=False)
    parser.add_argument("--kind", type=_kind, default="all", help="of table, as in the paper; default all")
    parser.add_argument(
        "--rows", type=Path, metavar="FILE", help="of a sweep's --out, instead of what ships and is stored"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="for programs: a list of rows per table")
    form.add_argument("--markdown", action="store_true", help="for a document")
    parser.set_defaults(run=run_tables)


def _kind(text: str) -> str:
    """For argparse, at the default too: the kinds are read only where one is asked for."""
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
    made = {kind: comparison.side_by_side(network, kind, rows, convention) for kind in kinds}
    if arguments.json:
        terminal.show_json({kind: as_texts(table).to_dict("records") for kind, table in made.items()})
        return 0
    n_images = rows["image"].nunique() if len(rows) else 0
    terminal.show(f"{network.title}, {convention.title}, {n_images:,} images")
    if not n_images:
        terminal.show(f"Ours is not computed; this would: {sweep_command(network, convention)}")
    form = tables_text.markdown if arguments.markdown else tables_text.text
    for kind, table in made.items():
        terminal.show(f"\n{published.title(network, kind)}\n\n{form(table)}")
    if len(rows) and (said := tables_text.undetermined(rows)):
        terminal.show(f"\n{said}")
    return 0


def sweep_command(network: Network, convention: Convention, blocks: str = "", images: str = "bundled") -> str:
    """The command that computes what is missing; without blocks: those that can have eigenvalues under the convention."""
    able = [str(b.block) for b in network.blocks if b.n_eigenvalues(convention)]
    blocks = blocks or ("all" if len(able) == len(network.blocks) else ",".join(able))
    return f"python -m stiffcore sweep {network.name} --images {images} --blocks {blocks} --convention {convention}"


def _rows(network: Network, convention: Convention, path: Path | None) -> "pd.DataFrame":
    import pandas as pd

    from stiffcore.sweeps import shipping
    from stiffcore.sweeps.stored_rows import StoredRows

    if path is None:
        return shipping.merged(
            shipping.rows(network, convention), StoredRows().rows(network, convention, images.bundled())
        )
    try:
        found = pd.read_parquet(path)
    except Exception as error:
        raise CannotCompute(
            f"Expected rows of a sweep in {path}, got no such file ({error}): name another one."
        ) from error
    found = found[(found["network"] == network.name) & (found["convention"] == convention)]
    return shipping.of_weights(found, network)


def _add_ship(subparsers: terminal.Commands) -> None:
    parser = subparsers.add_parser(
        "ship",
        help="for maintainers: put computed rows or spectra into cache/shipped",
        description="Copy what a sweep computed into cache/shipped and note it in its manifest. Rows are merged with those "
        "that ship; rows of other weights are left out. With --quantity spectrum: whole spectra, likewise.",
    )
    _add_common(parser)
    parser.add_argument("--quantity", default="counts", choices=analysis.QUANTITIES)
    parser.add_argument(
        "--rows", type=Path, metavar="FILE", help="of a sweep's --out on another machine, instead of the cache"
    )
    parser.set_defaults(run=run_ship)


def run_ship(arguments: argparse.Namespace) -> int:
    from stiffcore.sweeps import shipping

    network, convention, quantity = (
        networks.find(arguments.network),
        Convention(arguments.convention),
        arguments.quantity,
    )
    chosen, blocks = _chosen(arguments.images), terminal.parse_blocks(network, arguments.blocks)
    tasks = local_sweep.plan(network, chosen, blocks, convention, quantity)
    command = f"{sweep_command(network, convention, arguments.blocks, arguments.images)} --quantity {quantity}"
    if quantity == "spectrum":
        requests = [request for task in tasks for request in task.requests]
        path = shipping.ship_spectra(network, convention, requests, command)
    else:
        new = _rows(network, convention, arguments.rows) if arguments.rows else _frame(local_sweep.split(tasks)[0])
        path = shipping.ship_rows(network, convention, new, command)
    facts = shipping.about()[path.name]
    terminal.show(f"{path.name}: {facts['rows']:,} rows, {facts['images']:,} images, {facts['bytes']:,} bytes.")
    return 0
