"""Keys, and results as bytes: equal ones give equal bytes, and no altered byte goes unnoticed."""

import io
import json
import math
import os

import numpy as np
import pytest
from hypothesis import given, strategies as st

from stiffcore.storage import cache as result_cache, encoding
from stiffcore.storage.cache import Entry
from stiffcore.storage.encoding import DamagedEntry

KEY = result_cache.key({"block": 8, "image": 0})
HEADER = {"metrics": {"max_re": 1.25, "min_re": None}, "seconds": 0.5}
SMALL = {"eigenvalues": np.array([1 + 2j, 1 - 2j, -0.5])}


def test_key_is_the_sha256_of_canonical_json():
    assert result_cache.key({"b": 1, "a": "é"}) == result_cache.key({"a": "é", "b": np.int64(1)})
    assert result_cache.key({"a": 1}) != result_cache.key({"a": "1"})
    assert result_cache.key({}) == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"  # SHA-256 of {}
    with pytest.raises(ValueError, match="JSON compliant"):
        result_cache.key({"a": math.nan})


@given(st.dictionaries(st.text(), st.floats() | st.integers()))
def test_numbers_survive_json(numbers):
    stored = json.loads(encoding.canonical_json(result_cache.numbers_to_json(numbers)))
    back = result_cache.numbers_from_json(stored)
    assert back.keys() == numbers.keys()
    for name, number in numbers.items():
        assert back[name] == number or (math.isnan(back[name]) and math.isnan(number))


@pytest.mark.parametrize("number", [math.nan, np.float64("nan"), np.float32("nan")])
def test_nan_is_stored_as_null(number):
    assert result_cache.numbers_to_json({"S": number}) == {"S": None}
    assert math.isnan(result_cache.numbers_from_json({"S": None})["S"])


def test_equal_entries_make_equal_blobs():
    assert encoding.encode(KEY, Entry(HEADER, SMALL)) == encoding.encode(KEY, Entry(dict(HEADER), SMALL))


def test_every_flipped_byte_and_every_truncation_is_noticed():
    blob = encoding.encode(KEY, Entry(HEADER, SMALL))
    random = np.random.default_rng(1)
    for position in range(len(blob)):
        damaged = bytearray(blob)
        damaged[position] ^= 1 << random.integers(8)
        for altered in (bytes(damaged), blob[:position]):
            with pytest.raises(DamagedEntry):
                encoding.decode(KEY, altered)
    with pytest.raises(DamagedEntry):
        encoding.decode(KEY, blob + b"\0")


@given(st.binary(max_size=300))
def test_foreign_bytes_are_no_entry(data):
    for prefix in (b"", encoding.MAGIC, encoding.MAGIC + KEY.encode()):
        with pytest.raises(DamagedEntry):
            encoding.decode(KEY, prefix + data)
        with pytest.raises(DamagedEntry):
            encoding.key_of(prefix + data)


def test_a_checksum_that_holds_over_nonsense_is_still_no_entry():
    class Bomb:
        def __reduce__(self):
            return os.abort, ()

    buffer = io.BytesIO()
    np.savez(buffer, eigenvalues=np.array([Bomb()], dtype=object), allow_pickle=True)
    for header, arrays in ((b"[]", b""), (b"{", b""), (b"{}", b"PK"), (b"{}", buffer.getvalue())):
        frame = encoding.MAGIC + KEY.encode() + encoding.digest(KEY, header, arrays)
        with pytest.raises(DamagedEntry):
            encoding.decode(KEY, frame + len(header).to_bytes(8, "big") + header + arrays)
