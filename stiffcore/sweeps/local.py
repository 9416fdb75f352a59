"""A sweep's tasks in worker processes of one thread each, on one machine: on its cores, and one for each card beside them, all from one queue."""

import logging
import multiprocessing
import os
import signal
import sys
import threading
import types
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.sharedctypes import Synchronized
from typing import TYPE_CHECKING

from stiffcore.device_names import AUTO, CPU, CUDA, number_of
from stiffcore.errors import CannotCompute
from stiffcore.networks.network import Network
from stiffcore.sweeps.tasks import DIED, MISTAKE, Outcome, Task

if TYPE_CHECKING:
    from torch import nn

ONE_THREAD = {name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")}
AHEAD = 2  # tasks handed out per worker, so that no worker waits for its next task
LOOK = 0.25  # seconds between two checks whether to stop


def _nothing() -> "nn.Module":
    raise RuntimeError("Expected a worker that was given its network, got none.")


IN_WORKER = Network("", "", (), _nothing)  # stands for the network that the worker has
_log = logging.getLogger(__name__)
_STARTING = threading.Lock()  # only one caller at a time hides the main module
_network_of_worker = IN_WORKER
_device_of_worker = AUTO


@dataclass(frozen=True)
class Place:
    """Where a worker computes: ``asked``, a device's name or "auto"; card: the number of the one card that this means for it."""

    asked: str
    card: int | None = None


def places(workers: int, asked: str = AUTO) -> list[Place]:
    """Where each of a number of workers computes. asked: "auto" gives every card one worker and the cores the others; "cpu" and "cuda" only
    cores and only cards; "cuda:1" one card. Raises CannotCompute for a device that is not there."""
    from stiffcore import device

    where, cards = device.parsed(asked), device.number_of_cards()
    if where is None:
        on_cards = min(cards, workers)
        return [Place(AUTO, card) for card in range(on_cards)] + [Place(CPU)] * (workers - on_cards)
    if asked == CUDA:
        return [Place(asked, number % cards) for number in range(workers)]
    return [Place(asked, where.index)] * workers


def run(
    tasks: Iterable[Task], workers: int, stop: Callable[[], bool] = lambda: False, asked: str = AUTO
) -> Generator[Outcome, None, None]:
    """Compute tasks in spawned processes of one thread each; yields outcomes as they arrive. Close it to stop the
    workers. asked: the devices, see ``places``.

    stop: called several times a second. Once it returns True, the workers are stopped and KeyboardInterrupt is raised
    where no lock of the pool is held; Python's own handler of Ctrl-C does not ensure that. When a worker dies, the
    tasks that could have killed it run again, alone and on the CPU. A task that then kills its worker fails, and the others continue.
    Raises CannotCompute for fewer than one worker.
    """
    check_workers(workers)
    check_device(asked)
    of_network: dict[Network, deque[Task]] = {}
    for task in tasks:
        of_network.setdefault(task.network, deque()).append(task)
    for network, waiting in of_network.items():
        suspects: deque[Task] = deque()
        while waiting or suspects:
            if suspects:
                with _pool(1, network, CPU) as pool:
                    yield from _drain(pool, suspects, 1, suspects, stop)
            else:
                with _pool(min(workers, len(waiting)), network, asked) as pool:
                    yield from _drain(pool, waiting, AHEAD * workers, suspects, stop)


def check_workers(workers: object) -> None:
    """Raises CannotCompute for anything but a whole number from 1."""
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise CannotCompute(f"Expected at least one worker, got {workers!r}: give a number from 1.")


def check_device(asked: str, elsewhere: bool = False) -> None:
    """Raises CannotCompute for a device that is not there. Imports torch only for a card. elsewhere: a cluster's workers compute, which have
    other devices, so only the name is checked."""
    number_of(asked)
    if not elsewhere and asked not in (AUTO, CPU):
        from stiffcore import device

        device.parsed(asked)


def _drain(
    pool: ProcessPoolExecutor, queue: deque[Task], at_once: int, suspects: deque[Task], stop: Callable[[], bool]
) -> Iterator[Outcome]:
    """Outcomes of the queue's tasks until the queue is empty or the pool breaks. A task that broke it while alone has
    failed."""
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
        outcome: Outcome = future.result()
        return replace(outcome, task=task)
    except BrokenProcessPool:
        raise
    except Exception as error:  # compute raises none, but pickling its result can fail
        _log.exception("%s failed", task)
        return Outcome(task, (), dict.fromkeys(task.blocks, f"{MISTAKE} ({type(error).__name__}: {error})"))


def _compute_here(task: Task) -> Outcome:
    """In a worker: compute a task with the network that the worker was started with."""
    return replace(replace(task, network=_network_of_worker).carried_out(_device_of_worker), task=task)


@contextmanager
def _without_main() -> Iterator[None]:
    """Processes that start within this context do not run the caller's script again, which then needs no main guard.

    A spawned process imports the parent's main module by its file or name; an empty module has neither.
    """
    with _STARTING:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = types.ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


@contextmanager
def _pool(workers: int, network: Network, asked: str) -> Iterator[ProcessPoolExecutor]:
    """Spawned processes of one thread each, on the ``places`` of these workers; killed when an exception leaves the context.

    The network is sent once per process, not with each task: its module may exist in memory only.
    """
    context = multiprocessing.get_context("spawn")
    with environment(ONE_THREAD):  # for the children: set before they import numpy and torch
        started = context.Value("i", 0)
        pool = ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(started, workers, asked, network))
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
    """Sets environment variables for the processes that start within this context."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def _begin(started: Synchronized, workers: int, asked: str, network: Network) -> None:
    """Prepares one of the workers: one thread, and its place. It ignores SIGINT, which the parent handles, and ends when the parent does.

    started: shared counter of the workers so far. network: the network of all tasks to come.
    """
    global _network_of_worker, _device_of_worker
    _network_of_worker = network
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_parent, name="leave-with-parent", daemon=True).start()
    with started.get_lock():
        number, started.value = started.value, started.value + 1
    import torch

    from stiffcore import device

    torch.set_num_threads(1)
    place = places(workers, asked)[number]
    device.use(place.asked, place.card)
    _device_of_worker = place.asked


def _leave_with_parent() -> None:
    if (parent := multiprocessing.parent_process()) is not None:
        parent.join()
        os._exit(1)


def default_workers(asked: str = AUTO) -> int:
    """One for each core, of which a card's worker takes one, and at least one for each card. asked: "cuda" counts cards only, "cuda:1" one.
    Raises CannotCompute for a device that is not there."""
    from stiffcore import device

    device.parsed(asked)
    if asked == AUTO:
        return max(device.usable_cpus(), device.number_of_cards())
    if asked == CUDA:
        return device.number_of_cards()
    return device.usable_cpus() if asked == CPU else 1
