"""Devices as users name them: ``auto``, ``cpu``, ``cuda``, ``cuda:1``. Imports no torch; ``device`` finds what is there."""

import re

from stiffcore.errors import CannotCompute

AUTO = "auto"  # a card where it is quicker, else the CPU
CPU = "cpu"
CUDA = "cuda"  # the process's card; of a sweep, every card


def number_of(asked: object) -> int | None:
    """The card's number in ``cuda:1``; None in the other names. Raises CannotCompute for what is no device's name."""
    form = re.fullmatch(rf"{AUTO}|{CPU}|{CUDA}(?::([0-9]{{1,3}}))?", asked) if isinstance(asked, str) else None
    if form is None:
        got = repr(asked[:80] if isinstance(asked, str) else asked)
        raise CannotCompute(
            f"Expected a device among {AUTO}, {CPU}, {CUDA} and {CUDA}:NUMBER, got {got}: choose one of them."
        )
    return None if form[1] is None else int(form[1])
