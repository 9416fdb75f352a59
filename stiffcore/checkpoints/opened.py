"""Opens a checkpoint in any form that is read: its list of tensors first, then the numbers of one tensor at a time."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from stiffcore.checkpoints import forms, names as checkpoint_names, sources
from stiffcore.checkpoints.forms import refused
from stiffcore.checkpoints.rebuilt import Opaque, tensor_of
from stiffcore.checkpoints.safetensors_file import SafetensorsFile
from stiffcore.checkpoints.torch_archive import OldTorchFile, TorchArchive
from stiffcore.checkpoints.views import Described

PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"L11954703714603880133")  # the last: as text


@dataclass(frozen=True)
class Opened:
    """A file's tensors by name, before any number is read. types: torch's, or a name for one that weights do not have.
    tensor: reads one by its name, a contiguous copy."""

    form: str
    shapes: Mapping[str, tuple[int, ...]]
    types: Mapping[str, torch.dtype | str]
    tensor: Callable[[str], Tensor]


def opened(content: "bytes | Path | sources.Source") -> Opened:
    """The tensors of an upload, or of the file of a path. Those of dicts and lists within dicts get prefixes, ``model.0.``.

    Executes nothing in the file, and takes memory for the list alone. Raises CannotCompute, with one sentence that names what
    the file is.
    """
    source = sources.of(content)
    head = source.read(0, min(source.size, forms.HEAD))
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= 2**40:
        file = SafetensorsFile(source)
        listed = file.tensors
        return Opened(
            file.form, {k: t.shape for k, t in listed.items()}, {k: t.dtype for k, t in listed.items()}, file.tensor
        )
    archive = pickled(source, head)
    tensors = _tensors(archive.content)
    if not tensors:
        raise refused(_instead(archive))
    return Opened(
        archive.form,
        {name: described.shape for name, described in tensors.items()},
        {name: described.dtype for name, described in tensors.items()},
        lambda name: archive.tensor(tensors[name]),
    )


def pickled(source: sources.Source, head: bytes) -> TorchArchive | OldTorchFile:
    """A file of torch.save, new or old. head: its first bytes. Raises CannotCompute for another file, and names it."""
    if head.startswith(b"PK\x03\x04"):
        return TorchArchive(source)
    if head.startswith(PICKLES):
        return OldTorchFile(source)
    tail = source.read(max(0, source.size - forms.TAIL), source.size)
    raise forms.of_bytes(head, tail) or refused("a file of another kind")


def _instead(archive: TorchArchive | OldTorchFile) -> str:
    """What a file without named tensors holds."""
    if tensor := tensor_of(archive.content):
        return f"a single tensor of shape {tensor.shape}"
    if archive.unknown:
        return f"one without a network's tensors, which refers to {archive.unknown!r}, an object or code, which is never loaded"
    return "one without a network's tensors"


def _tensors(content: object) -> dict[str, Described]:
    """The tensors by name, those of nested dicts, lists and modules too, whose names become prefixes.

    Each container is visited once, and no long name is built: a pickle may refer to either 100,000 times.
    """
    tensors: dict[str, Described] = {}
    waiting, seen = deque([("", "", content)]), {id(content)}
    while waiting:
        before, last, container = waiting.popleft()
        prefix = f"{before}{last}." if last else before
        for name, value in _items(container):
            is_short = len(prefix) + len(name) <= checkpoint_names.LONGEST_NAME
            if tensor := tensor_of(value):
                if isinstance(container, (list, tuple)):
                    continue  # it has no name
                if not is_short or len(tensors) >= checkpoint_names.MOST_TENSORS:
                    raise refused("one with far longer names, or more tensors, than a network's")
                tensors.setdefault(f"{prefix}{name}", tensor)
            elif is_short and isinstance(value, (dict, list, tuple, Opaque)) and id(value) not in seen:
                seen.add(id(value))
                waiting.append((prefix, name, value))
    return tensors


def _items(container: object) -> Iterator[tuple[str, object]]:
    """Names and values in a container; the parts of a pickled module have its own names."""
    if isinstance(container, Opaque):
        state = container.state or {}
        yield from (container.items or {}).items()
        if isinstance(state.get("_modules"), dict):
            yield from (("", state.get(part)) for part in ("_parameters", "_buffers", "_modules"))
    elif isinstance(container, dict):
        yield from container.items()
    elif isinstance(container, (list, tuple)):
        yield from ((str(number), value) for number, value in enumerate(container))
