"""Keeps threads from using scipy.stats while another thread imports torch, which would fail.

Once ``sys.modules`` contains torch, scipy accesses ``torch.Tensor``, in imports and in calls, to recognise tensors. While
another thread is importing torch, the attribute does not exist yet: "partially initialized module 'torch' has no attribute
'Tensor'". Both imports take seconds, so a visitor who opens a statistics page right after the start would see this error.
"""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

_one_at_a_time = threading.RLock()


def import_torch() -> None:
    """Import torch; waits while another thread uses scipy.stats."""
    with _one_at_a_time:
        import torch  # noqa: F401


def has_torch() -> bool:
    """Whether torch has been imported, and completely; does not wait for it."""
    torch = sys.modules.get("torch")
    return torch is not None and not getattr(torch.__spec__, "_initializing", False)


@contextmanager
def scipy_stats() -> Iterator[ModuleType]:
    """scipy.stats, for use within the block; waits while another thread imports torch. The first import takes a second."""
    with _one_at_a_time:
        if "torch" in sys.modules:
            import torch  # noqa: F401  waits for an import that did not use import_torch, for example in a job
        from scipy import stats

        yield stats
