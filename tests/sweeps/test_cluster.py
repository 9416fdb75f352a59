"""The same tasks on a real Dask cluster: processes that have no stiffcore, another, an unfit package, and one that is killed."""

import importlib.util
import os
import shutil
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from distributed import Client
from safetensors.torch import load_file, save
from torch import nn

import stiffcore as sc
from stiffcore.analysis import compute as analysis
from stiffcore.checkpoints import inspect as checkpoints, register
from stiffcore.checkpoints.reading import choose as readings
from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.images import registry as images, uploaded as uploaded_images
from stiffcore.networks import manifest, registry as networks
from stiffcore.storage import cache as result_cache
from stiffcore.sweeps import cluster, guest, package_file, tasks as sweep_tasks
from tests.made_up import readings as readings_made_up
from tests.sweeps import dask_processes

# Of a baseline at the last images that are bundled, because what ships is not computed again.
NETWORK, IMAGES = networks.find("resnet18-untrained"), images.bundled()[-6:]
BRANCH = Convention.BRANCH


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cluster")


@pytest.fixture(scope="module")
def scheduler(folder):
    """The address of a scheduler with a worker of two threads and one of one thread."""
    with (
        dask_processes.scheduler(folder / "scheduler") as address,
        dask_processes.worker(address, folder / "one", threads=2),
        dask_processes.worker(address, folder / "two"),
    ):
        with Client(address, set_as_default=False) as client:
            assert list(client.run(importlib.util.find_spec, "stiffcore").values()) == [None, None]
        yield address


@pytest.fixture(autouse=True)
def ours(tmp_path, monkeypatch):
    """An empty cache of ours, which no worker knows."""
    monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path / "ours"))


def swept(scheduler, network=NETWORK, chosen=IMAGES[:2], convention=BRANCH):
    """Outcomes of block 8, after a check that all results are in our cache, under our keys."""
    tasks = sweep_tasks.plan(network, chosen, [8], convention, "extremes")
    outcomes = list(cluster.run(tasks, scheduler))
    assert [outcome.failures for outcome in outcomes] == [{}] * len(tasks)
    assert {outcome.task.image for outcome in outcomes} == set(chosen)
    assert result_cache.default().keys() == {request.key for task in tasks for request in task.requests}
    for outcome in outcomes:
        stored = analysis.stored(outcome.task.requests[0])
        assert stored is not None
        assert stored.metrics["max_re"] == outcome.rows[0]["max_re"]
        assert outcome.rows[0]["convention"] is convention
    return outcomes


def same_here(outcomes, tmp_path, monkeypatch):
    """Whether this process computes the same rows without what came from the cluster."""
    monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path / "again"))
    left_out = {"seconds", "date", "stored"}
    for outcome in outcomes:
        (row,) = sweep_tasks.compute(outcome.task).rows
        np.testing.assert_equal(
            {name: value for name, value in outcome.rows[0].items() if name not in left_out},
            {name: value for name, value in row.items() if name not in left_out},
        )
    return True


def test_workers_without_stiffcore_receive_it(scheduler, tmp_path, monkeypatch):
    outcomes = swept(scheduler)
    assert same_here(outcomes, tmp_path, monkeypatch)
    with Client(scheduler, set_as_default=False) as client:
        left = client.run(lambda dask_worker: os.listdir(dask_worker.local_directory))
        plugins = client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.worker_plugins))
    assert not [name for names in left.values() for name in names if name.endswith((".zip", ".pt"))]
    assert not [name for name in plugins if name.startswith("stiffcore")]


def test_slices_and_a_module_in_memory(scheduler, tmp_path, monkeypatch):
    module = networks.find("resnet18").module()
    own = sc.network(module, name="mine", mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25), classes=list("abcdefghij"))
    outcomes = swept(scheduler, own, [sc.image(IMAGES[0].pixels, name="an array", label=3)], Convention.SLICES)
    assert same_here(outcomes, tmp_path, monkeypatch)


def test_a_checkpoint_in_a_file_that_the_workers_do_not_have(scheduler, tmp_path, monkeypatch):
    state = load_file(manifest.FOLDER / "resnet18.safetensors")
    path = tmp_path / "mine.safetensors"
    path.write_bytes(save(state | {"fc.bias": state["fc.bias"] + 0.01}))
    network = checkpoints.network_in(path)
    outcomes = swept(scheduler, network, IMAGES[:1])
    assert outcomes[0].rows[0]["weights"] == network.weights_sha256
    assert same_here(outcomes, tmp_path, monkeypatch)


def test_an_uploaded_network_and_an_uploaded_image(scheduler, tmp_path, monkeypatch):
    monkeypatch.setattr(
        readings, "best", readings_made_up.quick()
    )  # the real one takes seconds, and is tested elsewhere
    state = load_file(manifest.FOLDER / "resnet18.safetensors")
    content = save(state | {"fc.bias": state["fc.bias"] + 0.02})
    network = networks.find(register.register(content, "a network").own.network)
    number = uploaded_images.register(255 - IMAGES[0].pixels, {"name": "mine", "label": 5})
    outcomes = swept(scheduler, network, [images.find(number)])
    row = outcomes[0].rows[0]
    assert (row["image"], row["label"], row["weights"]) == (number, 5, network.weights_sha256)
    # The prediction is recorded beside the image, as after a computation on this machine.
    assert uploaded_images.get(number).predicted == {network.weights_sha256: row["predicted"]}
    assert same_here(outcomes, tmp_path, monkeypatch)


def test_two_networks_in_one_sweep(scheduler):
    tasks = [
        task
        for name in ("resnet18-untrained", "resnet18-shuffled")
        for task in sweep_tasks.plan(networks.find(name), IMAGES[:1], [8], BRANCH, "extremes")
    ]
    outcomes = list(cluster.run(tasks, scheduler))
    assert [outcome.rows[0]["network"] for outcome in outcomes] == ["resnet18-untrained", "resnet18-shuffled"]
    assert outcomes[0].rows[0]["max_re"] != outcomes[1].rows[0]["max_re"]


@pytest.mark.slow
def test_a_worker_killed_midway_loses_nothing_and_repeats_nothing(scheduler):
    tasks = sweep_tasks.plan(NETWORK, IMAGES, [8], BRANCH, "extremes")
    outcomes = []
    for outcome in cluster.run(tasks, scheduler):
        outcomes.append(outcome)
        if len(outcomes) == 1:
            os.kill(outcome.worker, 9)
    assert sorted(outcome.task.image.number for outcome in outcomes) == [image.number for image in IMAGES]
    assert [outcome.failures for outcome in outcomes] == [{}] * len(IMAGES)
    assert [len(outcome.rows) for outcome in outcomes] == [1] * len(IMAGES)
    assert result_cache.default().keys() == {request.key for task in tasks for request in task.requests}


@pytest.mark.slow
def test_a_worker_that_has_another_stiffcore_computes_with_ours(scheduler, tmp_path):
    """It has imported its own when the sweep starts, as an installed one, and the sweep's tasks run there."""
    theirs = tmp_path / "site" / "stiffcore"
    theirs.mkdir(parents=True)
    (theirs / "__init__.py").write_text("version = 'theirs'\n")
    with (
        dask_processes.worker(scheduler, tmp_path / "three", path=str(theirs.parent)) as address,
        Client(scheduler, set_as_default=False) as client,
    ):
        assert "theirs" in client.run(lambda: __import__("stiffcore").version, workers=[address]).values()
        pid = client.run(os.getpid, workers=[address])[address]
        outcomes = swept(scheduler, chosen=IMAGES)
        assert pid in {outcome.worker for outcome in outcomes}
        assert client.run(lambda: hasattr(__import__("stiffcore"), "version"), workers=[address]) == {address: False}


def changed_package(tmp_path) -> tuple[bytes, str]:
    """The package with one more line: another version."""
    shutil.copytree(
        package_file.ROOT, tmp_path / "stiffcore", ignore=shutil.ignore_patterns("weights", "data", "__pycache__")
    )
    with (tmp_path / "stiffcore" / "__init__.py").open("a") as file:
        file.write("CHANGED = True\n")
    return package_file.archive(tmp_path / "stiffcore")


@pytest.mark.slow
def test_the_newest_sweep_s_version_wins_and_the_older_one_is_told(scheduler, tmp_path, monkeypatch):
    """Two sweeps at a time with two versions: the first is refused from then on, in a sentence, and computes nothing more."""
    tasks = sweep_tasks.plan(NETWORK, images.bundled()[-18:], [8], BRANCH, "extremes")
    older = cluster.run(tasks, scheduler)
    first = next(older)
    other = changed_package(tmp_path)
    monkeypatch.setattr(package_file, "archive", lambda: other)
    newer = cluster.run(
        sweep_tasks.plan(networks.find("resnet18-shuffled"), IMAGES[:2], [8], BRANCH, "extremes"), scheduler
    )
    assert next(newer).failures == {}
    with Client(scheduler, set_as_default=False) as client:
        assert set(client.run(lambda: __import__("stiffcore").CHANGED).values()) == {True}
    rest = list(older)
    told = [outcome for outcome in rest if outcome.failures]
    assert told
    assert all("another version of stiffcore" in outcome.failures[8] for outcome in told)
    assert all(len(outcome.rows) == 1 for outcome in [first, *rest] if outcome not in told)
    assert [outcome.failures for outcome in newer] == [{}]
    monkeypatch.undo()
    assert [outcome.failures for outcome in cluster.run([told[0].task], scheduler)] == [{}]


UNFIT = """
    import sys
    class Missing:
        def find_spec(self, name, path=None, target=None):
            if name == "numba":
                raise ModuleNotFoundError("No module named 'numba'", name="numba")
    sys.meta_path.insert(0, Missing())
"""


def test_a_worker_with_unfit_packages_is_named_with_what_to_install(scheduler, tmp_path):
    """numba cannot be imported there, and torch says that it is another."""
    site = tmp_path / "site"
    (site / "torch-2.5.1.dist-info").mkdir(parents=True)
    (site / "torch-2.5.1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 2.5.1\n")
    (site / "sitecustomize.py").write_text(textwrap.dedent(UNFIT))
    with dask_processes.worker(scheduler, tmp_path / "unfit", path=str(site)) as address:
        with pytest.raises(CannotCompute) as refused:
            swept(scheduler)
        ours = torch.__version__.split("+")[0]
        minor = ".".join(ours.split(".")[:2])
        assert str(refused.value) == (
            f'The worker {address} has torch 2.5.1 instead of {ours} and lacks numba: run `pip install "torch=={minor}.*" '
            "numba` there and start it again."
        )


@pytest.mark.slow
def test_of_two_workers_that_join_a_running_sweep_the_fit_one_computes_and_the_other_refuses(scheduler, tmp_path):
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(textwrap.dedent(UNFIT))
    tasks = sweep_tasks.plan(NETWORK, images.bundled()[-18:], [8], BRANCH, "extremes")
    running = cluster.run(tasks, scheduler)
    outcomes = [next(running)]
    with (
        dask_processes.worker(scheduler, tmp_path / "unfit", path=str(site)),
        dask_processes.worker(scheduler, tmp_path / "fit") as fit,
        Client(scheduler, set_as_default=False) as client,
    ):
        pid = client.run(os.getpid, workers=[fit])[fit]
        outcomes += running
    assert pid in {outcome.worker for outcome in outcomes}
    assert [outcome.failures for outcome in outcomes] == [{}] * len(tasks)


class Local(nn.Module):
    """Stands in for a network's class in a module that only this machine has."""


def test_a_class_that_the_workers_cannot_import_is_named(scheduler):
    module = networks.find("resnet18").module()
    own = sc.network(module, name="mine")
    own.module().add_module("extra", Local())
    with pytest.raises(CannotCompute, match=r"The worker tcp://\S+ cannot import a part of the network .*tests"):
        swept(scheduler, own)


def test_what_has_no_name_is_refused_before_it_is_sent(scheduler):
    own = sc.network(networks.find("resnet18").module(), name="mine")
    own.module().hidden = lambda x: x
    with pytest.raises(CannotCompute, match=r"mine cannot be sent to another process .*top of a module"):
        swept(scheduler, own)


@pytest.mark.skipif(os.name == "nt", reason="folders without write permission are a matter of POSIX here")
def test_a_worker_that_cannot_write_is_a_sentence(scheduler, tmp_path):
    with (
        dask_processes.worker(scheduler, tmp_path / "full") as address,
        Client(scheduler, set_as_default=False) as client,
    ):
        place = client.run(lambda dask_worker: dask_worker.local_directory, workers=[address])[address]
        shutil.rmtree(place)
        Path(place).write_text("no folder, as one that cannot be written to; root may write everywhere")
        with pytest.raises(CannotCompute, match=r"A worker cannot store what the sweep sends it .*--local-directory"):
            swept(scheduler)


def test_workers_among_this_process_s_threads_use_the_package_that_is_here(tmp_path, monkeypatch):
    with Client(
        processes=False, n_workers=1, threads_per_worker=2, dashboard_address="127.0.0.1:0", set_as_default=False
    ) as client:
        before = {name: module for name, module in sys.modules.items() if name.startswith("stiffcore.")}
        swept(client.scheduler.address)
        assert all(sys.modules[name] is module for name, module in before.items())


def test_the_receiver_knows_another_package_by_its_sources():
    archive, version = package_file.archive()
    assert len(archive) < 1_000_000
    assert package_file.archive() == (archive, version)
    assert guest.sources_sha256({"a": b"bc"}) != guest.sources_sha256({"ab": b"c"})


def nowhere():
    return [sweep_tasks.Task(networks.find("resnet18"), images.find(0), (8,), BRANCH)]


def test_no_scheduler_is_a_sentence(monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT_WITHIN", 1)
    with pytest.raises(CannotCompute, match="dask scheduler"):
        next(cluster.run(nowhere(), "tcp://127.0.0.1:9"))


def test_without_the_package_the_sentence_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(CannotCompute, match="pip install distributed"):
        next(cluster.run(nowhere(), "tcp://127.0.0.1:9"))
