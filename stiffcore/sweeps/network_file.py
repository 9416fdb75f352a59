"""Any ``Network`` as one file, and back: all its fields, and its module in place of ``load``. It asks for no name or architecture.

The file is what ``torch.save`` writes of the whole, read with ``weights_only=True``: beside tensors and plain values it may hold only
classes and functions that the reader allows, here those that it can import. They travel by their names: torch's, torchvision's and
this package's are on every worker, others if they are installed there too. Only a sweep's own workers read such a file, after
a check of its SHA-256, which came with the task; a file from anywhere else is a matter for ``checkpoints``.
"""

import hashlib
import importlib
import io
import threading
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from stiffcore.errors import CannotCompute
from stiffcore.networks.network import KEPT, Network
from stiffcore.torchvision_compat import torchvision

HERE = "sweep it on this machine"
_one_at_a_time = threading.Lock()  # torch's list of allowed classes belongs to the whole process


@dataclass(frozen=True)
class Arrived:
    """The ``load`` of a network from such a file."""

    module: nn.Module

    def __call__(self) -> nn.Module:
        return self.module


def content(network: Network) -> bytes:
    """The file of a network. Raises CannotCompute if another process could not build its module from it."""
    written = io.BytesIO()
    try:
        torch.save(replace(network, load=Arrived(network.module())), written)
        names = _names(written)
        if "__main__" not in {module for module, _ in names}:
            _read(written)
    except CannotCompute:  # of the network's own load
        raise
    except Exception as error:  # pickle raises many types for what has no name, weights_only for what is not allowed
        raise CannotCompute(
            f"The network {network.name} cannot be sent to another process ({error!s:.200}): define its classes and functions at "
            f"the top of a module, or {HERE}."
        ) from error
    own = [name for module, name in names if module == "__main__"]
    if own:
        raise CannotCompute(
            f"{own[0]} is defined in this script or notebook, which other processes do not import: move it to a module, or {HERE}."
        )
    return written.getvalue()


@lru_cache(maxsize=KEPT)
def read(path: Path, sha256: str) -> Network:
    """The network of a file. Raises CannotCompute, with the rest of a sentence about this process, for another file, and if a class
    cannot be imported here."""
    try:
        stored = path.read_bytes()
    except OSError as error:
        raise CannotCompute(f"has lost the network ({error}): run the same command again") from error
    if hashlib.sha256(stored).hexdigest() != sha256:
        raise CannotCompute(f"has another network than the one that was sent, in {path}: run the same command again")
    try:
        return _read(io.BytesIO(stored))
    except (ImportError, AttributeError) as error:
        raise CannotCompute(
            f"cannot import a part of the network ({error!s:.200}): put its modules on the worker's path, or {HERE}"
        ) from error


def _names(file: io.BytesIO) -> list[tuple[str, str]]:
    """Module and name of each class and function in a file, apart from those that torch always allows."""
    file.seek(0)
    names = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(file))
    return [(module, name) for module, _, name in (full.rpartition(".") for full in names)]


def _read(file: io.BytesIO) -> Network:
    allowed: list[Any] = []
    for module, name in _names(file):
        if module.split(".")[0] == "torchvision":
            torchvision()
        allowed.append(getattr(importlib.import_module(module), name))
    file.seek(0)
    with _one_at_a_time, torch.serialization.safe_globals(allowed):
        network: Network = torch.load(file, weights_only=True)
    return network
