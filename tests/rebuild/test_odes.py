"""What ships of the page Stiff ODEs, with planted flows in place of the integration."""

import re

import numpy as np
import pytest

from stiffcore.networks import catalogue
from stiffcore.odes import block_flow, block_flow_integration, ode_net, ode_net_fit
from stiffcore.rebuild.odes import Odes
from stiffcore.rebuild.target import Workers
from stiffcore.storage import cache as result_cache
from stiffcore.storage.shipped import ShippedResults
from stiffcore.sweeps import shipping

MISSING = ("50 flows are missing, of resnet18, resnet34, resnet50", "the fits are missing")


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """Flows by a formula, nothing shipped; the requests asked for, in order."""
    asked = []

    def compute(request, progress=None):
        asked.append(request)
        distance = np.array(block_flow.STEPS) / (request.block + 1)
        return block_flow.BlockFlow(request, distance, 2 * distance, 1.5, 1e-6, 300, 2.0, "f" * 64)

    monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(result_cache, "shipped", lambda: ShippedResults(tmp_path / "nothing"))
    monkeypatch.setattr(block_flow_integration, "compute", compute)
    return asked


def test_what_the_page_opens_on_is_made(planted, tmp_path, monkeypatch):
    def fit(settings):
        numbers = {name: np.zeros(2) for name in ode_net.Fit.__dataclass_fields__}
        return ode_net.Fit(
            **numbers | {"settings": settings, "line_loss": 1.0, "parameters": (1, 2), "seconds": (1, 2)}
        )

    monkeypatch.setattr(ode_net_fit, "compute", fit)
    monkeypatch.setattr(shipping, "FOLDER", tmp_path)
    target = Odes("odes")
    assert (target.need().missing, target.need().reasons) == (51, MISSING)
    target.make(Workers())
    assert not target.need().is_stale
    shipped, asked = ShippedResults(tmp_path), list(dict.fromkeys(planted))
    assert len(asked) == 50  # ten labels, and the last stages of ResNet18 (1), 34 (2) and 50 (2)
    assert shipped.keys() == {block_flow.key(request) for request in asked} | {ode_net.key(ode_net.Settings())}
    monkeypatch.setattr(result_cache, "shipped", lambda: shipped)
    assert block_flow.stored(asked[3]).growth == 1.5
    facts = shipping.about()["spectra-stiff-odes.parquet"]
    assert (facts["rows"], facts["device"], facts["precision"]) == (51, ["cpu"], ["float64"])
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d", date) for date in facts["dates"])
    assert len(facts["dates"]) == 2
    assert {request.network.name for request in asked} == set(catalogue.PAPER)
