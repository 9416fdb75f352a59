"""``analyse`` and ``spectrum`` with ``--matrix``."""

import json

import numpy as np
import pytest

from stiffcore.commands import main


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path / "cache"))
    np.save(tmp_path / "two.npy", np.stack([np.diag([-1.0, -100.0]), np.diag([2.0, -4.0])]))
    return tmp_path / "two.npy"


def test_analyse_has_a_row_for_each_matrix(file, capsys):
    assert main.main(["analyse", "--matrix", str(file), "--convention", "branch", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["network"], row["block"], row["image"], row["min_re"]) for row in rows] == [
        ("two.npy", 1, "none", -100), ("two.npy", 2, "none", -4),
    ]  # fmt: skip


def test_spectrum_writes_the_eigenvalues(file, tmp_path, capsys):
    out = tmp_path / "out.npz"
    wanted = ["--convention", "block", "--block", "2", "--out", str(out)]
    assert not main.main(["spectrum", "--matrix", str(file), *wanted])
    with np.load(out, allow_pickle=False) as written:
        assert sorted(written["eigenvalues"].real) == pytest.approx([-3, 3])


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["resnet18", "--convention", "block"], "got a network beside it"),
        (["--convention", "slices"], "has no slices"),
        (["--convention", "block", "--blocks", "3"], "from 1 to 2"),
        (["--convention", "block", "--images", "0,1"], "without images"),
    ],
)
def test_refusals_are_one_sentence(file, more, said, capsys):
    assert main.main(["analyse", "--matrix", str(file), *more]) == 2
    assert said in capsys.readouterr().err
