"""Metrics of the shipped weights at a few images, computed again: they change only with the weights or the algorithm, or by mistake.

golden.json has the values; ``python -m stiffcore rebuild --only golden`` writes it, from the list in stiffcore/rebuild/golden.py.
"""

import pytest

from stiffcore.analysis.requests import ALGORITHM
from stiffcore.networks import manifest
from stiffcore.rebuild import golden

CONTENT = golden.read()


@pytest.mark.parametrize("network", CONTENT["weights"])
def test_golden_values_are_of_the_shipped_weights(network):
    assert manifest.entry(network).sha256 == CONTENT["weights"][network]


def test_golden_values_are_of_every_case_and_of_this_version_of_the_algorithm():
    assert CONTENT["algorithm"] == ALGORITHM
    assert not golden.Golden("golden").need().is_stale


@pytest.mark.parametrize("case", CONTENT["cases"], ids=lambda case: "-".join(map(str, list(case.values())[:4])))
def test_golden_values(case):
    """Computed, not what is stored or ships."""
    named = (case["network"], case["image"], case["block"], case["convention"])
    (found,) = golden.values({named: golden.CASES[named]})
    assert found["metrics"] == pytest.approx(case["metrics"], rel=1e-9)
