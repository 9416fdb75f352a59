"""Reading checkpoint files: what torch.load reads is read equal, objects are passed over, and every other file is named."""

import argparse
import array
import collections
import errno
import functools
import gzip
import io
import os
import pathlib
import pickle
import pickletools
import struct
import tarfile
import threading
import time
import tracemalloc
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save
from torch.nn.utils import parametrizations, prune

from stiffcore.checkpoints import derived, opened as opening, pickled, sources, views
from stiffcore.errors import CannotCompute
from tests.checkpoints.written import (
    FORMS,
    header_only,
    legacy,
    of_floats,
    old,
    pickle_of,
    repacked,
    saved,
    with_pickle,
    with_storage,
)

TYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int32, torch.uint8, torch.int8,
         torch.int16, torch.bool, torch.complex64)  # fmt: skip
NEW_TYPES = (torch.float8_e4m3fn, torch.float8_e5m2, torch.uint16)


def everything(content) -> dict[str, torch.Tensor]:
    """All tensors of a file, by name."""
    file = opening.opened(content)
    read = {name: file.tensor(name) for name in file.shapes}
    assert {name: tuple(t.shape) for name, t in read.items()} == dict(file.shapes)
    assert {name: t.dtype for name, t in read.items()} == dict(file.types)
    assert all(tensor.is_contiguous() for tensor in read.values())
    return read


def flat(value, prefix="") -> dict[str, torch.Tensor]:
    """The tensors in nested dicts, lists and tuples; those of a list have no name."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    found = {}
    for name, inner in items:
        if isinstance(inner, torch.Tensor) and isinstance(value, dict) and isinstance(name, str):
            found[f"{prefix}{name}"] = inner
        elif isinstance(inner, (dict, list, tuple)) and not (isinstance(value, dict) and not isinstance(name, str)):
            found |= flat(inner, f"{prefix}{name}.")
    return found


def same(ours, theirs) -> bool:
    """Equal in type and in every bit."""
    if ours.dtype != theirs.dtype or ours.shape != theirs.shape:
        return False
    return ours.numel() == 0 or torch.equal(
        *(t.detach().contiguous().view(-1).view(torch.uint8) for t in (ours, theirs))
    )


def random_tensor(random, shared, newest) -> torch.Tensor:
    """With numbers of its own, or a view of a storage that other tensors share."""
    kind = random.integers(9)
    shape = tuple(random.integers(1, 5, size=random.integers(0, 5)))
    dtype = TYPES[random.integers(len(TYPES))]
    numbers = torch.from_numpy(random.integers(0, 100, size=shape))
    if kind == 0:
        return shared[random.integers(2, 6) : 30 : random.integers(1, 5)]
    if kind == 1:
        return shared.view(6, 10).T[2:7, random.integers(3) :]
    if kind == 2:
        return shared.as_strided((2, 3), (30, 7), int(random.integers(10)))
    if kind == 3:
        return torch.zeros(0, 3)
    if kind == 4:
        parameter = torch.nn.Parameter(numbers.float())
        parameter.note = "of its own"  # a parameter with state
        return parameter
    if kind == 5 and len(shape) == 4:
        return numbers.to(dtype).contiguous(memory_format=torch.channels_last)
    if kind == 6 and newest:
        return numbers.float().to(newest[random.integers(len(newest))])
    return numbers.to(dtype)


def random_content(random, shared, newest, depth=0):
    kind = random.integers(12 if depth < 4 else 5)
    if kind < 4:
        return random_tensor(random, shared, newest)
    if kind == 4:
        return [3, "text", None, 2**70, 1.5, True, torch.Size([2, 3]), collections.Counter([1, 1]), {1: shared}][random.integers(9)]  # fmt: skip
    inner = [random_content(random, shared, newest, depth + 1) for _ in range(random.integers(1, 5))]
    if kind == 5:
        return inner
    if kind == 6:
        return tuple(inner)
    return (collections.OrderedDict if kind == 7 else dict)({f"a{i}": value for i, value in enumerate(inner)})


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", range(25))
def test_what_torch_loads_is_read_equal(form, seed):
    random = np.random.default_rng(seed)
    shared = torch.arange(60.0)
    newest = NEW_TYPES if form == "zip" else ()  # torch does not load them from an old file
    content = FORMS[form]({"first": torch.ones(2), "more": [random_content(random, shared, newest) for _ in range(6)]})
    theirs = flat(torch.load(io.BytesIO(content), weights_only=True))
    ours = everything(content)
    assert ours.keys() == theirs.keys()
    assert all(same(ours[name], theirs[name]) for name in ours)


def test_the_random_contents_have_every_kind_of_tensor():
    """Else the comparison would leave some out."""
    types, gaps = set(), 0
    for seed in range(25):
        random, shared = np.random.default_rng(seed), torch.arange(60.0)
        tensors = flat({"more": [random_content(random, shared, NEW_TYPES) for _ in range(6)]}).values()
        types |= {tensor.dtype for tensor in tensors}
        gaps += sum(not tensor.is_contiguous() for tensor in tensors)
    assert types >= {*TYPES, *NEW_TYPES}
    assert gaps > 10


def test_files_without_checksums_and_of_other_machines_are_read():
    value = {
        "a": torch.arange(10.0),
        "b": torch.arange(4) * 300,
        "c": torch.tensor([1 + 2j]),
        "d": torch.ones(3).bool(),
    }
    torch.serialization.set_crc32_options(False)
    try:
        content = saved(value)
    finally:
        torch.serialization.set_crc32_options(True)
    assert all(same(t, value[name]) for name, t in everything(content).items())
    sizes = {"0": 4, "1": 8, "2": 4, "3": 1}

    def swap(name, content):
        if name.endswith("/byteorder"):
            return b"big"
        size = sizes.get(name.rsplit("/", 1)[-1]) if "/data/" in name else None
        return np.frombuffer(content, np.uint8).reshape(-1, size)[:, ::-1].tobytes() if size else content

    swapped = repacked(saved(value), swap)
    theirs = torch.load(io.BytesIO(swapped), weights_only=True)
    assert same(theirs["b"], value["b"])
    assert all(same(t, theirs[name]) for name, t in everything(swapped).items())


class Thing:
    """An object of an unknown class, with state; and in a dict, a list and a set of its own."""

    def __init__(self):
        self.tensor = torch.ones(3)


class OwnDict(dict):
    pass


class OwnList(list):
    pass


class Slots:
    __slots__ = ("x",)


def a_thing_with_slots():
    thing = Slots()
    thing.x = 3
    return thing


OBJECTS = {
    "namespace": argparse.Namespace(lr=0.1, device=torch.device("cpu")),
    "counter": collections.Counter("abca"),
    "numpy scalar": np.float64(0.5),
    "numpy array": np.arange(1000.0),
    "numpy array of objects": np.array([{"a": 1}, None], dtype=object),
    "device": torch.device("cpu"),
    "dtype": torch.float32,
    "size": torch.Size([1, 2]),
    "layout": torch.strided,
    "set": {1, "a"},
    "frozenset": frozenset({1, "a"}),
    "defaultdict": collections.defaultdict(list, {"x": [1]}),
    "partial": functools.partial(max, 1),
    "own object": Thing(),
    "own list": OwnList([1, 2]),
    "slots": a_thing_with_slots(),
    "class": Thing,
    "function": functools.reduce,
    "bytes": b"\0\1" * 200,
    "bytearray": bytearray(b"abc"),
    "complex": 1 + 2j,
    "large integer": 10**600,
    "path": pathlib.PurePosixPath("/a/b"),
    "array": array.array("d", [1.0, 2.0]),
    "range": range(3),
    "slice": slice(1, 2),
    "module": torch.nn.ReLU(),
    "optimizer": torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], lr=0.1),
    "generator's state": torch.get_rng_state(),
    "sparse": torch.eye(3).to_sparse(),
    "deque": collections.deque([1, 2], maxlen=4),
    "nested": [[[{"x": (1, [2, {3: Thing()}])}]]],
}


@pytest.mark.parametrize("protocol", range(2, 6))
@pytest.mark.parametrize("kind", OBJECTS)
def test_objects_beside_the_weights_are_passed_over(kind, protocol):
    state = {"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.ones(2)}
    inside = {"before": OBJECTS[kind], "net": state, "after": [OBJECTS[kind]]}
    assert_read(saved(inside, protocol), state)
    file = io.BytesIO()
    torch.save(inside, file, _use_new_zipfile_serialization=False, pickle_protocol=protocol)
    assert_read(file.getvalue(), state)


def assert_read(content, state):
    file = opening.opened(content)
    assert {name for name in file.shapes if name.startswith("net.")} == {f"net.{name}" for name in state}
    assert all(same(file.tensor(f"net.{name}"), tensor) for name, tensor in state.items())


def test_containers_of_every_kind_are_searched():
    state = {"weight": torch.ones(2)}
    for container in (
        OwnDict(state), collections.OrderedDict(state), collections.defaultdict(list, state), [state], (3, state), OwnDict(x=[state]),
    ):  # fmt: skip
        for protocol in range(1, 6):
            file = io.BytesIO()
            torch.save({"net": container}, file, _use_new_zipfile_serialization=False, pickle_protocol=protocol)
            (name,) = opening.opened(file.getvalue()).shapes
            assert name.startswith("net.")
            assert name.endswith("weight")


def test_a_dict_in_the_style_of_python_2_keeps_its_items():
    """OrderedDict(items) as a call, with text of one byte a letter."""
    tensor = pickletools.optimize(pickle_of(saved(torch.ones(1))))[2:-1]
    python_2 = (
        b"\x80\x02ccollections\nOrderedDict\n]]U\x01a" + tensor.join([b"", b""]) + b"e"
    )  # without a mark: damaged
    with pytest.raises(CannotCompute):
        opening.opened(with_pickle(python_2 + b"\x85R.", saved(torch.ones(1))))
    python_2 = b"\x80\x02ccollections\nOrderedDict\n](](U\x01a" + tensor + b"ee\x85R."
    assert same(everything(with_pickle(python_2, saved(torch.ones(1))))["a"], torch.ones(1))


def test_a_whole_module_is_read_by_its_own_names():
    module = torch.nn.Sequential(
        torch.nn.Conv2d(2, 3, 1), torch.nn.BatchNorm2d(3), torch.nn.Sequential(torch.nn.Linear(2, 2))
    )
    for content in (saved(module), old(module)):
        ours = everything(content)
        assert {k: same(v, module.state_dict()[k]) for k, v in ours.items()} == dict.fromkeys(module.state_dict(), True)


def test_the_machine_knows_every_opcode():
    assert pickled._STEPS.keys() == {opcode.name for opcode in pickletools.opcodes}


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")
@pytest.mark.parametrize("kind", ["sparse", "without numbers", "quantised"])
def test_tensors_without_ordinary_numbers_are_listed_and_not_read(kind):
    tensor = {
        "sparse": lambda: torch.eye(3).to_sparse(),
        "without numbers": lambda: torch.empty(2, 2, device="meta"),
        "quantised": lambda: torch.quantize_per_tensor(torch.ones(2, 2), 0.1, 0, torch.qint8),
    }[kind]()
    file = opening.opened(saved({"weight": tensor}))
    assert file.shapes["weight"] == tuple(tensor.shape)
    assert file.types["weight"] == kind
    with pytest.raises(CannotCompute, match=f"got a tensor that is {kind}"):
        file.tensor("weight")


@pytest.mark.parametrize("form", FORMS)
def test_a_view_with_gaps_is_read_in_pieces(form, monkeypatch):
    """One network of an ensemble whose weights are stacked along the last axis: memory for the view, not for the storage."""
    monkeypatch.setattr(views, "LARGEST_PIECE", 1 << 12)
    stacked = torch.randn(6, 5, 40, 100)
    cases = {"last": stacked[..., 7], "middle": stacked[:, :, 3], "part": stacked[1:5, 2:, ::7, 90:], "turned": stacked[..., 4].permute(2, 0, 1)}  # fmt: skip
    sizes, read = [], sources.InMemory.read
    file = opening.opened(FORMS[form](cases))
    everything_checked = file.tensor("last")  # a zip's checksum passes over the whole storage, once
    monkeypatch.setattr(
        sources.InMemory, "read", lambda self, begin, end: sizes.append(end - begin) or read(self, begin, end)
    )
    assert same(everything_checked, cases["last"])
    for name, view in cases.items():
        sizes.clear()
        assert same(file.tensor(name), view)
        assert max(sizes) <= max(1 << 12, 2 * view.nbytes)


@pytest.mark.parametrize(
    ("offset", "shape", "stride"),
    [
        (0, (10,), (0,)), (0, (2, 2), (1, 1)), (0, (9, 3), (1, 1)), (1, (10,), (1,)), (11, (1,), (1,)), (0, (2, 5), (2**40, 1)),
        (2**61, (1,), (1,)), (0, (2**61,), (1,)), (0, (2**31, 2**31), (2**31, 1)), (0, (2, 2, 5), (0, 5, 1)), (0, (1, 11), (1, 1)),
    ],
)  # fmt: skip
def test_a_view_out_of_bounds_or_onto_itself_is_refused(offset, shape, stride):
    tensor = views.described(views.Storage(torch.float32, "0", 10), offset, shape, stride)
    with pytest.raises(CannotCompute, match="claims more or other numbers than it has"):
        views.numbers(tensor, lambda begin, end: bytes(end - begin))


def test_a_view_is_no_larger_than_its_part_of_the_storage():
    storage = views.Storage(torch.float32, "0", 10, view=(4, 3))
    read = views.numbers(views.described(storage, 1, (2,), (1,)), lambda begin, end: bytes(range(begin, end)))
    assert same(read, torch.frombuffer(bytearray(range(20, 28)), dtype=torch.float32))
    for first, offset in ((4, 2), (9, 0)):
        storage = views.Storage(torch.float32, "0", 10, view=(first, 3))
        with pytest.raises(CannotCompute):
            views.numbers(views.described(storage, offset, (2,), (1,)), lambda begin, end: bytes(end - begin))


class Module(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(2, 3, 3)
        self.fc = torch.nn.Linear(4, 5)


def made_in_factors(kind) -> tuple[dict, dict]:
    """A state dict in factors, and the weights that the module computes with."""
    torch.manual_seed(0)
    module = Module()
    for part in (module.conv, module.fc):
        if kind == "pruned":
            prune.random_unstructured(part, "weight", 0.5)
            prune.random_unstructured(part, "bias", 0.5)
        elif kind == "weight norm":
            parametrizations.weight_norm(part)
        elif kind == "weight norm of old":
            with pytest.warns(FutureWarning):
                torch.nn.utils.weight_norm(part)
        elif kind == "spectral norm":
            parametrizations.spectral_norm(part)
        elif kind == "spectral norm of old":
            torch.nn.utils.spectral_norm(part)
    module.eval()
    module.conv(torch.ones(1, 2, 3, 3))
    module.fc(torch.ones(1, 4))
    whole = {
        f"{layer}.{name}": getattr(getattr(module, layer), name).detach()
        for layer in ("conv", "fc")
        for name in ("weight", "bias")
    }
    return module.state_dict(), whole


@pytest.mark.parametrize(
    "kind", ["pruned", "weight norm", "weight norm of old", "spectral norm", "spectral norm of old"]
)
@pytest.mark.parametrize("write", [saved, old, save], ids=["zip", "before 1.6", "safetensors"])
def test_weights_in_factors_are_put_together(kind, write):
    state, whole = made_in_factors(kind)
    assert state.keys() != whole.keys()
    file = derived.put_together(opening.opened(write({k: v.clone() for k, v in state.items()})))
    assert file.shapes == {name: tuple(tensor.shape) for name, tensor in whole.items()}
    assert file.types.keys() == file.shapes.keys()
    assert file.form.endswith(("pruned", "with weight norm", "with spectral norm"))
    for name, tensor in whole.items():
        torch.testing.assert_close(file.tensor(name), tensor, rtol=1e-6, atol=0)


def test_another_parametrisation_is_named_when_it_is_needed():
    linear = parametrizations.orthogonal(torch.nn.Linear(3, 3))
    file = derived.put_together(opening.opened(saved(linear.state_dict())))
    assert file.shapes["weight"] == (3, 3)
    with pytest.raises(
        CannotCompute, match="Expected plain weights, got weight parametrised in an unknown way: remove it with"
    ):
        file.tensor("weight")


def test_a_mask_of_another_shape_and_left_overs_stay_as_they_are():
    state = {"a.weight_orig": torch.ones(2), "a.weight_mask": torch.ones(3), "b.weight": torch.ones(1), "b.weight_orig": torch.ones(1),
             "b.weight_mask": torch.ones(1), "total_ops": torch.zeros(1)}  # fmt: skip
    file = opening.opened(saved(state))
    assert dict(derived.put_together(file).shapes) == dict(file.shapes)


def zipped(names, method=zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as new:
        for name in names:
            new.writestr(name, b"content")
    return file.getvalue()


def in_memory(write) -> bytes:
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def tar_of(*names) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name in names:
            tar.addfile(tarfile.TarInfo(name))
    return file.getvalue()


OTHERS = {
    "empty": (lambda: b"", "an empty file: download"),
    "zeros": (lambda: bytes(5000), "nothing but zeros"),
    "html": (lambda: b"\n<!DOCTYPE html><html>virus scan</html>", "a web page instead of the file: download it again"),
    "xml": (lambda: b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "a web page"),
    "lfs": (lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4\n", "a git-lfs pointer, not the file itself: run git lfs pull"),
    "hdf5": (lambda: b"\x89HDF\r\n\x1a\n" + bytes(100), "an HDF5 file, as Keras writes it"),
    "keras": (lambda: zipped(["metadata.json", "config.json", "model.weights.h5"]), "a Keras model"),
    "onnx": (lambda: b"\x08\x08\x12\x07pytorch\x1a\x052.1.0:" + bytes(range(256)), "an ONNX model"),
    "saved model": (lambda: b"\x08\x01\x12\xa5\x10\n" + bytes(range(256)), "a TensorFlow SavedModel"),
    "tensorflow": (lambda: bytes(range(200)) + struct.pack("<Q", 0xDB4775248B80FB57), "a TensorFlow checkpoint"),
    "gguf": (lambda: b"GGUF\x03\0\0\0" + bytes(50), "a GGUF file"),
    "npy": (lambda: in_memory(lambda f: np.save(f, np.eye(3))), "a numpy array"),
    "npz": (lambda: in_memory(lambda f: np.savez(f, a=np.eye(3))), "numpy arrays"),
    "gzip": (lambda: gzip.compress(saved({"a": torch.ones(1)})), "a gzip archive: unpack it"),
    "7z": (lambda: b"7z\xbc\xaf\x27\x1c" + bytes(50), "a 7z archive: unpack it"),
    "rar": (lambda: b"Rar!\x1a\x07\x01\x00" + bytes(50), "a rar archive: unpack it"),
    "tar": (lambda: tar_of("resnet18.pt"), "a tar archive: unpack it"),
    "tar of torch before 0.1.10": (lambda: tar_of("sys_info", "pickle", "tensors", "storages"), "as torch before 0.1.10 wrote it"),
    "json": (lambda: b'{"architectures": ["ResNet"]}', "a JSON file"),
    "index": (lambda: b'{"metadata": {}, "weight_map": {"a": "model-00001-of-00002.safetensors"}}', "the index of a checkpoint in parts"),
    "python": (lambda: b'"""Trains."""\nimport torch\n\nprint(1)\n', "a Python program"),
    "text": (lambda: "Größe: 3\n".encode() * 2000, "a text file"),
    "picture": (lambda: b"\x89PNG\r\n\x1a\n" + bytes(200), "a picture"),
    "zoo": (lambda: zipped(["state_dicts/", "state_dicts/densenet121.pt", "state_dicts/resnet18.pt"], zipfile.ZIP_DEFLATED), "a zip of other files: unpack it and name one of them, for example state_dicts/resnet18.pt"),
    "empty zip": (lambda: zipped([]), "an empty zip archive"),
    "document": (lambda: zipped(["word/document.xml"]), "an archive of something else"),
    "half a zip": (lambda: saved({"a": torch.ones(5000)})[:9000], "its end is missing: download"),
    "half an old file": (lambda: old({"a": torch.ones(5000)})[:9000], "ends before its numbers do: download"),
    "half an old list": (lambda: old({str(i): torch.ones(1) for i in range(99)})[:2000], "a damaged one"),
    "half a safetensors file": (lambda: save({"a": torch.ones(5000)})[:9000], "the end of the file is missing"),
    "half a header": (lambda: save({str(i): torch.ones(1) for i in range(99)})[:500], "only the beginning of one"),
    "torchscript": (lambda: in_memory(lambda f: torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), f)), "TorchScript: load it with torch.jit.load(file)"),
    "export": (lambda: in_memory(lambda f: torch.export.save(torch.export.export(torch.nn.Linear(2, 2), (torch.zeros(1, 2),)), f)), "a program of torch.export"),
    "pickle": (lambda: pickle.dumps({"a": 1}), "a pickle that torch.save did not write"),
    "one tensor": (lambda: saved(torch.ones(2, 3)), "a single tensor of shape (2, 3)"),
    "numbers": (lambda: bytes(range(256)) * 20, "a file of another kind"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize("kind", OTHERS)
def test_other_files_are_named(kind, tmp_path):
    content, said = OTHERS[kind][0](), OTHERS[kind][1]
    (tmp_path / "file").write_bytes(content)
    for what in (content, tmp_path / "file"):
        with pytest.raises(CannotCompute) as refused:
            opening.opened(what)
        assert said in str(refused.value)
        assert_one_sentence(refused)


def assert_one_sentence(refused):
    said = str(refused.value)
    assert said.startswith("Expected ")
    assert ": " in said
    assert "\n" not in said
    assert len(said) < 400


def test_what_is_no_file_is_named(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "secret").write_bytes(b"")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path, said in {
        tmp_path: "a folder: name a file in it", tmp_path / "pipe": "a pipe or a device", pathlib.Path("/dev/zero"): "a pipe or a device",
        tmp_path / "nothing": "No such file", tmp_path / "loop": "Too many levels", tmp_path / "secret" / "x": "Not a directory",
    }.items():  # fmt: skip
        began = time.monotonic()
        with pytest.raises(CannotCompute, match=said) as refused:
            opening.opened(path)
        assert_one_sentence(refused)
        assert time.monotonic() - began < 5


def test_a_file_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(saved({"a": torch.ones(1)}))

    def refuse(*_: object) -> int:  # root, as whom the tests may run, reads every file
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(CannotCompute, match="Permission denied: name another file"):
        opening.opened(tmp_path / "file")


@pytest.mark.parametrize("write", [saved, old, save], ids=["zip", "before 1.6", "safetensors"])
def test_a_file_that_changes_while_it_is_read_is_refused(write, tmp_path):
    path = tmp_path / "file"
    content = write({"a": torch.ones(5000)})

    def after(change):
        path.write_bytes(content)
        file = opening.opened(path)
        assert same(file.tensor("a"), torch.ones(5000))
        change()
        with pytest.raises(CannotCompute, match=r"changed while it was read|No such file|a folder") as refused:
            file.tensor("a")
        assert_one_sentence(refused)

    after(lambda: os.truncate(path, 100))
    after(lambda: path.write_bytes(content[:-4] + bytes(4)))
    after(lambda: os.replace(path, tmp_path / "elsewhere"))
    (tmp_path / "other").write_bytes(content)
    after(lambda: os.replace(tmp_path / "other", path))


def test_nothing_is_read_of_a_pipe_that_takes_the_place_of_a_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(saved({"a": torch.ones(5)}))
    file = opening.opened(path)
    path.unlink()
    os.mkfifo(path)
    ended = []

    def read():
        with pytest.raises(CannotCompute, match="a pipe or a device"):
            file.tensor("a")
        ended.append(True)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(20)
    assert ended


def test_of_a_file_of_gigabytes_only_the_tensors_in_use_are_read(tmp_path):
    """Its other numbers are a hole on disk."""
    hole = 2**30
    listed = with_storage(b"K\x05", b"K\x00(K\x05t(K\x01t").replace(b"X\x01\x00\x00\x000", b"X\x01\x00\x00\x001")
    other = with_storage(b"\x8a\x05" + hole.to_bytes(5, "little"), b"K\x00(K\x05t(K\x01t")
    both = b"\x80\x02(" + listed[2:-1] + other[2:-1] + b"l."
    files = {
        "safetensors": (header_only({"a": of_floats([5], 0, 5), "b": of_floats([hole], 5, hole)}, np.ones(5, "f").tobytes()), b""),
        "old": (legacy(both, pickle.dumps(["0", "1"], 2) + struct.pack("<q", hole)), struct.pack("<q", 5) + np.ones(5, "f").tobytes()),
    }  # fmt: skip
    for name, (first, last) in files.items():
        path = tmp_path / name
        with path.open("wb") as file:
            file.write(first)
            file.seek(4 * hole, os.SEEK_CUR)
            file.write(last)
            file.truncate()
        began = time.process_time()
        tracemalloc.start()
        listing = opening.opened(path)
        read = listing.tensor({"safetensors": "a", "old": "0.a"}[name])
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        path.unlink()
        assert same(read, torch.ones(5))
        assert len(listing.shapes) == 2
        assert peak < 80 << 20
        assert time.process_time() - began < 4
