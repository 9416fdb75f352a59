"""The adversarial twin that ships, on planted losses and spectra."""

import numpy as np
import pytest

from stiffcore.analysis import compute as analysis, perturbation
from stiffcore.conventions import Convention
from stiffcore.rebuild import twins
from stiffcore.rebuild.target import Workers
from stiffcore.storage import cache as result_cache
from stiffcore.storage.shipped import ShippedResults
from stiffcore.sweeps import shipping
from tests.made_up.asked import asked
from tests.made_up.spectra import made_up


@pytest.fixture(autouse=True)
def planted(tmp_path, monkeypatch):
    """An empty cache, nothing shipped; FGSM that darkens, a network that sees a dog in own images, spectra made up."""
    monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(result_cache, "shipped", lambda: ShippedResults(tmp_path / "nothing"))
    monkeypatch.setattr(perturbation, "fgsm", lambda network, image, k: np.maximum(image.pixels, k) - np.uint8(k))

    def all_losses(network, image):
        losses = np.full(10, 4.0)
        losses[3 if image.is_official else 5] = 0.5
        return losses

    def compute(request, progress=None):
        result = made_up(request)
        assert result_cache.default().put(request.key, result.header(), result.arrays) is None
        return result

    monkeypatch.setattr(analysis, "all_losses", all_losses)
    monkeypatch.setattr(analysis, "compute", compute)


def test_what_the_page_opens_on_is_made(tmp_path, monkeypatch):
    folder = tmp_path / "shipped"
    monkeypatch.setattr(shipping, "FOLDER", folder)
    clean = asked("resnet18", twins.twin().image, 8, "branch", "spectrum")
    analysis.compute(clean)  # serves its counts, under another key
    target = twins.Twins("twins")
    assert target.need().reasons == ("spectra-twins.parquet is not there",)
    target.make(Workers())
    assert not target.need().is_stale
    shipped = ShippedResults(folder)
    monkeypatch.setattr(result_cache, "shipped", lambda: shipped)
    monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path / "a fresh checkout"))
    twin = twins.twin()
    found = perturbation.stored(twin)
    assert found.seen == (3, 5)
    assert analysis.stored(asked("resnet18", found.image, 8, "branch", "spectrum")).stored
    assert perturbation.stored_sweep(twin, 8, Convention.BRANCH)["strength"].tolist() == list(perturbation.SWEEP)
    facts = shipping.about()["spectra-twins.parquet"]
    made = analysis.stored(asked("resnet18", found.image, 8, "branch", "spectrum")).made
    assert facts["rows"] == len(shipped.keys())
    assert (facts["device"], facts["precision"]) == ([made["device"]], [made["precision"]])
    assert facts["dates"] == [made["date"]] * 2
