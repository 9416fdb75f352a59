"""Reads a safetensors file: checks the header first, then reads the numbers of one tensor at a time, on request.

    8 bytes n, little endian | n bytes of JSON: name -> dtype, shape, data_offsets | the tensors' numbers, without gaps

The safetensors library reads all tensors at once, and refuses files with types that no network's weights have.
"""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from stiffcore.checkpoints.sources import Source
from stiffcore.checkpoints.views import MOST_SIDES, type_name, typed
from stiffcore.errors import CannotCompute

LARGEST_HEADER = 1 << 20  # bytes; ResNet50's is 30 kB
DTYPES = {
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
    "I64": torch.int64,
    "I32": torch.int32,
    "BOOL": torch.bool,  # masks
    "U8": torch.uint8,
}


@dataclass(frozen=True)
class Listed:
    """A tensor as the header describes it. dtype: torch's, or the file's name for a type that weights do not have."""

    dtype: torch.dtype | str
    shape: tuple[int, ...]
    begin: int  # in bytes, from the file's beginning
    end: int


class SafetensorsFile:
    """A file with a checked header. ``tensors``: by name. Raises CannotCompute for a damaged file."""

    form = "safetensors"

    def __init__(self, source: Source):
        start = source.read(0, min(source.size, 9))
        length = int.from_bytes(start[:8], "little")
        if source.size < 10 or length > min(LARGEST_HEADER, source.size - 8) or start[8:] != b"{":
            raise _refused("no such header, or only the beginning of one")
        self._source = source
        try:
            header = json.loads(source.read(8, 8 + length))
            header.pop("__metadata__", None)
            self.tensors = {name: _listed(about, 8 + length) for name, about in header.items()}
            _check_gaps(self.tensors.values(), 8 + length, source.size)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise _refused(f"a damaged header: {error!s:.100}") from error

    def tensor(self, name: str) -> Tensor:
        """A copy of one tensor."""
        listed = self.tensors[name]
        if isinstance(listed.dtype, str):
            raise _refused(f"a tensor of type {listed.dtype}")
        numbers = bytearray(self._source.read(listed.begin, listed.end))
        return typed(numbers, listed.dtype).reshape(listed.shape)


def _listed(about: dict, start: int) -> Listed:
    shape, (begin, end) = about["shape"], about["data_offsets"]
    if not isinstance(shape, list) or len(shape) > MOST_SIDES:
        raise ValueError(f"a shape of more than {MOST_SIDES} numbers")
    if not all(type(n) is int and 0 <= n < 2**40 for n in (*shape, begin, end)):
        raise ValueError("an invalid shape or offset")
    dtype = DTYPES.get(about["dtype"], type_name(str(about["dtype"])))
    if isinstance(dtype, torch.dtype) and end - begin != math.prod(shape) * dtype.itemsize:
        raise ValueError("a tensor that claims more or other numbers than it has")
    return Listed(dtype, tuple(shape), start + begin, start + end)


def _check_gaps(listed: Iterable[Listed], start: int, size: int) -> None:
    """Each tensor begins where another ends, and the last ends with the file: no shared bytes, nothing hidden."""
    at = start
    for begin, end in sorted((tensor.begin, tensor.end) for tensor in listed):
        if begin != at or end < begin:
            raise ValueError("tensors that overlap, or with gaps between them")
        at = end
    if at != size:
        cut = ", so the end of the file is missing" if at > size else ""
        raise ValueError(f"{size - start:,} bytes of numbers, not {at - start:,}{cut}")


def _refused(got: str) -> CannotCompute:
    return CannotCompute(
        f"Expected a safetensors file or a PyTorch state dict, got neither ({got}): use another file, or save this one again."
    )
