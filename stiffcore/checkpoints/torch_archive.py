"""Reads a PyTorch state dict without unpickling: interprets what ``torch.save`` wrote, and builds only tensors.

``torch.load(weights_only=True)`` still allocates any size that a file claims. Here the pickle in the archive is read opcode by
opcode into plain values and descriptions of tensors; it cannot import, call or allocate anything.
"""

import io
import math
import pickletools
import zipfile
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from stiffcore.errors import CannotCompute

LARGEST_PICKLE = 1 << 20  # bytes; ResNet50's is 50 kB
MOST_ENTRIES = 5000  # in the archive; ResNet50 has 330
MOST_SIDES = 8  # of a tensor's shape; a weight has up to 4
STORAGES = {
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "DoubleStorage": torch.float64,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    # Not types of weights, but of other content of a checkpoint: masks, a random generator's state.
    "ByteStorage": torch.uint8,
    "CharStorage": torch.int8,
    "ShortStorage": torch.int16,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
}
ORDERED_DICT, REBUILD_TENSOR, REBUILD_PARAMETER = (
    "collections OrderedDict",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_parameter",
)
KNOWN = {ORDERED_DICT, REBUILD_TENSOR, REBUILD_PARAMETER} | {f"torch {name}" for name in STORAGES}


@dataclass(frozen=True)
class Name:
    """A module and name that a pickle refers to; never imported."""

    text: str


@dataclass(frozen=True)
class Storage:
    """The numbers behind tensors: an entry of the archive and what it claims to hold."""

    dtype: torch.dtype
    entry: str
    numel: int


@dataclass(frozen=True)
class Described:
    """A tensor as the pickle describes it."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


def refused(got: str) -> CannotCompute:
    """The error of every refused PyTorch file."""
    return CannotCompute(
        f"Expected a PyTorch state dict, got {got}: save it with torch.save(model.state_dict(), file), or as safetensors."
    )


class StateDictArchive:
    """A state dict's archive, opened and checked. ``content`` is the value of its pickle: dicts, numbers, text and
    ``Described`` tensors. Raises CannotCompute for anything else."""

    def __init__(self, content: bytes):
        if content.count(b"PK\x01\x02") > MOST_ENTRIES:
            raise refused("an archive of too many entries")
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(content))
            self._entries = {info.filename: info for info in self._zip.infolist()}
        except Exception as error:  # zipfile raises many kinds on damaged input
            raise refused("a damaged archive") from error
        self._check_entries(len(content))
        pickles = [name for name in self._entries if name.endswith("/data.pkl") and name.count("/") == 1]
        if len(pickles) != 1:
            raise refused("an archive of something else")
        self._root = pickles[0].removesuffix("data.pkl")
        if self._entries[pickles[0]].file_size > LARGEST_PICKLE:
            raise refused("one whose list of tensors is far too long")
        if f"{self._root}byteorder" in self._entries and self._read(f"{self._root}byteorder") != b"little":
            raise refused("one from a big-endian machine")
        self.content = _interpreted(self._read(pickles[0]))

    def _check_entries(self, size: int) -> None:
        """Accept only entries without compression, as torch writes them: no file expands, and no two entries share bytes."""
        entries = self._zip.infolist()
        if len(self._entries) != len(entries):
            raise refused("an archive with the same entry twice")
        plain = all(e.compress_type == zipfile.ZIP_STORED and e.file_size == e.compress_size for e in entries)
        if not plain or any(e.flag_bits & 1 for e in entries):
            raise refused("a compressed or encrypted archive")
        if sum(e.file_size for e in entries) > size:
            raise refused("an archive that expands")

    def _read(self, name: str) -> bytes:
        try:
            return self._zip.read(name)
        except Exception as error:  # checksum, truncation, a header that disagrees
            raise refused("a damaged archive") from error

    def tensor(self, described: Described) -> Tensor:
        """A copy of the tensor. Check its shape first: the copy is as large as the shape says."""
        storage, name = described.storage, f"{self._root}data/{described.storage.entry}"
        if name not in self._entries or self._entries[name].file_size != storage.numel * storage.dtype.itemsize:
            raise refused("a tensor whose numbers are missing or of another size")
        sides = list(zip(described.shape, described.stride, strict=True))
        last = sum((n - 1) * step for n, step in sides)  # number that the strides reach
        if (
            described.offset
            or math.prod(described.shape) != storage.numel
            or last >= storage.numel
            or 0 in described.shape
        ):
            raise refused("a tensor that claims more or other numbers than it has")
        numbers = torch.frombuffer(bytearray(self._read(name)), dtype=storage.dtype)
        return numbers.as_strided(described.shape, described.stride).clone(memory_format=torch.contiguous_format)


_IGNORED = {"PROTO", "FRAME", "STOP"}
_VALUES = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINBYTES", "SHORT_BINBYTES"}  # fmt: skip
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def _interpreted(pickled: bytes) -> object:
    """The value of a pickle that holds only dicts, lists, tuples, numbers, text and tensors; takes linear time."""
    machine = _Machine()
    try:
        for opcode, argument, _ in pickletools.genops(pickled):
            machine.step(opcode.name, argument)
        (value,) = machine.stack
    except CannotCompute:
        raise
    except Exception as error:  # an inconsistent stack or memo: no pickler wrote it
        raise refused("a damaged one") from error
    return value


class _Machine:
    """The part of the pickle machine that state dicts need, for protocols 2 to 5."""

    def __init__(self) -> None:
        self.stack: list = []
        self.marks: list[int] = []  # positions in the stack
        self.memo: dict[int, object] = {}

    def step(self, opcode: str, argument: Any) -> None:
        """Execute one opcode; refuse those that dicts of tensors, numbers and text do not need."""
        stack = self.stack
        if opcode in _VALUES:
            stack.append(argument)
        elif opcode in _CONSTANTS:
            stack.append(_CONSTANTS[opcode])
        elif opcode in _TUPLES:
            count = _TUPLES[opcode]
            stack[-count:] = [tuple(stack[-count:])]
        elif opcode in ("EMPTY_DICT", "EMPTY_LIST"):
            stack.append({} if opcode == "EMPTY_DICT" else [])
        elif opcode == "MARK":
            self.marks.append(len(stack))
        elif opcode in ("TUPLE", "SETITEMS", "SETITEM", "APPENDS", "APPEND"):
            self._gather(opcode)
        elif opcode in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
            self.memo[len(self.memo) if opcode == "MEMOIZE" else argument] = stack[-1]
        elif opcode in ("BINGET", "LONG_BINGET"):
            stack.append(self.memo[argument])
        elif opcode == "GLOBAL":
            stack.append(_name(argument))
        elif opcode == "STACK_GLOBAL":
            name, module = stack.pop(), stack.pop()
            stack.append(_name(f"{module:.100} {name:.100}"))  # ValueError if either is not text
        elif opcode == "BINPERSID":
            stack.append(_storage(stack.pop()))
        elif opcode == "REDUCE":
            arguments, called = stack.pop(), stack.pop()
            stack.append(_called(called.text, arguments))
        elif opcode == "BUILD":  # a state dict's _metadata: not needed
            stack.pop()
        elif opcode not in _IGNORED:
            raise refused(f"one with the instruction {opcode}, which no state dict needs")

    def _gather(self, opcode: str) -> None:
        """Move items from the stack into a tuple, a dict or a list."""
        stack = self.stack
        at = {"SETITEM": len(stack) - 2, "APPEND": len(stack) - 1}.get(opcode)
        at = self.marks.pop() if at is None else at
        items = stack[at:]
        del stack[at:]
        if opcode == "TUPLE":
            stack.append(tuple(items))
        elif opcode in ("APPENDS", "APPEND"):
            stack[-1].extend(items)
        elif all(isinstance(name, (str, int)) for name in items[::2]):  # hashing a nested tuple may never end
            stack[-1].update(zip(items[::2], items[1::2], strict=True))
        else:
            raise refused("one with names that are neither text nor integers")


def _name(text: str) -> Name:
    """One of the few names that stand for tensors and dicts; it is not imported."""
    if text not in KNOWN:
        raise refused(f"one that refers to {text[:60]!r}, an object or code, which is never loaded")
    return Name(text)


def _storage(claimed: tuple) -> Storage:
    """("storage", type, entry, device, numel) -> Storage."""
    _, kind, entry, _, numel = claimed
    if not (isinstance(entry, str) and _is_size(numel)):
        raise refused("a damaged one")
    return Storage(STORAGES[kind.text.removeprefix("torch ")], entry, numel)


def _called(name: str, arguments: tuple) -> object:
    """The result of one of the three functions that torch.save refers to."""
    if name == ORDERED_DICT and arguments == ():
        return {}
    if name == REBUILD_PARAMETER and isinstance(arguments[0], Described):
        return arguments[0]
    if name == REBUILD_TENSOR:
        storage, offset, shape, stride = arguments[:4]
        sizes = all(isinstance(s, tuple) and len(s) <= MOST_SIDES and all(map(_is_size, s)) for s in (shape, stride))
        if isinstance(storage, Storage) and _is_size(offset) and sizes and len(shape) == len(stride):
            return Described(storage, offset, shape, stride)
    raise refused("a damaged one")


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**62
