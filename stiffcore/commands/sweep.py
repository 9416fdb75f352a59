"""``sweep``: many images, resumable.

pandas, and what needs it, is imported by the functions that run, so that other commands do not wait for it.
"""

import argparse
import shlex
import threading
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from stiffcore.analysis.requests import QUANTITIES
from stiffcore.commands import own_networks, terminal
from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.images import registry as images
from stiffcore.networks import catalogue, registry as networks
from stiffcore.networks.network import Network
from stiffcore.sweeps import local as local_sweep, tasks as sweep_tasks

if TYPE_CHECKING:
    from stiffcore.runs.run import Run

FAILED = 1  # an exit code; 2 is bad input


def add_parser(subparsers: terminal.Commands) -> None:
    parser = subparsers.add_parser(
        "sweep",
        help="compute many images; can be interrupted and resumed",
        description="Compute every block at every image, with one process per core. Stored results are not computed again, so "
        "that an interrupted sweep continues where it stopped. Exit code 1 if a task failed, 130 after Ctrl-C.",
    )
    add_network(parser, nargs="?")
    add_checkpoints(
        parser,
        "checkpoints of one training, for example 'run/epoch-*.pt', instead of NETWORK: each row then has a step, from the file's "
        "name or metadata. Files in several folders are several seeds. The page Over training draws the run",
    )
    add_selection(parser)
    parser.add_argument(
        "--quantity",
        default="counts",
        choices=QUANTITIES,
        help="each includes the ones before it; default counts",
    )
    add_where(parser)
    parser.add_argument("--out", type=Path, metavar="FILE", help="write all rows as .parquet or .csv")
    parser.add_argument("--json", action="store_true", help="print a summary as JSON, and no progress")
    parser.set_defaults(run=run_sweep)


def add_network(parser: argparse.ArgumentParser, nargs: str | None = None) -> None:
    """The network and the convention of a table of rows. nargs: "?" if the network may be left out."""
    parser.add_argument("network", metavar="NETWORK", nargs=nargs, help=", ".join(catalogue.NETWORKS))
    parser.add_argument(
        "--convention", default=Convention.SLICES.value, metavar="NAME", help=f"{', '.join(Convention)}; default slices"
    )


def add_checkpoints(parser: argparse.ArgumentParser, what: str, required: bool = False) -> None:
    """The files of a run. what: they are for."""
    parser.add_argument("--weights", nargs="+", metavar="FILES", required=required, help=what)
    own_networks.add_reading(parser)


def add_where(parser: argparse.ArgumentParser, but: str = "") -> None:
    """Where a sweep computes. but: what ``--device`` does not concern."""
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes; default one per core, of which each card has one for itself",
    )
    devices = "auto: cards and cores together; cpu: cores only; cuda: cards only; cuda:1: one card"
    terminal.add_device(parser, devices + but)
    parser.add_argument(
        "--scheduler", metavar="ADDRESS", help="run on the Dask cluster at this address, for example tcp://host:8786"
    )


def add_selection(parser: argparse.ArgumentParser) -> None:
    """The images and blocks of a sweep."""
    parser.add_argument(
        "--images", default="bundled", metavar="LIST", help="bundled, all, or 0,3,10:20 (end excluded); default bundled"
    )
    parser.add_argument(
        "--blocks", default="all", metavar="LIST", help="all, identity, or numbers from 1 like 6,8; default all"
    )


@dataclass
class Plan:
    """What a sweep is about. rows: that exist; remaining: tasks; columns: of a network's rows, if it belongs to a run;
    refused: file -> why it was left out."""

    wanted: int
    tasks: int
    rows: list[dict]
    remaining: list[sweep_tasks.Task]
    columns: Mapping[Network, dict] = field(default_factory=dict)
    run: "Run | None" = None
    refused: dict[str, str] = field(default_factory=dict)
    failures: dict[tuple[str, int | str, int], str] = field(default_factory=dict)  # checkpoint, image, block
    notices: dict[str, None] = field(default_factory=dict)  # each once

    def add(self, outcome: sweep_tasks.Outcome) -> None:
        columns = self.columns.get(outcome.task.network, {})
        self.rows += [row | columns for row in outcome.rows]
        self.notices |= dict.fromkeys(outcome.notices)
        place = columns.get("checkpoint", ""), outcome.task.image.in_rows
        self.failures |= {(*place, block): why for block, why in outcome.failures.items()}


def run_sweep(arguments: argparse.Namespace) -> int:
    """Computes and stores what is missing; then writes the table and lists the failures."""
    if arguments.workers is not None:  # also when there is nothing to compute
        local_sweep.check_workers(arguments.workers)
    plan = _of_network(arguments) if arguments.weights is None else of_run(arguments)
    if arguments.out:
        terminal.writable(arguments.out)
    return carry_out(plan, arguments)


def carry_out(plan: Plan, arguments: argparse.Namespace) -> int:
    """Computes and stores what is missing, adds it to the plan's rows, writes and reports. Returns the exit code."""
    local_sweep.check_device(arguments.device, elsewhere=bool(arguments.scheduler))
    if problem := terminal.cache_problem():  # before hours of work that would not be stored
        terminal.say(problem)
    existing, began, code = len(plan.rows), time.perf_counter(), 0
    stop = threading.Event()
    outcomes = _outcomes(plan.remaining, arguments, stop.is_set)
    with (
        terminal.stop_on_ctrl_c(stop, arguments.scheduler),
        closing(outcomes),
        closing(_Bar(plan.tasks, plan.tasks - len(plan.remaining), quiet=arguments.json)) as bar,
    ):
        try:
            for outcome in outcomes:
                plan.add(outcome)
                bar.step(plan.failures)
        except KeyboardInterrupt:
            code = terminal.INTERRUPTED
    code = code or (FAILED if plan.failures or plan.refused else 0)
    if arguments.out and plan.rows:
        _write(plan, arguments.out)
    _report(arguments, plan, existing, time.perf_counter() - began, code)
    terminal.say_notices(plan.notices)
    return code


def _of_network(arguments: argparse.Namespace) -> Plan:
    """A named network at some images."""
    from stiffcore.sweeps import shipping

    if arguments.network is None:
        raise CannotCompute(f"Expected a network ({', '.join(catalogue.ARCHITECTURES)}) or --weights FILES: name one.")
    network, convention = networks.find(arguments.network), Convention(arguments.convention)
    chosen, blocks = images.listed(arguments.images), terminal.parse_blocks(network, arguments.blocks)
    tasks = sweep_tasks.plan(network, chosen, blocks, convention, arguments.quantity)
    return Plan(len(chosen) * len(blocks), len(tasks), *sweep_tasks.split(tasks, shipping.rows(network, convention)))


def of_run(arguments: argparse.Namespace) -> Plan:
    """Several checkpoints at some images. The run is remembered for the page Over training."""
    from stiffcore.runs import kept, opening, rows as run_rows, steps

    convention, chosen = Convention(arguments.convention), images.listed(arguments.images)
    with terminal.progress("file") as progress:
        paths = steps.listed(arguments.weights)
        run = opening.opened(paths, images.bundled(), progress, arguments.stem, arguments.normalisation)
    actual = run.run.architecture.family if run.run.architecture else ""
    if arguments.network is not None and catalogue.architecture_of(arguments.network).family != actual:
        raise CannotCompute(f"The files hold weights of {actual}, not of {arguments.network}: leave NETWORK out.")
    terminal.say(run.run.reading)
    doubt = f"In doubt: {run.run.doubt}" if run.run.doubt else ""
    for said in (doubt, run.note, *(f"Left out, {file}: {why}" for file, why in run.refused.items())):
        if said:
            terminal.say(said)
    blocks = terminal.parse_blocks(run.networks[0], arguments.blocks)
    named = [networks.find(name) for name in catalogue.NETWORKS]
    asked = (chosen, blocks, convention, arguments.quantity)
    rows, remaining, columns = run_rows.plan(run.run, run.networks, *asked, named)
    try:
        if len(run.networks) > 1:  # one file is no training
            kept.save(run.run)
    except CannotCompute as error:  # the rows are computed all the same
        terminal.say(str(error))
    tasks = len(chosen) * len(run.networks)
    return Plan(tasks * len(blocks), tasks, rows, remaining, columns, run.run, run.refused)


def _write(plan: Plan, path: Path) -> None:
    import pandas as pd

    from stiffcore.sweeps import shipping

    frame = pd.DataFrame(plan.rows)
    if plan.columns:
        from stiffcore.runs import rows as run_rows

        shipping.write(run_rows.with_accuracy(frame), path)
    else:
        shipping.write(shipping.merged(frame), path)


def _outcomes(
    remaining: list[sweep_tasks.Task], arguments: argparse.Namespace, stop: Callable[[], bool]
) -> Generator[sweep_tasks.Outcome, None, None]:
    if not remaining:
        return local_sweep.run([], 1)
    if arguments.scheduler:
        from stiffcore.sweeps import cluster

        return cluster.run(remaining, arguments.scheduler, arguments.device)
    workers = local_sweep.default_workers(arguments.device) if arguments.workers is None else arguments.workers
    return local_sweep.run(remaining, workers, stop, arguments.device)


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


def _report(arguments: argparse.Namespace, plan: Plan, existing: int, seconds: float, code: int) -> None:
    """Reports as text or JSON what was computed, what existed before, what failed and why."""
    computed, failed = len(plan.rows) - existing, len(plan.failures)
    summary: dict[str, object] = {
        "wanted": plan.wanted,
        "there": existing,
        "computed": computed,
        "failed": failed,
        "seconds": seconds,
    }
    if arguments.json:
        terminal.show_json(summary | _details(plan) | {"out": arguments.out, "exit_code": code})
        return
    counts = f"{computed:,} computed in {seconds:.0f} s, {existing:,} existed before, {failed:,} failed"
    terminal.say(f"{counts}, of {plan.wanted:,} blocks × images{' × checkpoints' if plan.columns else ''}.")
    by_reason: dict[str, list[str]] = {}
    for (file, image, block), why in plan.failures.items():
        by_reason.setdefault(why, []).append(f"{file} image {image} block {block}".strip())
    for why, places in by_reason.items():
        more = f" and {len(places) - 5:,} more" if len(places) > 5 else ""
        terminal.say(f"Failed: {', '.join(places[:5])}{more}: {why}")
    if code == terminal.INTERRUPTED:
        terminal.say("Interrupted: run the same command again to compute what is missing.")


def _details(plan: Plan) -> dict[str, object]:
    """For JSON: what failed; of a run, its checkpoints and the files that were left out."""
    failures: list[dict] = [
        {"checkpoint": file, "image": image, "block": block, "reason": why}
        for (file, image, block), why in plan.failures.items()
    ]
    if plan.columns:
        refused = [{"file": file, "reason": why} for file, why in plan.refused.items()]
        return {"failures": failures, "checkpoints": list(plan.columns.values()), "left_out": refused}
    return {"failures": [{name: one[name] for name in ("image", "block", "reason")} for one in failures]}


def run_command(run: "Run", convention: Convention, blocks: str, images: str, quantity: str) -> str:
    """The command that computes an own run, from the folder that holds the folders of its checkpoints."""
    places = dict.fromkeys((Path(one.path).parent.name, Path(one.path).suffix) for one in run.checkpoints)
    patterns = " ".join(shlex.quote(f"{folder}/*{end}") for folder, end in places)
    more = "" if quantity == "counts" else f" --quantity {quantity}"
    chosen = f"--images {images} --blocks {blocks} --convention {convention}{more}"
    return f"python -m stiffcore sweep --weights {patterns} {chosen}"


def sweep_command(network: Network, convention: Convention, blocks: str = "", images: str = "bundled") -> str:
    """The command that computes what is missing. blocks: by default those that can have eigenvalues."""
    able = [str(b.block) for b in network.blocks if b.n_eigenvalues(convention)]
    blocks = blocks or ("all" if len(able) == len(network.blocks) else ",".join(able))
    return f"python -m stiffcore sweep {network.name} --images {images} --blocks {blocks} --convention {convention}"
