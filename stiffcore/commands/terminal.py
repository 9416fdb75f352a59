"""What the commands share: progress on a terminal, Ctrl-C, rows as text or JSON, arguments that several of them read."""

import argparse
import json
import math
import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from stiffcore.errors import CannotCompute
from stiffcore.metrics.missing import Missing
from stiffcore.networks.network import Network
from stiffcore.progress import Progress
from stiffcore.storage import cache as result_cache

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # to which a module adds its own
INTERRUPTED = 130  # exit code: 128 + SIGINT, as shells have it
SAID_WHEN_INTERRUPTED = "Interrupted: what was finished is stored, run the command again to go on."
GRACE = 0.5  # seconds after Ctrl-C in which Python may end the command by itself


@contextmanager
def progress(unit: str = "it") -> Iterator[Progress]:
    """A bar on stderr while it is a terminal, nothing otherwise; ``unit`` "B" counts bytes."""
    from tqdm import tqdm

    with tqdm(file=sys.stderr, disable=None, leave=False, unit=unit, unit_scale=unit == "B", dynamic_ncols=True) as bar:

        def show(done: int, total: int, what: str) -> None:
            bar.total = total or None
            bar.set_description_str(what, refresh=False)
            bar.update(done - bar.n)

        yield show


@contextmanager
def leaving_at_once() -> Iterator[None]:
    """Within it Ctrl-C ends the process within a second, though Python is inside LAPACK, which knows nothing of signals.

    Python calls its own handler between two bytecodes only: after a decomposition of minutes. The system's handler does run,
    and writes the signal's number to a socket. A thread reads it there; it can, since torch and LAPACK free Python's lock.
    Results are stored as they come, and the cache survives killed writers.
    """
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield
        return
    reader, writer = socket.socketpair()  # Windows takes no pipe here
    writer.setblocking(False)
    before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    left = threading.Event()
    threading.Thread(target=_leave, args=(reader, left), name="leave-at-ctrl-c", daemon=True).start()
    try:
        yield
    finally:
        left.set()
        signal.set_wakeup_fd(before)
        writer.close()  # ends the thread


def _leave(reader: socket.socket, left: threading.Event) -> None:
    """End the process where Ctrl-C was pressed and the command did not end by itself within the grace."""
    with reader:
        while signals := reader.recv(64):
            if signal.SIGINT in signals and not left.wait(GRACE):
                clear = "\r\x1b[K" if sys.stderr.isatty() else ""  # of the bar
                for child in multiprocessing.active_children():  # of a benchmark: it would go on alone
                    child.kill()
                os.write(sys.stderr.fileno(), f"{clear}{SAID_WHEN_INTERRUPTED}\n".encode())
                os._exit(INTERRUPTED)


def cache_problem() -> str:
    """A sentence about a cache that cannot be used, or "": a command works without, but somebody should know."""
    health = result_cache.default().health()
    if not health["problem"]:
        return ""
    return (
        f"Cannot write to the cache folder {health['folder']} (“{health['problem']}”): results are shown but not stored; "
        "free space there or set STIFFCORE_CACHE to another folder."
    )


def say(text: str) -> None:
    """A line for a person, on stderr, so that stdout holds results only; above a bar if one is shown."""
    from tqdm import tqdm

    tqdm.write(text, file=sys.stderr)


def show(text: str) -> None:
    """A line of the result on stdout, above a bar if one is shown."""
    from tqdm import tqdm

    tqdm.write(text, file=sys.stdout)
    sys.stdout.flush()


def is_watched() -> bool:
    """Whether a person reads the results as they come, not a file or a program."""
    return sys.stdout.isatty()


def show_json(value: object) -> None:
    """One JSON document on stdout; NaN becomes null, infinity a word."""
    sys.stdout.write(json.dumps(plain(value), indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def plain(value: object) -> object:
    """Built-in types only, numpy's scalars converted, NaN as None, infinity (a step without a limit) as "Infinity",
    what is missing as its text."""
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, Path | Missing):
        return str(value)
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, float) and math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return None if isinstance(value, float) and math.isnan(value) else value


def as_text(value: object, missing: Missing | None = None) -> str:
    """A value in a table: NaN as ``undefined`` or ``not computed`` by why it is missing, a hash by its first 12 digits."""
    value = value.item() if hasattr(value, "item") else value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return missing.word if missing else "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    return value[:12] if isinstance(value, str) and len(value) == 64 else str(value)


class Table:
    """Rows on stdout as they come, right-aligned under the columns' names; title and names are printed with the first row,
    so that a command that ends in a refusal prints that only."""

    def __init__(self, title: str, widths: Mapping[str, int]):
        """widths: column -> characters, at least; those of its name are counted in."""
        self._title, self._begun = title, False
        self._widths = {name: max(len(name), width) for name, width in widths.items()}

    def row(self, cells: Mapping[str, str], merged: str = "") -> None:
        """merged: what stands in place of the columns that have no cell, which must be neighbours."""
        if not self._begun:
            self._begun = True
            show(self._title)
            show("  ".join(name.rjust(width) for name, width in self._widths.items()))
        parts, gone = [], [width for name, width in self._widths.items() if name not in cells]
        for name, width in self._widths.items():
            if name in cells:
                parts.append(cells[name].rjust(width))
            elif gone:  # the first of them
                parts.append(merged.rjust(sum(gone) + 2 * len(gone) - 2))
                gone = []
        show("  ".join(parts))


def parse_blocks(network: Network, text: str) -> list[int]:
    """``all``, ``identity`` or a list like ``6,8``, counted from 1 as in the paper. Raises CannotCompute."""
    if text.strip() in ("all", "identity"):
        return [block.block for block in network.blocks if text.strip() == "all" or block.is_identity]
    numbers = [part.strip() for part in text.split(",")]
    if not all(number.isascii() and number.isdigit() and len(number) < 4 for number in numbers):
        last = len(network.blocks)
        raise CannotCompute(
            f"Expected blocks as all, identity, or numbers from 1 to {last} like 6,8, got {text!r}: write them in that form."
        )
    return [network.block(number).block for number in dict.fromkeys(map(int, numbers))]


def writable(path: Path) -> Path:
    """A file that can be written, checked before a long computation. Raises CannotCompute."""
    problem = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        existed = path.exists()
        with path.open("ab"):
            pass
        if not existed:
            path.unlink()
    except OSError as error:
        problem = error.strerror or str(error)
    if problem:
        raise CannotCompute(f"Expected a file that can be written, got {problem!r} for {path}: name another one.")
    return path
