"""Atomic replacement of files, and the folder of shipped results."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SHIPPED = Path(__file__).resolve().parents[1] / "cache" / "shipped"  # tracked; only maintainers write here


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A temporary path in the same folder to write to; at the end of the block that file replaces ``path`` atomically.

    Readers see the old or the new content, never a part. Each thread and process has its own temporary name. After an error
    the new file is removed, and the old one stays. A missing folder is created. Raises OSError.
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
    """Write a file atomically, as ``replaced`` does. Raises OSError."""
    with replaced(path) as partial:
        partial.write_bytes(content)
