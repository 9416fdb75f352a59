"""Shared by the commands: progress on a terminal, Ctrl-C, rows as text or JSON, and common arguments."""

import argparse
import json
import math
import multiprocessing
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from stiffcore.device_names import AUTO
from stiffcore.errors import CannotCompute
from stiffcore.metrics.missing import Missing
from stiffcore.networks.network import Network
from stiffcore.progress import Progress
from stiffcore.storage import cache as result_cache

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # a module adds its commands to it
INTERRUPTED = 130  # exit code: 128 + SIGINT, as shells have it
SAID_WHEN_INTERRUPTED = "Interrupted: finished results are stored. Run the command again to continue."
NOTICES = 5  # that a command says, of thousands of results
GRACE = 0.5  # seconds after Ctrl-C in which Python may end the command itself


@contextmanager
def progress(unit: str = "it") -> Iterator[Progress]:
    """A progress bar on stderr if stderr is a terminal. unit: what is counted, "B" for bytes."""
    from tqdm import tqdm

    with tqdm(file=sys.stderr, disable=None, leave=False, unit=unit, unit_scale=unit == "B", dynamic_ncols=True) as bar:

        def show(done: int, total: int, what: str) -> None:
            bar.total = total or None
            bar.set_description_str(what, refresh=False)
            bar.update(done - bar.n)

        yield show


@contextmanager
def stop_on_ctrl_c(stop: threading.Event, scheduler: str | None) -> Iterator[None]:
    """The first Ctrl-C sets ``stop`` for a sweep on this machine; a second one raises KeyboardInterrupt as usual."""
    if scheduler or threading.current_thread() is not threading.main_thread():
        yield
        return

    def request_stop(number: int, frame: object) -> None:
        signal.signal(signal.SIGINT, before)
        stop.set()

    before = signal.signal(signal.SIGINT, request_stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def leaving_at_once() -> Iterator[None]:
    """Within this context Ctrl-C ends the process within a second, even while Python is inside LAPACK.

    Python calls its signal handler only between two bytecodes, which may be minutes later, after a decomposition. The
    handler of the system runs at once, and writes the number of the signal to a socket. A thread reads the socket:
    torch and LAPACK release the interpreter lock. Results are stored as soon as they are computed, and the cache
    survives killed writers.
    """
    if threading.current_thread() is not threading.main_thread():  # only the main thread handles signals
        yield
        return
    reader, writer = socket.socketpair()  # Windows accepts no pipe here
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
    """End the process if Ctrl-C was pressed and the command did not end within GRACE."""
    with reader:
        while signals := reader.recv(64):
            if signal.SIGINT in signals and not left.wait(GRACE):
                clear = "\r\x1b[K" if sys.stderr.isatty() else ""  # erases the bar
                for child in multiprocessing.active_children():  # of a benchmark: it would continue alone
                    child.kill()
                os.write(sys.stderr.fileno(), f"{clear}{SAID_WHEN_INTERRUPTED}\n".encode())
                os._exit(INTERRUPTED)


def cache_problem() -> str:
    """A sentence about a cache that cannot be used, or "". Commands work without a cache, so this is a warning."""
    health = result_cache.default().health()
    if not health["problem"]:
        return ""
    return (
        f"Cannot write to the cache folder {health['folder']} (“{health['problem']}”): results are shown but not stored; "
        "free space there or set STIFFCORE_CACHE to another folder."
    )


def say(text: str) -> None:
    """Print a message to stderr, above the progress bar; stdout holds only results."""
    from tqdm import tqdm

    tqdm.write(text, file=sys.stderr)


def say_notices(notices: Iterable[str]) -> None:
    """Say each notice of a computation once; of many, which differ in their block and image, the first ones."""
    distinct = list(dict.fromkeys(notices))
    for notice in distinct[:NOTICES]:
        say(notice)
    if len(distinct) > NOTICES:
        more = len(distinct) - NOTICES
        say(f"And {more:,} more such {'notice' if more == 1 else 'notices'}.")


def show(text: str) -> None:
    """Print a line of the result to stdout, above the progress bar."""
    from tqdm import tqdm

    tqdm.write(text, file=sys.stdout)
    sys.stdout.flush()


def is_watched() -> bool:
    """Whether the results go to a terminal, not to a file or a program."""
    return sys.stdout.isatty()


def show_json(value: object) -> None:
    """Print a JSON document to stdout; NaN becomes null, and infinity a string."""
    sys.stdout.write(json.dumps(plain(value), indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def plain(value: object) -> object:
    """The value in built-in types: numpy's scalars converted, NaN as None, infinity (a step without a limit) as
    "Infinity", a Missing as its text."""
    if isinstance(value, Mapping):
        return plain_mapping(value)
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, Path | Missing):
        return str(value)
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, float) and math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return None if isinstance(value, float) and math.isnan(value) else value


def plain_mapping(values: Mapping) -> dict[str, object]:
    """``plain``, of a mapping."""
    return {str(name): plain(item) for name, item in values.items()}


def as_text(value: object, missing: Missing | None = None) -> str:
    """A value in a table: NaN as ``missing`` says, ``undefined`` or ``not computed``; 12 digits of a hash."""
    value = value.item() if hasattr(value, "item") else value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return missing.word if missing else "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    return value[:12] if isinstance(value, str) and len(value) == 64 else str(value)


class Table:
    """Prints rows to stdout one by one, right-aligned below the columns' names. The title and the names are printed
    with the first row, so that a command that fails before prints only its error."""

    def __init__(self, title: str, widths: Mapping[str, int]):
        """widths: column -> its least number of characters; a column is at least as wide as its name."""
        self._title, self._begun = title, False
        self._widths = {name: max(len(name), width) for name, width in widths.items()}

    def row(self, cells: Mapping[str, str], merged: str = "") -> None:
        """merged: the text in place of the columns without a cell, which must be adjacent."""
        if not self._begun:
            self._begun = True
            show(self._title)
            show("  ".join(name.rjust(width) for name, width in self._widths.items()))
        parts, absent = [], [width for name, width in self._widths.items() if name not in cells]
        for name, width in self._widths.items():
            if name in cells:
                parts.append(cells[name].rjust(width))
            elif absent:  # at the first column without a cell
                parts.append(merged.rjust(sum(absent) + 2 * len(absent) - 2))
                absent = []
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


def add_device(
    parser: argparse.ArgumentParser, what: str = "auto: a card where it is quicker, else the CPU; or cpu, cuda, cuda:1"
) -> None:
    """``--device``: where a command computes."""
    parser.add_argument("--device", default=AUTO, metavar="NAME", help=f"{what}; default auto")


def writable(path: Path) -> Path:
    """The path itself, if the file can be written; checked before a long computation. Raises CannotCompute."""
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
        raise CannotCompute(f"{path} cannot be written ({problem}): name another file.")
    return path
