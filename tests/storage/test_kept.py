"""One way to a result: this machine's, the shipped one, or a fresh one that is computed once and stored."""

import threading

import numpy as np
import pytest

from stiffcore.analysis import modes, nonnormality, perturbation
from stiffcore.errors import Cancelled
from stiffcore.images import cifar10
from stiffcore.odes import block_flow, ode_net
from stiffcore.storage import cache as result_cache, kept, shipped as shipped_results
from stiffcore.storage.cache import Entry
from tests.made_up.asked import asked, asked_flow, asked_perturbation

KEY = result_cache.key({"what": "a number"})


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of this machine's."""
    cache = result_cache.ResultCache(tmp_path / "cache")
    monkeypatch.setattr(result_cache, "default", lambda: cache)
    ship(tmp_path, monkeypatch)
    yield cache
    cache.close()


def ship(folder, monkeypatch, *entries: tuple[str, Entry]) -> None:
    """These ship, and nothing else."""
    shipped_results.write_shipped(folder / "spectra-x.parquet", entries)
    ships = shipped_results.ShippedResults(folder)
    monkeypatch.setattr(result_cache, "shipped", lambda: ships)


def number(value: float) -> Entry:
    return Entry({"value": value}, {})


def read(entry: Entry) -> float:
    return entry.header["value"]


def looked_up() -> float | None:
    return kept.find(KEY, read)


def never():
    pytest.fail("computed, though it is stored")


def test_what_this_machine_stored_takes_precedence_over_what_ships(cache, tmp_path, monkeypatch):
    assert looked_up() is None
    ship(tmp_path, monkeypatch, (KEY, number(1.0)))
    assert looked_up() == 1.0
    cache.put(KEY, {"value": 2.0}, {})
    assert looked_up() == 2.0
    assert kept.computed_once(KEY, looked_up, never) == (2.0, "")


def test_an_entry_that_cannot_be_read_is_logged_and_the_next_place_asked(cache, tmp_path, monkeypatch, caplog):
    cache.put(KEY, {"another field": 2.0}, {})
    assert looked_up() is None
    assert f"Stored result {KEY} is not used, because it cannot be read: KeyError('value')" in caplog.text
    ship(tmp_path, monkeypatch, (KEY, number(1.0)))
    assert looked_up() == 1.0


def test_a_fresh_result_is_stored_and_again_replaces_it(cache):
    assert kept.computed_once(KEY, looked_up, lambda: (1.0, number(1.0))) == (1.0, "")
    assert kept.computed_once(KEY, looked_up, never) == (1.0, "")
    assert kept.computed_once(KEY, looked_up, lambda: (2.0, number(2.0)), again=True) == (2.0, "")
    assert looked_up() == 2.0


def test_what_fails_leaves_the_stored_result(cache):
    cache.put(KEY, {"value": 1.0}, {})

    def cancelled():
        raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        kept.computed_once(KEY, looked_up, cancelled, again=True)
    assert looked_up() == 1.0


def test_a_cache_that_cannot_be_written_gives_the_result_and_a_notice(tmp_path, monkeypatch):
    (tmp_path / "a file").write_text("not a folder")
    blocked = result_cache.ResultCache(tmp_path / "a file")
    monkeypatch.setattr(result_cache, "default", lambda: blocked)
    result, notice = kept.computed_once(KEY, lambda: None, lambda: (1.0, number(1.0)))
    assert result == 1.0
    assert "cache folder" in notice


def test_who_waits_is_told_so_and_finds_the_result(cache):
    begun, goes_on, stages = threading.Event(), threading.Event(), []

    def slow():
        begun.set()
        goes_on.wait(10)
        return 1.0, number(1.0)

    def progress(done, total, what):
        stages.append(what)
        goes_on.set()

    first = threading.Thread(target=kept.computed_once, args=(KEY, looked_up, slow))
    first.start()
    begun.wait(10)
    assert kept.computed_once(KEY, looked_up, never, progress) == (1.0, "")
    first.join()
    assert set(stages) == {"waiting for another computation of the same result"}


def test_every_kind_of_result_is_found_where_it_ships(cache, tmp_path, monkeypatch):
    image = cifar10.bundled()[0]
    request = asked("resnet18", image, 8, "branch", "spectrum")
    plane, line = np.ones((2, 3)), np.ones(3)
    mode = modes.Mode(request, 0.5 + 1j, plane, plane, line, line, 1e-9, 1e-9, 2.0, 0.1, "w")
    normal = nonnormality.NonNormality(request, 1.0, 2.0, 3.0, 0.5, line, line[:2], plane, 0.1, "w")
    flow = block_flow.BlockFlow(asked_flow("resnet18", image, 8), line, line, 1.0, 0.0, 9, 0.1, "w")
    noise = asked_perturbation("resnet18", image, "noise", 0)
    pixels = {"pixels": cifar10.image(image), "losses": np.arange(20.0).reshape(2, 10)}
    settings = ode_net.Settings()
    fit = ode_net.Fit(settings, *[line] * 6, 0.5, *[line] * 7, parameters=(1, 2), seconds=(0.1, 0.2))
    entries = {
        modes.key(request, 0.5 + 1j): (lambda: modes.stored(request, 0.5 + 1j), modes.as_entry(mode)),
        nonnormality.key(request): (lambda: nonnormality.stored(request), nonnormality.as_entry(normal)),
        block_flow.key(flow.request): (lambda: block_flow.stored(flow.request), block_flow.as_entry(flow)),
        perturbation.key(noise): (lambda: perturbation.stored(noise), Entry({"seconds": 0.1}, pixels)),
        ode_net.key(settings): (lambda: ode_net.stored(settings), ode_net.as_entry(fit)),
    }
    assert [stored() for stored, _ in entries.values()] == [None] * 5
    ship(tmp_path, monkeypatch, *((key, entry) for key, (_, entry) in entries.items()))
    found = [stored() for stored, _ in entries.values()]
    assert [type(one).__name__ for one in found] == ["Mode", "NonNormality", "BlockFlow", "Perturbed", "Fit"]
    assert found[0].condition == 2.0
    assert found[1].departure == 0.5
