"""One request to one result: through the cache, with reasons, and the same however it is requested."""

import dataclasses
import math

import numpy as np
import pytest

from stiffcore import errors
from stiffcore.analysis import compute as analysis, estimate
from stiffcore.images import cifar10
from stiffcore.jacobians import deflation
from stiffcore.metrics.missing import Status
from stiffcore.networks import manifest
from stiffcore.storage import cache as result_cache
from tests.made_up.asked import asked

IMAGE, *OTHERS = cifar10.bundled()[100:110]  # no results ship for these images


def test_fresh_then_stored_and_equal():
    request = asked("resnet18", IMAGE, 8, "branch", "spectrum")
    stages = []
    fresh = analysis.compute(request, lambda done, total, what: stages.append((done, total, what)))
    again = analysis.compute(request)
    assert not fresh.stored
    assert again.stored
    assert stages[-1] == (1, 1, "done")
    assert again.metrics == pytest.approx(fresh.metrics, nan_ok=True)
    np.testing.assert_array_equal(again.arrays["eigenvalues"], fresh.arrays["eigenvalues"])
    assert fresh.arrays["eigenvalues"].dtype == np.complex128
    assert len(fresh.arrays["eigenvalues"]) + fresh.metrics["n_zero"] + fresh.metrics["n_one"] == 2048
    assert again.made["weights"] == manifest.entry("resnet18").sha256


def test_a_richer_quantity_serves_a_poorer_one():
    analysis.compute(asked("resnet18", IMAGE, 8, "branch", "spectrum"))
    poorer = analysis.stored(asked("resnet18", IMAGE, 8, "branch", "extremes"))
    assert poorer is not None
    assert poorer.metrics["percent_negative"] > 0


def test_extremes_and_counts_agree_with_the_spectrum():
    whole = analysis.compute(asked("resnet18", IMAGE, 8, "block", "spectrum"))
    counts = analysis.compute(asked("resnet18", IMAGE, 8, "block", "counts"))
    for name in ("max_re", "min_re", "spectral_radius", "percent_negative", "n_negative", "n_zero", "n_one"):
        assert counts.metrics[name] == pytest.approx(whole.metrics[name], rel=1e-9, abs=1e-12)


def test_blocks_share_one_forward_pass_and_keep_their_order(monkeypatch):
    passes = []
    whole = analysis._states
    monkeypatch.setattr(analysis, "_states", lambda *what: passes.append(what[1]) or whole(*what))
    other = OTHERS[1]
    requests = [asked("resnet18", other, block, "branch", "extremes") for block in (8, 7)]
    results = list(analysis.compute_many(requests))
    assert [result.request for result in results] == requests
    assert passes == [{7, 8}]
    assert math.isnan(results[1].metrics["stiffness_index"])
    assert results[1].reasons["stiffness_index"].status is Status.NOT_SQUARE


def test_cancel_between_stages_stores_nothing():
    request = asked("resnet18", OTHERS[2], 8, "branch", "spectrum")

    def cancel(done, total, what):
        if "eigenvalues" in what:
            raise errors.Cancelled

    with pytest.raises(errors.Cancelled):
        analysis.compute(request, cancel)
    assert analysis.stored(request) is None


def test_a_cache_that_cannot_be_written_costs_no_result(monkeypatch, tmp_path):
    blocked = tmp_path / "a file"
    blocked.write_text("not a folder")
    monkeypatch.setattr(result_cache, "default", lambda: result_cache.ResultCache(blocked))
    result = analysis.compute(asked("resnet18", OTHERS[3], 8, "block", "extremes"))
    assert result.metrics["max_re"] > 0
    assert "cache folder" in result.notices[0]


def test_the_key_names_all_that_determines_a_result():
    base = asked("resnet18", IMAGE, 8, "branch", "counts")
    others = [
        asked("resnet34", IMAGE, 8, "branch", "counts"),
        asked("resnet18-shuffled", IMAGE, 8, "branch", "counts"),
        asked("resnet18", OTHERS[1], 8, "branch", "counts"),
        asked("resnet18", IMAGE, 7, "branch", "counts"),
        asked("resnet18", IMAGE, 8, "block", "counts"),
        asked("resnet18", IMAGE, 8, "branch", "spectrum"),
    ]
    assert len({request.key for request in [base, *others]}) == 7


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (("resnet19", IMAGE, 8, "block"), "network among"),
        (("resnet18", IMAGE, 9, "block"), "from 1 to 8, got 9"),
        (("resnet18", IMAGE, 8, "blocks"), "convention among"),
        (("resnet18", IMAGE, 8, "block", "all"), "level among"),
        (("resnet18", 9_999, 8, "block"), "fetch-data"),
    ],
)
def test_bad_requests_are_refused_with_a_sentence(request_, expected):
    with pytest.raises(errors.CannotCompute, match=expected):
        analysis.compute(asked(*request_))


def test_estimate_counts_only_what_is_missing():
    known = asked("resnet18", IMAGE, 8, "branch", "spectrum")
    analysis.compute(known)
    unknown = asked("resnet50", IMAGE, 3, "branch", "spectrum")
    cost = estimate.of([known, unknown])
    assert cost.n_missing == 1
    assert cost.seconds > 60
    assert estimate.of([known]).n_missing == 0


@pytest.mark.parametrize("block", [6, 8])
def test_an_estimate_knows_where_no_proof_holds(block):
    """Level counts under block: a trained network is proved, a random one costs little more than the full spectrum."""
    trained, untrained = (
        {
            level: estimate.of([asked(name, IMAGE, block, "block", level)], again=True).seconds
            for level in ("counts", "spectrum")
        }
        for name in ("resnet18", "resnet18-untrained")
    )
    assert trained["counts"] < trained["spectrum"]
    spectrum = untrained["spectrum"] - estimate.SECONDS_TO_LOAD
    assert spectrum < untrained["counts"] - estimate.SECONDS_TO_LOAD < 1.2 * spectrum


def test_an_estimate_says_what_a_missing_proof_would_cost():
    early, late = (estimate.of([asked("resnet18", IMAGE, block, "block")], again=True).sentence for block in (1, 8))
    assert "where no proof holds" in early
    assert "where no proof holds" not in late


def test_an_estimate_of_an_own_network_says_it_earlier():
    """It may be untrained: the seconds without a proof are those of random weights."""
    known, baseline = (asked(name, IMAGE, 6, "block", "counts") for name in ("resnet18", "resnet18-untrained"))
    own = dataclasses.replace(known, network=dataclasses.replace(known.network, name="own"))
    said = [estimate.of([request], again=True) for request in (known, own)]
    assert said[0].seconds == said[1].seconds
    assert "where no proof holds" not in said[0].sentence
    assert f"up to {estimate.of([baseline], again=True).seconds:.0f} s where no proof holds" in said[1].sentence


@pytest.mark.parametrize("network", ["resnet18", "resnet18-untrained"])
def test_estimated_seconds_are_those_of_a_core_of_about_the_true_side(network):
    """Seconds depend on the cube of the side: 1.26 times the side is twice the seconds."""
    for block in (2, 4, 6, 8):
        request = asked(network, IMAGE, block, "block", "spectrum")
        side = deflation.plan(analysis.block_state(request), request.convention).side
        seconds = estimate.of([request], again=True).seconds - estimate.SECONDS_TO_LOAD
        true = estimate.SECONDS_PER_SIDE_CUBED * side**3 + estimate.SECONDS_BESIDES
        assert 0.5 < seconds / true < 2


def test_row_is_flat_and_complete():
    row = analysis.compute(asked("resnet18", IMAGE, 8, "branch", "spectrum")).row()
    names = "network weights image label predicted correct loss block n_in n_out n_eigenvalues n_negative n_zero "
    names += "n_undetermined seconds device precision stored stiffness_index percent_negative stiffness_ratio max_re "
    names += "min_re spectral_radius live_fraction outside_euler largest_stable_step"
    assert set(names.split()) <= set(row)
    assert row["label"] == cifar10.label(IMAGE)
    assert row["correct"] == (row["label"] == row["predicted"])
