"""Matrices in place of a network: spectra, modes and norms as numpy and scipy find them."""

import numpy as np
import pytest

import stiffcore as sc
from stiffcore.jacobians import reference
from stiffcore.sweeps import tasks

RANDOM = np.random.default_rng(0).normal(size=(60, 60)) - 3 * np.eye(60)


@pytest.mark.parametrize(("convention", "shift"), [("branch", 0), ("block", 1)])
def test_the_spectrum_is_the_matrix_s(convention, shift):
    found = sc.analyse(sc.matrix(RANDOM), convention=convention, level="spectrum")
    expected = np.linalg.eigvals(RANDOM) + shift
    assert reference.spectral_distance(found.eigenvalues(), expected) < 1e-11
    assert found.metrics["n_negative"] == (expected.real < 0).sum()
    assert sc.analyse(sc.matrix(RANDOM), convention=convention, level="spectrum").stored


def test_a_large_matrix_has_extremes():
    diagonal = np.linspace(-7, -1, 500)
    found = sc.analyse(sc.matrix(np.diag(diagonal), "diagonal"), convention="branch", level="extremes")
    assert (found.metrics["min_re"], found.metrics["max_re"]) == pytest.approx((-7, -1))


def test_a_stack_has_a_block_for_each(tmp_path):
    np.save(tmp_path / "stack.npy", np.stack([np.diag([-1.0, -2.0]), np.diag([-3.0, -50.0])]))
    network = sc.matrix(tmp_path / "stack.npy")
    assert (network.name, len(network.blocks), network.takes_images) == ("stack.npy", 2, False)
    rows = sc.sweep(network, convention="branch", workers=1)
    assert rows["min_re"].tolist() == [-2, -50]
    assert rows["image"].tolist() == ["none", "none"]
    assert rows["label"].isna().all()
    assert tasks.row(sc.analyse(network, block=2, convention="branch"))["predicted"] is None


def test_slices_are_refused():
    with pytest.raises(sc.CannotCompute, match="has no slices"):
        sc.analyse(sc.matrix(RANDOM), convention="slices")


@pytest.mark.parametrize(
    "wrong", [np.zeros((2, 3)), np.zeros(4), np.eye(2) * 1j, "nothing.npy", [[1, 2], [3]], np.full((2, 2), np.nan)]
)
def test_anything_else_is_refused(wrong):
    with pytest.raises(sc.CannotCompute):
        sc.matrix(wrong)


def test_the_same_matrix_has_the_same_results_under_any_name(tmp_path):
    np.savez(tmp_path / "one.npz", A=RANDOM)
    assert sc.matrix(tmp_path / "one.npz").weights_sha256 == sc.matrix([RANDOM]).weights_sha256
