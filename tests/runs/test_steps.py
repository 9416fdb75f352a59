"""Steps from names and metadata, in natural order; seeds from folders; what cannot be a run is said."""

import pytest
import torch
from safetensors.torch import save_file

from stiffcore.errors import CannotCompute
from stiffcore.runs import steps


def files(folder, *names: str) -> list:
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"")
    return steps.listed([folder / name for name in names])


@pytest.mark.parametrize(
    ("names", "expected", "unit"),
    [
        (("epoch-10.pt", "epoch-9.pt", "epoch-000.pt"), {"epoch-000.pt": 0, "epoch-9.pt": 9, "epoch-10.pt": 10}, "epoch"),
        (("epoch=1-step=40.ckpt", "epoch=2-step=80.ckpt"), {"epoch=1-step=40.ckpt": 1, "epoch=2-step=80.ckpt": 2}, "epoch"),
        (("epoch=1-step=40.ckpt", "epoch=1-step=80.ckpt"), {"epoch=1-step=40.ckpt": 40, "epoch=1-step=80.ckpt": 80}, "step"),
        (("resnet20_3.pt", "resnet20_12.pt"), {"resnet20_3.pt": 3, "resnet20_12.pt": 12}, "step"),
        (("iter_500-v2.pt", "iter_1000-v2.pt"), {"iter_500-v2.pt": 500, "iter_1000-v2.pt": 1000}, "step"),
        (("recipe5.pt", "recipe7.pt"), {"recipe5.pt": 5, "recipe7.pt": 7}, "step"),
    ],
)  # fmt: skip
def test_a_step_is_the_number_that_tells_the_files_apart(tmp_path, names, expected, unit):
    places = steps.placed(files(tmp_path / "run", *names))
    assert {place.path.name: place.step for place in places.files} == expected
    assert [place.step for place in places.files] == sorted(expected.values())
    assert (places.unit, places.note) == (unit, "")


@pytest.mark.parametrize(
    "names", [("best.pt", "last.pt"), ("a-3.pt", "b-3.pt"), ("init.pt", "epoch-1.pt"), ("9" * 30 + ".pt", "b.pt")]
)
def test_files_without_numbers_are_counted_from_0_with_a_word(tmp_path, names):
    places = steps.placed(files(tmp_path / "run", *names))
    assert [place.step for place in places.files] == [0, 1]
    assert "run have no numbers that tell them apart: their steps are counted from 0" in places.note


def test_metadata_comes_before_the_name(tmp_path):
    for name, epoch in (("epoch-1.safetensors", "30"), ("epoch-2.safetensors", "4")):
        save_file({"x": torch.zeros(1)}, tmp_path / name, metadata={"epoch": epoch, "step": "7"})
    places = steps.placed(steps.listed([tmp_path / "*.safetensors"]))
    assert [(place.path.name, place.step) for place in places.files] == [
        ("epoch-2.safetensors", 4),
        ("epoch-1.safetensors", 30),
    ]


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff" * 9, b"\x02" + bytes(7) + b"[]", b"\x60\xea" + bytes(6) + b"[" * 60000, bytes(7) + b"\xff{}"],
)
def test_a_damaged_header_has_no_metadata(tmp_path, content):
    (tmp_path / "a-1.pt").write_bytes(content)
    (tmp_path / "a-2.pt").write_bytes(content)
    assert [place.step for place in steps.placed(steps.listed([tmp_path / "a-*.pt"])).files] == [1, 2]


def test_folders_are_seeds_in_natural_order(tmp_path):
    for seed in ("seed-10", "seed-2"):
        files(tmp_path / seed, "epoch-1.pt", "epoch-2.pt")
    places = steps.placed(steps.listed([tmp_path / "seed-*" / "epoch-*.pt"]))
    assert [(place.path.parent.name, place.seed, place.step) for place in places.files] == [
        ("seed-2", 0, 1), ("seed-2", 0, 2), ("seed-10", 1, 1), ("seed-10", 1, 2),
    ]  # fmt: skip


def test_a_file_that_two_patterns_name_is_there_once(tmp_path):
    files(tmp_path / "run", "epoch-1.pt", "epoch-2.pt")
    assert len(steps.listed([tmp_path / "run" / "*.pt", tmp_path / "run" / "epoch-1.pt"])) == 2


def test_no_file_a_folder_and_too_many_are_refused(tmp_path, monkeypatch):
    with pytest.raises(CannotCompute, match="names no file: write a pattern"):
        steps.listed([tmp_path / "*.pt"])
    with pytest.raises(CannotCompute, match="is a folder"):
        steps.listed([tmp_path])
    monkeypatch.setattr(steps, "MOST_FILES", 1)
    with pytest.raises(CannotCompute, match="up to 1 checkpoints of a run, got 2"):
        files(tmp_path / "run", "epoch-1.pt", "epoch-2.pt")
