"""torch and scipy.stats in two threads: scipy.stats never sees a partly imported torch."""

import subprocess
import sys
import threading
from pathlib import Path

from stiffcore import imports

SLOW_TORCH = """
import sys, time
time.sleep(0.5)
statistics_meanwhile = "scipy.stats" in sys.modules
class Tensor:
    pass
"""
STATISTICS_MEANWHILE = """
import sys, threading, time
from stiffcore.statistics import correlation
sys.path.insert(0, sys.argv[1])
threading.Thread(target=__import__, args=("torch",)).start()
while "torch" not in sys.modules:
    time.sleep(0.001)
assert not hasattr(sys.modules["torch"], "Tensor")
assert correlation.correlate([1, 2, 3, 4], [1, 2, 3, 5], resamples=0).r > 0.9
assert not sys.modules["torch"].statistics_meanwhile
"""


def test_statistics_wait_for_a_torch_that_is_being_imported(tmp_path):
    """scipy.stats would fail: partially initialized module 'torch' has no attribute 'Tensor'."""
    (tmp_path / "torch.py").write_text(SLOW_TORCH, "utf-8")
    run = [sys.executable, "-c", STATISTICS_MEANWHILE, str(tmp_path)]
    done = subprocess.run(run, cwd=Path(__file__).parents[1], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_torch_waits_until_the_statistics_are_done():
    imported = threading.Event()
    thread = threading.Thread(target=lambda: (imports.import_torch(), imported.set()))
    with imports.scipy_stats() as stats:
        thread.start()
        assert not imported.wait(0.2)
        assert stats.norm.cdf(0) == 0.5
    assert imported.wait(60)
