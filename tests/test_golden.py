"""Metrics of the shipped weights at one image: they change only with the weights, or with a mistake.

Measured with `python -m stiffcore analyse resnet18 --images 0 --blocks 8 --convention …`, float64; see "Upgrading" in the README.
"""

import pytest

from stiffcore import analysis, manifest

WEIGHTS = "c90d3de9caf9f10ac42234042eecce0da64fb62fe29b6c6b3da6688c17cdb11b"
GOLDEN = {
    "block": {"max_re": 1.0420421070600758, "min_re": 0.0, "n_negative": 0, "n_zero": 1321, "n_one": 0},
    "branch": {
        "stiffness_index": -0.07759461536691865,
        "percent_negative": 26.66015625,
        "n_negative": 546,
        "n_zero": 975,
        "largest_stable_step": 0.18698566913421946,
        "outside_euler": 0.25927734375,
    },
    "slices": {
        "stiffness_index": -14.538419138349383,
        "percent_negative": 18.402528762817383,
        "n_negative": 385_929,
        "n_zero": 1_352_704,
        "expected_percent_negative": 17.7490234375,
    },
}


def test_golden_values_are_of_the_shipped_weights():
    assert manifest.entry("resnet18").sha256 == WEIGHTS


@pytest.mark.parametrize("convention", GOLDEN)
def test_golden_values(convention):
    result = analysis.compute(analysis.Request("resnet18", 0, 8, convention, "counts"))
    assert {name: result.metrics[name] for name in GOLDEN[convention]} == pytest.approx(GOLDEN[convention], rel=1e-9)
