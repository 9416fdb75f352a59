"""The progress callback that the queue, the commands and every computation share."""

from collections.abc import Callable

# (finished stages, total stages or 0 if unknown, current stage); may raise errors.Cancelled to stop the computation.
Progress = Callable[[int, int, str], None]


def silent(done: int, total: int, what: str) -> None:
    """Ignores progress."""
