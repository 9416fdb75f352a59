"""A run that ships: rows come back to 7 digits with their steps, spectra by key, and the manifest knows all of it."""

import numpy as np
import pandas as pd
import pytest

from stiffcore import files
from stiffcore.analysis import compute as analysis
from stiffcore.analysis.requests import Request
from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.images import registry as images
from stiffcore.networks import registry as networks
from stiffcore.runs import kept, rows as run_rows, shipping as run_shipping
from stiffcore.storage import cache as result_cache, shipped as shipped_results
from stiffcore.storage.shipped import ShippedResults
from stiffcore.sweeps import shipping
from tests.made_up.runs import made_up, rows
from tests.made_up.spectra import store

COMMAND = "python -m stiffcore ship-run made-up"


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(shipping, "FOLDER", tmp_path / "shipped")
    monkeypatch.setattr(kept, "SHIPPED", tmp_path / "shipped")
    monkeypatch.setattr(result_cache, "shipped", lambda: ShippedResults(tmp_path / "shipped"))


def test_rows_come_back_with_their_steps_and_counts_stay_exact():
    run = made_up(seeds=2, path="/home/somebody/epoch.pt")
    frame = rows(run, n_eigenvalues=8_388_609.0, max_re=1 / 3)
    shipped = run_shipping.ship(run, "made-up", "Made up")
    path = run_shipping.ship_rows(shipped, Convention.SLICES, frame, COMMAND)
    assert kept.known() == (shipped,)
    assert "somebody" not in kept.shipped_path("made-up").read_text()
    found = run_rows.of_run(kept.get("made-up"), Convention.SLICES, images.bundled())
    order = ["seed", "step", "image", "block"]
    for name in [
        *order,
        "checkpoint",
        "n_eigenvalues",
        "correct",
        "reasons",
        "accuracy",
        "accuracy_bundled",
        "n_blocks",
    ]:
        assert found[name].tolist() == frame[name].tolist(), name
    np.testing.assert_allclose(found["stiffness_index"], frame["stiffness_index"], rtol=1e-6)
    np.testing.assert_allclose(found["max_re"], 1 / 3, rtol=1e-6)
    facts = shipping.about()[path.name]
    assert (facts["rows"], facts["images"], facts["commands"]) == (len(frame), 4, [COMMAND])
    assert set(shipping.about()) == {path.name, "run-made-up.json"}


def test_a_second_quantity_is_merged_and_other_weights_go():
    run = run_shipping.ship(made_up(), "made-up", "Made up")
    frame = rows(made_up())
    poor = frame.assign(quantity="extremes", percent_negative=np.nan)
    run_shipping.ship_rows(run, Convention.SLICES, poor, COMMAND)
    run_shipping.ship_rows(run, Convention.SLICES, frame[frame["block"] == 8], f"{COMMAND} --blocks 8")
    found = run_rows.of_run(kept.get("made-up"), Convention.SLICES, images.bundled())
    assert len(found) == len(frame)
    assert found.groupby("block")["quantity"].first().to_dict() == {
        **dict.fromkeys(range(1, 8), "extremes"),
        8: "counts",
    }
    fewer = run_shipping.ship(made_up(steps=(0, 2)), "made-up", "Made up")
    path = run_shipping.ship_rows(fewer, Convention.SLICES, frame, COMMAND)
    assert pd.read_parquet(path)["weights"].nunique() == 2


def test_what_cannot_ship_is_one_sentence():
    run = run_shipping.ship(made_up(), "made-up", "Made up")
    frame = rows(made_up())
    with pytest.raises(CannotCompute, match="1 checkpoints have no rows under slices"):
        run_shipping.ship_rows(run, Convention.SLICES, frame[frame["step"] != 2], COMMAND)
    with pytest.raises(CannotCompute, match="leave uploaded images out"):
        run_shipping.ship_rows(run, Convention.SLICES, frame.assign(image=1_000_000), COMMAND)
    with pytest.raises(CannotCompute, match="cannot ship as 'made-up', '<b>'"):
        run_shipping.ship(made_up(), "made-up", "<b>")
    request = Request(run.network(run.checkpoints[0]), images.find(0), 8, Convention.BRANCH, "spectrum")
    with pytest.raises(CannotCompute, match="is not stored: compute it first"):
        run_shipping.ship_spectra(run, [request], COMMAND)


def test_spectra_ship_beside_those_that_do(tmp_path, monkeypatch):
    run = run_shipping.ship(made_up(), "made-up", "Made up")
    requests = [
        Request(run.network(one), images.find(0), block, Convention.BRANCH, "spectrum")
        for one in run.drawn for block in (6, 8)
    ]  # fmt: skip
    store(*requests)
    run_shipping.ship_spectra(run, requests[::2], COMMAND)
    path = run_shipping.ship_spectra(run, requests[1::2], COMMAND)
    facts = shipping.about()[path.name]
    assert (facts["rows"], facts["blocks"], facts["conventions"]) == (6, [6, 8], ["branch"])
    monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path / "a fresh checkout"))
    assert all(analysis.stored(request) is not None for request in requests)


def problems(run) -> list[str]:
    """What is wrong with a run that ships: its rows and its spectra have to be those of its checkpoints, and found again."""
    found, weights = [], {one.weights: run.network(one) for one in run.checkpoints}
    for name, facts in shipping.about().items():
        if facts.get("run") != run.name and name != f"run-{run.name}.json":
            continue
        if not shipping.is_whole(shipping.FOLDER / name):
            found.append(f"{name} is damaged")
        elif facts["kind"] == "rows":
            rows = run_rows.of_run(run, Convention(facts["convention"]), images.bundled())
            if len(rows) != facts["rows"] or set(rows["weights"]) != set(weights):
                found.append(f"{name} has rows that are not found")
        elif facts["kind"] == "spectra":
            for key, entry in shipped_results.entries_in(shipping.FOLDER / name).items():
                asked = dict(entry.header["request"])
                network, image = weights[entry.header["made"]["weights"]], images.find(asked.pop("image"))
                if asked.pop("network") != network.name or Request(network, image, **asked).key != key:
                    found.append(f"{name} has a spectrum that is not found")
    return found


def test_a_whole_run_is_found_again_and_a_damaged_one_is_not():
    run = run_shipping.ship(made_up(), "made-up", "Made up")
    path = run_shipping.ship_rows(run, Convention.SLICES, rows(made_up()), COMMAND)
    plain = made_up()
    store(*(Request(plain.network(one), images.find(0), 8, Convention.BRANCH, "spectrum") for one in plain.drawn))
    asked = [Request(run.network(one), images.find(0), 8, Convention.BRANCH, "spectrum") for one in run.drawn]
    run_shipping.ship_spectra(run, asked, COMMAND)
    assert problems(run) == []
    shipping.write(pd.read_parquet(path).assign(network="another"), path)
    assert problems(run) == [f"{path.name} is damaged"]
    shipping.note(path, shipping.about()[path.name], COMMAND)
    assert problems(run) == [f"{path.name} has rows that are not found"]


def test_every_run_that_ships_is_whole(monkeypatch):
    for module, name in ((shipping, "FOLDER"), (kept, "SHIPPED")):
        monkeypatch.setattr(module, name, files.SHIPPED)
    there = sorted(path.stem.removeprefix("run-") for path in files.SHIPPED.glob("run-*.json"))
    assert [run.name for run in kept.known()] == there
    assert {run.name: problems(run) for run in kept.known()} == {name: [] for name in there}


def test_damaged_rows_count_as_none(caplog):
    run = run_shipping.ship(made_up(), "made-up", "Made up")
    path = run_shipping.ship_rows(run, Convention.SLICES, rows(made_up()), COMMAND)
    path.write_bytes(path.read_bytes()[:-9])
    assert run_rows.of_run(run, Convention.SLICES, images.bundled()).empty
    assert "SHA-256 is not the one" in caplog.text


def test_stored_results_are_rows_and_a_network_that_ships_under_a_name_lends_its_rows():
    run = made_up()
    store(Request(run.network(run.checkpoints[1]), images.find(0), 8, Convention.SLICES, "counts"))
    found = run_rows.of_run(run, Convention.SLICES, images.bundled())
    assert found[["step", "image", "block", "checkpoint"]].to_numpy().tolist() == [[2, 0, 8, "epoch-2.pt"]]
    from tests.made_up.rows import bundled, ship

    ship(bundled(images=3))
    same = networks.find("resnet18")
    own = made_up()
    own = type(own)(
        **{**vars(own), "checkpoints": (type(own.checkpoints[0])(5, 0, "copy.pt", same.weights_sha256, "copy.pt"),)}
    )
    found = run_rows.of_run(own, Convention.SLICES, images.bundled(), [same])
    assert (len(found), set(found["network"]), set(found["step"])) == (24, {"copy.pt"}, {5})
