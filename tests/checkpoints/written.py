"""Writes checkpoint files in every form, well-formed and not, for the tests of this folder."""

import io
import json
import os
import pickle
import struct
import zipfile

import torch


def saved(value: object, protocol: int = 2) -> bytes:
    """In the form that torch.save writes."""
    file = io.BytesIO()
    torch.save(value, file, pickle_protocol=protocol)
    return file.getvalue()


def old(value: object) -> bytes:
    """In the form of torch before 1.6."""
    file = io.BytesIO()
    torch.save(value, file, _use_new_zipfile_serialization=False)
    return file.getvalue()


def repacked(content: bytes, change, compression=zipfile.ZIP_STORED) -> bytes:
    """The archive with ``change(name, bytes) -> bytes | None`` applied to its entries."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(file, "w", compression) as new:
        for name in old.namelist():
            changed = change(name, old.read(name))
            if changed is not None:
                new.writestr(name, changed)
    return file.getvalue()


def with_pickle(pickled: bytes, content: bytes | None = None) -> bytes:
    """A pickle in an archive of torch's form."""
    content = saved({"a": torch.zeros(1)}) if content is None else content
    return repacked(content, lambda name, old: pickled if name.endswith("data.pkl") else old)


def pickle_of(content: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl")))


class Trap:
    """Its pickle creates a folder when it is loaded."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder / "executed"),)


def header_only(header: dict, data: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def of_floats(shape, begin=0, count=1) -> dict:
    return {"dtype": "F32", "shape": shape, "data_offsets": [4 * begin, 4 * (begin + count)]}


def legacy(pickle_of_content: bytes, rest: bytes = b"\x80\x02].") -> bytes:
    """A file of torch before 1.6 with any pickle in it."""
    head = b"".join(pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))
    return head + pickle_of_content + rest


def with_storage(numel: bytes, rest: bytes) -> bytes:
    """One tensor "a" of torch before 1.6: its storage's claimed size as an opcode, and offset, shape and stride."""
    storage = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu" + numel + b"NtQ"
    return (
        b"\x80\x02}X\x01\x00\x00\x00actorch._utils\n_rebuild_tensor_v2\n("
        + storage
        + rest
        + b"\x89ccollections\nOrderedDict\n)RtRs."
    )


FORMS = {"zip": saved, "before 1.6": old}
