"""Uploaded checkpoints: every usual naming is understood, every malformed file is refused with one sentence."""

import argparse
import collections
import io
import itertools
import os
import pickle
import struct
import time
import tracemalloc
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save

from stiffcore.checkpoints import inspect as checkpoints, names as checkpoint_names, sources
from stiffcore.checkpoints.reading import choose as readings
from stiffcore.checkpoints.safetensors_file import SafetensorsFile
from stiffcore.checkpoints.torch_archive import TorchArchive
from stiffcore.errors import Cancelled, CannotCompute
from stiffcore.networks import manifest, resnets
from tests.checkpoints.written import Trap, header_only, of_floats, old, pickle_of, repacked, saved, with_pickle
from tests.made_up import readings as readings_made_up

KINDS: dict = {}  # name -> function of a state dict and a folder that makes the bytes of a malformed file


def kind(function):
    """Register a kind of malformed file under its function's name."""
    KINDS[function.__name__] = function
    return function


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return load_file(manifest.FOLDER / "resnet18.safetensors")


def zoo(state):
    """The names of kuangliu's and many other repositories."""
    return {k.replace("downsample", "shortcut").replace("fc.", "linear."): v for k, v in state.items()}


def views(state):
    """What vector_to_parameters leaves: each tensor is a part of one vector."""
    floats = {k: v for k, v in state.items() if v.is_floating_point()}
    vector = torch.cat([v.flatten() for v in floats.values()])
    ends = list(itertools.accumulate(v.numel() for v in floats.values()))
    return dict(state) | {k: vector[end - v.numel() : end].view_as(v) for (k, v), end in zip(floats.items(), ends)}


def pruned(state):
    """As torch.nn.utils.prune leaves it: a mask of ones, and of zeros where the weight is no longer used."""
    made = {k: v for k, v in state.items() if k != "layer1.0.conv1.weight"}
    weight = state["layer1.0.conv1.weight"]
    return made | {"layer1.0.conv1.weight_orig": weight, "layer1.0.conv1.weight_mask": torch.ones_like(weight)}


ACCEPTED = {
    "safetensors": lambda s: save(s),
    "state dict": saved,
    "ordered, with metadata": lambda s: saved(collections.OrderedDict(s)),
    "training script's": lambda s: saved({"net": zoo(s), "acc": 95.1, "epoch": 199}),
    "data parallel": lambda s: saved({"state_dict": {f"module.{k}": v for k, v in s.items()}, "best": [1, 2.5, None]}),
    "lightning": lambda s: saved({"state_dict": {f"model.{k}": v for k, v in s.items()} | {"loss.weight": torch.ones(3)}}),
    "compiled, in safetensors": lambda s: save({f"_orig_mod.module.{k}": v for k, v in s.items()}),
    "without counters": lambda s: save({k: v for k, v in s.items() if "num_batches" not in k}),
    "parameters": lambda s: saved({k: torch.nn.Parameter(v, v.is_floating_point() and v.ndim > 1) for k, v in s.items()}),
    "newer pickles": lambda s: saved(collections.OrderedDict(s), 4),
    "the newest pickles, in a script's dict": lambda s: saved({"net": zoo(s), "args": {"lr": 0.1, "name": "x", "raw": b"y"}, "big": 2**40}, 5),
    "beside masks": lambda s: saved(dict(s) | {"mask": torch.ones(5, dtype=torch.bool), "step": torch.zeros(2, dtype=torch.uint8)}),
    "beside a random generator's state": lambda s: saved({"model": dict(s), "rng": torch.get_rng_state(), "cuda": [torch.get_rng_state()]}),
    "beside other types, in safetensors": lambda s: save(dict(s) | {"mask": torch.ones(5, dtype=torch.bool), "codes": torch.zeros(9, dtype=torch.uint8), "new": torch.zeros(4).to(torch.float8_e4m3fn)}),
    "beside its average": lambda s: save({f"model.{k}": v for k, v in s.items()} | {f"ema.{k}": v + 1 for k, v in s.items()}),
    "beside its average, one dict each": lambda s: saved({"ema": {k: v + 1 for k, v in s.items()}, "model": dict(s), "optimizer": {"state": {0: {"step": torch.zeros(1)}}}}),
    "an average beside half a network": lambda s: save({f"ema.{k}": v for k, v in s.items()} | {f"model.{k}": v + 1 for k, v in list(s.items())[:60]}),
    "in a wrapper of no known name": lambda s: saved({"student_1": {"backbone.module": {k: v for k, v in s.items()}}}),
    "of torch before 1.6": lambda s: old(collections.OrderedDict(s)),
    "of torch before 1.6, a training script's": lambda s: old({"net": zoo(s), "best": np.float64(0.5), "args": argparse.Namespace(lr=0.1)}),
    "beside objects": lambda s: saved({"net": zoo(s), "args": argparse.Namespace(lr=0.1), "milestones": collections.Counter([3, 5]), "best": np.float64(0.5), "history": np.arange(9.0), "device": torch.device("cpu"), "size": torch.Size([3]), "dtype": torch.float32, "seen": {1, 2}, "table": collections.defaultdict(list)}),
    "views of one vector": lambda s: saved(views(s)),
    "views of one vector, of torch before 1.6": lambda s: old(views(s)),
    "in a tuple": lambda s: saved((3, dict(s))),
    "in a list of two": lambda s: saved({"models": [dict(s), {k: v + 1 for k, v in s.items()}]}),
    "a view of a larger tensor": lambda s: saved(dict(s) | {"fc.weight": torch.cat([torch.zeros(10, 512).half(), s["fc.weight"]])[10:]}),
    "a whole module": lambda s: saved({"epoch": 3, "model": resnets.with_weights("resnet18", dict(s), "").half()}),
    "pruned": lambda s: saved(pruned(s)),
    "channels last": lambda s: saved({k: v.contiguous(memory_format=torch.channels_last) if v.ndim == 4 else v for k, v in s.items()}),
}  # fmt: skip


@pytest.mark.parametrize("form", ACCEPTED)
def test_usual_forms_load_as_the_same_weights(form, state):
    """The values, and for all but the missing counters the hash too, are those of the shipped file."""
    read, inspection = checkpoints.read(ACCEPTED[form](state))
    assert inspection.network == "resnet18"
    assert all(
        torch.equal(read[name].to(value.dtype), value) for name, value in state.items() if "num_batches" not in name
    )
    if form != "without counters":
        assert resnets.tensors_sha256(read) == manifest.entry("resnet18").sha256
    assert not checkpoints.load(ACCEPTED[form](state))[0].training
    assert "resnet18" in inspection.sentence


def test_what_is_ignored_is_said(state):
    inspection = checkpoints.inspect(ACCEPTED["lightning"](state))
    assert inspection.ignored == ("state_dict.loss.weight",)
    assert (
        inspection.sentence == "PyTorch, resnet18, 11,183,582 numbers in float16 and int64; 1 other tensor is ignored."
    )


@pytest.mark.parametrize("form", ["beside its average", "beside its average, one dict each"])
def test_which_of_several_networks_is_taken_is_said(form, state):
    inspection = checkpoints.inspect(ACCEPTED[form](state))
    assert (inspection.prefix, inspection.others) == ("model.", ("ema.",))
    assert inspection.sentence.endswith("; of several networks “model.” is used, not “ema.”.")


@pytest.mark.parametrize(
    "prefixes", [("", "ema.", "a."), ("b.", "a.b.", "model_ema."), ("x.", "y.", "teacher.module.")]
)
def test_the_choice_among_several_networks_is_always_the_same(prefixes):
    own = {k: tuple(v.shape) for k, v in resnets.template("resnet18").state_dict().items()}
    for order in itertools.permutations(prefixes):
        found = checkpoint_names.map_keys({f"{prefix}{k}": shape for prefix in order for k, shape in own.items()})
        assert found.prefix == prefixes[0]
        assert set(found.others) == set(prefixes[1:])


def test_no_number_is_read_before_the_load(state, monkeypatch):
    """Inspection reads only the list of tensors: a few hundred kilobytes of memory for a hundred megabytes."""
    tensors = []
    for reader in (TorchArchive, SafetensorsFile):
        read = reader.tensor
        monkeypatch.setattr(reader, "tensor", lambda self, name, read=read: tensors.append(name) or read(self, name))
    for content in (saved(state), save(state)):
        checkpoints.inspect(content)  # after torch's first use
        tracemalloc.start()
        checkpoints.inspect(content)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert tensors == []
        assert peak < 4 << 20 < len(content)
        checkpoints.load(content)
        assert len(tensors) == len(state)
        tensors.clear()


@pytest.mark.parametrize("form", ["state dict", "safetensors"])
@pytest.mark.parametrize("stage", ["reading the names", "looking for a network", "reading its numbers"])
def test_each_stage_can_be_cancelled(form, stage, state):
    def progress(done, total, what):
        if what.startswith(stage):
            raise Cancelled(stage)

    with pytest.raises(Cancelled, match=stage):
        checkpoints.read(ACCEPTED[form](state), progress)


@pytest.mark.parametrize("network", ["resnet34", "resnet50"])
def test_each_network_is_recognised_by_its_tensors(network):
    shapes = {f"module.{k}": tuple(v.shape) for k, v in resnets.template(network).state_dict().items()}
    found = checkpoint_names.map_keys(shapes)
    assert found.network == network
    assert found.names["layer4.2.bn2.running_var"] == "module.layer4.2.bn2.running_var"
    assert (found.prefix, found.others) == ("module.", ())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_other_precisions_are_other_weights(dtype, state):
    model, inspection = checkpoints.load(
        save({k: v.to(dtype) if v.is_floating_point() else v for k, v in state.items()})
    )
    assert str(dtype).removeprefix("torch.") in inspection.types
    assert resnets.weights_sha256(model) != manifest.entry("resnet18").sha256
    assert {p.dtype for p in model.parameters()} == {torch.float32}


@kind
def nothing(state, folder):
    return b""


@kind
def one_byte(state, folder):
    return b"{"


@kind
def text(state, folder):
    return b"<html>404</html>" * 20


@kind
def an_image(state, folder):
    return b"\x89PNG\r\n\x1a\n" + bytes(200)


@kind
def a_plain_pickle_with_code(state, folder):
    return pickle.dumps(Trap(folder), protocol=2)


@kind
def an_old_torch_file(state, folder):
    file = io.BytesIO()
    torch.save({"a": torch.zeros(1)}, file, _use_new_zipfile_serialization=False)
    return file.getvalue()


@kind
def code_in_the_archive(state, folder):
    return with_pickle(pickle.dumps({"state_dict": Trap(folder)}, protocol=2))


@kind
def code_by_name_on_the_stack(state, folder):
    return with_pickle(pickle.dumps({"state_dict": Trap(folder)}, protocol=4))


@kind
def a_whole_module(state, folder):
    return saved(torch.nn.Linear(2, 2))


@kind
def a_huge_bytearray_by_an_allowed_name(state, folder):
    """weights_only=True would allocate it."""
    return with_pickle(b"\x80\x02c__builtin__\nbytearray\n\x8a\x06\x00\x00\x00\x00\x00\x01\x85R.")


@kind
def a_key_whose_hash_takes_for_ever(state, folder):
    return with_pickle(b"\x80\x02}K\x01\x85q\x00" + b"h\x00h\x00\x86q\x00" * 60 + b"K\x01s.")


@kind
def marks_without_end(state, folder):
    return with_pickle(b"\x80\x02" + b"K\x01" * 200_000 + b"(t" * 200_000 + b".")


@kind
def a_pickle_that_ends_early(state, folder):
    return with_pickle(b"\x80\x02}q\x00(X\x10\x00\x00\x00ab")


@kind
def a_memo_that_is_not_there(state, folder):
    return with_pickle(b"\x80\x02h\x07.")


@kind
def a_pickle_of_megabytes(state, folder):
    return with_pickle(pickle.dumps({str(i): i for i in range(100_000)}, protocol=2))


@kind
def truncated_archive(state, folder):
    return saved(state)[:1_000_000]


@kind
def truncated_safetensors(state, folder):
    return save(state)[:-1000]


@kind
def a_bit_flipped_in_the_archive(state, folder):
    content = bytearray(saved(state))
    content[len(content) // 2] ^= 16
    return bytes(content)


@kind
def a_zip_bomb(state, folder):
    """100 kB that expand to 100 MB."""
    zeros = bytes(100 << 20)
    return repacked(saved({"a": torch.zeros(1)}), lambda name, old: zeros if name.endswith("/data/0") else old, zipfile.ZIP_DEFLATED)  # fmt: skip


@kind
def thousands_of_entries(state, folder):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as new:
        for number in range(6000):
            new.writestr(f"x/data/{number}", b"")
    return file.getvalue()


@kind
def the_same_entry_twice(state, folder):
    file = io.BytesIO(saved(state))
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(file, "a") as again:
        again.writestr("archive/data.pkl", pickle.dumps(Trap(folder)))
    return file.getvalue()


@kind
def an_archive_of_something_else(state, folder):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as new:
        new.writestr("word/document.xml", "<xml/>")
    return file.getvalue()


@kind
def an_expanded_tensor(state, folder):
    """A few bytes that claim a whole weight tensor: stride 0."""
    return saved(dict(state) | {"fc.weight": torch.zeros(1).half().expand(10, 512)})


@kind
def an_enormous_expanded_tensor(state, folder):
    return saved({"state_dict": {f"w{i}": torch.zeros(1).expand(200_000, 200_000) for i in range(20)}})


@kind
def a_tensor_beyond_its_storage(state, folder):
    """The pickle claims 5,120 numbers, the entry holds one."""
    small = saved(dict(state))
    with zipfile.ZipFile(io.BytesIO(small)) as archive:
        sizes = {name: archive.getinfo(name).file_size for name in archive.namelist()}
    entry = next(name for name, size in sizes.items() if size == 10 * 512 * 2)
    return repacked(small, lambda name, old: b"\0\0" if name == entry else old)


@kind
def safetensors_with_a_huge_header(state, folder):
    return struct.pack("<Q", 2**40) + b"{" + bytes(100)


@kind
def safetensors_with_nested_json(state, folder):
    header = b'{"a":' * 100_000
    return struct.pack("<Q", len(header)) + header


@kind
def safetensors_that_claim_more_than_they_have(state, folder):
    header = b'{"conv1.weight":{"dtype":"F32","shape":[200000,200000],"data_offsets":[0,160000000000]}}'
    return struct.pack("<Q", len(header)) + header + bytes(4)


@kind
def safetensors_whose_tensors_overlap(state, folder):
    content = save(state)
    length = int.from_bytes(content[:8], "little")
    header = content[8 : 8 + length]
    first = next(part for part in header.split(b'"data_offsets":')[2:])[:20].split(b"]")[0]
    changed = header.replace(b'"data_offsets":' + first, b'"data_offsets":[0,' + first.split(b",")[1].strip(), 1)
    return struct.pack("<Q", len(changed)) + changed + content[8 + length :]


@kind
def safetensors_with_a_name_of_dots(state, folder):
    """A prefix search that restarts at every dot takes minutes."""
    return header_only({"a." * 480_000 + "conv1.weight": of_floats([1])}, bytes(4))


@kind
def a_pickle_with_a_name_of_dots(state, folder):
    return saved({"state_dict": {"a." * 480_000 + "conv1.weight": torch.zeros(1)}})


@kind
def a_long_name_before_many_tensors(state, folder):
    """Its full names would take gigabytes."""
    return saved({"a" * 300_000: {f"{i}.conv1.weight": torch.zeros(1) for i in range(900)}, "b": torch.zeros(1)})


@kind
def the_same_dict_at_many_places(state, folder):
    """Three levels of a few thousand names each, which refer to billions of tensors."""
    inner = {"conv1.weight": torch.zeros(1)}
    for _ in range(3):
        inner = {str(i): inner for i in range(3000)}
    return saved(inner)


@kind
def thousands_of_networks(state, folder):
    return header_only({f"n{i}.conv1.weight": of_floats([1], i) for i in range(4900)}, bytes(4 * 4900))


@kind
def tens_of_thousands_of_tensors(state, folder):
    return header_only({f"{i}": of_floats([1], i) for i in range(12_000)}, bytes(4 * 12_000))


@kind
def a_shape_of_300_000_sides(state, folder):
    """Repeated in the error, it would be a sentence of a megabyte."""
    return header_only({"conv1.weight": of_floats([1] * 300_000)}, bytes(4))


@kind
def a_shape_of_enormous_sides(state, folder):
    return header_only({"conv1.weight": of_floats([2**39] * 20_000)}, bytes(4))


@kind
def a_pickle_with_a_shape_of_300_000_sides(state, folder):
    small = pickle_of(saved({"a": torch.zeros(3)}))
    return with_pickle(small.replace(b"K\x03\x85", b"(" + b"K\x01" * 300_000 + b"t", 1))


@kind
def a_name_that_cannot_be_printed(state, folder):
    """It would reverse the direction of the sentence around it."""
    return save({f"\u202e\n{k}": v for k, v in state.items()})


@kind
def safetensors_with_half_a_letter(state, folder):
    return header_only({"\ud800conv1.weight": of_floats([1])}, bytes(4))


@kind
def an_instruction_that_makes_objects(state, folder):
    return with_pickle(b"\x80\x04]\x94)\x81.")


@kind
def code_by_a_long_name(state, folder):
    return with_pickle(b"\x80\x04X\x00\x00\x08\x00" + b"o" * 0x80000 + b"\x8c\x06system\x93.")


@kind
def a_module_that_is_no_text(state, folder):
    return with_pickle(b"\x80\x04}\x94]\x93.")


@kind
def masks_for_weights(state, folder):
    return save(dict(state) | {"bn1.bias": torch.ones(64, dtype=torch.bool)})


@kind
def the_numbers_of_another_type(state, folder):
    return save(dict(state) | {"bn1.bias": torch.zeros(64).to(torch.float8_e4m3fn)})


@kind
def half_of_two_networks(state, folder):
    half = len(state) // 2
    names = list(state)
    return save(
        {f"model.{k}": state[k] for k in names[:half]}
        | {f"ema.{k}": state[k].clone() for k in names if k != "conv1.weight"}
    )


@kind
def safetensors_whose_tensors_share_their_numbers(state, folder):
    return header_only({"conv1.weight": of_floats([1]), "bn1.weight": of_floats([1])}, bytes(4))


@kind
def safetensors_with_something_hidden(state, folder):
    return save(state) + b"PK\x03\x04 and more"


@kind
def not_a_number(state, folder):
    return save(dict(state) | {"bn1.bias": torch.full((64,), float("nan")).half()})


@kind
def infinite_after_rounding(state, folder):
    return save(dict(state) | {"bn1.bias": torch.full((64,), 1e300, dtype=torch.float64)})


@kind
def negative_variance(state, folder):
    return saved(dict(state) | {"bn1.running_var": -torch.ones(64)})


@kind
def a_missing_tensor(state, folder):
    return save({k: v for k, v in state.items() if k != "layer3.1.conv2.weight"})


@kind
def a_renamed_tensor(state, folder):
    return save({k.replace("layer3.1.conv2", "layer3.1.conv9"): v for k, v in state.items()})


@kind
def a_tensor_too_many(state, folder):
    return save(dict(state) | {"layer5.0.conv1.weight": torch.zeros(3)})


@kind
def the_same_tensor_by_two_names(state, folder):
    return save(dict(state) | {"linear.weight": state["fc.weight"].clone()})


@kind
def integers_for_weights(state, folder):
    return save(dict(state) | {"bn1.bias": torch.zeros(64, dtype=torch.int64)})


@kind
def complex_numbers(state, folder):
    return saved(dict(state) | {"bn1.bias": torch.zeros(64, dtype=torch.complex64)})


@kind
def another_network(state, folder):
    return saved(torch.nn.Sequential(*[torch.nn.Linear(3, 3) for _ in range(8)]).state_dict())


@kind
def a_list(state, folder):
    return saved([torch.zeros(2)] * 20)


@kind
def too_large(state, folder):
    return bytes(sources.LARGEST_FILE + 1)


SAID = {
    "code_in_the_archive": "an object or code, which is never loaded",
    "code_by_name_on_the_stack": f"refers to '{os.mkdir.__module__} mkdir', an object or code",
    "code_by_a_long_name": "refers to 'oooo",
    "an_instruction_that_makes_objects": "one without a network's tensors",
    "safetensors_with_a_name_of_dots": "a tensor whose name has 960,012 characters, more than 200",
    "a_pickle_with_a_name_of_dots": "far longer names",
    "a_long_name_before_many_tensors": "nearest is resnet18: conv1.weight is missing",
    "tens_of_thousands_of_tensors": "12,000 tensors, more than 5,000",
    "a_shape_of_300_000_sides": "a damaged header: a shape of more than 8 numbers",
    "a_shape_of_enormous_sides": "a damaged header: a shape of more than 8 numbers",
    "a_name_that_cannot_be_printed": "a tensor whose name cannot be printed",
    "safetensors_with_half_a_letter": "a tensor whose name cannot be printed",
    "masks_for_weights": "Expected bn1.bias of the checkpoint in floating-point numbers, got bool",
    "the_numbers_of_another_type": "got F8_E4M3: save",
    "complex_numbers": "got complex64: save",
    "safetensors_whose_tensors_overlap": "a tensor that claims more or other numbers than it has",
    "safetensors_whose_tensors_share_their_numbers": "tensors that overlap, or with gaps between them",
    "safetensors_that_claim_more_than_they_have": "4 bytes of numbers, not 160,000,000,000",
    "safetensors_with_something_hidden": "bytes of numbers, not",
    "half_of_two_networks": "nearest is resnet18: conv1.weight is missing",
    "a_whole_module": "nearest is resnet18: conv1.weight is missing",
    "a_huge_bytearray_by_an_allowed_name": "'__builtin__ bytearray'",
    "an_old_torch_file": "nearest is resnet18: conv1.weight is missing",
    "a_zip_bomb": "a compressed or encrypted archive",
    "thousands_of_entries": "too many entries",
    "the_same_entry_twice": "the same entry twice",
    "an_expanded_tensor": "claims more or other numbers than it has",
    "a_tensor_beyond_its_storage": "missing or of another size",
    "a_bit_flipped_in_the_archive": "a damaged archive",
    "not_a_number": "bn1.bias of the checkpoint to have finite numbers",
    "infinite_after_rounding": "finite numbers",
    "negative_variance": "variances from 0",
    "a_missing_tensor": "nearest is resnet18: layer3.1.conv2.weight is missing",
    "a_tensor_too_many": "nearest is resnet18: layer5.0.conv1.weight has shape (3,)",
    "the_same_tensor_by_two_names": "it has two heads, fc and linear",
    "too_large": "up to 128 MB, got 128 MB",
}


@pytest.mark.parametrize("name", KINDS)
def test_a_malformed_file_is_refused_in_one_sentence(name, state, tmp_path):
    """Nothing is executed, memory and time are small, and the sentence says what was expected and what to do."""
    content = KINDS[name](state, tmp_path)
    tracemalloc.start()
    began = time.process_time()
    try:
        with pytest.raises(CannotCompute) as refused:
            checkpoints.load(content)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert time.process_time() - began < 20  # tracing makes it several times slower
    assert peak < 3 * len(content) + (200 << 20)
    said = str(refused.value)
    assert SAID.get(name, "Expected ") in said
    assert said.startswith("Expected ")
    assert ": " in said
    assert "\n" not in said
    assert len(said) < 400
    assert not (tmp_path / "executed").exists()


def test_truncation_anywhere_and_flipped_bytes_never_escape(state, full, tmp_path):
    """With random damage, both formats load correctly or are refused; no other exception."""
    random = np.random.default_rng(0)
    small = {k: v for k, v in state.items() if v.ndim < 4}  # complete or not, the readers process all of it
    for content in (saved(small), save(small), saved(state)[-60_000:]):
        for _ in range(400 if full else 40):
            damaged = bytearray(content[: random.integers(len(content))] if random.random() < 0.3 else content)
            places = random.integers(max(1, len(damaged)), size=random.integers(1, 5))
            for place in places if damaged else ():
                # Mostly at the beginning and the end, where the structure is.
                at = place if random.random() < 0.3 else (place % 2000) * random.choice([-1, 1])
                damaged[at % len(damaged)] = random.integers(256)
            with pytest.raises(CannotCompute):  # it lacks the convolutions
                checkpoints.load(bytes(damaged))


def test_code_beside_good_weights_is_passed_over(state, tmp_path):
    model, _ = checkpoints.load(saved({"state_dict": state, "hook": Trap(tmp_path)}))
    assert resnets.weights_sha256(model) == manifest.entry("resnet18").sha256
    assert not (tmp_path / "executed").exists()


def test_a_path_is_read_like_an_upload_and_may_be_larger(state, tmp_path, monkeypatch):
    """The limit is the page's; of a file only the tensors in use are read."""
    monkeypatch.setattr(sources, "LARGEST_FILE", 24 << 20)
    monkeypatch.setattr(readings, "best", readings_made_up.quick())
    read, parts = sources.InFile.read, []
    monkeypatch.setattr(
        sources.InFile, "read", lambda self, begin, end: parts.append(end - begin) or read(self, begin, end)
    )
    together = dict(state) | {"optimizer.exp_avg": torch.zeros(4 << 20)}
    for name, content in {
        "file.pt": saved(together),
        "file.safetensors": save(together),
        "old.pt": old(together),
    }.items():
        path = tmp_path / name
        path.write_bytes(content)
        parts.clear()
        network = checkpoints.network_in(path)
        assert network.weights_sha256 == manifest.entry("resnet18").sha256
        if name != "old.pt":  # whose list of tensors has no end that is known
            assert sum(parts) < 24 << 20 < len(content)
        with pytest.raises(CannotCompute, match="up to 24 MB, got 37 MB"):
            checkpoints.load(content)
    with pytest.raises(CannotCompute, match="No such file"):
        checkpoints.content_of(tmp_path / "nowhere")


def test_averaged_counters_are_counters_and_a_second_network_is_said(state, tmp_path, monkeypatch):
    """What averages of several files leave, and a file with a network beside it."""
    monkeypatch.setattr(readings, "best", readings_made_up.quick())
    soup = {name: (2 * value.double()) / 2 for name, value in state.items()}
    torch.save({"model": soup, "ema": state}, tmp_path / "soup.pt")
    network = checkpoints.network_in(tmp_path / "soup.pt")
    assert network.module().bn1.num_batches_tracked.dtype == torch.int64
    assert network.reading.endswith(" Of several networks “model.” is used, not “ema.”.")
