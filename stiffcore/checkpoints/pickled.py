"""Reads a pickle without unpickling: an interpreter for its opcodes that imports, calls and allocates nothing.

Dicts, lists, tuples, text and numbers come out as they are, tensors as descriptions, and every other object as ``Opaque``.
"""

import pickletools
from collections.abc import Callable
from dataclasses import replace
from typing import Any, BinaryIO

from stiffcore.checkpoints.forms import refused
from stiffcore.checkpoints.rebuilt import CALLS, ITEMS, STORAGES, Opaque, called, named
from stiffcore.checkpoints.views import Storage, is_size, type_name
from stiffcore.errors import CannotCompute

LARGEST_PICKLE = 32 << 20  # bytes; ResNet50's is 50 kB, and arrays beside the weights may stand in it
MOST_STEPS = 500_000  # opcodes and copied items, half a second; ResNet50's state dict takes 9,825
LONGEST_SHOWN = 60  # characters of a name in a sentence


class Interpreter:
    """Reads pickles from a stream, one after another. Takes linear time.

    storages: the first description of each storage, by its name. unknown: the first object that was not made.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._steps = 0
        self.storages: dict[str, Storage] = {}
        self.unknown = ""
        self._restart()

    def _restart(self) -> None:
        self.stack: list[Any] = []
        self._marks: list[int] = []  # positions in the stack
        self._memo: dict[int, object] = {}

    def value(self) -> object:
        """The next pickle's value. Raises CannotCompute if no pickler wrote it."""
        self._restart()
        try:
            for opcode, argument, _ in pickletools.genops(self._stream):
                self.spend(1)
                _STEPS[opcode.name](self, argument)
            return self.stack.pop()
        except CannotCompute:
            raise
        except Exception as error:  # it ends early, or an inconsistent stack or memo
            raise refused("a damaged one") from error

    def spend(self, steps: int) -> None:
        """Count the work, so that no file keeps the machine busy."""
        self._steps += steps
        if self._steps > MOST_STEPS:
            raise refused("one that holds far more than a network's tensors")

    def marked(self) -> list:
        """The items above the last mark, taken from the stack."""
        at = self._marks.pop()
        items = self.stack[at:]
        del self.stack[at:]
        return items

    def push(self, value: object) -> None:
        self.stack.append(value)

    def mark(self, _: object) -> None:
        self._marks.append(len(self.stack))

    def pop(self, _: object) -> None:
        if self._marks and self._marks[-1] == len(self.stack):
            self._marks.pop()
        else:
            self.stack.pop()

    def put(self, place: int | None) -> None:
        place = len(self._memo) if place is None else place
        if not 0 <= place < 2**32:  # larger ones could be made to collide in a dict
            raise ValueError("a place that no pickler uses")
        self._memo[place] = self.stack[-1]

    def get(self, place: int) -> None:
        self.push(self._memo[place])

    def tuple_of(self, count: int) -> None:
        if len(self.stack) < count:
            raise ValueError("too few items")
        self.stack[-count:] = [tuple(self.stack[-count:])]

    def set_items(self, items: list) -> None:
        """Names and values, one after the other, into the mapping on top of the stack."""
        target = self.stack[-1]
        if isinstance(target, Opaque):
            target.items = target.items if target.items is not None else {}
            target = target.items
        target.update(named(zip(items[::2], items[1::2], strict=True)))

    def dict_of_marked(self, _: object) -> None:
        items = self.marked()
        self.push({})
        self.set_items(items)

    def set_of_marked(self, _: object) -> None:
        self.marked()
        self.push(Opaque())

    def append(self, items: list) -> None:
        if not isinstance(self.stack[-1], Opaque):
            self.stack[-1].extend(items)

    def named_global(self, text: str) -> None:
        """A module and name with a space between them; never imported."""
        known = text in CALLS or text in ITEMS or text.startswith(("torch ", "torch.storage "))
        self.unknown = self.unknown or ("" if known else text[:LONGEST_SHOWN])
        self.push(Opaque(text[:100]))

    def stack_global(self, _: object) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.named_global(f"{module:.100} {name:.100}")  # an error if either is not text

    def call(self, function: object, arguments: object) -> None:
        """Push what a function or a class would give."""
        self.push(called(function.name if isinstance(function, Opaque) else "", arguments, self.spend))

    def reduce(self, _: object) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        self.call(function, arguments)

    def reduce_with_names(self, _: object) -> None:
        self.stack.pop()
        self.reduce(_)

    def reduce_marked(self, name: str | None) -> None:
        """INST has the class's name as its argument, OBJ the class below the arguments."""
        items = self.marked()
        function = items.pop(0) if name is None else Opaque(name[:100])
        self.call(function, tuple(items))

    def build(self, _: object) -> None:
        state = self.stack.pop()
        if isinstance(self.stack[-1], Opaque):  # a state dict's _metadata is not needed
            self.stack[-1].build(state)

    def storage(self, _: object) -> None:
        """("storage", type, entry, device, numel), in old files with the part that is meant; or a class with its source."""
        claimed = self.stack.pop()
        if isinstance(claimed, tuple) and len(claimed) == 4 and claimed[0] == "module":
            self.push(claimed[1])
            return
        kind, function, entry, _device, numel = claimed[:5]
        if kind != "storage" or not (isinstance(entry, str) and is_size(numel)):
            raise ValueError("another reference")
        name = function.name.split(" ")[-1]
        dtype = STORAGES.get(name) or type_name(name.removesuffix("Storage"))
        first = self.storages.setdefault(entry, Storage(dtype, entry, numel))
        if claimed[5:6] not in ((), (None,)):
            _, begin, count = claimed[5]
            if not (is_size(begin) and is_size(count)):
                raise ValueError("an invalid part of a storage")
            first = replace(first, view=(begin, count))
        self.push(first)


_VALUES = ["BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1", "LONG4", "BINFLOAT", "FLOAT", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "UNICODE", "STRING", "BINSTRING", "SHORT_BINSTRING"]  # fmt: skip
_UNUSED = [
    "BINBYTES",
    "SHORT_BINBYTES",
    "BINBYTES8",
    "BYTEARRAY8",
    "EXT1",
    "EXT2",
    "EXT4",
    "PERSID",
    "NEXT_BUFFER",
    "EMPTY_SET",
]
_STEPS: dict[str, Callable[[Interpreter, Any], object]] = {
    **dict.fromkeys(_VALUES, Interpreter.push),
    **dict.fromkeys(_UNUSED, lambda machine, _: machine.push(Opaque())),
    **dict.fromkeys(("PROTO", "FRAME", "STOP", "READONLY_BUFFER"), lambda machine, _: None),
    "NONE": Interpreter.push,  # its argument is None
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "MARK": Interpreter.mark,
    "POP": Interpreter.pop,
    "POP_MARK": lambda machine, _: machine.marked(),
    "DUP": lambda machine, _: machine.push(machine.stack[-1]),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), Interpreter.put),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), Interpreter.get),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.marked())),
    "LIST": lambda machine, _: machine.push(machine.marked()),
    "DICT": Interpreter.dict_of_marked,
    "FROZENSET": Interpreter.set_of_marked,
    "ADDITEMS": lambda machine, _: machine.marked(),
    "SETITEM": lambda machine, _: machine.set_items([machine.stack.pop(-2), machine.stack.pop()]),
    "SETITEMS": lambda machine, _: machine.set_items(machine.marked()),
    "APPEND": lambda machine, _: machine.append([machine.stack.pop()]),
    "APPENDS": lambda machine, _: machine.append(machine.marked()),
    "GLOBAL": Interpreter.named_global,
    "STACK_GLOBAL": Interpreter.stack_global,
    "REDUCE": Interpreter.reduce,
    "NEWOBJ": Interpreter.reduce,
    "NEWOBJ_EX": Interpreter.reduce_with_names,
    "INST": Interpreter.reduce_marked,
    "OBJ": Interpreter.reduce_marked,
    "BUILD": Interpreter.build,
    "BINPERSID": Interpreter.storage,
}  # fmt: skip
