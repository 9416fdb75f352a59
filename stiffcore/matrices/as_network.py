"""Matrices -> a ``Network``: what computes, stores and draws blocks does the same with them."""

import hashlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stiffcore.errors import CannotCompute
from stiffcore.matrices import read
from stiffcore.networks import geometry
from stiffcore.networks.matrices import Matrices
from stiffcore.networks.network import Network
from stiffcore.storage import uploads


def of_arrays(matrix: np.ndarray | Sequence[np.ndarray], name: str = "") -> Network:
    """The network of one matrix (n, n), a stack (k, n, n), or a list. Raises CannotCompute for anything but real square ones."""
    try:
        arrays = [np.asarray(one) for one in matrix] if isinstance(matrix, list | tuple) else [np.asarray(matrix)]
        given = [part for array in arrays for part in (array if array.ndim == 3 else [array])]
        if not all(
            part.ndim == 2 and part.shape[0] == part.shape[1] > 0 and part.dtype.kind in read.REAL for part in given
        ):
            raise ValueError
    except (ValueError, TypeError):
        raise CannotCompute(
            "Expected real square matrices, (n, n) or a stack (k, n, n), got others: give arrays of numbers."
        ) from None
    tensors = [torch.from_numpy(np.array(part, np.float64)) for part in given]
    if not all(map(read.is_moderate, tensors)):
        raise CannotCompute(
            f"Expected finite numbers up to {read.LARGEST_NUMBER:.0e}, got larger ones, NaN or infinity: scale such matrices, or leave "
            "them out."
        )
    sha256 = sha256_of(tensors)
    return _network(tensors, name or f"matrix {sha256[:8]}", partial(Matrices, tensors))


def of_file(path: Path, name: str = "") -> Network:
    """The network of the matrices in a file, which is read again whenever they are needed. Raises CannotCompute for another file."""
    path = path.expanduser().absolute()
    found = read.matrices(path)
    tensors, names = [tensor for _, tensor in found], names_of(found)
    load = partial(load_again, path, sha256_of(tensors))
    return _network(tensors, name or uploads.clean_name(path.name), load, names)


def names_of(found: Sequence[tuple[str, Tensor]]) -> tuple[str, ...]:
    """What the matrices of a file are called there, safe to display; "" for one that only has a position in a stack."""
    names = [uploads.clean_name(name, "") for name, _ in found]
    return tuple("" if name.isdecimal() else name for name in names)


def load_again(path: Path, sha256: str) -> Matrices:
    """The matrices in a file that was read before. Raises CannotCompute if they have changed since."""
    tensors = [tensor for _, tensor in read.matrices(path)]
    if sha256_of(tensors) != sha256:
        raise CannotCompute(f"The matrices in {path} have changed since they were read: name the file again.")
    return Matrices(tensors)


def _network(tensors: list[Tensor], name: str, load: "partial[Matrices]", names: Sequence[str] = ()) -> Network:
    blocks = geometry.of_matrices([len(tensor) for tensor in tensors], names)
    return Network(name, sha256_of(tensors), blocks, load, classes=(), title=name)


def sha256_of(tensors: list[Tensor]) -> str:
    """Of the numbers, each matrix on its own: the same matrix has the same results in any file."""
    digest = hashlib.sha256(b"matrices")
    for tensor in tensors:
        digest.update(f"{len(tensor)} ".encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
