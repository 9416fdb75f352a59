"""Many requests on one machine: idempotent tasks (network, image, blocks, convention), resumable. Needs torch only to compute.

Every result goes to the cache as it comes, so that a sweep that was interrupted, by Ctrl-C, ``kill -9`` or a power cut,
computes only what is missing when it is run again.
"""

import json
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.sharedctypes import Synchronized
from typing import TYPE_CHECKING

from stiffcore.analysis import requests as analysis
from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.images.image import Image
from stiffcore.metrics import missing
from stiffcore.networks.network import Network

if TYPE_CHECKING:
    import pandas as pd
    from torch import nn

ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")}
AHEAD = 2  # tasks handed out per worker, so that none waits for the next
LOOK = 0.25  # seconds between two looks at whether to stop
DIED = "its worker process died, killed from outside or out of memory; run the same command again for what is missing"
MISTAKE = "a mistake of the program, the log says where"


def _nothing() -> "nn.Module":
    raise RuntimeError("Expected a worker that was given its network, got none.")


IN_WORKER = Network("", "", (), _nothing)  # stands for the network that the worker has
_log = logging.getLogger(__name__)
_STARTING = threading.Lock()  # one caller at a time hides the main module
_network_of_worker = IN_WORKER


@dataclass(frozen=True)
class Task:
    """What one worker computes at a time: some blocks of a network at one image, by one forward pass."""

    network: Network
    image: Image
    blocks: tuple[int, ...]
    convention: Convention
    quantity: str = "counts"

    @property
    def requests(self) -> list[analysis.Request]:
        return [analysis.Request(self.network, self.image, b, self.convention, self.quantity) for b in self.blocks]


@dataclass(frozen=True)
class Outcome:
    """What became of a task: a row per block that has a result, a reason per block that has none."""

    task: Task
    rows: tuple[dict, ...]
    failures: dict[int, str]
    seconds: float = 0.0
    worker: int = 0  # its process id
    peak_memory: int = 0  # bytes, of the worker so far; 0 where the system does not say


def plan(
    network: Network, images: Iterable[Image], blocks: Iterable[int], convention: Convention, quantity: str
) -> list[Task]:
    """A task per image. Raises CannotCompute for what does not exist."""
    numbers = tuple(network.block(number).block for number in blocks)
    if quantity not in analysis.QUANTITIES:
        raise CannotCompute(
            f"Expected a quantity among {', '.join(analysis.QUANTITIES)}, got {quantity!r}: choose one of them."
        )
    return [Task(network, image, numbers, convention, quantity) for image in images]


def row(result: analysis.Result) -> dict:
    """The result's row with what a table needs to say how it was made, and the reasons of what is missing as JSON, by
    which ``tables`` tells undefined from not computed."""
    made = result.made
    return analysis.row(result) | {
        "quantity": "extremes" if made.get("quantity") == "extremes" else "counts",
        "certificate": made.get("certificate", {}).get("kind", ""),
        "algorithm": made["algorithm"],
        "date": made["date"],
        **geometry_columns(result.request.network),
        "reasons": json.dumps(missing.as_texts(result.reasons), sort_keys=True, ensure_ascii=False),
    }


def geometry_columns(network: Network) -> dict[str, object]:
    """What a table has to know of the network's blocks that have no row: how many there are, and which are square."""
    square = ",".join(str(block.block) for block in network.identity_blocks())
    return {"n_blocks": len(network.blocks), "square_blocks": square}


def split(tasks: Iterable[Task], known: "pd.DataFrame | None" = None) -> tuple[list[dict], list[Task]]:
    """The rows of what is there already, and the tasks that remain, with the blocks that they lack.

    known: rows that count as there beside the cache's, those that ship for example; of the tasks' network, weights and
    convention.
    """
    there = {} if known is None else {(r["image"], r["block"]): r for r in known.to_dict("records")}
    rows, remaining = [], []
    for task in tasks:
        missing = []
        for request in task.requests:
            shipped, result = there.get((request.image.in_rows, request.block)), None
            if shipped is None or not _serves(shipped["quantity"], request.quantity):
                result = analysis.stored(request)
            if result is None and (shipped is None or not _serves(shipped["quantity"], request.quantity)):
                missing.append(request.block)
            else:
                rows.append(shipped if result is None else row(result))
        if missing:
            remaining.append(replace(task, blocks=tuple(missing)))
    return rows, remaining


def _serves(had: str, wanted: str) -> bool:
    """Whether a row of one quantity answers for another. A row holds no spectrum, so that it never answers for one."""
    order = analysis.QUANTITIES.index
    return wanted != "spectrum" and order(had) >= order(wanted)


def compute(task: Task) -> Outcome:
    """Compute a task, in whatever process; each result is in the cache when this returns. Never raises for a block's sake."""
    began, rows, failures = time.perf_counter(), {}, {}
    try:
        for result in analysis.compute_many(task.requests):
            rows[result.request.block] = row(result)
    except Exception:  # of one block: the others are computed one by one
        for request in task.requests:
            if request.block not in rows:
                try:
                    rows[request.block] = row(analysis.compute(request))
                except CannotCompute as error:
                    failures[request.block] = str(error)
                except Exception as error:
                    why = f"{MISTAKE} ({type(error).__name__}: {error})"
                    if why not in failures.values():
                        _log.exception("%s failed", request)
                    failures[request.block] = why
    ordered = tuple(rows[block] for block in task.blocks if block in rows)
    return Outcome(task, ordered, failures, time.perf_counter() - began, os.getpid(), _peak_memory())


def _peak_memory() -> int:
    try:
        import resource
    except ImportError:  # not on Windows
        return 0
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def run(tasks: Iterable[Task], workers: int, stop: Callable[[], bool] = lambda: False) -> Iterator[Outcome]:
    """Compute tasks in spawned processes of one thread each; outcomes as they come. Close it to stop the workers at once.

    stop: asked several times a second; where it says so, the workers are stopped and KeyboardInterrupt is raised, at a place where
    no lock of the pool's is held, which Python's own handler of Ctrl-C does not see to.
    A worker that dies takes its tasks with it: those that could have killed it run again, alone, and a task that kills
    its worker then fails, while the others go on.
    """
    if workers < 1:
        raise CannotCompute(f"Expected at least one worker, got {workers}: give a number from 1.")
    of_network: dict[Network, deque[Task]] = {}
    for task in tasks:
        of_network.setdefault(task.network, deque()).append(task)
    for network, waiting in of_network.items():
        suspects: deque[Task] = deque()
        while waiting or suspects:
            if suspects:
                with _pool(1, network) as pool:
                    yield from _drain(pool, suspects, 1, suspects, stop)
            else:
                with _pool(min(workers, len(waiting)), network) as pool:
                    yield from _drain(pool, waiting, AHEAD * workers, suspects, stop)


def _drain(
    pool: ProcessPoolExecutor, queue: deque[Task], at_once: int, suspects: deque[Task], stop: Callable[[], bool]
) -> Iterator[Outcome]:
    """Outcomes of the queue's tasks, until it is empty or the pool broke. A task that broke it alone has failed."""
    flying: dict[Future, Task] = {}
    while queue or flying:
        try:
            while queue and len(flying) < at_once:
                with _without_main():
                    flying[pool.submit(_compute_here, replace(queue[0], network=IN_WORKER))] = queue[0]
                queue.popleft()
            done, _ = wait(flying, timeout=LOOK, return_when=FIRST_COMPLETED)
            for future in done:
                outcome = _outcome(future, flying[future])
                del flying[future]
                yield outcome
            if stop():
                raise KeyboardInterrupt
        except BrokenProcessPool:
            if at_once == 1:
                yield from (Outcome(task, (), dict.fromkeys(task.blocks, DIED)) for task in flying.values())
            else:
                suspects.extend(flying.values())
            return


def _outcome(future: Future, task: Task) -> Outcome:
    try:
        return replace(future.result(), task=task)
    except BrokenProcessPool:
        raise
    except Exception as error:  # compute raises none, but what it returns has to travel
        _log.exception("%s failed", task)
        return Outcome(task, (), dict.fromkeys(task.blocks, f"{MISTAKE} ({type(error).__name__}: {error})"))


def _compute_here(task: Task) -> Outcome:
    """In a worker: a task of the network that the worker was started with."""
    return replace(compute(replace(task, network=_network_of_worker)), task=task)


@contextmanager
def _without_main() -> Iterator[None]:
    """Processes that start meanwhile do not run the caller's script again: it needs no guard, and a notebook has none.

    A spawned process imports the parent's main module by its file or name; an empty one has neither.
    """
    with _STARTING:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = types.ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


@contextmanager
def _pool(workers: int, network: Network) -> Iterator[ProcessPoolExecutor]:
    """Spawned processes of one thread each; killed when the block is left by an exception.

    The network travels once a process, not with each task: its module may be in memory only.
    """
    context = multiprocessing.get_context("spawn")
    with environment(ONE_THREAD):  # for the children: it must be there before they import numpy and torch
        started = context.Value("i", 0)
        pool = ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(started, network))
        try:
            yield pool
        except BaseException:
            for process in list(pool._processes.values()):  # public from Python 3.14: kill_workers
                process.kill()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def environment(values: dict[str, str]) -> Iterator[None]:
    """Environment variables for the processes that start meanwhile."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _begin(started: Synchronized, network: Network) -> None:
    """In a worker: one thread, a GPU of its own; ignores SIGINT, which the parent handles, and ends as soon as the parent does.

    started: shared counter of the workers so far. network: of all tasks that will come.
    """
    global _network_of_worker
    _network_of_worker = network
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_parent, name="leave-with-parent", daemon=True).start()
    with started.get_lock():
        number, started.value = started.value, started.value + 1
    import torch

    torch.set_num_threads(1)
    if torch.cuda.is_available():
        torch.cuda.set_device(number % torch.cuda.device_count())


def _leave_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)


def default_workers() -> int:
    """One a GPU where there are any, else one a core."""
    import torch

    from stiffcore import device

    return torch.cuda.device_count() or device.usable_cpus()
