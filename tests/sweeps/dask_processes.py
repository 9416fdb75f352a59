"""A Dask cluster as on other machines: processes of dask's own commands, in a folder from which stiffcore cannot be imported."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from distributed import Client

START = 60  # seconds


@contextmanager
def started(folder: Path, *arguments: str, path: str = "") -> Iterator[None]:
    """`dask …` until the block ends; with its output if it fails. path: its PYTHONPATH."""
    ours = ("PYTHONPATH", "STIFFCORE_CACHE", "STIFFCORE_DATA")
    environment = {name: value for name, value in os.environ.items() if name not in ours} | {"PYTHONPATH": path}
    folder.mkdir(exist_ok=True)
    with (folder / "output.txt").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", *arguments], cwd=folder, env=environment, stdout=output, stderr=output
        )
        try:
            yield
        finally:
            process.send_signal(signal.SIGINT)  # the nanny then ends its worker
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def scheduler(folder: Path) -> Iterator[str]:
    """A scheduler's address."""
    file = folder / "scheduler.json"
    with started(
        folder, "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)
    ):
        with Client(scheduler_file=_waited_for(file), timeout=START, set_as_default=False) as client:
            address = client.scheduler.address
        yield address


def _waited_for(file: Path) -> str:
    deadline = time.monotonic() + START
    while not file.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return str(file)


@contextmanager
def worker(address: str, folder: Path, threads: int = 1, path: str = "", nanny: bool = True) -> Iterator[str]:
    """The address of one more worker, with a nanny. It has left the cluster when the block ends."""
    with Client(address, timeout=START, set_as_default=False) as client:
        before = set(client.scheduler_info()["workers"])
        arguments = ["worker", address, "--nthreads", str(threads), "--host", "127.0.0.1", "--no-dashboard"]
        arguments += ["--local-directory", str(folder), "--memory-limit", "0", "--nanny" if nanny else "--no-nanny"]
        with started(folder, *arguments, path=path):
            client.wait_for_workers(len(before) + 1, timeout=START)
            (address_of_worker,) = set(client.scheduler_info()["workers"]) - before
            yield address_of_worker
        deadline = time.monotonic() + START
        while address_of_worker in client.scheduler_info()["workers"] and time.monotonic() < deadline:
            time.sleep(0.1)
