"""Uploaded matrices come back as they were, at most eight, and a damaged description is not used."""

import io
import json

import numpy as np
import pytest

import stiffcore as sc
from stiffcore.matrices import own
from stiffcore.networks import uploaded as uploaded_networks

STACK = np.random.default_rng(0).standard_normal((3, 5, 5))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path / "cache"))


def npy(array) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npz(**arrays) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def test_an_upload_is_the_same_matrices_as_its_file():
    saved = own.save(npy(STACK), "a <b>.npy")
    assert (saved.own.title, saved.own.sides, saved.dropped) == ("a _b_.npy", (5, 5, 5), ())
    assert saved.own.size == "3 of 5 × 5"
    found = own.find(saved.own.network)
    assert (found.title, found.takes_images, found.classes) == ("a _b_.npy", False, ())
    assert found.weights_sha256 == sc.matrix(STACK).weights_sha256
    for number, matrix in enumerate(STACK, 1):
        np.testing.assert_array_equal(found.module().matrix(number).numpy(), matrix)
    assert sc.analyse(found, block=2, convention="branch").metrics["max_re"] == pytest.approx(
        np.linalg.eigvals(STACK[1]).real.max()
    )


def test_matrices_keep_their_names_and_their_order():
    arrays = {f"W{number}": np.eye(number) for number in range(1, 13)}
    about = own.save(npz(**arrays), "many.npz").own
    assert about.names == tuple(arrays)
    assert about.size == "12 of 1 × 1 to 12 × 12"
    found = own.find(about.network)
    assert [(block.path, block.n_out) for block in found.blocks] == [(name, len(a)) for name, a in arrays.items()]
    assert found.block(3).title == "Matrix 3"
    assert len(found.module().matrix(12)) == 12


def test_a_name_is_neither_a_network_s_nor_a_path():
    name = own.save(npy(STACK), "a.npy").own.network
    assert own.is_name(name)
    assert not uploaded_networks.is_name(name)
    assert not any(map(own.is_name, ("resnet18", "matrix-../../etc", f"{name}0", name.upper(), None)))
    with pytest.raises(sc.CannotCompute, match="uploaded elsewhere or removed"):
        own.find("matrix-0123456789ab")


def test_the_ninth_upload_removes_the_oldest_and_names_it(monkeypatch):
    ticks = iter(range(100))
    monkeypatch.setattr(own.time, "time", lambda: float(next(ticks)))
    dropped = [own.save(npy(np.eye(2) * number), f"{number}.npy").dropped for number in range(own.MOST + 1)]
    assert dropped == [()] * own.MOST + [("0.npy",)]
    assert [about.title for about in own.known()] == [f"{number}.npy" for number in range(own.MOST, 0, -1)]
    own.remove(own.known()[0].network)
    assert len(own.known()) == own.MOST - 1
    assert len(list(own.folder().iterdir())) == 2 * (own.MOST - 1)


@pytest.mark.parametrize(
    "change",
    [
        {"title": "<b>"}, {"sides": [5, 5]}, {"sides": [5, 5, -5]}, {"sides": [5, 5, True]}, {"sides": [5, 5, 10**6]},
        {"names": ["a", "b", "<c>"]}, {"sha256": "0" * 64}, {"registered": "today"}, {"registered": True}, {"more": 1},
    ],
    ids=str,
)  # fmt: skip
def test_a_changed_description_is_not_used(change):
    name = own.save(npy(STACK), "a.npy").own.network
    path = own.folder() / f"{name}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert own.described(name) is None
    assert own.known() == ()


def test_changed_numbers_are_noticed():
    name = own.save(npy(STACK), "a.npy").own.network
    other = own.save(npy(STACK + 1), "b.npy").own.network
    found = own.find(name)
    (own.folder() / f"{name}.safetensors").write_bytes((own.folder() / f"{other}.safetensors").read_bytes())
    with pytest.raises(sc.CannotCompute, match="have changed since"):
        found.load()


def test_what_would_not_fit_is_refused(monkeypatch):
    monkeypatch.setattr(own, "LARGEST", 1 << 20)
    with pytest.raises(sc.CannotCompute, match="of 1 MB together"):
        own.save(npy(np.zeros((400, 400), np.float32)), "large.npy")
    assert own.known() == ()
