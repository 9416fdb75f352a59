"""What ships: rows of the shipped weights only, whole files only, each noted in the manifest."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from pages.shared.shell import scenes
from stiffcore.analysis import compute as analysis, perturbation
from stiffcore.analysis.requests import ALGORITHM
from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.images import cifar10, uploaded as uploaded_images
from stiffcore.networks import catalogue, manifest, registry as networks
from stiffcore.rebuild import twins
from stiffcore.storage import cache as result_cache
from stiffcore.storage.shipped import ShippedResults
from stiffcore.sweeps import shipping, tasks
from tests.made_up import rows as rows_made_up
from tests.made_up.asked import asked
from tests.made_up.spectra import store


def rows(images=4, **columns):
    made = rows_made_up.rows(images=images, blocks=[7, 8], weights=manifest.entry("resnet18").sha256)
    return made.assign(
        **({"algorithm": ALGORITHM, "date": "2026-01-01", "quantity": "counts", "stored": True} | columns)
    )


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder in place of cache/shipped."""
    monkeypatch.setattr(shipping, "FOLDER", tmp_path)
    return tmp_path


def test_what_was_shipped_is_read_again(folder):
    shipping.ship_rows(networks.find("resnet18"), Convention.SLICES, rows(), "python -m stiffcore sweep resnet18")
    found = shipping.rows(networks.find("resnet18"), Convention.SLICES)
    expected = rows().drop(columns="stored")
    pd.testing.assert_frame_equal(found[list(expected)], expected, check_dtype=False)
    facts = shipping.about()["rows-resnet18-slices.parquet"]
    assert (facts["rows"], facts["images"], facts["images_by_block"]) == (8, 4, {"7": 4, "8": 4})
    assert facts["weights"] == manifest.entry("resnet18").sha256
    assert facts["commands"] == ["python -m stiffcore sweep resnet18"]


@pytest.mark.usefixtures("folder")
def test_rows_are_merged_and_the_newer_ones_stay():
    shipping.ship_rows(networks.find("resnet18"), Convention.SLICES, rows(), "first")
    newer = rows(images=6)[lambda frame: frame["image"] >= 3].assign(percent_negative=50.0)
    shipping.ship_rows(networks.find("resnet18"), Convention.SLICES, newer, "second")
    found = shipping.rows(networks.find("resnet18"), Convention.SLICES)
    assert found.groupby("image")["percent_negative"].max().eq(50).tolist() == [False] * 3 + [True] * 3
    assert len(found) == 12
    assert shipping.about()["rows-resnet18-slices.parquet"]["commands"] == ["first", "second"]


def test_extremes_never_displace_counts():
    """A visitor's quick look at an image that ships must not take its P away."""
    counts = rows()
    extremes = rows(quantity="extremes", percent_negative=np.nan, max_re=7.0)
    for found in (shipping.merged(counts, extremes), shipping.merged(extremes, counts)):
        assert found["quantity"].eq("counts").all()
        assert found["percent_negative"].notna().all()
    assert shipping.merged(extremes, extremes.assign(max_re=8.0))["max_re"].eq(8).all()  # the later one
    unknown = counts.drop(columns="quantity")
    assert shipping.merged(counts, unknown)["quantity"].eq("counts").all()
    assert len(shipping.merged(unknown, unknown)) == len(counts)


@pytest.mark.usefixtures("folder")
def test_rows_of_other_weights_are_neither_shipped_nor_shown(monkeypatch, caplog):
    with pytest.raises(CannotCompute, match="weights that ship"):
        shipping.ship_rows(networks.find("resnet18"), Convention.SLICES, rows(weights="0" * 64), "command")
    shipping.ship_rows(networks.find("resnet18"), Convention.SLICES, rows(), "command")
    other = manifest.Entry("resnet18", "1" * 64, None, 0.0, {}, {}, {})
    monkeypatch.setattr(manifest, "entry", lambda network: other)
    assert shipping.rows(networks.find("resnet18"), Convention.SLICES).empty
    assert "belong to other weights" in caplog.text


def test_a_damaged_file_is_left_out(folder, caplog):
    path = shipping.ship_rows(networks.find("resnet18"), Convention.SLICES, rows(), "command")
    whole = path.read_bytes()
    for damaged in (whole[:-10], whole[:200] + bytes([whole[200] ^ 1]) + whole[201:], b""):
        path.write_bytes(damaged)
        assert shipping.rows(networks.find("resnet18"), Convention.SLICES).empty
    assert "SHA-256" in caplog.text
    path.unlink()
    assert shipping.rows(networks.find("resnet18"), Convention.SLICES).empty


@pytest.mark.usefixtures("folder")
def test_rows_of_another_convention_are_a_mistake():
    with pytest.raises(ValueError, match="convention"):
        shipping.ship_rows(networks.find("resnet18"), Convention.BLOCK, rows(), "command")


@pytest.mark.usefixtures("folder")
def test_nothing_computed_names_the_command():
    with pytest.raises(CannotCompute, match="stiffcore sweep resnet18"):
        shipping.ship_rows(networks.find("resnet18"), Convention.SLICES, pd.DataFrame(), "command")


def test_spectra_are_copied_from_the_cache(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path / "cache"))
    request = asked("resnet18", cifar10.bundled()[500], 8, "branch", "spectrum")  # does not ship
    with pytest.raises(CannotCompute, match="--quantity spectrum"):
        shipping.ship_spectra(networks.find("resnet18"), Convention.BRANCH, [request], "command")
    store(request)
    path = shipping.ship_spectra(networks.find("resnet18"), Convention.BRANCH, [request], "command")
    assert ShippedResults(folder).get(request.key).header["request"] == request.in_header()
    facts = shipping.about()[path.name]
    assert (facts["rows"], facts["device"], facts["commands"]) == (1, ["cpu"], ["command"])


def test_spectra_of_the_same_weights_stay_beside_new_ones(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path / "cache"))
    first, second = (asked("resnet18", image, 8, "branch", "spectrum") for image in (0, 1))
    for request, command in ((first, "one"), (second, "two")):
        store(request)
        path = shipping.ship_spectra(networks.find("resnet18"), Convention.BRANCH, [request], command)
    assert ShippedResults(folder).keys() == {first.key, second.key}
    facts = shipping.about()[path.name]
    assert (facts["rows"], facts["images"], facts["commands"]) == (2, 2, ["one", "two"])
    entry = manifest.entry("resnet18")
    monkeypatch.setattr(manifest, "entry", lambda network: dataclasses.replace(entry, sha256="f" * 64))
    first = asked("resnet18", 0, 8, "branch", "spectrum")  # of the other weights
    store(first)
    shipping.ship_spectra(networks.find("resnet18"), Convention.BRANCH, [first], "other weights")
    assert ShippedResults(folder).keys() == {first.key}
    assert shipping.about()[path.name]["commands"] == ["other weights"]


def test_writing_to_a_bad_place_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotCompute, match="name another file"):
        shipping.write(rows(), tmp_path / "file" / "rows.parquet")


@pytest.mark.slow
def test_all_that_ships_is_whole_and_of_the_shipped_weights(tmp_path, monkeypatch):
    """Complete, finite where defined, its hash that of the weights; ten random rows are computed again."""
    about, kept = shipping.about(), []
    files = [*shipping.FOLDER.glob("*.parquet"), *shipping.FOLDER.glob("run-*.json")]
    assert {path.name for path in files} == set(about)
    assert all(shipping.is_whole(shipping.FOLDER / name) for name in about)
    for name, facts in about.items():
        if "network" not in facts:  # of the Stiff ODEs page and of runs, whose tests look at them
            continue
        assert facts["weights"] == manifest.entry(facts["network"]).sha256, name
        if facts["kind"] == "rows":
            found = shipping.rows(networks.find(facts["network"]), Convention(facts["convention"]))
            assert len(found) == facts["rows"], name
            assert not found.duplicated(["image", "block"]).any()
            assert set(found["image"]) <= set(cifar10.bundled())
            for row in found.to_dict("records"):
                _check(row)
            kept.append(found)
    if kept:
        # Nothing stored may answer for what is to be computed again.
        monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path))
        monkeypatch.setattr(result_cache, "shipped", lambda: ShippedResults(tmp_path))
        _recompute(pd.concat(kept, ignore_index=True))


def test_shipped_spectra_are_those_of_the_shipped_weights():
    """A key that is not today's would never be found: other weights, or another version of the algorithm."""
    shipped, checked = result_cache.shipped(), 0
    keys = shipped.keys()
    for key in keys:
        request = shipped.get(key).header.get("request", {})
        is_twin = uploaded_images.is_number(request.get("image"))  # see tests/commands/test_perturb.py
        if "convention" in request and not is_twin and request["network"] in catalogue.NETWORKS:  # not of a run
            assert asked(**request).key == key
            checked += 1
    assert checked == sum(
        facts["rows"] for facts in shipping.about().values() if "network" in facts and facts["kind"] == "spectra"
    )


def _check(row: dict) -> None:
    reasons = json.loads(row["reasons"])
    for metric in ("stiffness_index", "percent_negative", "max_re", "min_re", "live_fraction"):
        assert np.isfinite(row[metric]) != (metric in reasons), (row["network"], row["image"], row["block"], metric)
    assert row["n_eigenvalues"] == catalogue.block(row["network"], row["block"]).n_eigenvalues(
        Convention(row["convention"])
    )


LARGEST_CORE = 1_500  # side; below it a row takes a second or two


def core_side(row) -> int:
    """What is left of n once the structural zeros and ones are out."""
    return int(row["n_eigenvalues"] - row["n_zero"] - row["n_one"])


def drawn(found: pd.DataFrame) -> pd.DataFrame:
    """Ten rows of block and branch whose core is small, some of every network and convention that ships; three of slices.

    The slices are those of the last stages, which are few enough.
    """
    squares = found[found["convention"].isin(["block", "branch"]) & (found["n_eigenvalues"] > 0)]
    squares = squares[squares.apply(core_side, axis=1) < LARGEST_CORE].sample(frac=1, random_state=0)
    turn = squares.groupby(["network", "convention"]).cumcount()  # every group's first, then every group's second, ...
    few = found[(found["convention"] == "slices") & (found["n_eigenvalues"] < 3e6)]
    return pd.concat(
        [squares.loc[turn.sort_values(kind="stable").index].head(10), few.sample(min(3, len(few)), random_state=0)]
    )


def _recompute(found: pd.DataFrame) -> None:
    chosen = drawn(found)
    shipped = found.loc[found["n_eigenvalues"] > 0, ["network", "convention"]].query("convention != 'slices'")
    covered = set(zip(chosen["network"], chosen["convention"]))
    assert len(chosen) == 13
    assert set(zip(shipped["network"], shipped["convention"])) <= covered
    for row in chosen.to_dict("records"):
        request = asked(row["network"], row["image"], row["block"], row["convention"], row["quantity"])
        again = analysis.compute(request)
        assert not again.stored
        if row["convention"] != "slices":
            assert core_side(again.metrics) == core_side(row) < LARGEST_CORE
        for metric in ("stiffness_index", "percent_negative", "max_re", "min_re", "live_fraction"):
            assert again.metrics[metric] == pytest.approx(row[metric], rel=1e-6, abs=1e-6, nan_ok=True)


def test_the_shipped_twin_is_of_the_shipped_weights():
    """Without it the scene of the adversarial twin would offer a computation."""
    twin = perturbation.stored(twins.twin())
    assert twin is not None
    spectrum = asked("resnet18", twin.image, twins.BLOCK, twins.CONVENTION, "spectrum")
    assert analysis.stored(spectrum).made["weights"] == manifest.entry("resnet18").sha256


def test_every_scene_draws_what_ships():
    """The scenes' spectra, and rows of every network for their statistics."""
    missing = [request for request in scenes.requests() if result_cache.shipped().get(request.key) is None]
    assert missing == []
    assert all(len(shipping.rows(networks.find(network), Convention.SLICES)) for network in catalogue.PAPER)


def norms_alone(frame: pd.DataFrame) -> pd.DataFrame:
    """The same images and blocks, of level norms: square blocks have s, the others say why not."""
    square = frame["n_in"] == frame["n_out"]
    why = {"norm_block": "undefined: ‖J_block‖ belongs to block", "max_re": "not computed: needs eigenvalues"}
    not_square = dict.fromkeys(("stiffness_indicator", "log_norm_lower", "log_norm_upper"), "undefined: not square")
    return frame.assign(
        quantity="norms", percent_negative=np.nan, max_re=np.nan, norm_branch=2.0, norm_block=np.nan,
        **{name: np.where(square, value, np.nan) for name, value in zip(not_square, (0.5, -1.0, 2.0), strict=True)},
        reasons=[json.dumps(why | ({} if is_square else not_square)) for is_square in square],
    )  # fmt: skip


def test_rows_of_before_take_the_norms_of_rows_of_level_norms_and_lose_nothing():
    counts = rows(convention="branch")
    counts.loc[counts["block"] == 7, ["percent_negative", "reasons"]] = [
        np.nan,
        '{"percent_negative": "undefined: not square"}',
    ]
    norms = norms_alone(rows(images=2, convention="branch"))
    for found in (shipping.merged(counts, norms), shipping.merged(norms, counts)):
        assert len(found) == len(counts)
        assert found["quantity"].eq("counts").all()
        np.testing.assert_array_equal(found["percent_negative"], counts["percent_negative"])
        assert found["norm_branch"].fillna(0).tolist() == [2.0] * 4 + [0.0] * 4  # images 0 and 1, blocks 7 and 8
        of_8 = found[found["block"] == 8]
        assert of_8["stiffness_indicator"].fillna(0).tolist() == [0.5, 0.5, 0, 0]
        first7 = found[found["block"] == 7].iloc[0]
        said = json.loads(first7["reasons"])
        assert {said["percent_negative"], said["stiffness_indicator"]} == {"undefined: not square"}
        assert "max_re" not in said  # the row has one
    newest = norms.assign(stiffness_indicator=9.0)
    richer = norms.assign(quantity="counts", percent_negative=3.0)
    assert shipping.merged(newest, richer)["stiffness_indicator"].ne(9).all()  # its own


def test_a_sweep_of_level_norms_computes_what_rows_of_before_lack():
    network, image = networks.find("resnet18"), asked("resnet18", 5, 8, "branch").image
    (task,) = tasks.plan(network, [image], [7, 8], Convention.BRANCH, "norms")
    before = rows(images=6, convention="branch")
    assert tasks.split([task], before)[1][0].blocks == (7, 8)
    known, left = tasks.split([task], norms_alone(before))
    assert ([row["block"] for row in known], left) == ([7, 8], [])
    (task,) = tasks.plan(network, [image], [7, 8], Convention.BRANCH, "counts")
    assert tasks.split([task], norms_alone(before))[1][0].blocks == (7, 8)


def test_level_norms_under_slices_is_refused():
    with pytest.raises(CannotCompute, match="choose block or branch, or another level"):
        tasks.plan(networks.find("resnet18"), [], [8], Convention.SLICES, "norms")
    with pytest.raises(CannotCompute, match="norms of one matrix"):
        asked("resnet18", 0, 8, "slices", "norms").checked()


def test_which_rows_have_the_metrics_of_level_norms():
    before = rows(images=2, convention="branch")
    both = pd.concat([before, norms_alone(before)], ignore_index=True)
    assert tasks.with_norms(both).tolist() == [False] * 4 + [True] * 4
    assert tasks.with_norms(before.iloc[:0]).empty
