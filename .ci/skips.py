"""``python .ci/skips.py LOG``: fails unless every test that pytest's log (made with -rs) counts as skipped lacked a card and nothing else."""

import re
import sys
from pathlib import Path

ALLOWED = "no CUDA device"  # as tests/conftest.py says it
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
LINE = re.compile(r"^SKIPPED \[(\d+)\] (.+)$", re.MULTILINE)
REASON = re.compile(r".+?\.py(?::\d+)?: (.*)")  # behind the file, and its line where pytest folds several into one
COUNT = re.compile(r"^=*.*?\b(\d+) skipped\b.* in [\d.]+s", re.MULTILINE)  # in pytest's last line


def problem(log: str) -> str:
    """Why the log is refused, or ""."""
    log = COLOUR.sub("", log)
    reasons = [(int(count), where) for count, where in LINE.findall(log)]
    others = [where for _, where in reasons if not (said := REASON.fullmatch(where)) or said[1] != ALLOWED]
    counted, named = sum(map(int, COUNT.findall(log))), sum(count for count, _ in reasons)
    if others or counted != named:
        listed = "".join(f"\n  {where}" for where in others)
        return f"Expected every test to run, got {counted} skipped ones, {named} of them with a reason:{listed}"
    return ""


if __name__ == "__main__":
    sys.exit(problem(Path(sys.argv[1]).read_text("utf-8", "replace")) or 0)
