"""A result as bytes: canonical JSON, arrays without pickle, and a frame that reveals damage. No disk access.

    blob = MAGIC | key (64 hex digits) | SHA-256 (32 bytes) | length of the header (8 bytes) | header (JSON) | arrays (.npz)

The SHA-256 covers the key, the header and the arrays, so that a truncated, altered or swapped blob is detected.
"""

import hashlib
import io
import json
import math
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

MAGIC = b"stiffcore result 1\n"
KEY_LENGTH = 64  # hexadecimal digits of a SHA-256
_DIGEST = slice(len(MAGIC) + KEY_LENGTH, len(MAGIC) + KEY_LENGTH + 32)
_HEADER_AT = _DIGEST.stop + 8
_PLAIN_TYPE = re.compile(r"[<>|=][?biufcUS][0-9]+")  # numbers, booleans and text
_NPY_HEADER = re.compile(
    r"\{'descr': '(?P<type>[<>|=][?biufcUS][0-9]+)', 'fortran_order': (?P<fortran>True|False), "
    r"'shape': \((?P<shape>[0-9, ]*)\), \} *\n"
)
_INFINITIES = {"Infinity": math.inf, "-Infinity": -math.inf}


class DamagedEntry(ValueError):
    """Bytes that are not the complete, unaltered result of this key."""


@dataclass(frozen=True)
class Entry:
    """What is stored under one key: a JSON header and named arrays."""

    header: dict
    arrays: dict[str, np.ndarray]


def _plain(value: object) -> object:
    """NumPy's scalars as Python's. Raises TypeError for other types that JSON does not have."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"Expected a value that JSON can hold, got {type(value).__name__}: {value!r}.")


def canonical_json(value: object) -> str:
    """Equal values give equal text: sorted keys, no spaces, ASCII. Raises ValueError for NaN and infinity."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, default=_plain)


def key(fields: Mapping[str, object]) -> str:
    """SHA-256, as 64 hexadecimal digits, of the canonical JSON of what determines a result."""
    return hashlib.sha256(canonical_json(dict(fields)).encode()).hexdigest()


def numbers_to_json(numbers: Mapping[str, float]) -> dict[str, float | str | None]:
    """NaN as null and infinity as a word, because JSON has neither; ``numbers_from_json`` is the inverse."""
    words = {infinity: word for word, infinity in _INFINITIES.items()}
    return {
        name: None if isinstance(number, float | np.floating) and math.isnan(number) else words.get(number, number)
        for name, number in numbers.items()
    }


def numbers_from_json(stored: Mapping[str, float | str | None]) -> dict[str, float]:
    """null as NaN, "Infinity" and "-Infinity" as numbers."""
    return {name: _number(stored_as) for name, stored_as in stored.items()}


def _number(stored_as: float | str | None) -> float:
    if stored_as is None:
        return math.nan
    return _INFINITIES[stored_as] if isinstance(stored_as, str) else stored_as


def encode_arrays(arrays: Mapping[str, np.ndarray]) -> bytes:
    """An .npz archive of plain numbers or text. Raises ValueError for other arrays, such as those that need pickle."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name in sorted(arrays):
            array = np.asarray(arrays[name])
            if not _PLAIN_TYPE.fullmatch(array.dtype.str) or array.dtype.names:
                raise ValueError(f"Expected an array of plain numbers or text as {name!r}, got {array.dtype}.")
            # A member opened by its name has the date 1980-01-01: equal arrays give equal bytes.
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, version=(1, 0), allow_pickle=False)
    return buffer.getvalue()


def decode_arrays(data: bytes) -> dict[str, np.ndarray]:
    """The arrays of ``encode_arrays``.

    Without ``np.load``: it parses headers with ``ast.literal_eval``, which in CPython 3.11 sometimes raises SystemError ("AST
    constructor recursion depth mismatch") when several threads parse at once.
    """
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name.removesuffix(".npy"): _decode_array(archive.read(name)) for name in archive.namelist()}


def _decode_array(npy: bytes) -> np.ndarray:
    """An array of the .npy format, version 1.0: magic, length of the header (2 bytes), header, elements."""
    length = int.from_bytes(npy[8:10], "little")
    header = _NPY_HEADER.fullmatch(npy[10 : 10 + length].decode("latin-1"))
    if npy[:8] != b"\x93NUMPY\x01\x00" or not header:
        raise DamagedEntry("it holds an array of another format")
    shape = tuple(int(side) for side in header["shape"].split(",") if side.strip())
    elements = np.frombuffer(bytearray(npy[10 + length :]), dtype=header["type"])  # a bytearray: writable
    return elements.reshape(shape, order="F" if header["fortran"] == "True" else "C")


def digest(entry_key: str, header: bytes, arrays: bytes) -> bytes:
    """SHA-256 over the key, the length of the header, the header and the arrays."""
    parts = (entry_key.encode(), len(header).to_bytes(8, "big"), header, arrays)
    return hashlib.sha256(b"".join(parts)).digest()


def encode(entry_key: str, entry: Entry) -> bytes:
    """The blob of an entry. Raises ValueError or TypeError for what neither JSON nor .npz can hold."""
    if not is_key(entry_key):
        raise ValueError(f"Expected a key of {KEY_LENGTH} hexadecimal digits, got {entry_key!r}.")
    header, arrays = canonical_json(entry.header).encode(), encode_arrays(entry.arrays)
    frame = (MAGIC, entry_key.encode(), digest(entry_key, header, arrays), len(header).to_bytes(8, "big"))
    return b"".join((*frame, header, arrays))


def is_key(text: object) -> bool:
    return isinstance(text, str) and len(text) == KEY_LENGTH and set(text) <= set("0123456789abcdef")


def key_of(blob: bytes) -> str:
    """The key that a blob was stored under. Raises DamagedEntry if it is not complete."""
    entry_key = blob[len(MAGIC) : _DIGEST.start].decode("ascii", "replace")
    if not blob.startswith(MAGIC) or not is_key(entry_key):
        raise DamagedEntry("not a result of this program")
    _parts(entry_key, blob)
    return entry_key


def _parts(entry_key: str, blob: bytes) -> tuple[bytes, bytes]:
    """Header and arrays, once the checksum holds."""
    if not blob.startswith(MAGIC):
        raise DamagedEntry("not a result of this program")
    if blob[len(MAGIC) : _DIGEST.start] != entry_key.encode():
        raise DamagedEntry("stored under another key")
    length = int.from_bytes(blob[_DIGEST.stop : _HEADER_AT], "big")
    header, arrays = blob[_HEADER_AT : _HEADER_AT + length], blob[_HEADER_AT + length :]
    if blob[_DIGEST] != digest(entry_key, header, arrays):
        raise DamagedEntry("its checksum does not match")
    return header, arrays


def decode(entry_key: str, blob: bytes) -> Entry:
    """The entry of a blob. Raises DamagedEntry if it is not the complete, unaltered entry of this key."""
    return decode_parts(*_parts(entry_key, blob))


def decode_parts(header: bytes, arrays: bytes) -> Entry:
    """An entry from its JSON and its .npz, whose checksum the caller has verified."""
    try:
        fields = json.loads(header)
        if not isinstance(fields, dict):
            raise DamagedEntry("its header is not a JSON object")
        return Entry(fields, decode_arrays(arrays))
    except DamagedEntry:
        raise
    except Exception as error:  # zipfile, numpy and json raise their own types
        raise DamagedEntry(f"it cannot be decoded ({error})") from error
