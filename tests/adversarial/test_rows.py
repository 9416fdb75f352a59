"""Rows: stored, shipped, damaged ones left out, and the perturbed image that they give."""

import math

import numpy as np
import pandas as pd
import pytest

from stiffcore import files
from stiffcore.adversarial import compute, rows
from stiffcore.analysis import perturbation
from stiffcore.errors import CannotCompute
from stiffcore.images import registry as images
from stiffcore.networks import registry as networks, resnets
from stiffcore.sweeps import shipping
from tests.made_up import attacked


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "SHIPPED", tmp_path)
    monkeypatch.setattr(shipping, "FOLDER", tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def resnet():
    return networks.find("resnet18")


@pytest.fixture(scope="module")
def computed(resnet):
    return list(compute.compute_many(resnet, [images.find(number) for number in (7, 3, 35)]))  # 35 is predicted wrong


def test_a_stored_result_is_the_computed_one(resnet, computed):
    for one in computed:
        again = compute.stored(resnet, one.image)
        assert repr(again) == repr(one)  # NaN included
        np.testing.assert_array_equal(again.signs, one.signs)


def test_nothing_that_is_stored_is_computed_again(resnet, computed, monkeypatch):
    monkeypatch.setattr(compute, "_fresh", lambda *_: pytest.fail("computed again") if _[1] else iter(()))
    again = list(compute.compute_many(resnet, [one.image for one in computed]))
    assert {one.image.number for one in again} == {7, 3, 35}


def test_what_ships_is_what_was_stored(resnet, computed, folder):
    path = rows.ship(resnet, [one.image for one in computed], "command")
    shipped = rows.rows(resnet)
    pd.testing.assert_frame_equal(shipped, rows.merged(rows.of(computed)), check_dtype=False)
    assert shipping.about()[path.name]["commands"] == ["command"]
    pd.testing.assert_frame_equal(rows.all_rows(resnet, [computed[0].image]), shipped)


def test_a_damaged_file_counts_as_none(resnet, computed, folder):
    path = rows.ship(resnet, [one.image for one in computed], "command")
    path.write_bytes(path.read_bytes()[:-1])
    assert rows.rows(resnet).empty


def test_rows_of_other_weights_are_left_out(resnet, computed, folder):
    rows.ship(resnet, [one.image for one in computed], "command")
    path = rows.path_of(resnet)
    path.rename(rows.path_of(networks.find("resnet18-untrained")))
    assert rows.rows(networks.find("resnet18-untrained")).empty


def test_only_what_comes_with_the_project_ships(folder):
    network, image = attacked.network(attacked.convolutional()), attacked.image(0)
    with pytest.raises(CannotCompute, match="of your own"):
        rows.ship(network, [image], "command")
    with pytest.raises(CannotCompute, match="robustness resnet34"):
        rows.ship(networks.find("resnet34"), [images.find(0)], "command")


def test_the_perturbed_image_of_a_row_is_seen_as_the_row_says(resnet, computed):
    table = rows.of(computed)
    for _, row in table[np.isfinite(table["fgsm_whole"])].iterrows():
        image = images.find(row["image"])
        pixels = rows.perturbed(image, row)
        assert np.abs(pixels.astype(int) - image.pixels).max() <= row["fgsm_whole"]
        losses = resnets.all_losses(resnet.module(), pixels[None])[0]
        assert losses.argmin() == row["fgsm_seen"] != row["label"]
        # The Compare page, to which the point leads, makes the same image.
        same = pixels == perturbation.fgsm(resnet, image, int(row["fgsm_whole"]))
        assert same.mean() > 0.999


def test_a_wrong_prediction_says_so_in_its_row(computed):
    row = rows.of(computed).set_index("image").loc[35]
    assert math.isnan(row["pgd_radius"])
    assert "predicts it wrongly" in row["reason"]
