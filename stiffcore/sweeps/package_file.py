"""This package as one file, so that a worker computes with the same sources as the caller."""

import importlib.metadata
import io
import zipfile
from pathlib import Path

from stiffcore.sweeps import guest

ROOT = Path(__file__).parents[1]
# What a computation imports -> how many parts of the version must be the caller's, 0 if any version will do. Another minor version
# of torch or torchvision rounds otherwise and has other modules; another major version of numpy or scipy has another interface.
NEEDED = {
    "numpy": 1,
    "scipy": 1,
    "torch": 2,
    "torchvision": 2,
    "numba": 0,
    "safetensors": 0,
    "threadpoolctl": 0,
    "diskcache": 0,
    "filelock": 0,
}


def archive(root: Path = ROOT) -> tuple[bytes, str]:
    """A zip archive of a package's sources, and their SHA-256, which names the version. No weights, no data, a few hundred kB."""
    sources = {
        f"{root.name}/{path.relative_to(root).as_posix()}": path.read_bytes() for path in sorted(root.rglob("*.py"))
    }
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in sources.items():
            file.writestr(name, content)
    return written.getvalue(), guest.sources_sha256(sources)


def needed() -> dict[str, list]:
    """For ``guest``: package -> this machine's version, and how many parts of it must agree."""
    return {name: [importlib.metadata.version(name).split("+")[0], parts] for name, parts in NEEDED.items()}
