"""Where results and the visitors' own files are kept: STIFFCORE_CACHE, or cache/results of the project."""

import os
import threading
from contextlib import suppress
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "cache" / "results"  # STIFFCORE_CACHE moves it


def default_folder() -> Path:
    """$STIFFCORE_CACHE, else cache/results of the project."""
    return Path(os.environ.get("STIFFCORE_CACHE") or FOLDER).expanduser().absolute()


def write_replaced(path: Path, content: bytes) -> None:
    """Write a file in one step: others read the old content or the new one, never a part. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.partial")
    try:
        partial.write_bytes(content)
        os.replace(partial, path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise
