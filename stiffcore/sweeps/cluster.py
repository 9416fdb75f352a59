"""A sweep's tasks on a Dask cluster. Needs ``distributed``, which this project does not require: ``pip install
distributed``.

Workers need Python, distributed and the packages of requirements.txt, but no stiffcore: this package's sources travel first
(``package_file``), then the network, whatever it is (``network_file``), then tasks with their images' pixels (``travel``), as plain
data. Dask puts files on workers that join or start again, too. ``guest`` receives them. Results return to the caller's cache. If a
worker dies, its tasks run again on another.
"""

import hashlib
import importlib.util
import sys
import tempfile
import threading
import uuid
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from stiffcore.device_names import AUTO, number_of
from stiffcore.errors import CannotCompute
from stiffcore.networks.network import Network
from stiffcore.sweeps import guest, network_file, package_file, tasks as sweep_tasks, travel
from stiffcore.sweeps.tasks import Outcome, Task

if TYPE_CHECKING:
    from distributed import Client, Future

CONNECT_WITHIN = 10  # seconds
AHEAD = 4  # tasks handed out per thread of a worker
TRIES = 3  # of a task that workers refuse
LOOK = 5.0  # seconds between two checks whether workers have left
GONE = "The Dask scheduler does not answer any more: start it again, then run the same command again to compute what is missing."
CALLER = uuid.uuid4().hex  # names this process, which may have workers among its threads


def run(tasks: Iterable[Task], scheduler: str, where: str = AUTO) -> Generator[Outcome, None, None]:
    """Compute tasks on the cluster of a scheduler; yields outcomes as they arrive, one for each task.

    scheduler: its address. where: the device of each worker; of several cards in a machine a worker takes the first that it sees
    (``CUDA_VISIBLE_DEVICES`` says which). Raises CannotCompute without distributed, the cluster, or workers, for a worker that lacks a package or has
    an unfit version of it, for a network with parts that the workers cannot import, and for what is no device's name.
    """
    number_of(where)
    of_network: dict[Network, list[Task]] = {}
    for task in tasks:
        of_network.setdefault(task.network, []).append(task)
    with _client(scheduler) as client, tempfile.TemporaryDirectory(prefix="stiffcore-sweep-") as folder:
        if not client.scheduler_info()["workers"]:
            raise CannotCompute(
                f"The Dask cluster at {scheduler} has no workers: start some with `dask worker {scheduler}`."
            )
        with _package(client, Path(folder)) as (receiver, order):
            for network, of_one in of_network.items():
                with _network(client, Path(folder), network, receiver, order) as complete:
                    yield from _Sweep(client, of_one, receiver, complete, where).outcomes()


def _client(scheduler: str) -> "Client":
    try:
        from distributed import Client
    except ImportError:
        raise CannotCompute("A sweep on a cluster needs the package distributed: `pip install distributed`.") from None
    try:
        return Client(scheduler, timeout=CONNECT_WITHIN, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise CannotCompute(
            f"No Dask scheduler answers at {scheduler} ({error}): start one with `dask scheduler`, or check the address, "
            "for example tcp://host:8786."
        ) from error


@contextmanager
def _package(client: "Client", folder: Path) -> Iterator[tuple[ModuleType, dict]]:
    """Sends the receiver and the package. Gives the receiver's module, as the workers have it, and an order without a network."""
    from distributed.diagnostics.plugin import SchedulerUploadFile

    receiver, text = _receiver(folder)
    archive, version = package_file.archive()
    package = folder / f"stiffcore-{uuid.uuid4().hex}.zip"
    package.write_bytes(archive)
    order = {"version": version, "package": package.name, "needed": package_file.needed(), "caller": CALLER}
    upload = SchedulerUploadFile(str(text))
    upload.idempotent = True
    client.register_plugin(upload, name=receiver.__name__)  # the scheduler unpacks tasks, which name a function of it
    with _on_workers(client, text, load=True), _on_workers(client, package):
        try:
            yield receiver, order
        finally:
            _forgotten(client, receiver, order, package)


@contextmanager
def _network(client: "Client", folder: Path, network: Network, receiver: ModuleType, order: dict) -> Iterator[dict]:
    """Sends a network, and has every worker load it. Gives the complete order."""
    content = network_file.content(network)
    file = folder / f"stiffcore-{uuid.uuid4().hex}.pt"
    file.write_bytes(content)
    complete = order | {"network": file.name, "network_sha256": hashlib.sha256(content).hexdigest()}
    with _on_workers(client, file):
        file.unlink()  # the plugin holds it
        try:
            for worker, answer in client.run(receiver.prepare, complete, on_error="return").items():
                if not isinstance(answer, dict):
                    raise CannotCompute(
                        f"The worker {worker} cannot start the sweep ({answer!r:.200}): start it again."
                    )
                if "refused" in answer:
                    raise CannotCompute(answer["refused"])
            yield complete
        finally:
            _forgotten(client, receiver, order, file)


def _receiver(folder: Path) -> tuple[ModuleType, Path]:
    """``guest`` as a module with a name of its own, and its file: another version of it has another name."""
    text = Path(guest.__file__).read_bytes()
    name = f"stiffcore_guest_{hashlib.sha256(text).hexdigest()[:16]}"
    path = folder / f"{name}.py"
    path.write_bytes(text)
    if name not in sys.modules:
        loader = SourceFileLoader(name, str(path))
        found = importlib.util.spec_from_loader(name, loader)
        assert found is not None  # the loader names the file
        sys.modules[name] = importlib.util.module_from_spec(found)
        loader.exec_module(sys.modules[name])
    return sys.modules[name], path


@contextmanager
def _on_workers(client: "Client", path: Path, load: bool = False) -> Iterator[None]:
    """A file is in the folder of every worker, of those that join too, as long as the block lasts. load: as a module."""
    from distributed.diagnostics.plugin import UploadFile

    name = f"{path.name}-{uuid.uuid4().hex}"
    try:
        try:
            client.register_plugin(UploadFile(str(path), load=load), name=name)
        except Exception as error:  # of the worker's disk, or of the way there
            raise CannotCompute(
                f"A worker cannot store what the sweep sends it ({error!s:.200}): free space there, or start it with "
                "`--local-directory` in a folder that it may write to."
            ) from error
        yield
    finally:
        with suppress(Exception):  # the cluster may be gone
            client.unregister_worker_plugin(name)


def _forgotten(client: "Client", receiver: ModuleType, order: dict, file: Path) -> None:
    with suppress(Exception):
        client.run(receiver.forget, order, [file.name], on_error="ignore")


@dataclass(frozen=True)
class _Attempt:
    """A task on the cluster. workers: the only ones that may compute it, empty for all; others have refused."""

    task: Task
    tries: int = 1
    workers: frozenset[str] = frozenset()


class _Sweep:
    """The tasks of one network on the cluster: waiting and running."""

    def __init__(self, client: "Client", tasks: Iterable[Task], receiver: ModuleType, order: dict, where: str = AUTO):
        self.client, self.receiver, self.order, self.where = client, receiver, order, where
        self.waiting = deque(map(_Attempt, tasks))
        self.running: dict[Future, _Attempt] = {}
        self.arrived = threading.Event()  # set when a task ends
        self.refusing: set[str] = set()  # workers that joined and cannot compute

    def outcomes(self) -> Iterator[Outcome]:
        """One for each task, as they arrive."""
        while self.waiting or self.running:
            try:
                self._hand_out(self.client.nthreads())
            except OSError as error:
                raise CannotCompute(GONE) from error
            self.arrived.wait(LOOK)
            self.arrived.clear()
            for future in [future for future in self.running if future.done()]:
                outcome = self._outcome(self.running.pop(future), future)
                if outcome is not None:
                    yield outcome

    def _hand_out(self, threads: Mapping[str, int]) -> None:
        """threads: of each worker. Tasks wait here rather than there, so that workers that join later have some, too."""
        for future, attempt in list(self.running.items()):
            if attempt.workers and not attempt.workers & threads.keys():  # all that may compute it have left
                self.waiting.appendleft(self.running.pop(future))
        fit = frozenset(threads.keys() - self.refusing) if self.refusing else frozenset()
        while self.waiting and len(self.running) < AHEAD * max(1, sum(threads.values())):
            attempt = replace(self.waiting.popleft(), workers=fit)
            packed = travel.packed(attempt.task, self.where)
            key = f"stiffcore-{uuid.uuid4().hex}"
            future = self.client.submit(self.receiver.compute, self.order, packed, key=key, workers=list(fit) or None)
            self.running[future] = attempt
            future.add_done_callback(lambda _: self.arrived.set())

    def _outcome(self, attempt: _Attempt, future: "Future") -> Outcome | None:
        """None if the task was refused and waits again."""
        from distributed import CancelledError
        from distributed.scheduler import KilledWorker

        try:
            answer = future.result()
            if "refused" not in answer:
                return travel.arrived(attempt.task, answer)
            why = answer["refused"]
            if attempt.tries < TRIES:
                self.refusing.add(answer["worker"])
                self.waiting.appendleft(replace(attempt, tries=attempt.tries + 1))
                return None
        except CancelledError as error:
            raise CannotCompute(GONE) from error
        except KilledWorker:
            why = sweep_tasks.DIED
        except Exception as error:
            why = f"{sweep_tasks.MISTAKE} ({type(error).__name__}: {error})"
        return Outcome(attempt.task, (), dict.fromkeys(attempt.task.blocks, why))
