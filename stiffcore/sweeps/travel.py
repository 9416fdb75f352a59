"""A task as plain data on its way to a worker of a Dask cluster, and what the worker does with it.

Plain data needs no stiffcore on the scheduler, which unpacks every task, and none of the same version where it arrives.
"""

from pathlib import Path

import numpy as np

from stiffcore import device
from stiffcore.conventions import Convention
from stiffcore.device_names import AUTO
from stiffcore.errors import CannotCompute
from stiffcore.images.image import Image
from stiffcore.networks.network import Network
from stiffcore.storage import cache as result_cache
from stiffcore.sweeps import network_file, tasks as sweep_tasks
from stiffcore.sweeps.tasks import Outcome, Task


def packed(task: Task, where: str = AUTO) -> dict[str, object]:
    """A task without its network, with the image's pixels. where: the worker's device, see ``analysis.compute.compute_many``."""
    image = task.image
    return {
        "image": (image.name, image.sha256, image.label, image.number, image.is_official),
        "pixels": (image.pixels.tobytes(), image.pixels.shape),
        "blocks": tuple(map(int, task.blocks)),
        "convention": task.convention.value,
        "quantity": task.quantity,
        "where": where,
    }


def unpacked(values: dict, network: Network) -> Task:
    """The task, at an image that records no predictions: ``arrived`` does, on the caller's machine."""
    content, shape = values["pixels"]
    name, sha256, label, number, is_official = values["image"]
    image = Image(name, sha256, np.frombuffer(content, np.uint8).reshape(shape), label, number, is_official)
    return Task(network, image, tuple(values["blocks"]), Convention(values["convention"]), values["quantity"])


def answer(file: Path, sha256: str, values: dict | None) -> dict[str, object]:
    """On a worker: the outcome of a task as plain data, with (key, header, arrays) of each result, as the worker's cache holds it.

    file: the network's. values: of ``packed``; None only loads the network. {"refused": why} without the network.
    """
    device.use_one_thread()
    try:
        network = network_file.read(file, sha256)
    except CannotCompute as error:
        return {"refused": str(error)}
    if values is None:
        return {}
    task = unpacked(values, network)
    outcome = sweep_tasks.compute(task, values["where"])
    keys = [request.key for request in task.requests if request.block not in outcome.failures]
    entries = [(key, result_cache.default().get(key)) for key in keys]
    return {
        "rows": [row | {"convention": task.convention.value} for row in outcome.rows],
        "failures": outcome.failures,
        "seconds": outcome.seconds,
        "worker": outcome.worker,
        "peak_memory": outcome.peak_memory,
        "notices": outcome.notices,
        "entries": [(key, entry.header, entry.arrays) for key, entry in entries if entry is not None],
    }


def arrived(task: Task, values: dict) -> Outcome:
    """On the caller's machine: the outcome of a task from an answer; its results are in the cache when this returns."""
    expected = {request.key for request in task.requests}
    for key, header, arrays in values["entries"]:
        if key in expected and result_cache.default().get(key) is None:
            result_cache.default().put(key, header, arrays)
    rows = tuple(row | {"convention": task.convention} for row in values["rows"])
    if task.image.on_prediction and rows and rows[0]["predicted"] is not None:  # None without a head
        task.image.on_prediction(task.network.weights_sha256, int(rows[0]["predicted"]))
    facts = values["failures"], values["seconds"], values["worker"], values["peak_memory"]
    return Outcome(task, rows, *facts, tuple(values["notices"]))
