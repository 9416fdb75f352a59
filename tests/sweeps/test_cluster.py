"""The same tasks on a real Dask cluster of two worker processes, one of which is killed midway."""

import os
import sys

import pytest
from distributed import LocalCluster

from stiffcore.analysis import compute as analysis
from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.images import registry as images
from stiffcore.networks import manifest, registry as networks
from stiffcore.storage import cache as result_cache
from stiffcore.sweeps import cluster, tasks as sweep_tasks

# Of a baseline at the last images that are bundled, because what ships is not computed again.
NETWORK, IMAGES = networks.find("resnet18-untrained"), images.bundled()[-6:]


@pytest.fixture
def local(tmp_path, monkeypatch):
    """Two single-threaded workers whose cache is not ours, as on another machine."""
    monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path / "ours"))
    environment = {"STIFFCORE_CACHE": str(tmp_path / "theirs"), "PYTHONPATH": os.pathsep.join(sys.path)}
    with LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0", env=environment,
        local_directory=str(tmp_path), host="127.0.0.1",
    ) as cluster:  # fmt: skip
        yield cluster


@pytest.mark.slow
def test_a_worker_killed_midway_loses_nothing_and_repeats_nothing(local):
    tasks = sweep_tasks.plan(NETWORK, IMAGES, [8], Convention.BRANCH, "counts")
    outcomes = []
    for outcome in cluster.run(tasks, local.scheduler_address):
        outcomes.append(outcome)
        if len(outcomes) == 1:
            victim = local.workers[0].process.pid
            os.kill(victim, 9)
    assert sorted(outcome.task.image.number for outcome in outcomes) == [image.number for image in IMAGES]
    assert all(outcome.failures == {} and len(outcome.rows) == 1 for outcome in outcomes)
    mine = result_cache.default()
    assert mine.keys() == {request.key for task in tasks for request in task.requests}
    stored = [analysis.stored(task.requests[0]) for task in tasks]
    rows = {outcome.task.image: outcome.rows[0] for outcome in outcomes}
    assert [r.metrics["n_negative"] for r in stored] == [rows[image]["n_negative"] for image in IMAGES]

    with cluster._client(local.scheduler_address) as client:
        folders = client.run(lambda: str(manifest.FOLDER))
    assert len(set(folders.values())) == 2  # each worker has its own copy of the weights, put there once
    assert str(manifest.FOLDER) not in folders.values()


def test_no_scheduler_is_a_sentence(monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT_WITHIN", 1)
    with pytest.raises(CannotCompute, match="dask scheduler"):
        next(
            cluster.run(
                [sweep_tasks.Task(networks.find("resnet18"), images.find(0), (8,), Convention.BRANCH)],
                "tcp://127.0.0.1:9",
            )
        )


def test_without_the_package_the_sentence_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(CannotCompute, match="pip install distributed"):
        next(
            cluster.run(
                [sweep_tasks.Task(networks.find("resnet18"), images.find(0), (8,), Convention.BRANCH)],
                "tcp://127.0.0.1:9",
            )
        )
