"""A sweep's tasks on a Dask cluster. Needs ``distributed``, which is no requirement of this project: ``pip install distributed``.

Every worker needs stiffcore installed. Weights travel once per worker, with a plugin, so that all compute with the same;
results come back to the cache of whoever asked. A worker that dies loses nothing: its tasks run again on another.
"""

import tempfile
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from stiffcore.analysis import requests as analysis
from stiffcore.errors import CannotCompute
from stiffcore.networks import manifest, uploaded as uploaded_networks
from stiffcore.networks.network import Network
from stiffcore.storage import cache as result_cache
from stiffcore.sweeps import local as local_sweep
from stiffcore.sweeps.local import Outcome, Task

if TYPE_CHECKING:
    from distributed import Client, Worker

CONNECT_WITHIN = 10  # seconds
AHEAD = 4  # tasks handed out per thread of a worker

try:
    from distributed import WorkerPlugin
except ImportError:
    WorkerPlugin = object  # type: ignore[assignment,misc]  # Weights is then never used


class Weights(WorkerPlugin):
    """Puts the weights of one network onto a worker when it starts or joins, and gives it one thread per matrix."""

    name = "stiffcore-weights"

    def __init__(self, network: Network):
        paths = {path.stem for path in manifest.FOLDER.glob("*.safetensors")}
        source = network.name.split("-")[0]
        found = {source, network.name} & paths
        if not found or uploaded_networks.is_name(network.name):
            raise CannotCompute(
                f"Expected a network that ships for a cluster, got {network.title or network.name}: sweep it on this machine."
            )
        self.files = {"manifest.json": (manifest.FOLDER / "manifest.json").read_bytes()}
        self.files |= {f"{name}.safetensors": (manifest.FOLDER / f"{name}.safetensors").read_bytes() for name in found}

    def setup(self, worker: "Worker") -> None:
        import torch

        folder = Path(tempfile.mkdtemp(prefix="stiffcore-weights-", dir=worker.local_directory))
        for name, content in self.files.items():
            (folder / name).write_bytes(content)
        self.before, manifest.FOLDER = manifest.FOLDER, folder
        self.files = {}  # the worker's copy: they are on its disk now
        torch.set_num_threads(1)

    def teardown(self, worker: "Worker") -> None:
        manifest.FOLDER = self.before


def compute(task: Task) -> tuple[Outcome, list[tuple]]:
    """On a worker: the outcome, and for each result (key, header, arrays) as the worker's cache holds it."""
    outcome = local_sweep.compute(task)
    keys = [analysis.key(request) for request in task.requests if request.block not in outcome.failures]
    entries = [(key, result_cache.default().get(key)) for key in keys]
    return outcome, [(key, entry.header, entry.arrays) for key, entry in entries if entry is not None]


def run(tasks: Iterable[Task], scheduler: str) -> Iterator[Outcome]:
    """Compute tasks on the cluster behind a scheduler's address; outcomes as they come, each task's once."""
    tasks = list(tasks)
    if not all(task.image.is_official for task in tasks):
        raise CannotCompute("Expected images of the test set for a cluster, got own ones: sweep them on this machine.")
    with _client(scheduler) as client:
        if not client.scheduler_info()["workers"]:
            raise CannotCompute(
                f"Expected a Dask cluster with workers at {scheduler}, got one without: start some with `dask worker {scheduler}`."
            )
        client.register_plugin(Weights(tasks[0].network))
        yield from _outcomes(client, tasks)


def _client(scheduler: str) -> "Client":
    try:
        from distributed import Client
    except ImportError:
        raise CannotCompute(
            "Expected the package distributed for a sweep on a cluster, got none: `pip install distributed`."
        ) from None
    try:
        return Client(scheduler, timeout=CONNECT_WITHIN, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise CannotCompute(
            f"Expected a Dask scheduler at {scheduler}, got no answer ({error}): start one with `dask scheduler`, "
            "or give its address like tcp://host:8786."
        ) from error


def _outcomes(client: "Client", tasks: list[Task]) -> Iterator[Outcome]:
    from distributed import as_completed
    from distributed.scheduler import KilledWorker

    name, waiting, flying, done = uuid.uuid4().hex, iter(tasks), {}, as_completed(loop=client.loop)

    def hand_out() -> None:
        for task in waiting:
            future = client.submit(compute, task, key=f"stiffcore-{name}-{task.image.in_rows}")
            flying[future] = task
            done.add(future)
            if len(flying) >= AHEAD * max(1, sum(client.nthreads().values())):
                return

    hand_out()
    for future in done:
        task = flying.pop(future)
        try:
            outcome, entries = future.result()
            for key, header, arrays in entries:
                if result_cache.default().get(key) is None:
                    result_cache.default().put(key, header, arrays)
        except KilledWorker:
            outcome = Outcome(task, (), dict.fromkeys(task.blocks, local_sweep.DIED))
        except Exception as error:
            outcome = Outcome(
                task, (), dict.fromkeys(task.blocks, f"{local_sweep.MISTAKE} ({type(error).__name__}: {error})")
            )
        del future  # frees it on the cluster
        hand_out()
        yield outcome
