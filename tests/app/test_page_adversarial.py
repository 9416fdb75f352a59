"""Adversarial examples through app.py: planted rows, a chosen point, and what the page says when nothing is computed."""

import re

import numpy as np
import pandas as pd
import pytest
import streamlit as st

from pages.shared.state import service
from stiffcore import files
from stiffcore.adversarial import relation, rows as robustness_rows, verdict
from stiffcore.growth import rows as growth_rows
from stiffcore.images import registry as images
from stiffcore.networks import registry as networks
from stiffcore.sweeps import shipping
from tests.app.visitor import Visitor, wait_for
from tests.made_up.rows import bundled, ship

PAGE = "pages/11_Adversarial_examples.py"
N = 80


@pytest.fixture
def visit(tmp_path, monkeypatch):
    """Opens the page with URL parameters; what ships is in an empty folder. ``visit.event``: what a chart returns."""
    monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(shipping, "FOLDER", tmp_path)
    monkeypatch.setattr(files, "SHIPPED", tmp_path)
    st.cache_resource.clear()
    figures, draw = [], st.plotly_chart

    def drawn(figure, **look):
        figures.append(figure)
        event = draw(figure, **look)
        return visit.event or event

    def visit(**url: str) -> Visitor:
        return Visitor(figures).open(PAGE, **url)

    visit.event = None
    monkeypatch.setattr(st, "plotly_chart", drawn)
    yield visit
    service.job_service().close()
    st.cache_resource.clear()


@pytest.fixture
def planted(visit):
    """Rows of 80 images: the radius grows with the image's place; image 5 is predicted wrongly, nothing changes image 6."""
    network, chosen = networks.find("resnet18"), images.bundled()[:N]
    radius = 0.25 + np.arange(N) / 32
    frame = pd.DataFrame(
        {
            "network": network.name, "weights": network.weights_sha256, "image": [one.number for one in chosen],
            "label": [one.label for one in chosen], "predicted": [one.label for one in chosen], "correct": True, "loss": 0.1,
            "margin": np.random.default_rng(0).permutation(N).astype(float), "fgsm_step": 2 * radius,
            "fgsm_whole": np.ceil(2 * radius), "fgsm_seen": [(one.label + 1) % 10 for one in chosen], "pgd_radius": radius,
            "pgd_seen": 1, "reason": "", "algorithm": robustness_rows.ALGORITHM, "date": "2026-01-01",
            "signs": [np.full(384, 0b10101010, np.uint8).tobytes()] * N,
        }
    )  # fmt: skip
    frame.loc[5, ["fgsm_step", "fgsm_whole", "pgd_radius"]] = np.nan
    frame.loc[6, ["fgsm_step", "fgsm_whole", "pgd_radius"]] = np.inf
    path = robustness_rows.path_of(network)
    shipping.write(frame, path)
    shipping.note(path, {"kind": "robustness"}, "planted")
    ship(bundled(images=N))
    return frame


def test_nothing_computed_offers_a_job_and_the_command(visit):
    page = visit(network="resnet34")
    assert page.figures == []
    assert "Not computed yet" in page.texts("markdown")
    assert any("robustness resnet34 --images bundled" in code.value for code in page.at.get("code"))


def test_points_are_the_images_with_a_smallest_perturbation(visit, planted):
    page = visit(against="percent_negative.slices", of="8")
    scatter, by_block = page.figures
    points = {int(image): y for trace in scatter.data for (image,), y in zip(trace.customdata, trace.y, strict=True)}
    assert len(points) == N - 1
    assert points[planted["image"][10]] == planted["pgd_radius"][10]
    assert points[planted["image"][6]] > 32
    assert "> 32" in scatter.layout.yaxis.ticktext
    assert {trace.name for trace in by_block.data} == {"raw", "given live fraction, label, margin"}


def test_the_figures_and_the_verdict_are_those_of_the_table(visit, planted):
    page = visit(against="percent_negative.slices", of="8")
    network = networks.find("resnet18")
    rows = {shipping.Convention.SLICES: shipping.rows(network, shipping.Convention.SLICES)}
    material = relation.Material(robustness_rows.rows(network), rows, growth_rows.rows(network))
    table = relation.table(material)
    cells = table[(table["measure"] == "percent_negative.slices") & table["r"].notna()]
    raw = next(trace for trace in page.figures[1].data if trace.name == "raw")
    np.testing.assert_allclose(np.asarray(raw.y, float), cells["r"].to_numpy(float))
    said = verdict.of(table)
    assert f"**{said.head}** {said.sentence}" in page.texts("markdown")


def test_a_clicked_point_shows_its_image_before_and_after_and_leads_to_its_spectra(visit, planted):
    image = int(planted["image"][20])
    visit.event = {"selection": {"points": [{"customdata": [image]}]}}
    page = visit(against="percent_negative.slices", of="8")
    assert f"A, image {image}" in page.html()
    assert f"B, FGSM of {int(planted['fgsm_whole'][20])}" in page.html()
    assert page.url["point"] == str(image)
    links = [link.proto for link in page.at.get("page_link") if "Both spectra" in link.proto.label]
    assert [f"a.images={image}" in link.query_string for link in links] == [True]
    assert "compare=perturbation" in links[0].query_string


@pytest.mark.parametrize("point", ["99999", "x", "5"])
def test_a_point_of_a_link_that_has_no_perturbation_is_refused(visit, planted, point):
    page = visit(point=point if point != "5" else str(planted["image"][5]))
    assert page.url["point"] != point
    assert "A, image" in page.html()


def test_a_measure_that_is_not_computed_says_what_computes_it(visit, planted):
    page = visit(against="norm_block.block")
    assert "no image has both numbers" in page.texts("info")
    assert "`python -m stiffcore sweep resnet18 --convention block --quantity norms`" in page.texts("caption")
    assert "Click a point" not in page.texts("caption")
    assert any(
        code.value == "python -m stiffcore sweep resnet18 --convention block --quantity norms"
        for code in page.at.get("code")
    )


def test_no_correlation_of_a_few_images_is_printed(visit, planted):
    network = networks.find("resnet18")
    path = robustness_rows.path_of(network)
    shipping.write(planted[:4], path)
    shipping.note(path, {"kind": "robustness"}, "planted")
    page = visit(against="margin")
    assert "<small>n = 4</small>" in page.html()
    table = next(html for html in page.html().split('<div class="grid"')[1:] if "margin" in html)
    assert not re.search(r"[−+]?0\.\d\d<", table)
    assert "no correlation is drawn" in page.texts("caption")


def test_the_margin_is_given_the_label_only(visit, planted):
    page = visit(against="margin")
    by_block = page.figures[1]
    assert [trace.name for trace in by_block.data] == ["raw", "given label"]
    assert by_block.layout.xaxis.ticktext == ("whole network",)
    assert not by_block.layout.xaxis.title.text
    assert "holds label constant" in page.texts("caption")
    assert "Click a point" in page.texts("caption")


def test_a_step_of_the_picture_says_that_it_is_rounded(visit, planted):
    page = visit(point=str(planted["image"][21]))
    assert planted["fgsm_step"][21] < planted["fgsm_whole"][21]
    assert f"smallest: FGSM {planted['fgsm_step'][21]:g}" in page.html()
    assert "rounded up to a whole grey level" in page.html()


def test_a_job_computes_the_next_images(visit, monkeypatch):
    from stiffcore.adversarial import compute

    asked = []

    def compute_many(network, wanted, progress=None, again=False):
        asked.extend(wanted)
        return iter(())

    monkeypatch.setattr(compute, "compute_many", compute_many)
    page = visit(network="resnet34")
    button = next(button for button in page.at.button if button.label == "Compute")
    page.run(button.click())
    wait_for(lambda: len(asked) == 60)
    assert [image.number for image in asked] == [image.number for image in images.bundled()[:60]]
