"""A sweep from Python: from a script without a guard, from a session without a file, with a module that is in memory only."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import stiffcore as sc
from stiffcore.conventions import Convention
from stiffcore.images import registry as images
from stiffcore.networks import registry as networks
from stiffcore.sweeps import together

ROOT = Path(__file__).parents[2]
NETWORK, NUMBERS = "resnet18-untrained", [image.number for image in images.bundled()[-3:]]  # nothing of these ships
IN_MEMORY = """
import numpy as np
import torch
import stiffcore as sc
from stiffcore.torchvision_compat import torchvision

resnet = torchvision("models.resnet")
torch.manual_seed(0)
module = resnet.ResNet(resnet.BasicBlock, [1, 1, 1, 1], num_classes=10)
module.conv1 = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False)
network = sc.network(module, name="mine")
array = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
rows = sc.sweep(network, images=[0, array], blocks=[4], convention="branch", level="extremes", workers=2)
assert rows["network"].unique().tolist() == ["mine"]
assert sorted(map(str, rows["image"])) == ["0", sc.image(array).name]
assert (rows["largest_singular_value"] > 0).all()
"""


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path / "cache"))


def test_a_row_an_image_and_block_and_what_is_there_is_not_computed_again():
    told = []
    first = sc.sweep(
        NETWORK, NUMBERS, [8], "branch", "extremes", 1, lambda done, total, what: told.append((done, total))
    )
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert first[["image", "block"]].to_numpy().tolist() == [[number, 8] for number in NUMBERS]
    again = sc.sweep(NETWORK, ",".join(map(str, NUMBERS)), [8], "branch", "extremes", 1)
    assert again["stored"].all()
    np.testing.assert_array_equal(first["max_re"], again["max_re"])


def test_what_cannot_be_computed_is_the_first_reason_and_the_rest_is_stored():
    too_large = np.zeros((64, 64, 3), np.uint8)
    with pytest.raises(
        sc.CannotCompute, match=r"block 8 at image array [0-9a-f]{8}: Expected an image of 32 × 32 pixels"
    ):
        sc.sweep(NETWORK, [too_large, NUMBERS[0]], "8", "branch", "extremes", 1)
    assert sc.analyse(NETWORK, NUMBERS[0], 8, "branch", "extremes").stored


def test_two_arrays_are_two_rows_and_two_of_one_name_are_refused():
    arrays = [np.full((32, 32, 3), grey, np.uint8) for grey in (60, 200)]
    swept = sc.sweep(NETWORK, [*arrays, NUMBERS[0], arrays[0]], [8], "branch", "extremes", 1)
    assert {*swept["image"]} == {NUMBERS[0], *(sc.image(array).name for array in arrays)}
    assert len(swept) == 3
    with pytest.raises(sc.CannotCompute, match="Expected images of different names, got two called 'grey'"):
        sc.sweep(NETWORK, [sc.image(array, name="grey") for array in arrays], [8], "branch", "extremes", 1)


def test_at_least_one_worker():
    with pytest.raises(sc.CannotCompute, match="at least one worker"):
        together.rows(networks.find(NETWORK), [images.find(NUMBERS[0])], [8], Convention.BRANCH, "extremes", 0)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["a script without a guard", "a session without a file"])
def test_a_module_in_memory_is_swept_by_workers(form, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(IN_MEMORY, "utf-8")
    command = [str(script)] if form.startswith("a script") else ["-c", IN_MEMORY]
    done = subprocess.run(
        [sys.executable, *command],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_class_of_the_script_itself_is_refused_in_one_sentence(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        IN_MEMORY.replace("module = resnet.ResNet(", "class Mine(resnet.ResNet): pass\nmodule = Mine("), "utf-8"
    )
    done = subprocess.run(
        [sys.executable, str(script)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith(
        "Mine is defined in this script or notebook, which other processes do not import: move it to a module, or give "
        "workers=1."
    )
