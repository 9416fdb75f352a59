"""Metrics of the shipped weights at one image: they change only with the weights, or with a mistake.

Measured with `python -m stiffcore analyse resnet18 --images 0 --blocks 8 --convention …`, float64; see "Upgrading" in the README.
"""

import pytest

from stiffcore import analysis, manifest

WEIGHTS = "884cfb0452c5c3d64b776e81efa7b11a957a6ba26f65d0aee9e109da6a073802"
GOLDEN = {
    "block": {"max_re": 1.031560866977621, "min_re": 0.0, "n_negative": 0, "n_zero": 1257, "n_one": 0},
    "branch": {
        "stiffness_index": -0.0534968034079269,
        "percent_negative": 28.271484375,
        "n_negative": 579,
        "n_zero": 917,
        "largest_stable_step": 1.3987836001700826,
        "outside_euler": 0.26953125,
    },
    "slices": {
        "stiffness_index": -12.89789036970082,
        "percent_negative": 19.609403610229492,
        "n_negative": 411_239,
        "n_zero": 1_287_168,
        "expected_percent_negative": 19.3115234375,
    },
}


def test_golden_values_are_of_the_shipped_weights():
    assert manifest.entry("resnet18").sha256 == WEIGHTS


@pytest.mark.parametrize("convention", GOLDEN)
def test_golden_values(convention):
    result = analysis.compute(analysis.Request("resnet18", 0, 8, convention, "counts"))
    assert {name: result.metrics[name] for name in GOLDEN[convention]} == pytest.approx(GOLDEN[convention], rel=1e-9)
