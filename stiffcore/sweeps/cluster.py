"""A sweep's tasks on a Dask cluster. Needs ``distributed``, which this project does not require: ``pip install
distributed``.

Every worker needs stiffcore installed. A plugin sends the weights once to each worker, so that all workers compute with
the same ones. Results return to the caller's cache. If a worker dies, its tasks run again on another.
"""

import tempfile
import uuid
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from stiffcore.errors import CannotCompute
from stiffcore.networks import manifest, uploaded as uploaded_networks
from stiffcore.networks.network import Network
from stiffcore.storage import cache as result_cache
from stiffcore.sweeps import tasks as sweep_tasks
from stiffcore.sweeps.tasks import Outcome, Task

if TYPE_CHECKING:
    from distributed import Client, Worker

CONNECT_WITHIN = 10  # seconds
AHEAD = 4  # tasks handed out per thread of a worker

try:
    from distributed import WorkerPlugin
except ImportError:
    WorkerPlugin = object  # type: ignore[assignment,misc]  # not installed: Weights is then never used


class Weights(WorkerPlugin):
    """Puts the weights of one network on a worker when the worker starts or joins, and sets torch to one thread."""

    name = "stiffcore-weights"

    def __init__(self, network: Network):
        paths = {path.stem for path in manifest.FOLDER.glob("*.safetensors")}
        source = network.name.split("-")[0]
        shipped = {source, network.name} & paths
        if not shipped or uploaded_networks.is_name(network.name):
            raise CannotCompute(
                f"A cluster has only the networks that ship, and {network.title or network.name} does not: "
                "sweep it on this machine."
            )
        self.files = {"manifest.json": (manifest.FOLDER / "manifest.json").read_bytes()}
        self.files |= {
            f"{name}.safetensors": (manifest.FOLDER / f"{name}.safetensors").read_bytes() for name in shipped
        }

    def setup(self, worker: "Worker") -> None:
        import torch

        folder = Path(tempfile.mkdtemp(prefix="stiffcore-weights-", dir=worker.local_directory))
        for name, content in self.files.items():
            (folder / name).write_bytes(content)
        self.before, manifest.FOLDER = manifest.FOLDER, folder
        self.files = {}  # the worker's copy: the files are on its disk now
        torch.set_num_threads(1)

    def teardown(self, worker: "Worker") -> None:
        manifest.FOLDER = self.before


def compute(task: Task) -> tuple[Outcome, list[tuple]]:
    """On a worker: the outcome, and (key, header, arrays) of each result, as the worker's cache holds it."""
    outcome = sweep_tasks.compute(task)
    keys = [request.key for request in task.requests if request.block not in outcome.failures]
    entries = [(key, result_cache.default().get(key)) for key in keys]
    return outcome, [(key, entry.header, entry.arrays) for key, entry in entries if entry is not None]


def run(tasks: Iterable[Task], scheduler: str) -> Generator[Outcome, None, None]:
    """Compute tasks on the cluster of a scheduler; yields outcomes as they arrive, one for each task.

    scheduler: its address. Raises CannotCompute without the package, the cluster, or workers, and for uploaded images
    or networks.
    """
    tasks = list(tasks)
    if not all(task.image.is_official for task in tasks):
        raise CannotCompute(
            "A cluster has only the images of the test set, not uploaded ones: sweep those on this machine."
        )
    with _client(scheduler) as client:
        if not client.scheduler_info()["workers"]:
            raise CannotCompute(
                f"The Dask cluster at {scheduler} has no workers: start some with `dask worker {scheduler}`."
            )
        client.register_plugin(Weights(tasks[0].network))
        yield from _outcomes(client, tasks)


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


def _outcomes(client: "Client", tasks: list[Task]) -> Iterator[Outcome]:
    from distributed import as_completed
    from distributed.scheduler import KilledWorker

    name, waiting, finished = uuid.uuid4().hex, iter(tasks), as_completed(loop=client.loop)
    running = {}

    def hand_out() -> None:
        for task in waiting:
            future = client.submit(compute, task, key=f"stiffcore-{name}-{task.image.in_rows}")
            running[future] = task
            finished.add(future)
            if len(running) >= AHEAD * max(1, sum(client.nthreads().values())):
                return

    hand_out()
    for future in finished:
        task = running.pop(future)
        try:
            outcome, entries = future.result()
            for key, header, arrays in entries:
                if result_cache.default().get(key) is None:
                    result_cache.default().put(key, header, arrays)
        except KilledWorker:
            outcome = Outcome(task, (), dict.fromkeys(task.blocks, sweep_tasks.DIED))
        except Exception as error:
            outcome = Outcome(
                task, (), dict.fromkeys(task.blocks, f"{sweep_tasks.MISTAKE} ({type(error).__name__}: {error})")
            )
        del future  # releases it on the cluster
        hand_out()
        yield outcome
