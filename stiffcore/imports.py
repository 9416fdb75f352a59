"""torch and scipy.stats are never imported at the same time: two threads of one server would break each other's page.

scipy asks for ``torch.Tensor`` as soon as ``sys.modules`` holds torch, in imports and in calls, to recognise tensors. While
another thread is still importing torch, the attribute does not exist: "partially initialized module 'torch' has no attribute
'Tensor'". Both imports take seconds, so that a visitor who opens a page of statistics right after a start meets it.
"""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

_one_at_a_time = threading.RLock()


def import_torch() -> None:
    """Import torch; waits as long as another thread uses scipy.stats."""
    with _one_at_a_time:
        import torch  # noqa: F401


@contextmanager
def scipy_stats() -> Iterator[ModuleType]:
    """scipy.stats, to be used within the block; waits as long as another thread imports torch. Its first import takes a second."""
    with _one_at_a_time:
        if "torch" in sys.modules:
            import torch  # noqa: F401  without import_torch, in a job say: Python waits here until that import has ended
        from scipy import stats

        yield stats
