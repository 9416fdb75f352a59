"""What the commands share: progress on a terminal, rows as text or JSON, arguments that several of them read."""

import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from stiffcore import catalogue
from stiffcore.errors import CannotCompute

Progress = Callable[[int, int, str], None]  # done, total, what


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


def say(text: str) -> None:
    """A line for a person, on stderr, so that stdout holds results only; above a bar if one is shown."""
    from tqdm import tqdm

    tqdm.write(text, file=sys.stderr)


def show(text: str) -> None:
    """A line of the result on stdout, above a bar if one is shown."""
    from tqdm import tqdm

    tqdm.write(text, file=sys.stdout)
    sys.stdout.flush()


def show_json(value: object) -> None:
    """One JSON document on stdout; NaN becomes null, infinity a word."""
    sys.stdout.write(json.dumps(plain(value), indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def plain(value: object) -> object:
    """Built-in types only, numpy's scalars converted, NaN as None, infinity (a step without a limit) as "Infinity"."""
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, float) and math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return None if isinstance(value, float) and math.isnan(value) else value


def as_text(value: object, reason: str = "") -> str:
    """A value in a table: NaN as ``undefined`` or ``not computed`` by its reason, a hash by its first 12 digits."""
    value = value.item() if hasattr(value, "item") else value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return reason.partition(":")[0] or "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    return value[:12] if isinstance(value, str) and len(value) == 64 else str(value)


def table_line(cells: Mapping[str, str], widths: Mapping[str, int]) -> str:
    """One row, right-aligned under its column's name."""
    return "  ".join(text.rjust(max(len(name), widths.get(name, 0))) for name, text in cells.items())


def parse_blocks(network: str, text: str) -> list[int]:
    """``all``, ``identity`` or a list like ``6,8``, counted from 1 as in the paper. Raises CannotCompute."""
    if text.strip() in ("all", "identity"):
        return [block.block for block in catalogue.blocks(network) if text.strip() == "all" or block.is_identity]
    numbers = [part.strip() for part in text.split(",")]
    if not all(number.isascii() and number.isdigit() and len(number) < 4 for number in numbers):
        last = len(catalogue.blocks(network))
        raise CannotCompute(
            f"Expected blocks as all, identity, or numbers from 1 to {last} like 6,8, got {text!r}: write them in that form."
        )
    return [catalogue.block(network, number).block for number in dict.fromkeys(map(int, numbers))]


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
