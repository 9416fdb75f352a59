"""Files that are replaced in one step, and the folder of what ships."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SHIPPED = Path(__file__).resolve().parents[1] / "cache" / "shipped"  # tracked, and read-only but for maintainers


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A path in the same folder to write to; at the end of the block that file takes the place of ``path`` in one step.

    Others read the old content or the new one, never a part. No two threads or processes share the name; after an error
    nothing is left of the new file, and the old one stays. The folder is made where there is none. Raises OSError.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.partial")
    try:
        yield partial
        os.replace(partial, path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise


def write_replaced(path: Path, content: bytes) -> None:
    """Write a whole file in one step, as ``replaced`` does it. Raises OSError."""
    with replaced(path) as partial:
        partial.write_bytes(content)
