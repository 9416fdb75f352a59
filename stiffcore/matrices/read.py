"""Reads square matrices from a file, without executing anything in it: .npy, .npz, .safetensors, a tensor of torch.save.

A file holds one matrix (n, n), a stack of them (k, n, n), or several of either by names.
"""

import io
import math
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.lib import format as npy
from torch import Tensor

from stiffcore.checkpoints import forms, sources
from stiffcore.checkpoints.opened import opened, pickled
from stiffcore.checkpoints.rebuilt import tensor_of
from stiffcore.errors import CannotCompute

MOST = 64  # matrices of a file
LARGEST = 1 << 30  # bytes of all of them in float64: a side of 11,585
LARGEST_HEADER = 10_000  # bytes of an .npy file's; numpy's own limit
REAL = "biuf"  # kinds of numpy's types: truth values, integers and real numbers

LARGEST_NUMBER = 1e100  # its square is still a number


def is_moderate(tensor: Tensor) -> bool:
    """Whether all numbers are finite, and so small that their squares are."""
    return bool((tensor.double().abs() <= LARGEST_NUMBER).all())


@dataclass(frozen=True)
class Array:
    """An array of a file before its numbers are read."""

    name: str
    shape: tuple[int, ...]
    read: Callable[[], Tensor]

    @property
    def is_square(self) -> bool:
        return len(self.shape) in (2, 3) and self.shape[-1] == self.shape[-2] > 0 and self.shape[0] > 0


def matrices(content: bytes | Path, largest: int = LARGEST) -> list[tuple[str, Tensor]]:
    """The square matrices of an upload or of a file, each with its name there, float64 (n, n). largest: bytes of all of them.

    Raises CannotCompute for a file without any, for too many or too large ones, and for numbers that are not real and finite.
    """
    arrays = _arrays(sources.of(content), largest)
    square = [array for array in arrays if array.is_square]
    if not square:
        shapes = ", ".join(str(array.shape) for array in arrays[:3]) or "nothing"
        raise CannotCompute(f"Expected a square matrix, or a stack of them, got {shapes}: save one of shape (n, n).")
    number = sum(array.shape[0] if len(array.shape) == 3 else 1 for array in square)
    size = sum(8 * math.prod(array.shape) for array in square)
    if number > MOST or size > largest:
        raise CannotCompute(
            f"Expected up to {MOST} matrices of {largest >> 20:,} MB together in float64, got {number:,} of {size >> 20:,} MB: save fewer, or "
            "smaller ones."
        )
    return [matrix for array in square for matrix in _parts(array)]


def _parts(array: Array) -> Iterator[tuple[str, Tensor]]:
    tensor = array.read()
    if tensor.is_complex() or not is_moderate(tensor):
        raise CannotCompute(
            f"Expected real, finite numbers up to {LARGEST_NUMBER:.0e} in {array.name or 'the matrix'}, got others: save a real "
            "matrix, scaled if need be, without NaN or infinity."
        )
    if tensor.ndim == 2:
        yield array.name, tensor.double()
        return
    for number, matrix in enumerate(tensor.double(), 1):
        yield f"{array.name} {number}".strip(), matrix.contiguous()


def _arrays(source: sources.Source, largest: int) -> list[Array]:
    head = source.read(0, min(source.size, forms.HEAD))
    if head.startswith(b"\x93NUMPY"):
        return [_of_npy("", io.BytesIO(source.read(0, source.size)), source.size)]
    if head.startswith(b"PK\x03\x04") and (arrays := _of_npz(source, largest)):
        return arrays
    if head[8:9] != b"{" and head:  # a single tensor has no name, which a network's tensors have
        archive = pickled(source, head)
        if (alone := tensor_of(archive.content)) is not None:
            return [Array("", alone.shape, lambda: archive.tensor(alone))]
    file = opened(source)
    return [
        Array(name, tuple(shape), lambda name=name: file.tensor(name))  # type: ignore[misc]  # mypy guesses no default
        for name, shape in file.shapes.items()
    ]


def _of_npy(name: str, file: io.BytesIO, size: int) -> Array:
    """An array's header, checked against the bytes that there are."""
    try:
        version = npy.read_magic(file)
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, kind = read_header(file, max_header_size=LARGEST_HEADER)
        start = file.tell()
    except Exception as error:  # numpy raises several kinds on damaged input
        raise _damaged(str(error)) from error
    if kind.hasobject or kind.kind not in REAL:
        raise CannotCompute(f"Expected an array of real numbers, got one of {kind}: save it as float64.")
    if math.prod(shape) * kind.itemsize != size - start:
        raise _damaged("its numbers are more or fewer than it claims")

    def read() -> Tensor:
        values = np.frombuffer(file.getvalue(), kind, offset=start).astype(np.float64)
        return torch.from_numpy(values.reshape(shape, order="F" if fortran else "C").copy())

    return Array(name, tuple(shape), read)


def _of_npz(source: sources.Source, largest: int) -> list[Array]:
    """The arrays of an .npz archive; none where it is an archive of another kind."""
    try:
        archive = zipfile.ZipFile(sources.Stream(source, largest, b"PK\x01\x02", 2 * MOST))
        entries = archive.infolist()
        if not entries or not all(entry.filename.endswith(".npy") for entry in entries):
            return []
        if sum(entry.file_size for entry in entries) > largest:
            raise CannotCompute(f"Expected arrays of up to {largest >> 20:,} MB, got more: save fewer matrices.")
        arrays = []
        for entry in entries:
            with archive.open(entry) as file:
                content = file.read(entry.file_size + 1)
            arrays.append(_of_npy(entry.filename.removesuffix(".npy"), io.BytesIO(content), len(content)))
    except CannotCompute:
        raise
    except Exception as error:  # zipfile and zlib raise many kinds on damaged input
        raise _damaged(str(error)) from error
    return arrays


def _damaged(why: str) -> CannotCompute:
    return CannotCompute(f"Expected a file of numpy, got a damaged one ({why:.80}): save the matrix again.")
