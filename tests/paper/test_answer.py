"""The answer to the home page's question: from planted stiffness indicators, by hand."""

import numpy as np
import pandas as pd
import pytest

from stiffcore.conventions import Convention
from stiffcore.paper import answer
from tests.made_up import rows

BRANCH = Convention.BRANCH


def planted(values, network="resnet18", block=8):
    """A row per value, at one block."""
    return rows.rows(network, BRANCH, len(values), [block], stiffness_indicator=np.asarray(values, float))


def test_the_indicator_of_several_networks_by_hand():
    found = answer.of_rows([planted([0.5, -0.25]), planted([1.0, np.nan], "resnet34", 16), pd.DataFrame()])
    assert (found.lowest, found.highest, found.mean) == (-0.25, 1.0, pytest.approx(1.25 / 3))
    assert found.share_positive == pytest.approx(2 / 3)
    assert (found.networks, found.blocks, found.images, found.values) == (2, 2, 2, 3)
    assert found.factor == 0.25


def test_without_a_value_there_is_no_answer():
    assert answer.of_rows([pd.DataFrame(), planted([np.nan])]) is None
    assert answer.of_rows([rows.rows("resnet18", BRANCH, 2)]) is None, "rows from before the metric"


@pytest.mark.parametrize(
    ("lowest", "word"), [(0.3, "No"), (-0.99, "No"), (-1.0, "Hardly"), (-9.9, "Hardly"), (-10.0, "In places, yes")]
)
def test_the_word_follows_the_largest_factor(lowest, word):
    found = answer.of_rows([planted([lowest, 1.0])])
    assert found.word == word
    assert found.factor == max(0, -lowest)
    assert answer.by_definition(found).startswith(f"**{word}, by the field's definition**")


def test_the_sentences_hold_the_numbers():
    definition = answer.by_definition(answer.of_rows([planted([0.5, -0.25])]))
    assert "at most 0.25" in definition
    assert "from −0.25 to 0.50" in definition
    assert "2 pairs of block and image" in definition
    untrained = answer.of_rows([planted([0.02, -0.04])])
    training = answer.by_training({"ResNet18": 0.36, "ResNet50": -0.006}, untrained)
    assert "0.36 in ResNet18, −0.01 in ResNet50" in training
    assert "between −0.04 and 0.02" in training
    assert "random initialisation" not in answer.by_training({"ResNet18": 0.36}, None)


def test_every_block_counts_the_same_however_many_images_it_has():
    many, few = planted([1.0, 1.0, 1.0, 1.0]), planted([-1.0], block=6)
    assert answer.over_blocks(pd.concat([many, few])) == 0
    assert np.isnan(answer.over_blocks(pd.DataFrame()))


def test_other_readings_of_the_last_block():
    slices = rows.rows("resnet18", images=3, stiffness_index=-16.5, stiffness_index_without_skip=-1.07)
    branch = rows.rows("resnet18", BRANCH, 3, [8], outside_euler=0.01, share_positive=0.008)
    said = answer.by_other_readings(slices, branch, 8)
    assert "−16.50 (−1.07 without" in said
    assert "1.0 % of the eigenvalues" in said
    assert "0.8 % have Re λ > 0" in said
    assert answer.by_other_readings(pd.DataFrame(), pd.DataFrame(), 8) == ""
    assert answer.by_other_readings(pd.DataFrame(), branch, 8).startswith("1.0 % of the eigenvalues")


def test_the_sentences_are_left_out_where_nothing_is_computed():
    nothing = dict.fromkeys(["resnet18", "resnet34"], pd.DataFrame())
    titles = {"resnet18": "ResNet18", "resnet34": "ResNet34"}
    assert answer.sentences(nothing, nothing, nothing, titles) == []
    first, second = answer.sentences(nothing | {"resnet18": planted([0.5])}, nothing, nothing, titles)
    assert first.startswith("**No")
    assert "0.50 in ResNet18." in second
