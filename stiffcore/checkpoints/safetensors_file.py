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

from stiffcore.checkpoints.torch_archive import MOST_SIDES
from stiffcore.errors import CannotCompute

LARGEST_HEADER = 1 << 20  # bytes; ResNet50's is 30 kB
DTYPES = {
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
    "I64": torch.int64,
    "I32": torch.int32,
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

    def __init__(self, content: bytes):
        length = int.from_bytes(content[:8], "little")
        if len(content) < 10 or length > min(LARGEST_HEADER, len(content) - 8) or content[8:9] != b"{":
            raise _refused("no such header")
        self._content = content
        try:
            header = json.loads(content[8 : 8 + length])
            header.pop("__metadata__", None)
            self.tensors = {name: _listed(about, 8 + length) for name, about in header.items()}
            _check_gaps(self.tensors.values(), 8 + length, len(content))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise _refused(f"a damaged header: {error!s:.60}") from error

    def tensor(self, name: str) -> Tensor:
        """A copy of one tensor."""
        listed = self.tensors[name]
        if isinstance(listed.dtype, str):
            raise _refused(f"a tensor of type {listed.dtype}")
        numbers = bytearray(memoryview(self._content)[listed.begin : listed.end])
        return torch.frombuffer(numbers, dtype=listed.dtype).reshape(listed.shape)


def _listed(about: dict, start: int) -> Listed:
    shape, (begin, end) = about["shape"], about["data_offsets"]
    if not isinstance(shape, list) or len(shape) > MOST_SIDES:
        raise ValueError(f"a shape of more than {MOST_SIDES} numbers")
    if not all(type(n) is int and 0 <= n < 2**40 for n in (*shape, begin, end)):
        raise ValueError("an invalid shape or offset")
    dtype = DTYPES.get(about["dtype"], str(about["dtype"])[:12])
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
        raise ValueError(f"{size - start:,} bytes of numbers, not {at - start:,}")


def _refused(got: str) -> CannotCompute:
    return CannotCompute(
        f"Expected a safetensors file or a PyTorch state dict, got neither ({got}): use another file, or save this one again."
    )
