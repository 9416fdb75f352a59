"""What the functions give that a PyTorch file's pickle refers to by name: dicts, tensors, and opaque objects for the rest.

None of them is imported or called; ``CALLS`` says for each what its result is.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from stiffcore.checkpoints.views import Described, Storage, described, type_name

MOST_ARGUMENTS = 8
STORAGES: dict[str, torch.dtype | str] = {
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
    "UntypedStorage": torch.uint8,  # the tensor says of which type it is
}


def _without_storage() -> dict[str, torch.dtype]:
    """The types whose storages have no name of their own, by their names in a pickle."""
    names = ["uint16", "uint32", "uint64", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz"]
    return {f"torch {name}": getattr(torch, name) for name in names}


TYPES = _without_storage()


class Opaque:
    """An object that is not made. items: of a mapping. tensor: of an object that is one. state: the attributes' dict."""

    __slots__ = ("items", "name", "state", "tensor")

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.items: dict[str, object] | None = None
        self.state: dict[str, object] | None = None
        self.tensor: Described | None = None

    def build(self, state: object) -> None:
        """Keep the attributes. The first versions of torch wrote tensors as objects whose state describes them."""
        if isinstance(state, dict):
            self.state = state
        elif self.name.startswith("torch ") and isinstance(state, tuple) and len(state) == 4:
            self.tensor = described(*state)


def tensor_of(value: object) -> Described | None:
    """The tensor that a value is."""
    value = value.tensor if isinstance(value, Opaque) else value
    return value if isinstance(value, Described) else None


def named(items: Any) -> dict[str, object]:
    """The items whose name is text. Others name no tensor, and hashing them may take for ever."""
    return {name: value for name, value in items if isinstance(name, str)}


def called(name: str, arguments: object, spend: Callable[[int], None]) -> object:
    """The result of a call. spend: counts the items that are copied."""
    made: object = None
    if name in ITEMS and isinstance(arguments, tuple):
        made = _mapping(spend, *arguments[:MOST_ARGUMENTS])
    elif name in CALLS and isinstance(arguments, tuple):
        made = CALLS[name](*arguments[:MOST_ARGUMENTS])
    return Opaque(name) if made is None else made


def _mapping(spend: Callable[[int], None], items: object = (), *_: object) -> dict[str, object]:
    if isinstance(items, (list, tuple)):
        spend(len(items))
        return named(pair for pair in items if isinstance(pair, (list, tuple)) and len(pair) == 2)
    return items if isinstance(items, dict) else {}


def _object(kind: object = None, base: object = None, state: object = None, *_: object) -> Opaque:
    """copyreg's: an object whose base may be a dict."""
    made = Opaque(kind.name if isinstance(kind, Opaque) else "")
    made.items = state if isinstance(state, dict) else None
    return made


def _tensor(*arguments: Any) -> Described | None:
    """storage, offset, shape, stride, requires_grad, hooks, metadata: that of a conjugated or negated view."""
    tensor = described(*arguments[:4]) if len(arguments) >= 4 else None
    if tensor and len(arguments) > 6 and arguments[6]:
        return replace(tensor, dtype="conjugated or negated")
    return tensor


def _tensor_of_new_type(*arguments: Any) -> Described | None:
    """storage, offset, shape, stride, requires_grad, hooks, type, metadata."""
    tensor = described(*arguments[:4]) if len(arguments) >= 7 else None
    kind = arguments[6].name if tensor and isinstance(arguments[6], Opaque) else ""
    return replace(tensor, dtype=TYPES.get(kind) or type_name(kind.removeprefix("torch "))) if tensor else None


def _kind(kind: str, shape: object) -> Described | None:
    """A tensor without ordinary numbers: it is listed, so that the refusal of it can say what it is."""
    return described(Storage(kind, "", 0), 0, shape, shape)


def _sparse(layout: object = None, data: object = (), *_: object) -> Described | None:
    """layout; indices, values and shape, or two tensors of indices, values and shape."""
    shapes = [part for part in data[2:4] if isinstance(part, tuple)] if isinstance(data, tuple) else []
    return _kind("sparse", shapes[0]) if shapes else None


def _parameter(value: object = None, *_: object) -> Described | None:
    return tensor_of(value)


def _size(value: object = None, *_: object) -> object:
    return value if isinstance(value, tuple) else None


def _of_type(function: object = None, kind: object = None, arguments: object = (), *_: object) -> object:
    """A tensor of a subclass, or with attributes: the function that makes it, and its arguments."""
    name = function.name if isinstance(function, Opaque) else ""
    if name in CALLS and CALLS[name] is not _of_type and isinstance(arguments, tuple):
        return CALLS[name](*arguments[:MOST_ARGUMENTS])
    return None


def _on_device(value: object = None, kind: object = None, *_: object) -> Described | None:
    """A tensor of another device, from one in memory of a certain type."""
    tensor = tensor_of(value)
    same = tensor and isinstance(kind, Opaque) and kind.name == str(tensor.dtype).replace(".", " ")
    return tensor if same else None


ITEMS = {"collections OrderedDict", "collections Counter", "builtins dict", "__builtin__ dict"}
CALLS: dict[str, Callable[..., object]] = {
    "collections defaultdict": lambda *_: {},
    "copyreg _reconstructor": _object,
    "copy_reg _reconstructor": _object,
    "torch._utils _rebuild_tensor": _tensor,
    "torch._utils _rebuild_tensor_v2": _tensor,
    "torch._utils _rebuild_tensor_v3": _tensor_of_new_type,
    "torch._utils _rebuild_parameter": _parameter,
    "torch._utils _rebuild_parameter_with_state": _parameter,
    "torch.nn.parameter Parameter": _parameter,
    "torch Size": _size,
    "torch._utils _rebuild_device_tensor_from_cpu_tensor": _on_device,
    "torch._utils _rebuild_qtensor": lambda *arguments: (
        _kind("quantised", arguments[2]) if len(arguments) > 2 else None
    ),
    "torch._utils _rebuild_sparse_tensor": _sparse,
    "torch._utils _rebuild_meta_tensor_no_storage": lambda *arguments: (
        _kind("without numbers", arguments[1]) if len(arguments) > 1 else None
    ),
    "torch._tensor _rebuild_from_type_v2": _of_type,
    "torch._tensor _rebuild_from_type": _of_type,
}
