"""How a computation says how far it is: the one signature that the queue, the commands and every computation share."""

from collections.abc import Callable

# (stages done, stages in total or 0 while unknown, the stage at work); may raise errors.Cancelled to stop the computation.
Progress = Callable[[int, int, str], None]


def silent(done: int, total: int, what: str) -> None:
    """Progress that nobody watches."""
