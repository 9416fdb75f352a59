"""Matrices come back from every form of file as they were saved, and nothing else does."""

import io
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save

from stiffcore.errors import CannotCompute
from stiffcore.matrices import read

A = np.arange(16.0).reshape(4, 4) - 7.5


def npy(array: np.ndarray, **options) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def npz(compressed: bool = False, **arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(file, **arrays)
    return file.getvalue()


def pt(content: object, new: bool = True) -> bytes:
    file = io.BytesIO()
    torch.save(content, file, _use_new_zipfile_serialization=new)
    return file.getvalue()


T = torch.from_numpy(A)
FORMS = {
    "npy": (npy(A), [""]),
    "npy, column by column": (npy(np.asfortranarray(A)), [""]),
    "npy, other bytes first": (npy(A.astype(">f4")), [""]),
    "npz": (npz(J=A, other=np.zeros(3)), ["J"]),
    "compressed npz": (npz(compressed=True, a=A, b=A), ["a", "b"]),
    "a stack": (npy(np.stack([A, A])), ["1", "2"]),
    "safetensors": (save({"J": T, "bias": torch.zeros(3)}), ["J"]),
    "a tensor": (pt(T), [""]),
    "a tensor of torch before 1.6": (pt(T, new=False), [""]),
    "a dict of tensors": (pt({"J": T.float()}), ["J"]),
    "a view": (pt(torch.cat([T, T])[4:]), [""]),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("on_disk", [False, True])
def test_every_form_gives_the_matrix_back(form, on_disk, tmp_path):
    content, names = FORMS[form]
    (tmp_path / "matrix").write_bytes(content)
    found = read.matrices(tmp_path / "matrix" if on_disk else content)
    assert [name for name, _ in found] == names
    for _, matrix in found:
        assert matrix.dtype == torch.float64
        np.testing.assert_array_equal(matrix.numpy(), A)


def claimed(shape: tuple) -> bytes:
    """A header that claims a shape, and sixteen numbers."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": shape})
    return file.getvalue() + A.tobytes()


def bomb() -> bytes:
    file = io.BytesIO()
    with (
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("a.npy", "w", force_zip64=True) as entry,
    ):
        for _ in range(1100):
            entry.write(bytes(1 << 20))
    return file.getvalue()


REFUSED = {
    "oblong": (npy(A[:2]), r"Expected a square matrix, .* got \(2, 4\)"),
    "a number": (npy(np.float64(3)), r"Expected a square matrix"),
    "complex": (npy(A + 1j), "Expected an array of real numbers, got one of complex128"),
    "a complex tensor": (pt(T + 1j), "Expected real, finite numbers"),
    "not finite": (npy(A * np.inf), "Expected real, finite numbers"),
    "objects": (npy(np.array([[print]], dtype=object), allow_pickle=True), "Expected an array of real numbers"),
    "texts": (npy(np.array([["a"]])), "Expected an array of real numbers"),
    "a huge claim": (claimed((10**6, 10**6)), "more or fewer than it claims"),
    "a short claim": (claimed((2, 2)), "more or fewer than it claims"),
    "half a file": (npy(A)[:-5], "more or fewer than it claims"),
    "a broken header": (npy(A)[:8] + b"\xff\xff" + npy(A)[10:], "a damaged one"),
    "half an archive": (npz(a=A)[:-30], "damaged|another kind"),
    "too many": (npy(np.zeros((65, 2, 2))), "Expected up to 64 matrices"),
    "nothing": (b"", "an empty file"),
    "a page": (b"<!DOCTYPE html><html>", "HTML|page"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_everything_else_is_refused_in_one_sentence(case):
    content, why = REFUSED[case]
    with pytest.raises(CannotCompute, match=why) as error:
        read.matrices(content)
    assert "\n" not in str(error.value)


def test_an_archive_that_expands_is_refused_before_it_does():
    with pytest.raises(CannotCompute, match="Expected arrays of up to 1,024 MB"):
        read.matrices(bomb())
