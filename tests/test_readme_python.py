"""The README's section "From Python" runs as it is written: as a script without a guard, in a folder with a checkpoint."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stiffcore.networks import manifest

ROOT = Path(__file__).parent.parent
SECTION = (ROOT / "README.md").read_text("utf-8").split("## From Python")[1].split("\n## ")[0]
EXAMPLES = re.findall(r"```python\n(.*?)```", SECTION, re.DOTALL)
# What each example must have left behind; runs after it.
CHECKS = (
    """
assert result.eigenvalues().shape == (2048,)
assert len(result.plot().data) > 0
assert rows["image"].nunique() == 1000
assert J.shape == (2048, 2048)
import numpy as np
x = np.linspace(-1, 1, 2048)
assert np.allclose(J @ x, np.column_stack([J @ e for e in np.eye(2048)[:3]]) @ x[:3] + J @ np.where(np.arange(2048) < 3, 0, x))
""",
    """
assert rows["image"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
assert rows["network"].unique().tolist() == ["best.pt"]
assert rows["percent_negative"].between(0, 100).all()
""",
)


def test_every_example_has_its_checks():
    assert len(EXAMPLES) == len(CHECKS)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(CHECKS)))
def test_it_runs_as_it_is_written(number, tmp_path):
    shutil.copy(manifest.FOLDER / "resnet18.safetensors", tmp_path / "best.pt")  # the form is recognised, not the name
    (tmp_path / "script.py").write_text(EXAMPLES[number] + CHECKS[number], "utf-8")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "STIFFCORE_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "script.py"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
