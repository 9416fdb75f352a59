"""``rebuild``: everything that ships, from the weights that are there. For maintainers."""

import argparse
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from stiffcore.commands import terminal
from stiffcore.commands.sweep import FAILED, add_where
from stiffcore.device_names import AUTO
from stiffcore.progress import Progress, silent
from stiffcore.sweeps import local as local_sweep

if TYPE_CHECKING:
    from stiffcore.rebuild.plan import Step
    from stiffcore.rebuild.target import Target


def add_parser(commands: terminal.Commands) -> None:
    parser = commands.add_parser(
        "rebuild",
        help="for maintainers: compute everything that ships from the weights that are there",
        description="Compute what is missing of everything that ships, or was computed with other weights or by another version of the "
        "algorithm, and write it: the list is stiffcore/rebuild/targets.py. Results are stored as soon as they are computed, so "
        "that an interrupted rebuild continues where it stopped. What is not current is removed first, so that nobody is shown it. "
        "Exit code 1 if something failed, 130 after Ctrl-C.",
    )
    parser.add_argument("--plan", action="store_true", help="only say what is stale, why, and how long it takes")
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="NAME",
        help="networks, kinds or both, for example resnet18 slices resnet34/block; default everything",
    )  # fmt: skip
    add_where(
        parser,
        "; golden values, ODEs, growth and robustness stay on the CPU, and with --scheduler perturbations do, too",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, and no progress")
    parser.set_defaults(run=run_rebuild)


def run_rebuild(arguments: argparse.Namespace) -> int:
    from stiffcore.rebuild import plan, targets

    if arguments.workers is not None:
        local_sweep.check_workers(arguments.workers)
    local_sweep.check_device(arguments.device, elsewhere=bool(arguments.scheduler))
    chosen = plan.chosen(targets.every(), arguments.only)
    steps = plan.steps(chosen)
    here = AUTO if arguments.scheduler else arguments.device  # the cluster's workers have other devices
    workers = arguments.workers or local_sweep.default_workers(here)
    if not arguments.json:
        terminal.show(_table(steps, workers))
    elif arguments.plan:
        terminal.show_json([_facts(step) for step in steps])
    if arguments.plan or not any(step.need.is_stale for step in steps):
        return 0
    if problem := terminal.cache_problem():  # before hours of work that would not be stored
        terminal.say(problem)
    return _carry_out(chosen, arguments, workers)


def _carry_out(chosen: "list[Target]", arguments: argparse.Namespace, workers: int) -> int:
    from stiffcore.rebuild import plan
    from stiffcore.rebuild.target import Workers

    stop = threading.Event()
    failed: dict[str, str] = {}
    made: list[dict[str, object]] = []
    began = last = time.perf_counter()
    with terminal.stop_on_ctrl_c(stop, arguments.scheduler), _bar(arguments.json) as report:
        where = Workers(workers, arguments.scheduler or "", stop.is_set, report, arguments.device)
        with closing(plan.carry_out(chosen, where)) as done:
            for target, why in done:
                now = time.perf_counter()
                made.append({"name": target.name, "seconds": round(now - last, 1), "failed": why})
                failed |= {target.name: why} if why else {}
                if not arguments.json:
                    terminal.show(f"{target.name}: " + (f"failed, {why}" if why else f"made in {now - last:.0f} s"))
                last = now
    if arguments.json:
        terminal.show_json({"made": made, "seconds": time.perf_counter() - began})
    else:
        terminal.say(
            f"{len(made) - len(failed)} made, {len(failed)} failed, in {_duration(time.perf_counter() - began)}."
        )
    terminal.say_notices(where.notices)
    return FAILED if failed else 0


@contextmanager
def _bar(quiet: bool) -> Iterator[Progress]:
    if quiet:
        yield silent
        return
    with terminal.progress("piece") as report:
        yield report


def _facts(step: "Step") -> dict[str, object]:
    need = step.need
    return {
        "name": step.target.name,
        "why": list(need.reasons),
        "missing": need.missing,
        "seconds": round(need.seconds),
    }


def _table(steps: "list[Step]", workers: int) -> str:
    """A line for each target, and the sum."""
    stale = [step for step in steps if step.need.is_stale]
    if not stale:
        return f"Everything is current: {len(steps)} targets."
    wide = max(len(step.target.name) for step in stale)
    lines = [
        f"{step.target.name:{wide}}  {step.need.missing:7,}  {_duration(step.need.seconds / workers):>9}  {'; '.join(step.need.reasons)}"
        for step in stale
    ]
    total = sum(step.need.seconds for step in stale) / workers
    processes = f"{workers} process{'es' if workers != 1 else ''}"
    head = f"{'to make':{wide}}  {'pieces':>7}  {'about':>9}  why"
    return "\n".join([head, *lines, f"{len(stale)} of {len(steps)} targets, about {_duration(total)} on {processes}."])


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
