"""Names what a file is that holds no network's tensors in a form that is read, and says what to do with it."""

import re
import struct
from collections.abc import Sequence

from stiffcore.errors import CannotCompute

HEAD = 4096  # bytes of a file's beginning, by which it is recognised
TAIL = 64  # bytes of its end
SAVE_AGAIN = "save it with torch.save(model.state_dict(), file), or as safetensors"
AGAIN = "download or copy it again"
UNPACK = "unpack it and name the checkpoint in it"
EXPORT = "load it in its own library and save the weights there as safetensors"
BEGINNINGS: tuple[tuple[bytes, str, str], ...] = (
    (b"version https://git-lfs.github.com/spec", "a git-lfs pointer, not the file itself", "run git lfs pull"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, as Keras writes it", EXPORT),
    (b"\x93NUMPY", "a numpy array", "a matrix is no network, so name the file of a network's weights"),
    (b"GGUF", "a GGUF file, the form of language models", "name the weights of a residual network"),
    (b"model_checkpoint_path:", "TensorFlow's list of checkpoints", EXPORT),
    (b"\x1f\x8b", "a gzip archive", UNPACK),
    (b"BZh", "a bzip2 archive", UNPACK),
    (b"\xfd7zXZ\x00", "an xz archive", UNPACK),
    (b"\x28\xb5\x2f\xfd", "a zstd archive", UNPACK),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", UNPACK),
    (b"Rar!\x1a\x07", "a rar archive", UNPACK),
    (b"PK\x05\x06", "an empty zip archive", AGAIN),
    (b"\x08\x01\x12", "a TensorFlow SavedModel", EXPORT),
    (b"\x89PNG", "a picture", "name the file of a network's weights"),
    (b"\xff\xd8\xff", "a picture", "name the file of a network's weights"),
    (b"%PDF", "a PDF document", "name the file of a network's weights"),
)
ONNX = re.compile(rb"\x08[\x02-\x1f][\x12\x1a\x22\x2a\x32\x3a\x42]")  # a protobuf: its version, then another field
OLD_TAR = (b"sys_info\0", b"pickle\0", b"tensors\0", b"storages\0")
TENSORFLOW_END = struct.pack("<Q", 0xDB4775248B80FB57)  # of a table, the form of its checkpoints
CHECKPOINT = re.compile(r"\.(pt|pth|pt2|ckpt|bin|safetensors|tar|pkl|th|model)$", re.IGNORECASE)
LONGEST_SHOWN = 60  # characters of an entry's name


def refused(got: str) -> CannotCompute:
    """The error of a PyTorch file that is not what was expected."""
    return CannotCompute(f"Expected a PyTorch state dict, got {got}: {SAVE_AGAIN}.")


def other(got: str, do: str) -> CannotCompute:
    """The error of a file in another form."""
    return CannotCompute(f"Expected a PyTorch state dict or safetensors, got {got}: {do}.")


def of_bytes(head: bytes, tail: bytes) -> CannotCompute | None:
    """What a file with these first and last bytes is; None if that is not known."""
    if not head:
        return other("an empty file", AGAIN)
    if not any(head):
        return other("a file that begins with nothing but zeros, as an interrupted download does", AGAIN)
    for beginning, got, do in BEGINNINGS:
        if head.startswith(beginning):
            return other(got, do)
    if head[257:262] == b"ustar":
        if head.startswith(OLD_TAR):
            return other(
                "a tar archive as torch before 0.1.10 wrote it",
                "load it with a torch below 2, if you trust it, and save its state dict",
            )
        return other("a tar archive", UNPACK)
    if tail.endswith(TENSORFLOW_END):
        return other("a TensorFlow checkpoint", EXPORT)
    if ONNX.match(head):
        return other("an ONNX model", "save the state dict of the PyTorch model that it was made from")
    return _text(head)


def _text(head: bytes) -> CannotCompute | None:
    try:
        text = head.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if len(head) < HEAD or error.start < HEAD - 4:  # else a letter is cut in two
            return None
        text = head[: error.start].decode("utf-8-sig", "replace")
    if any(not (c.isprintable() or c in "\n\r\t\f") for c in text):
        return None
    start = text.lstrip().lower()
    if re.match(r"<(!doctype html|html|head|body|script|\?xml|!--|error)", start):
        return other(
            "a web page instead of the file", "download it again, in a browser, and confirm what the page asks"
        )
    if '"weight_map"' in text:
        return other("the index of a checkpoint in parts", "put the parts together into one file and name that")
    if start.startswith(("{", "[")):
        return other("a JSON file", "name the file of the weights, which often lies beside it")
    if re.search(r"^(import \w|from [\w.]+ import |def \w+\(|class \w+)", text, re.MULTILINE):
        return other("a Python program", "name the file of the weights that it saves")
    return other("a text file", "name the file of a network's weights")


def of_zip(names: Sequence[str]) -> CannotCompute | None:
    """What a zip archive with these entries is; None if it is a state dict's, or unknown."""
    inside = [name.partition("/")[2] for name in names]  # torch writes into one folder
    if any(name == "constants.pkl" or name.startswith("code/") for name in inside):
        return other(
            "TorchScript",
            "load it with torch.jit.load(file), if you trust it, and save its state_dict() with torch.save",
        )
    if "serialized_exported_program.json" in names or {"archive_format", "models/model.json"} & set(inside):
        return other("a program of torch.export", "save torch.export.load(file).state_dict with torch.save")
    if any(name.startswith(".data/extern_modules") for name in inside):
        return other("a torch.package archive", "save the state dict of the model in it with torch.save")
    if "model.weights.h5" in names:
        return other("a Keras model", EXPORT)
    if names and all(name.endswith(".npy") for name in names):
        return other("numpy arrays", "name the file of a network's weights")
    if any(name.endswith("/data.pkl") for name in names):
        return None
    files = [name for name in names if CHECKPOINT.search(name) and not name.startswith("__MACOSX")]
    if files:
        shown = next((name for name in files if "resnet18" in name.lower()), files[0])
        shown = "".join(c for c in shown if c.isprintable())[:LONGEST_SHOWN]
        return other("a zip of other files", f"unpack it and name one of them, for example {shown}")
    return None
