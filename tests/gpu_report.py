"""What tests/gpu.sh needs besides the tests and the benchmark: what is not installed, and one JSON of both reports. Imports only Python's own.

python tests/gpu_report.py missing                         requirements whose module is not there, one a line
python tests/gpu_report.py join TESTS.xml TABLE.json JSON
"""

import importlib.util
import json
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parent.parent
MODULES = {"pillow": "PIL"}  # where the module's name is another
GIVEN = ("torch", "torchvision")  # which belong to the machine's card and driver
NEEDED = (
    "numpy", "scipy", "pandas", "pyarrow", "diskcache", "filelock", "safetensors", "pillow", "tqdm", "numba", "threadpoolctl",
    "pytest",
)  # fmt: skip


def missing() -> list[str]:
    """Lines of the requirements files whose module is not installed. Raises SystemExit where torch is not there."""
    if absent := [name for name in GIVEN if not _is_there(name)]:
        raise SystemExit(
            f"Expected {' and '.join(absent)} on this machine, got none: install the build for its driver."
        )
    files = (ROOT / "requirements.txt", ROOT / "tests" / "requirements.txt")
    lines = [line.split("#")[0].strip() for file in files for line in file.read_text("utf-8").splitlines()]
    return [line for line in lines if _distribution(line) in NEEDED and not _is_there(_distribution(line))]


def _distribution(line: str) -> str:
    return re.split(r"[^\w.-]", line)[0].lower()


def _is_there(distribution: str) -> bool:
    return importlib.util.find_spec(MODULES.get(distribution, distribution)) is not None


def of_tests(xml: Path) -> dict:
    """How many tests passed, were skipped, failed; which failed, and how long they took together."""
    if not xml.exists():
        return {"passed": 0, "skipped": 0, "failed": ["pytest wrote no report"], "seconds": 0.0}
    suites = ElementTree.parse(xml).getroot().iter("testsuite")
    cases = [case for suite in suites for case in suite.iter("testcase")]
    failed = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    skipped = [case for case in cases if case.find("skipped") is not None]
    return {
        "passed": len(cases) - len(failed) - len(skipped),
        "skipped": len(skipped),
        "failed": [f"{case.get('classname')}::{case.get('name')}" for case in failed],
        "seconds": round(sum(float(case.get("time", 0)) for case in cases), 1),
    }


def joined(xml: Path, table: Path) -> dict:
    """The benchmark's report with that of the tests. Raises SystemExit where the benchmark has none, or had no card."""
    text = table.read_text("utf-8") if table.exists() else ""
    if not text.strip():
        raise SystemExit(f"Expected the benchmark's JSON, got nothing; the tests: {json.dumps(of_tests(xml))}")
    report: dict = json.loads(text)
    if not report.get("card"):
        raise SystemExit(
            f"Expected a card in the benchmark's JSON, got none, and leave what was kept before: run it where there is one, or with "
            f"--device cpu. The tests: {json.dumps(of_tests(xml))}"
        )
    return report | {"tests": of_tests(xml)}


if __name__ == "__main__":
    if sys.argv[1] == "missing":
        print("".join(f"{line}\n" for line in missing()), end="")
    else:
        content = joined(Path(sys.argv[2]), Path(sys.argv[3]))
        Path(sys.argv[4]).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")
        print(f"{sys.argv[4]}: {json.dumps(content['tests'])}")
