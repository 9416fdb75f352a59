"""The adversarial twin that ships, on planted losses and spectra."""

import pytest

from stiffcore.analysis import compute as analysis, perturbation
from stiffcore.conventions import Convention
from stiffcore.rebuild import twins
from stiffcore.rebuild.target import Workers
from stiffcore.storage import cache as result_cache
from stiffcore.storage.shipped import ShippedResults
from stiffcore.sweeps import shipping
from tests.made_up.asked import asked
from tests.made_up.spectra import plant_perturbing


@pytest.fixture(autouse=True)
def planted(tmp_path, monkeypatch):
    plant_perturbing(tmp_path, monkeypatch)


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
