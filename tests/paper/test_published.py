"""The paper's tables: complete, consistent with themselves where they are, and their slips at cells that exist."""

import numpy as np
import pytest

from stiffcore.networks import registry as networks
from stiffcore.paper import published
from stiffcore.statistics import tables
from tests.made_up.paper_tables import kinds_and_networks


def test_all_eleven_tables_are_there():
    assert [number for number, _, _ in kinds_and_networks()] == list(range(1, 12))
    assert published.number("resnet50", "sizes") is None
    assert published.table("resnet50", "sizes").empty


@pytest.mark.parametrize("kind", published.KINDS)
def test_a_network_that_the_paper_does_not_have_has_no_tables(kind):
    assert published.number("resnet26", kind) is None
    assert published.blocks("resnet26") == ()
    assert published.table("resnet26", kind).empty


@pytest.mark.parametrize("network", published.NETWORKS)
def test_shapes(network):
    blocks = published.blocks(network)
    assert blocks == ((16,) if network == "resnet50" else tuple(range(1, 9 if network == "resnet18" else 17)))
    all_row = len(blocks) > 1
    assert len(published.table(network, "by_block")) == 2 * (len(blocks) + all_row)
    assert len(published.table(network, "by_label")) == 20
    assert len(published.table(network, "correlation")) == 4 * (len(blocks) + all_row)


@pytest.mark.parametrize("network", ["resnet18", "resnet34"])
def test_the_all_row_averages_the_blocks(network):
    table = published.table(network, "by_block")
    for metric, part in table.groupby("metric"):
        means = part[part["block"] != "all"]["published"]
        assert part[part["block"] == "all"]["published"].item() == pytest.approx(means.mean(), abs=0.006), metric


@pytest.mark.parametrize("network", ["resnet18", "resnet34"])
def test_every_published_count_is_that_of_slices(network):
    both = published.table(network, "sizes").merge(
        tables.sizes(networks.find(network).blocks), on="block", suffixes=("", "_ours")
    )
    assert (both["eigenvalues"] == both["eigenvalues_ours"]).all()
    assert (both["jacobian_elements"] == both["jacobian_elements_ours"]).all()
    assert (both["eigenvalues"] != both["eigenvalues_of_the_matrix"]).all()


def test_numbers_of_images_that_the_rounded_pairs_imply():
    """About 3,000 to 3,900, about 1,100, and unknown, as the design found."""
    low, high = published.implied_images("resnet18")
    assert 2800 < low < 3100
    assert 3800 < high < 4000
    low, high = published.implied_images("resnet34")
    assert 1000 < low < high < 1200
    assert published.implied_images("resnet50") is None
    assert "do not determine it" in published.implied_images_sentence("resnet50")


@pytest.mark.parametrize(
    "erratum", [erratum for erratum in published.ERRATA if erratum.tables], ids=lambda erratum: erratum.text[:30]
)
def test_errata_point_at_cells_that_exist(erratum):
    kinds = {number: (kind, network) for number, kind, network in kinds_and_networks()}
    for number in erratum.tables:
        kind, network = kinds[number]
        table = published.table(network, kind).rename(columns={"metric": "measure"})
        hits = [
            erratum.concerns(number, **{name: cell[name] for name in ("block", "measure", "outcome") if name in cell})
            for cell in table.to_dict("records")
        ]
        assert any(hits), number


def test_the_numbers_that_errata_quote_are_in_the_tables():
    def r(network, block, measure, outcome):
        table = published.table(network, "correlation").set_index(["block", "measure", "outcome"])["published"]
        return table[block, measure, outcome]

    assert r("resnet18", 8, "percent_negative", "accuracy") == -0.36
    assert r("resnet18", 8, "percent_negative", "loss") == 0.34
    assert r("resnet50", 16, "stiffness_index", "loss") == 0.25
    assert r("resnet50", 16, "percent_negative", "loss") == -0.15
    for outcome in ("accuracy", "loss"):
        signs = {np.sign(r(n, b, "percent_negative", outcome)) for n, b in (("resnet18", 8), ("resnet34", 16))}
        assert signs == {-np.sign(r("resnet50", 16, "percent_negative", outcome))}


def test_errata_are_found_by_cell_and_without_table():
    at = [s.text for s in published.errata(2) if s.concerns(2, block=7, measure="stiffness_index")]
    assert any("−1.28" in text for text in at)
    assert not any("−1.28" in s.text for s in published.errata(2) if s.concerns(2, block=6, measure="stiffness_index"))
    assert {s.where for s in published.errata()} >= {"Eq. 9", "§4.1"}
