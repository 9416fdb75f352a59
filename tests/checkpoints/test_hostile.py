"""Hostile checkpoint files: each is refused in one sentence or read as what it is, quickly, and nothing in it is executed."""

import argparse
import pickle
import re
import struct
import time
import tracemalloc

import numpy as np
import pytest
import torch

from stiffcore.checkpoints import opened as opening
from stiffcore.errors import CannotCompute
from tests.checkpoints.written import (
    FORMS,
    Trap,
    header_only,
    legacy,
    of_floats,
    pickle_of,
    repacked,
    saved,
    with_pickle,
    with_storage,
)

# Hostile forms: name -> the bytes. Each is refused with one sentence, or read as tensors of its own size.


KEYS = pickle.dumps(["0"], 2)
FULL = b"\x80\x02}(X\x01\x00\x00\x00aK\x01u"  # a dict that is not closed
CALLED = b"ccollections\nOrderedDict\n"
HOSTILE = {
    "code in an old file": lambda folder: legacy(pickle.dumps({"a": Trap(folder)}, 2)),
    "code as the magic number": lambda folder: pickle.dumps(Trap(folder), 2) * 5,
    "code as the list of storages": lambda folder: legacy(b"\x80\x02}.", pickle.dumps([Trap(folder)], 2)),
    "code by INST": lambda folder: with_pickle(b"\x80\x02(X\x01\x00\x00\x00xios\nsystem\n."),
    "code by OBJ": lambda folder: with_pickle(b"\x80\x02(cos\nsystem\nX\x01\x00\x00\x00xo."),
    "code by a reduced name": lambda folder: with_pickle(b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x01x\x85R."),
    "code by NEWOBJ_EX": lambda folder: with_pickle(b"\x80\x04cos\nsystem\n)}\x92."),
    "code by an extension": lambda folder: with_pickle(b"\x80\x02\x82\x01)R."),
    "code in the state of an object": lambda folder: with_pickle(b"\x80\x02cposix\nsystem\n)\x81}X\x0c\x00\x00\x00__setstate__cos\nsystem\nsb."),
    "code as the maker of a tensor": lambda folder: with_pickle(b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\n(cos\nsystem\nctorch\nTensor\nX\x01\x00\x00\x00x\x85}tR."),
    "code as the default of a dict": lambda folder: with_pickle(b"\x80\x02ccollections\ndefaultdict\ncos\nsystem\n\x85R."),
    "a maker of a tensor that makes itself": lambda folder: with_pickle(b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\nq\x00(h\x00Nh\x00tR."),
    "objects in objects": lambda folder: with_pickle(b"\x80\x02" + b"cx\ny\n" * 100_000 + b")R" * 1 + b"\x85R" * 99_999 + b"."),
    "states in states": lambda folder: with_pickle(b"\x80\x02" + b"cx\ny\n)R}X\x01\x00\x00\x00a" * 60_000 + b"N" + b"sb" * 60_000 + b"."),
    "an object that is its own state": lambda folder: with_pickle(b"\x80\x02cx\ny\n)Rq\x00h\x00bh\x00h\x00s" + b"."),
    "a dict in itself": lambda folder: with_pickle(b"\x80\x02}q\x00X\x01\x00\x00\x00ah\x00s."),
    "a list in itself": lambda folder: with_pickle(b"\x80\x02]q\x00h\x00a."),
    "a module in itself": lambda folder: with_pickle(b"\x80\x02cx\ny\n)Rq\x00}(X\x08\x00\x00\x00_modules}X\x01\x00\x00\x00mh\x00sX\x0b\x00\x00\x00_parametersh\x00ub."),
    "hundreds of thousands of references": lambda folder: with_pickle(b"\x80\x02}q\x00(" + b"h\x00" * 200_000 + b"l."),
    "the same long list copied": lambda folder: with_pickle(b"\x80\x02](" + b"N" * 100_000 + b"e\x85q\x000" + CALLED + b"q\x010" + b"h\x01h\x00R0" * 100_000 + b"N."),
    "the same long dict copied": lambda folder: with_pickle(FULL + b"\x85q\x000" + CALLED + b"q\x010" + b"h\x01h\x00R0" * 200_000 + b"N."),
    "the same long tuple as a storage": lambda folder: with_pickle(b"\x80\x02(" + b"N" * 300_000 + b"tq\x000" + b"h\x00Q0" * 100_000 + b"N."),
    "the same long tuple as arguments": lambda folder: with_pickle(b"\x80\x02(" + b"N" * 300_000 + b"tq\x000ctorch\nSize\nq\x010" + b"h\x01h\x00R0" * 100_000 + b"N."),
    "doubled without end": lambda folder: with_pickle(b"\x80\x02)" + b"2\x86" * 100_000 + b"."),
    "doubled dicts": lambda folder: with_pickle(b"\x80\x02}" + b"q\x00}(X\x01\x00\x00\x00ah\x00X\x01\x00\x00\x00bh\x00u" * 40_000 + b"."),
    "lists a hundred thousand deep": lambda folder: with_pickle(b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b"."),
    "dicts a hundred thousand deep": lambda folder: with_pickle(b"\x80\x02" + b"}X\x01\x00\x00\x00a" * 100_000 + b"N" + b"s" * 100_000 + b"."),
    "tuples a hundred thousand deep": lambda folder: with_pickle(b"\x80\x02N" + b"\x85" * 200_000 + b"."),
    "hundreds of thousands of lists": lambda folder: with_pickle(b"\x80\x02(" + b"]" * 200_000 + b"l."),
    "thousands of dicts under a long name": lambda folder: with_pickle(b"\x80\x02}X\xb0\x00\x00\x00" + b"a" * 176 + b"](" + b"}NNs" * 60_000 + b"es."),
    "far more numbers than may be": lambda folder: with_pickle(b"\x80\x02(" + b"N" * 1_000_000 + b"l."),
    "far more numbers than may be, in an old file": lambda folder: legacy(b"\x80\x02(" + b"N" * 10_000_000 + b"l."),
    "a place with a huge number": lambda folder: with_pickle(b"\x80\x02Np" + b"9" * 4000 + b"\n."),
    "a number of a million digits": lambda folder: with_pickle(b"\x80\x02I" + b"9" * 1_000_000 + b"\n."),
    "a number of a million bytes": lambda folder: with_pickle(b"\x80\x02}X\x01\x00\x00\x00a\x8b" + struct.pack("<I", 1_000_000) + b"\x01" * 1_000_000 + b"s."),
    "text longer than the file": lambda folder: legacy(b"\x80\x02X\xff\xff\xff\xff."),
    "bytes longer than the file": lambda folder: legacy(b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f."),
    "a line without an end": lambda folder: legacy(b"\x80\x02c" + b"a" * 3_000_000),
    "keys that collide": lambda folder: with_pickle(b"\x80\x02}(" + b"".join(b"\x8a\x0b" + ((i << 61) - i).to_bytes(11, "little") + b"N" for i in range(60_000)) + b"u."),
    "an old storage larger than the file": lambda folder: legacy(with_storage(b"\x8a\x06\x00\x00\x00\x00\x00\x01", b"K\x00(K\x01t(K\x01t"), KEYS + struct.pack("<q", 2**40) + bytes(8)),
    "an old storage of another size": lambda folder: legacy(with_storage(b"K\x02", b"K\x00(K\x01t(K\x01t"), KEYS + struct.pack("<q", 1) + bytes(8)),
    "an old storage of negative size": lambda folder: legacy(with_storage(b"J\xff\xff\xff\xff", b"K\x00(K\x01t(K\x01t"), KEYS + struct.pack("<q", -1) + bytes(8)),
    "an old tensor beyond its storage": lambda folder: legacy(with_storage(b"K\x02", b"K\x01(K\x02t(K\x01t"), KEYS + struct.pack("<q", 2) + bytes(8)),
    "an old tensor before its storage": lambda folder: legacy(with_storage(b"K\x02", b"J\xff\xff\xff\xff(K\x02t(K\x01t"), KEYS + struct.pack("<q", 2) + bytes(8)),
    "an old tensor with negative strides": lambda folder: legacy(with_storage(b"K\x02", b"K\x01(K\x02t(J\xff\xff\xff\xfft"), KEYS + struct.pack("<q", 2) + bytes(8)),
    "an old tensor of 10^18 numbers": lambda folder: legacy(with_storage(b"K\x02", b"K\x00(M\xff\xff\x8a\x06\x00\x00\x00\x00\x00\x01t(K\x00K\x00t"), KEYS + struct.pack("<q", 2) + bytes(8)),
    "an old storage listed twice": lambda folder: legacy(with_storage(b"K\x02", b"K\x00(K\x01t(K\x01t"), pickle.dumps(["0", "0"], 2) + struct.pack("<q", 2) + bytes(30)),
    "an old storage that is not listed": lambda folder: legacy(with_storage(b"K\x02", b"K\x00(K\x01t(K\x01t")),
    "an unknown old storage": lambda folder: legacy(b"\x80\x02}.", KEYS + struct.pack("<q", 2) + bytes(8)),
    "old storages without end": lambda folder: legacy(b"\x80\x02}.", pickle.dumps([str(i) for i in range(100_000)], 2)),
    "TorchScript that is a state dict": lambda folder: repacked(saved({"a": torch.ones(1)}), lambda name, old: old).replace(b"/version", b"/code/ab"),
    "ONNX that ends": lambda folder: b"\x08\x08\x12",
    "HDF5 that ends": lambda folder: b"\x89HDF\r\n\x1a\n",
    "a zip in a text": lambda folder: b"import torch\n" + saved({"a": torch.ones(1)}),
    "a directory larger than the file": lambda folder: saved({"a": torch.ones(1)})[:-22] + b"PK\x05\x06" + struct.pack("<4H2LH", 0, 0, 9, 9, 2**31, 0, 0),
    "a directory of megabytes": lambda folder: b"PK\x03\x04" + bytes(9_000_000) + b"PK\x05\x06" + struct.pack("<4H2LH", 0, 0, 9, 9, 9_000_000, 4, 0),
    "entries that share their bytes": lambda folder: shared_entries(),
    "a local header of another entry": lambda folder: saved({"a": torch.ones(1)}).replace(b"data/0", b"data/1", 1),
    "safetensors with a shared tail": lambda folder: header_only({"a": of_floats([2], 0, 2), "b": of_floats([2], 1, 2)}, bytes(12)),
    "safetensors of negative length": lambda folder: header_only({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [4, 0]}}, bytes(4)),
    "safetensors with a type that is no word": lambda folder: header_only({"conv1.weight": {"dtype": "F\n<b>", "shape": [1], "data_offsets": [0, 4]}}, bytes(4)),
    "a tensor with a type that is no word": lambda folder: with_pickle(pickle_of(saved({"a": torch.zeros(1)})).replace(b"ctorch\nFloatStorage\n", b"\x8c\x05torch\x8c\x0eFloat\n\xe2\x80\xaeStora\x93", 1)),
    "safetensors with an unknown type of any size": lambda folder: header_only({"a": {"dtype": "F" * 100_000, "shape": [2**39] * 8, "data_offsets": [0, 4]}}, bytes(4)),
}  # fmt: skip


def shared_entries() -> bytes:
    """Every entry begins at the same place."""
    content = bytearray(saved({str(i): torch.ones(100) for i in range(50)}))
    at = content.find(b"PK\x01\x02")
    while at > 0:
        content[at + 42 : at + 46] = bytes(4)
        at = content.find(b"PK\x01\x02", at + 4)
    return bytes(content)


@pytest.mark.parametrize("form", HOSTILE)
def test_a_hostile_file_is_refused_or_read_as_what_it_is(form, tmp_path):
    """In little time and memory, and nothing in it is executed."""
    content = HOSTILE[form](tmp_path)
    began = time.process_time()
    outcome = read_or_refused(content)
    assert time.process_time() - began < 4  # a second, alone on a machine
    tracemalloc.start()
    try:
        assert read_or_refused(content) == outcome
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * len(content) + (160 << 20)
    assert not (tmp_path / "executed").exists()


def read_or_refused(content) -> str:
    try:
        file = opening.opened(content)
        for name in file.shapes:
            assert isinstance(file.types[name], torch.dtype) or re.fullmatch(r"[\w ]{1,30}", file.types[name])
            if isinstance(file.types[name], torch.dtype):
                assert file.tensor(name).nbytes <= len(content)
    except CannotCompute as error:
        refused = str(error)
        assert refused.startswith("Expected ")
        assert "\n" not in refused
        assert len(refused) < 400
        return refused
    return "read"


@pytest.mark.parametrize("form", FORMS)
def test_random_damage_never_escapes(form, full):
    """With other bytes anywhere, or cut short, a file is read as something of its own size or refused."""
    random = np.random.default_rng(0)
    state = {"a": torch.arange(40.0).view(5, 8).T, "b": torch.ones(3).half(), "c": [{"d": torch.arange(3)}]}
    content = FORMS[form]({"net": state, "args": argparse.Namespace(lr=0.1), "best": np.float64(3), "epoch": 3})
    for _ in range(3000 if full else 300):
        damaged = bytearray(content[: random.integers(len(content))] if random.random() < 0.2 else content)
        for _ in range(random.integers(1, 5) if damaged else 0):
            at = random.integers(len(damaged))
            damaged[at] = random.integers(256) if random.random() < 0.5 else damaged[at] ^ 1 << random.integers(8)
        read_or_refused(bytes(damaged))
