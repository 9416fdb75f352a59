"""The one way to a result: look it up, else compute it once for everyone who asks at the same time, and store it.

What this machine stored takes precedence over shipped results: a shipped result that was computed again is shown as computed
here, and deleting cache/results/ brings back the shipped one.
"""

import logging
from collections.abc import Callable
from typing import TypeVar

from stiffcore.progress import Progress, silent
from stiffcore.storage import cache as result_cache
from stiffcore.storage.encoding import Entry

T = TypeVar("T")
_log = logging.getLogger(__name__)


def find(key: str, read: Callable[[Entry], T]) -> T | None:
    """What ``read`` makes of the entry under a key, on this machine or else shipped; None where there is none.

    An entry that ``read`` cannot read, because a field is missing or of another type, is logged and counts as missing.
    """
    for place in (result_cache.default(), result_cache.shipped()):
        entry = place.get(key)
        if entry is None:
            continue
        try:
            return read(entry)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            _log.warning("Stored result %s is not used, because it cannot be read: %r", key, error)
    return None


def computed_once(
    key: str,
    stored: Callable[[], T | None],
    compute: Callable[[], tuple[T, Entry]],
    progress: Progress | None = None,
    again: bool = False,
) -> tuple[T, str]:
    """The stored result, else a fresh one, which is stored; and a sentence for the user if it could not be stored, or "".

    key: the one to store under. stored: the lookup; it is repeated once the key is held, since others may have computed the
    result meanwhile. compute: gives the result and its entry. progress: is also called while others compute the same, and
    may raise Cancelled. again: compute even if it is stored; the new result replaces the stored one when it is complete.
    """
    report = progress or silent
    found = None if again else stored()
    if found is not None:
        return found, ""
    cache = result_cache.default()
    with cache.computed_once(key, lambda: report(0, 0, "another computation of the same is under way")):
        found = None if again else stored()
        if found is not None:
            return found, ""
        result, entry = compute()
        return result, cache.put(key, entry.header, entry.arrays) or ""
