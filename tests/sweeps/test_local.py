"""Sweeps: resumable under kills, failures told and contained, rows complete and unique. One block only: quick.

Of a baseline at the last images that are bundled, because what ships is not computed again.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stiffcore.analysis import compute as analysis
from stiffcore.analysis.results import Result
from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.images import cifar10, registry as images
from stiffcore.images.image import Image
from stiffcore.networks import catalogue, registry as networks
from stiffcore.storage import cache as result_cache
from stiffcore.sweeps import local as local_sweep, tasks as sweep_tasks

ROOT = Path(__file__).parents[2]
NAME, NUMBERS = "resnet18-untrained", cifar10.bundled()[-6:]
NETWORK, IMAGES = networks.find(NAME), [images.find(number) for number in NUMBERS]
TOO_LARGE = Image.of(np.zeros((64, 64, 3), np.uint8), "too large")  # no network here takes it


def started(folder: Path, *more: str, images=NUMBERS) -> subprocess.Popen:
    command = [
        sys.executable,
        "-m",
        "stiffcore",
        "sweep",
        NAME,
        "--images",
        ",".join(map(str, images)),
        "--blocks",
        "8",
    ]
    command += ["--convention", "branch", "--workers", "2", "--json", *more]
    environment = os.environ | {"STIFFCORE_CACHE": str(folder)}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def children(pid: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(status.read_text().rsplit(")", 1)[1].split()[1]) == pid:
                found.append(int(status.parent.name))
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def gone_within(pids: list[int], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not any(map(alive, pids))


@pytest.mark.slow
def test_killed_at_random_and_resumed(tmp_path, full):
    """kill -9 of the parent alone: what is finished stays, workers leave, the next run computes what is missing."""
    rng, cache, counts = random.Random(0), result_cache.ResultCache(tmp_path / "cache"), [0]
    for kill in range(50 if full else 5):
        process = started(cache.folder)
        while kill % 2 and process.poll() is None and len(cache.keys()) == counts[-1]:
            time.sleep(0.1)  # every other kill waits for a result, however busy the machine is
        with suppress(subprocess.TimeoutExpired):
            process.wait(rng.uniform(0.0, 1.5 if kill % 2 else 5.0))
        pids = children(process.pid)
        process.kill()
        process.communicate()
        assert gone_within(pids, 20)
        counts.append(len(cache.keys()))
    assert counts == sorted(counts)
    assert counts[-1] >= 2
    out = tmp_path / "rows.parquet"
    process = started(cache.folder, "--out", str(out))
    summary = json.loads(process.communicate()[0])
    assert process.returncode == 0
    assert (summary["there"], summary["computed"]) == (counts[-1], len(IMAGES) - counts[-1])
    rows = pd.read_parquet(out)
    assert rows["image"].tolist() == list(NUMBERS)
    assert rows["percent_negative"].between(0, 100).all()
    assert len(cache.keys()) == len(IMAGES)


@pytest.mark.slow
def test_interrupted_by_the_keyboard(tmp_path):
    """In the middle: as soon as a result is counted, with hundreds left to compute, however fast or busy the machine is.

    A worker stores its result before it hands it over, so that the first one in the cache may not be counted yet. More than
    the workers are given at once means that the parent has counted one, and then handed out the next task.
    """
    cache = result_cache.ResultCache(tmp_path / "cache")
    process = started(cache.folder, images=cifar10.bundled()[100:])
    while len(cache.keys()) <= local_sweep.AHEAD * 2:
        assert process.poll() is None
        time.sleep(0.1)
    pids = children(process.pid)
    process.send_signal(signal.SIGINT)
    summary = json.loads(process.communicate(timeout=30)[0])
    assert process.returncode == summary["exit_code"] == 130
    assert 1 <= summary["computed"] < 900
    assert pids
    assert gone_within(pids, 10)


@pytest.mark.slow
def test_a_failed_task_is_told_with_its_reason_and_stops_no_other(tmp_path, monkeypatch):
    monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path))
    tasks = [sweep_tasks.Task(NETWORK, image, (8,), Convention.BRANCH) for image in (TOO_LARGE, IMAGES[0])]
    outcomes = {outcome.task.image: outcome for outcome in local_sweep.run(tasks, 1)}
    assert "Expected an image of 32 × 32 pixels" in outcomes[TOO_LARGE].failures[8]
    assert outcomes[TOO_LARGE].rows == ()
    assert outcomes[IMAGES[0]].failures == {}
    assert outcomes[IMAGES[0]].rows[0]["block"] == 8


@dataclass(frozen=True)
class KillsItsWorker(sweep_tasks.Task):
    @property
    def requests(self):
        os._exit(9)


@pytest.mark.slow
def test_a_task_that_kills_its_worker_fails_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path))
    good = [sweep_tasks.Task(NETWORK, image, (8,), Convention.BRANCH, "extremes") for image in IMAGES[:3]]
    outcomes = list(
        local_sweep.run([good[0], KillsItsWorker(NETWORK, images.find(7), (8,), Convention.BRANCH), *good[1:]], 2)
    )
    by_image = {outcome.task.image: outcome for outcome in outcomes}
    assert len(outcomes) == len(by_image) == 4
    assert by_image[images.find(7)].failures == {8: sweep_tasks.DIED}
    assert all(len(by_image[image].rows) == 1 for image in IMAGES[:3])


def test_one_failing_block_leaves_the_others_of_its_image(monkeypatch, caplog):
    def compute(request, **_):
        if request.block == 6:
            raise CannotCompute("Expected more memory, got less: use a smaller block.")
        if request.block == 7:
            raise RuntimeError("a bug")
        return Result(request, {}, {}, {}, {}, made)

    def compute_many(requests, **_):
        yield from map(compute, requests)

    made = {"predicted": 0, "weights": "w", "loss": 0.0, "seconds": 0.0, "device": "cpu", "precision": "float64"}
    made |= {"algorithm": 1, "date": "2026-01-01"}
    monkeypatch.setattr(analysis, "compute", compute)
    monkeypatch.setattr(analysis, "compute_many", compute_many)
    outcome = sweep_tasks.compute(
        sweep_tasks.Task(networks.find("resnet18"), images.find(0), (5, 6, 7, 8), Convention.SLICES)
    )
    assert [row["block"] for row in outcome.rows] == [5, 8]
    assert outcome.failures[6].startswith("Expected more memory")
    assert "RuntimeError: a bug" in outcome.failures[7]
    assert "a bug" in caplog.text


def test_what_is_there_is_not_planned_again(tmp_path, monkeypatch):
    monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path))
    (task,) = sweep_tasks.plan(NETWORK, [IMAGES[0]], [6, 8], Convention.BRANCH, "extremes")
    sweep_tasks.compute(sweep_tasks.Task(NETWORK, IMAGES[0], (8,), Convention.BRANCH, "extremes"))
    rows, remaining = sweep_tasks.split([task])
    assert [row["block"] for row in rows] == [8]
    assert [task.blocks for task in remaining] == [(6,)]
    shipped = pd.DataFrame(rows).assign(block=6)
    rows, remaining = sweep_tasks.split([task], shipped)
    assert (len(rows), remaining) == (2, [])
    (counts,) = sweep_tasks.plan(NETWORK, [IMAGES[0]], [6], Convention.BRANCH, "counts")
    assert sweep_tasks.split([counts], shipped)[1] == [counts]  # extremes do not answer for counts


@pytest.mark.parametrize(
    ("blocks", "convention", "quantity", "says"),
    [
        ([9], Convention.SLICES, "counts", "from 1 to 8"),
        ([8], "matrix", "counts", "convention"),
        ([8], Convention.SLICES, "all", "level"),
    ],
)
def test_plans_refuse_what_does_not_exist(blocks, convention, quantity, says):
    with pytest.raises(CannotCompute, match=says):
        sweep_tasks.plan(networks.find("resnet18"), [images.find(0)], blocks, Convention(convention), quantity)


def test_a_plan_has_a_task_an_image():
    blocks = [block.block for block in catalogue.blocks("resnet18")]
    tasks = sweep_tasks.plan(
        networks.find("resnet18"), [images.find(3), images.find(1)], blocks, Convention.SLICES, "counts"
    )
    assert [(task.image.number, len(task.requests)) for task in tasks] == [(3, 8), (1, 8)]


def test_at_least_one_worker():
    with pytest.raises(CannotCompute, match="at least one"):
        next(local_sweep.run([sweep_tasks.Task(networks.find("resnet18"), images.find(0), (8,), Convention.BRANCH)], 0))
