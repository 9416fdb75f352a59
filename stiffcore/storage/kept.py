"""The one way to a result: look it up, else compute it once for all concurrent callers, and store it.

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
    """The entry of a key, converted by ``read``: from this machine, else shipped; None if there is none.

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
    """The stored result, else a new one, which is stored; and a sentence for the user if it could not be stored, or "".

    key: to store under. stored: the lookup; repeated once the key is held, since others may have computed the result
    meanwhile. compute: returns the result and its entry. progress: also called while others compute the same result; may
    raise Cancelled. again: compute even if stored; the new result replaces the stored one when it is complete.
    """
    report = progress or silent
    known = None if again else stored()
    if known is not None:
        return known, ""
    cache = result_cache.default()
    with cache.computed_once(key, lambda: report(0, 0, "waiting for another computation of the same result")):
        known = None if again else stored()
        if known is not None:
            return known, ""
        result, entry = compute()
        return result, cache.put(key, entry.header, entry.arrays) or ""
