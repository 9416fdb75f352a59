"""``sweep``: many images, resumable.

pandas, and what needs it, is imported by the functions that run, so that other commands do not wait for it.
"""

import argparse
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from stiffcore.analysis.requests import QUANTITIES
from stiffcore.commands import terminal
from stiffcore.conventions import Convention
from stiffcore.images import registry as images
from stiffcore.networks import catalogue, registry as networks
from stiffcore.networks.network import Network
from stiffcore.sweeps import local as local_sweep, tasks as sweep_tasks

if TYPE_CHECKING:
    import pandas as pd

FAILED = 1  # an exit code; 2 is bad input


def add_parser(subparsers: terminal.Commands) -> None:
    parser = subparsers.add_parser(
        "sweep",
        help="compute many images; can be interrupted and resumed",
        description="Compute every block at every image, with one process per core. Stored results are not computed again, so "
        "that an interrupted sweep continues where it stopped. Exit code 1 if a task failed, 130 after Ctrl-C.",
    )
    add_network(parser)
    add_selection(parser)
    parser.add_argument(
        "--quantity",
        default="counts",
        choices=QUANTITIES,
        help="each includes the ones before it; default counts",
    )
    parser.add_argument("--workers", type=int, metavar="N", help="processes; default one per GPU, else one per core")
    parser.add_argument(
        "--scheduler", metavar="ADDRESS", help="run on the Dask cluster at this address, for example tcp://host:8786"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write all rows as .parquet or .csv")
    parser.add_argument("--json", action="store_true", help="print a summary as JSON, and no progress")
    parser.set_defaults(run=run_sweep)


def add_network(parser: argparse.ArgumentParser) -> None:
    """The network and the convention of a table of rows."""
    parser.add_argument("network", metavar="NETWORK", help=", ".join(catalogue.NETWORKS))
    parser.add_argument(
        "--convention", default=Convention.SLICES.value, metavar="NAME", help=f"{', '.join(Convention)}; default slices"
    )


def add_selection(parser: argparse.ArgumentParser) -> None:
    """The images and blocks of a sweep."""
    parser.add_argument(
        "--images", default="bundled", metavar="LIST", help="bundled, all, or 0,3,10:20 (end excluded); default bundled"
    )
    parser.add_argument(
        "--blocks", default="all", metavar="LIST", help="all, identity, or numbers from 1 like 6,8; default all"
    )


def run_sweep(arguments: argparse.Namespace) -> int:
    """Computes and stores what is missing; then writes the table and lists the failures."""
    from stiffcore.sweeps import shipping

    if arguments.workers is not None:  # also when there is nothing to compute
        local_sweep.check_workers(arguments.workers)
    network, convention = networks.find(arguments.network), Convention(arguments.convention)
    chosen, blocks = images.listed(arguments.images), terminal.parse_blocks(network, arguments.blocks)
    tasks = sweep_tasks.plan(network, chosen, blocks, convention, arguments.quantity)
    if arguments.out:
        terminal.writable(arguments.out)
    if problem := terminal.cache_problem():  # before hours of work that would not be stored
        terminal.say(problem)
    rows, remaining = sweep_tasks.split(tasks, shipping.rows(network, convention))
    failures: dict[tuple[int | str, int], str] = {}
    existing, began, code = len(rows), time.perf_counter(), 0
    stop = threading.Event()
    outcomes = _outcomes(remaining, arguments, stop.is_set)
    with (
        _stop_on_ctrl_c(stop, arguments),
        closing(outcomes),
        closing(_Bar(len(tasks), len(tasks) - len(remaining), quiet=arguments.json)) as bar,
    ):
        try:
            for outcome in outcomes:
                rows += outcome.rows
                failures |= {(outcome.task.image.in_rows, block): why for block, why in outcome.failures.items()}
                bar.step(failures)
        except KeyboardInterrupt:
            code = terminal.INTERRUPTED
    code = code or (FAILED if failures else 0)
    if arguments.out and rows:
        shipping.write(shipping.merged(_frame(rows)), arguments.out)
    _report(arguments, existing, rows, failures, len(chosen) * len(blocks), time.perf_counter() - began, code)
    return code


def _frame(rows: list[dict]) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(rows)


@contextmanager
def _stop_on_ctrl_c(stop: threading.Event, arguments: argparse.Namespace) -> Iterator[None]:
    """The first Ctrl-C sets ``stop`` for a sweep on this machine; a second one raises KeyboardInterrupt as usual."""
    if arguments.scheduler or threading.current_thread() is not threading.main_thread():
        yield
        return

    def request_stop(number: int, frame: object) -> None:
        signal.signal(signal.SIGINT, before)
        stop.set()

    before = signal.signal(signal.SIGINT, request_stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _outcomes(
    remaining: list[sweep_tasks.Task], arguments: argparse.Namespace, stop: Callable[[], bool]
) -> Generator[sweep_tasks.Outcome, None, None]:
    if not remaining:
        return local_sweep.run([], 1)
    if arguments.scheduler:
        from stiffcore.sweeps import cluster

        return cluster.run(remaining, arguments.scheduler)
    workers = local_sweep.default_workers() if arguments.workers is None else arguments.workers
    return local_sweep.run(remaining, workers, stop)


class _Bar:
    """A progress bar on stderr: images done, rate, remaining time, failures."""

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
    arguments: argparse.Namespace, existing: int, rows: list, failures: dict, wanted: int, seconds: float, code: int
) -> None:
    """Reports as text or JSON what was computed, what existed before, what failed and why."""
    computed = len(rows) - existing
    summary = {"wanted": wanted, "there": existing, "computed": computed, "failed": len(failures), "seconds": seconds}
    if arguments.json:
        listed = [{"image": image, "block": block, "reason": why} for (image, block), why in failures.items()]
        terminal.show_json(summary | {"failures": listed, "out": arguments.out, "exit_code": code})
        return
    counts = f"{computed:,} computed in {seconds:.0f} s, {existing:,} existed before, {len(failures):,} failed"
    terminal.say(f"{counts}, of {wanted:,} blocks × images.")
    by_reason: dict[str, list[str]] = {}
    for (image, block), why in failures.items():
        by_reason.setdefault(why, []).append(f"image {image} block {block}")
    for why, places in by_reason.items():
        more = f" and {len(places) - 5:,} more" if len(places) > 5 else ""
        terminal.say(f"Failed: {', '.join(places[:5])}{more}: {why}")
    if code == terminal.INTERRUPTED:
        terminal.say("Interrupted: run the same command again to compute what is missing.")


def sweep_command(network: Network, convention: Convention, blocks: str = "", images: str = "bundled") -> str:
    """The command that computes what is missing. blocks: by default those that can have eigenvalues."""
    able = [str(b.block) for b in network.blocks if b.n_eigenvalues(convention)]
    blocks = blocks or ("all" if len(able) == len(network.blocks) else ",".join(able))
    return f"python -m stiffcore sweep {network.name} --images {images} --blocks {blocks} --convention {convention}"
