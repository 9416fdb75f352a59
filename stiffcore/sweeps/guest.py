"""What runs first on a Dask worker, which may have another stiffcore or none: puts the caller's package in place, then computes.

Nothing imports this file from the package. ``cluster`` sends its text to the scheduler and to every worker, where it is a module
with a name of its own. So it needs only Python and distributed, and it compiles under older Pythons, to say what is wrong there.

A process has one stiffcore at a time. The sweep that started last decides which: it waits for running tasks, takes the modules of
the other version out of ``sys.modules``, and imports its own from a folder of the worker. A task carries the hash of the
sources that it expects; a task of the other sweep is refused from then on. What arrives here is plain data, never an object.
"""

import asyncio
import hashlib
import importlib
import importlib.metadata
import importlib.util
import shutil
import sys
import tempfile
import threading
import types
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

OLDEST_PYTHON = (3, 11)
PATIENCE = 600.0  # seconds that a sweep waits for running tasks of another version
TAKEN = (
    "computes for a sweep with another version of stiffcore, which started later: wait until that one ends, then run the same "
    "command again"
)
BUSY = f"has computed for another version of stiffcore for {PATIENCE:.0f} s: wait until that sweep ends"
IN_USE = "is a process that uses stiffcore itself, in another version: start workers of their own with `dask worker`"


class Refused(Exception):
    """Why this worker cannot compute. The text continues "The worker tcp://…"."""


async def prepare(order: dict, dask_worker: Any = None) -> dict:
    """Puts an order's package and network in place. Returns {}, or {"refused": a sentence}."""
    return await asyncio.to_thread(_answer, order, dask_worker, None, True)


def compute(order: dict, task: dict) -> dict:
    """As a task: the answer of ``travel.answer``, or {"refused": a sentence, "worker": its address}."""
    from distributed import get_worker

    return _answer(order, get_worker(), task, False)


def forget(order: dict, names: list, dask_worker: Any = None) -> None:
    """Removes files that were sent to this worker; other versions of the package may then come in."""
    for name in names:
        with suppress(OSError):
            Path(dask_worker.local_directory, name).unlink()
    switch = _switch()
    with switch.turn:
        if switch.wanted == order["version"]:
            switch.wanted = ""


def sources_sha256(files: dict) -> str:
    """The version of the package: the SHA-256 of its files' names and contents. files: name in the archive -> bytes."""
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(f"{name} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def _answer(order: dict, worker: Any, task: Any, newest: bool) -> dict:
    try:
        with _package(order, worker.local_directory, newest):
            travel = importlib.import_module("stiffcore.sweeps.travel")
            file = Path(worker.local_directory, order["network"])
            answer: dict = travel.answer(file, order["network_sha256"], task)
        if "refused" in answer:
            raise Refused(answer["refused"])
        return answer
    except Refused as error:
        return {"refused": f"The worker {worker.address} {error}.", "worker": worker.address}


def _switch() -> Any:
    """The state of this process, shared by all guests in it, whatever their versions: which package is in place (version, place),
    which one may compute (wanted), and how many tasks compute (running)."""
    fresh = types.ModuleType("stiffcore_switch")
    state = {"version": "", "wanted": "", "place": "", "running": 0, "turn": threading.Condition()}
    fresh.__dict__.update(state)
    return sys.modules.setdefault(fresh.__name__, fresh)


@contextmanager
def _package(order: dict, folder: str, newest: bool) -> Iterator[None]:
    """The order's package is in place within the block. newest: of a sweep that starts now."""
    switch = _switch()
    with switch.turn:
        if not _is_home(order):
            if newest:
                switch.wanted = order["version"]
            _take_turn(switch, order, folder)
        switch.running += 1
    try:
        yield
    finally:
        with switch.turn:
            switch.running -= 1
            switch.turn.notify_all()


def _is_home(order: dict) -> bool:
    """Whether this process is the caller's own, whose package stays."""
    caller = getattr(sys.modules.get("stiffcore.sweeps.cluster"), "CALLER", None)
    if caller not in (None, order["caller"]):
        raise Refused(IN_USE)
    return caller is not None


def _take_turn(switch: Any, order: dict, folder: str) -> None:
    version = order["version"]
    if switch.wanted not in ("", version):
        raise Refused(TAKEN)
    switch.wanted = version
    if switch.version == version:
        return
    if not switch.turn.wait_for(lambda: switch.running == 0 or switch.wanted != version, PATIENCE):
        switch.wanted = switch.version
        raise Refused(BUSY)
    if switch.wanted not in ("", version):
        raise Refused(TAKEN)
    if switch.version != version:  # no other thread was quicker
        try:
            _install(switch, order, folder)
        except BaseException:
            switch.wanted = ""
            raise
        switch.version = version


def _install(switch: Any, order: dict, folder: str) -> None:
    _check_python(order["needed"])
    place = _unpacked(Path(folder, order["package"]), order["version"], folder)
    _remove(switch)
    switch.place = place
    sys.path.insert(0, place)
    importlib.invalidate_caches()
    try:
        importlib.import_module("stiffcore.sweeps.travel")
    except Exception as error:
        _remove(switch)
        raise Refused(
            f"cannot import the package that the sweep sent ({type(error).__name__}: {error!s:.200})"
        ) from error


def _remove(switch: Any) -> None:
    """Takes stiffcore out of this process, and the folder of the last sweep's off the disk."""
    for name in [name for name in sys.modules if name.split(".")[0] == "stiffcore"]:
        del sys.modules[name]
    if switch.place:
        with suppress(ValueError):
            sys.path.remove(switch.place)
        shutil.rmtree(switch.place, ignore_errors=True)
    switch.place = switch.version = ""


def _unpacked(archive: Path, version: str, folder: str) -> str:
    """A new folder with the package's files."""
    try:
        with zipfile.ZipFile(archive) as opened:
            files = {name: opened.read(name) for name in opened.namelist()}
        if sources_sha256(files) != version:
            raise Refused(
                f"has received other sources than those that were sent, in {archive}: run the same command again"
            )
        place = Path(tempfile.mkdtemp(prefix="stiffcore-", dir=folder))
        for name, content in files.items():
            path = place / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    except (OSError, zipfile.BadZipFile) as error:
        raise Refused(
            f"cannot unpack the package that the sweep sent ({error}): free space there, or start the worker with "
            "`--local-directory` in a folder that it may write to"
        ) from error
    return str(place)


def _check_python(needed: dict) -> None:
    """needed: package -> [the caller's version, how many parts of it must be the same, 0 if any version will do]."""
    if sys.version_info[:2] < OLDEST_PYTHON:
        raise Refused(
            "has Python {}.{}, and stiffcore needs {}.{} or newer: start it with a newer one".format(
                *sys.version_info[:2], *OLDEST_PYTHON
            )
        )
    problems, install = [], []
    for name, (version, parts) in needed.items():
        wanted, found = version.split(".")[:parts], _version(name)
        if found is None:
            problems.append(f"lacks {name}")
        elif wanted and found and found.split(".")[:parts] != wanted:
            problems.append(f"has {name} {found} instead of {version}")
        else:
            continue
        install.append(f'"{name}=={".".join([*wanted, "*"])}"' if wanted else name)
    if problems:
        raise Refused(f"{' and '.join(problems)}: run `pip install {' '.join(install)}` there and start it again")


def _version(package: str) -> Any:
    """The version that is imported, or would be; "" if it does not say, None if there is no such package."""
    try:
        if importlib.util.find_spec(package) is None:
            return None
    except (ImportError, ValueError):
        return None
    with suppress(importlib.metadata.PackageNotFoundError):
        found = getattr(sys.modules.get(package), "__version__", None) or importlib.metadata.version(package)
        return str(found).split("+")[0]
    return ""
