"""Metrics of the shipped weights at a few images, computed again: they change only if the weights change, or by mistake.

Measured with `python -m stiffcore analyse NETWORK --images … --blocks … --convention …`, float64; see .github/CONTRIBUTING.md.
"""

import pytest

from stiffcore.analysis import compute as analysis
from stiffcore.networks import manifest
from tests.made_up.asked import asked

WEIGHTS = {
    "resnet18": "884cfb0452c5c3d64b776e81efa7b11a957a6ba26f65d0aee9e109da6a073802",
    "resnet18-shuffled": "c63332d5aff6ba96f08a25505cc1123bcefabb0d6836cd54f5123043585ec605",
    "resnet34": "fabf63a84e46d1d5c223bfd895f667bf9c6f6f7ab0d626c91796c5474989eb51",
    "resnet50": "c3c0609d59770a1f52af79fd2d0f1218995023911e2bc4d61584aacf60882a45",
}
# (network, image, block, convention) -> metrics.
GOLDEN = {
    ("resnet18", 0, 8, "block"): {
        "max_re": 1.031560866977621,
        "min_re": 0.0,
        "n_negative": 0,
        "n_zero": 1257,
        "n_one": 0,
    },
    ("resnet18", 0, 8, "branch"): {
        "stiffness_index": -0.0534968034079269,
        "percent_negative": 28.271484375,
        "n_negative": 579,
        "n_zero": 917,
        "largest_stable_step": 1.3987836001700826,
        "outside_euler": 0.26953125,
    },
    ("resnet18", 0, 8, "slices"): {
        "stiffness_index": -12.89789036970082,
        "percent_negative": 19.609403610229492,
        "n_negative": 411_239,
        "n_zero": 1_287_168,
        "expected_percent_negative": 19.3115234375,
    },
    ("resnet18", 0, 7, "block"): {
        "largest_singular_value": 1.6257810361902096,
        "smallest_singular_value": 0.04221692558626304,
    },
    ("resnet18-shuffled", 0, 8, "branch"): {
        "max_re": 1.3902565889685596,
        "min_re": -3.1348597907020763,
        "n_negative": 482,
    },
    ("resnet34", 0, 13, "slices"): {
        "stiffness_index": -15.260753105238251,
        "n_negative": 1_245_909,
        "n_zero": 1_723_904,
    },
    ("resnet50", 11, 16, "block"): {"max_re": 1.069347076301742, "n_negative": 0, "n_zero": 5008, "n_one": 2248},
    ("resnet50", 11, 16, "branch"): {"max_re": 0.1051178721854871, "min_re": -0.5482273264295707, "n_zero": 7256},
}


@pytest.mark.parametrize("network", WEIGHTS)
def test_golden_values_are_of_the_shipped_weights(network):
    assert manifest.entry(network).sha256 == WEIGHTS[network]


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: "-".join(map(str, case)))
def test_golden_values(case):
    (result,) = analysis.compute_many([asked(*case, "counts")], again=True)  # not what is stored or ships
    assert not result.stored
    assert {name: result.metrics[name] for name in GOLDEN[case]} == pytest.approx(GOLDEN[case], rel=1e-9)
