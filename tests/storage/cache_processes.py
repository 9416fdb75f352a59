"""What other processes do to a cache folder, for test_cache.py: ``python cache_processes.py write|compute FOLDER …``.

write  put planted entries, small and large in turn, until killed; hold HELD meanwhile.
compute MARKS  compute one entry through computed_once, noting each computation as a line in the file MARKS.
"""

import os
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from stiffcore.storage import cache as result_cache

HELD = result_cache.key({"held by": "the writer"})
COUNT = 40  # different keys that the writer writes over and over


def planted(number: int) -> tuple[str, dict, dict[str, np.ndarray]]:
    """Key, header and arrays derived from a number; small ones go into the database, large ones into files."""
    random = np.random.default_rng(number)
    size = 20_000 if number % 2 else 50
    arrays = {"eigenvalues": random.standard_normal(size) + 1j * random.standard_normal(size)}
    return result_cache.key({"planted": number}), {"number": number, "metrics": {"max_re": 0.5 * number}}, arrays


def same(entry: result_cache.Entry | None, header: dict, arrays: dict) -> bool:
    """Whether an entry is exactly this one, bit for bit."""
    return (
        entry is not None
        and entry.header == header
        and entry.arrays.keys() == arrays.keys()
        and all(entry.arrays[name].dtype == array.dtype for name, array in arrays.items())
        and all(entry.arrays[name].tobytes() == array.tobytes() for name, array in arrays.items())
    )


def write(folder: str) -> None:
    cache = result_cache.ResultCache(folder)
    with cache.computed_once(HELD):
        print("writing", flush=True)
        number = 0
        while True:
            cache.put(*planted(number % COUNT))
            number += 1


def compute(folder: str, marks: str) -> None:
    cache = result_cache.ResultCache(folder)
    key, header, arrays = planted(0)
    with cache.computed_once(key):
        if cache.get(key) is None:
            with open(marks, "a") as file:
                file.write(f"{os.getpid()}\n")
            time.sleep(0.3)  # the others arrive meanwhile
            assert cache.put(key, header, arrays) is None
    assert cache.get(key).header == header


if __name__ == "__main__":
    {"write": write, "compute": compute}[sys.argv[1]](*sys.argv[2:])
