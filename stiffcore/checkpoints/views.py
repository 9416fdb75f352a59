"""Tensors as a file describes them, and their numbers: a tensor may be a view of a part of a larger storage."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from stiffcore.checkpoints.forms import refused

MOST_SIDES = 8  # of a tensor's shape; a weight has up to 4
LARGEST_PIECE = 16 << 20  # bytes that are read at a time where a view leaves gaps


@dataclass(frozen=True, slots=True)
class Storage:
    """The numbers behind tensors: where they stand in the file, and what is claimed of them. A name stands for a type that
    weights do not have. view: first number and count of the part that is meant, in old files; by default all."""

    dtype: torch.dtype | str
    entry: str
    numel: int
    view: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Described:
    """A tensor as the file describes it. dtype: a name for a kind that weights do not have, such as sparse."""

    storage: Storage
    dtype: torch.dtype | str
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


def described(storage: object, offset: object, shape: object, stride: object) -> Described | None:
    """The tensor, or None if these do not describe one."""
    sizes = all(isinstance(s, tuple) and len(s) <= MOST_SIDES and all(map(is_size, s)) for s in (shape, stride))
    if not (sizes and isinstance(storage, Storage) and is_size(offset) and len(shape) == len(stride)):  # type: ignore[arg-type]
        return None
    return Described(storage, storage.dtype, offset, shape, stride)  # type: ignore[arg-type]


def type_name(text: str) -> str:
    """The name of a type, for a sentence; a file may call it anything."""
    return text if text.isidentifier() and len(text) <= 30 else "an unknown type"


def is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**62


def numbers(tensor: Described, read: Callable[[int, int], bytes]) -> Tensor:
    """A copy of the tensor, contiguous. read: the storage's bytes from one position to another.

    Raises CannotCompute unless every number of the tensor is another number of its storage: the copy is never larger than
    the file.
    """
    storage = tensor.storage
    if not isinstance(tensor.dtype, torch.dtype) or not isinstance(storage.dtype, torch.dtype):
        raise refused(f"a tensor that is {tensor.dtype}")
    first, count = storage.view or (0, storage.numel)
    size = tensor.dtype.itemsize
    available = count * storage.dtype.itemsize // size  # numbers; a storage without a type counts bytes
    sides = [(n, step) for n, step in zip(tensor.shape, tensor.stride, strict=True) if n > 1]
    reach = 1
    for n, step in sorted(sides, key=lambda side: side[1]):
        if step < reach and 0 not in tensor.shape:
            raise refused("a tensor that claims more or other numbers than it has")
        reach += (n - 1) * step
    if tensor.offset + (0 if 0 in tensor.shape else reach) > available or first + count > storage.numel:
        raise refused("a tensor that claims more or other numbers than it has")
    start = first * storage.dtype.itemsize

    def part(begin: int, end: int) -> Tensor:
        return typed(bytearray(read(start + begin * size, start + end * size)), tensor.dtype)  # type: ignore[arg-type]

    if 0 in tensor.shape:
        return _empty(tensor.shape, tensor.dtype)
    if reach * size <= max(LARGEST_PIECE, 2 * size * math.prod(tensor.shape)):
        return part(tensor.offset, tensor.offset + reach).as_strided(tensor.shape, tensor.stride).contiguous()
    result = torch.empty(tensor.shape, dtype=tensor.dtype)
    _gather(result, tensor.offset, tensor.stride, part)
    return result


def _gather(into: Tensor, offset: int, stride: tuple[int, ...], part: Callable[[int, int], Tensor]) -> None:
    """Fill a tensor from a view with gaps: halve its longest stride until what it spans can be read at once."""
    span = 1 + sum((n - 1) * step for n, step in zip(into.shape, stride, strict=True))
    if span * into.element_size() <= LARGEST_PIECE or into.numel() == 1:
        into.copy_(part(offset, offset + span).as_strided(into.shape, stride))
        return
    side = max((d for d in range(into.ndim) if into.shape[d] > 1), key=lambda d: stride[d])
    half = into.shape[side] // 2
    _gather(into.narrow(side, 0, half), offset, stride, part)
    _gather(into.narrow(side, half, into.shape[side] - half), offset + half * stride[side], stride, part)


def typed(content: bytearray, dtype: torch.dtype) -> Tensor:
    """The numbers in these bytes, without a copy."""
    if not content:
        return torch.empty(0, dtype=dtype)
    if dtype == torch.bool:  # a byte other than 0 and 1 is no bool
        return torch.frombuffer(content, dtype=torch.uint8) != 0
    return torch.frombuffer(content, dtype=dtype)


def _empty(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    try:
        return torch.empty(shape, dtype=dtype)
    except RuntimeError as error:  # sides whose product overflows
        raise refused("a tensor that claims more or other numbers than it has") from error


def swapped(tensor: Tensor) -> Tensor:
    """The tensor with the bytes of each number in the other order."""
    size = tensor.element_size() // (2 if tensor.is_complex() else 1)
    return (
        tensor.view(torch.uint8).unflatten(-1, (-1, size)).flip(-1).flatten(-2).view(tensor.dtype)
        if tensor.numel()
        else tensor
    )
