"""Figures: what is drawn are the numbers that came in; colours can be told apart; nothing is fetched."""

import itertools
import json
import math
import re

import numpy as np
import pytest

from stiffcore.analysis import compute as analysis
from stiffcore.conventions import Convention
from stiffcore.figures import theme, wording
from stiffcore.figures.axes import Axes
from stiffcore.figures.spectra import eigenvalue_cloud, slice_density, spectrum, spectrum_table
from stiffcore.figures.theme import Style
from stiffcore.images import registry as images
from stiffcore.images.labels import LABELS
from stiffcore.metrics.missing import NOT_SQUARE, not_computed
from tests.made_up.asked import asked
from tests.made_up.figures import MADE, planted

STYLES = [Style(dark, talk) for dark in (False, True) for talk in (False, True)]


def points(figure):
    """All marker traces' points that belong to an image, as complex numbers."""
    return [
        complex(x, y)
        for trace in figure.data
        if trace.customdata is not None and trace.mode == "markers"
        for x, y in zip(trace.x, trace.y, strict=True)
    ]


def test_every_eigenvalue_is_drawn_where_it_is():
    figure = spectrum.figure([planted()], Style())
    assert {complex(round(z.real, 6), round(z.imag, 6)) for z in points(figure)} == {-0.9, 0.1 + 0.2j, 0.1 - 0.2j}
    cloud = figure.data[0]
    assert cloud.x.dtype == cloud.y.dtype == np.float32
    assert list(cloud.customdata) == [0, 0, 0]


def test_structural_zeros_and_ones_are_stated_and_drawn():
    figure = spectrum.figure([planted(zeros=1321, ones=42), planted(image=1, zeros=1000, ones=42)], Style())
    texts = [note.text for note in figure.layout.annotations]
    assert "0 × 1,000 to 1,321" in texts
    assert "1 × 42" in texts
    rings = {trace.x[0]: trace.marker.size for trace in figure.data if trace.marker.symbol == "circle-open"}
    assert set(rings) == {0, 1}
    assert rings[0] > rings[1]
    right = figure.layout.xaxis.range[1]
    assert right > 1, "the structural ones lie inside of the panel"


def test_extremes_are_a_trace_of_their_own_and_survive_thinning(monkeypatch):
    monkeypatch.setattr(eigenvalue_cloud, "LARGEST_DRAWN", 100)
    values = np.append(np.random.default_rng(0).normal(size=4000) * 0.01, [-3.0, 2.0, 2.5j, -2.5j])
    result = planted(values=values)
    figure = spectrum.figure([result], Style())
    cloud, ends = figure.data[0], figure.data[1]
    assert len(cloud.x) <= 100
    assert eigenvalue_cloud.drawn_and_all([result]) == (100, 4004)
    np.testing.assert_allclose([ends.x[0], ends.x[1]], [-3, 2])
    assert list(ends.text) == ["−3 +0 i, the smallest Re λ", "2 +0 i, the largest Re λ", "−3 +0 i, the largest |λ|"]


@pytest.mark.parametrize(("count", "kind", "hover"), [(1500, "scatter", True), (4000, "scattergl", True), (6000, "scattergl", False)])  # fmt: skip
def test_many_points_go_to_webgl_and_above_5000_do_not_answer_to_the_mouse(count, kind, hover):
    values = np.random.default_rng(0).normal(size=count) + 0j
    figure = spectrum.figure([planted(values=values)], Style())
    cloud = figure.data[0]
    assert cloud.type == kind
    assert (cloud.hoverinfo == "skip") is not hover
    assert figure.data[1].hovertemplate, "the extremes always answer"
    assert {trace.type for trace in figure.data} == {kind}, "WebGL would hide SVG below it"


@pytest.mark.parametrize(
    ("convention", "circle"), [(Convention.BRANCH, (-2, 0)), (Convention.BLOCK, (-1, 1)), (Convention.SLICES, None)]
)
def test_region_belongs_to_the_convention(convention, circle):
    figure = spectrum.figure([planted(convention=convention)], Style())
    circles = [(shape.x0, shape.x1) for shape in figure.layout.shapes if shape.type == "circle"]
    assert circles == ([] if circle is None else [circle])
    assert any(shape.type == "line" and shape.x0 == shape.x1 == 0 for shape in figure.layout.shapes), "imaginary axis"


def test_step_moves_the_disc():
    figure = spectrum.figure([planted()], Style(), step=0.5)
    assert [(s.x0, s.x1) for s in figure.layout.shapes if s.type == "circle"] == [(-4, 0)]
    assert "dashed: |1 + 0.5 λ| = 1<br>forward Euler" in [note.text for note in figure.layout.annotations]


@pytest.mark.parametrize("fit", list(spectrum.FITS))
@pytest.mark.parametrize("convention", list(Convention))
def test_axes_are_equal_and_fit_what_they_should(convention, fit):
    figure = spectrum.figure([planted(convention=convention)], Style(), fit=fit)
    assert figure.layout.yaxis.scaleanchor == "x"
    assert figure.layout.yaxis.scaleratio == 1
    (left, right), (bottom, top) = figure.layout.xaxis.range, figure.layout.yaxis.range
    assert bottom == -top
    if fit == "all":
        assert left < (-0.25 if convention == "slices" else -0.9)
        assert right > (0.5 if convention == "slices" else 0.1)
    if fit == "disc" and convention == "branch":
        assert left < -2
        assert right > 0


def test_zoom_survives_other_images_but_not_another_question():
    def revision(image=0, block=8, convention=Convention.BRANCH, fit="all"):
        return spectrum.figure([planted(image, block, convention)], Style(), fit=fit).layout.uirevision

    assert revision() == revision(image=5)
    assert len({revision(), revision(block=6), revision(convention="block"), revision(fit="disc")}) == 4


def test_blocks_are_small_multiples_of_one_figure():
    results = [planted(image, block) for block in (2, 4, 6, 8) for image in (0, 1)]
    figure = spectrum.figure(results, Style())
    assert len([axis for axis in figure.to_dict()["layout"] if axis.startswith("xaxis")]) == 4
    listed = [trace.name for trace in figure.data if trace.showlegend]
    assert sorted(listed) == ["0 · cat", "1 · ship"], "each image once in the legend"
    assert "Block 2 · n = 16,384" in [note.text for note in figure.layout.annotations]


def test_not_square_shows_singular_values_in_order():
    figure = spectrum.figure([planted(block=7)], Style())
    assert list(figure.data[0].y) == [2, 1, 0.5]
    assert figure.layout.yaxis.type == "log"
    assert "not square" in figure.layout.annotations[0].text


def test_two_singular_values_are_the_ends_not_a_line():
    result = planted(block=7)
    result.arrays["singular_values"] = np.array([0.1, 30.0])
    (trace,) = spectrum.figure([result], Style()).data
    assert trace.mode == "markers"
    np.testing.assert_allclose(trace.y, [30, 0.1])


def test_density_is_summed_on_a_log_scale_with_exact_extremes():
    results = [planted(image, convention="slices") for image in (0, 1)]
    figure = spectrum.figure(results, Style())
    heat = next(trace for trace in figure.data if trace.type == "heatmap")
    assert heat.customdata[..., 0].sum() == 2 * 407, "without the structural zeros"
    assert np.nanmax(heat.z) == pytest.approx(np.log10(800))
    assert np.isnan(heat.z).sum() == 30, "empty bins stay empty"
    ends = [list(trace.x) for trace in figure.data if trace.type == "scatter" and trace.customdata is not None]
    assert ends == [[-0.25, 0.5]] * 2
    assert "0 × 1,000" in [note.text for note in figure.layout.annotations], "they are stated"


def test_densities_on_other_edges_keep_every_eigenvalue():
    wide, narrow = planted(convention="slices"), planted(1, convention="slices")
    narrow.arrays["re_edges"] = np.linspace(-0.1, 0.2, 9)
    narrow.arrays["im_edges"] = np.linspace(-1.5, 0.7, 5)
    narrow.metrics["n_zero"] = wide.metrics["n_zero"] = 0
    counts, re_edges, _ = slice_density.summed([narrow, wide])
    assert counts.sum() == pytest.approx(narrow.arrays["density"].sum() + wide.arrays["density"].sum())
    assert re_edges[-1] == 1.5


# Arcsinh axes


@pytest.mark.parametrize("scale", [None, 1e-3, 2.0])
def test_axes_have_an_inverse_and_keep_zero(scale):
    axes = Axes(scale)
    for value in (-3.5, -1e-4, 0.0, 0.7, 120.0):
        assert axes.true(float(axes(value))) == pytest.approx(value)
    assert axes(0.0) == 0


@pytest.mark.parametrize(("low", "high", "scale"), [(-0.11, 1.04, 5e-4), (-3, 0.1, 0.02), (-1e-5, 1e3, 1e-3)])
def test_arcsinh_ticks_name_true_values_and_do_not_crowd(low, high, scale):
    axes = Axes(scale)
    ticks = axes.ticks(low, high)
    values = [float(text.replace("−", "-")) for text in ticks["ticktext"]]
    np.testing.assert_allclose(ticks["tickvals"], np.arcsinh(np.array(values) / scale), atol=1e-12)
    assert 0 in values
    assert values == sorted(values)
    assert np.diff(ticks["tickvals"]).min() > 0.1 * (axes(high) - axes(low))
    shown = [value for value in values if low <= value <= high]
    assert len(shown) >= 3


def test_arcsinh_moves_points_and_regions_but_not_their_names():
    values = [-0.9, 0.01 + 0.02j, 0.01 - 0.02j]
    figure = spectrum.figure([planted(values=values)], Style(), axes="arcsinh")
    scale = 0.02
    cloud = figure.data[0]
    np.testing.assert_allclose(cloud.x, np.arcsinh(np.array([-0.9, 0.01, 0.01]) / scale), rtol=1e-6)
    assert cloud.text[0] == "−0.9 +0 i"
    region = next(shape for shape in figure.layout.shapes if shape.type == "path")
    corners = np.array([part.split(",") for part in region.path.strip("MZ").split("L")], float)
    assert corners[:, 0].min() == pytest.approx(np.arcsinh(-2 / scale), abs=1e-3)
    assert corners[:, 1].max() == pytest.approx(np.arcsinh(1 / scale), abs=1e-3)
    assert figure.layout.uirevision != spectrum.figure([planted(values=values)], Style()).layout.uirevision


def test_density_on_arcsinh_axes_keeps_true_values_in_the_hover():
    result = planted(convention="slices")
    result.arrays["re_edges"] = 0.001 * np.sinh(0.5 * np.arange(-2, 7))
    figure = spectrum.figure([result], Style(), axes="arcsinh")
    heat = next(trace for trace in figure.data if trace.type == "heatmap")
    np.testing.assert_allclose(np.diff(heat.x), np.diff(heat.x)[0], atol=0.05)
    assert slice_density.scale([result]) == 0.001
    assert heat.customdata[0, -1, 1] == pytest.approx(result.arrays["re_edges"][-2:].mean())


def test_overlay_by_label_shares_a_colour_between_images_of_a_label():
    ships = [image for image in images.bundled() if image.label == 8][:2]
    by_label = spectrum.series_of(ships, "label", Style())
    by_image = spectrum.series_of(ships, "image", Style())
    assert by_label[ships[0]] == by_label[ships[1]]
    assert by_label[ships[0]].name == "ship"
    assert by_image[ships[0]].colour != by_image[ships[1]].colour
    assert by_image[ships[0]].shape != by_image[ships[1]].shape


def test_colours_stay_with_their_image_while_results_are_still_missing():
    chosen = [images.find(number) for number in (0, 1, 2)]
    series = spectrum.series_of(chosen, "image", Style())
    figure = spectrum.figure([planted(2)], Style(), series=series)
    assert figure.data[0].marker.color == series[chosen[2]].colour == Style().series[2]


@pytest.mark.parametrize("style", STYLES, ids=str)
def test_every_style_applies_and_serialises(style):
    figure = spectrum.figure([planted(values=np.zeros(0)), planted(block=7)], style)
    content = json.loads(figure.to_json())
    assert content["layout"]["template"]["layout"]["paper_bgcolor"] == style.paper
    assert content["layout"]["template"]["layout"]["font"]["size"] == (20 if style.talk else 14)


def test_html_is_one_file_that_fetches_nothing():
    html = theme.to_html(spectrum.figure([planted()], Style()), "Spectrum of <b>")
    assert "<title>Spectrum of &lt;b></title>" in html
    assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=", html)


# Tables


def test_points_table_holds_every_number_of_the_figure():
    frame = spectrum_table.points([planted(zeros=1321, ones=3), planted(block=7), planted(image=1)])
    first = frame[(frame["block"] == 8) & (frame["image"] == 0)]
    assert first["multiplicity"].sum() == 3 + 1321 + 3
    assert list(first["kind"]) == ["eigenvalue"] * 3 + ["structural"] * 2
    assert sorted(frame[frame["block"] == 7]["value"]) == [0.5, 1, 2]
    assert set(frame["weights"]) == {MADE["weights"][:16]}
    assert set(frame["convention"]) == {"branch"}
    bins = spectrum_table.points([planted(convention="slices")])
    assert bins["kind"].tolist() == ["density", "density", "structural"]
    assert bins["multiplicity"].tolist() == [400, 7, 1000]
    assert bins["re_from"].tolist() == [0.0, 0.75, 0.0]


def test_metrics_table_says_the_word_and_the_reason():
    frame = spectrum_table.metrics([planted(block=7), planted()])
    assert frame["S"].tolist() == ["undefined", "–"]
    assert frame["why"][0] == "S undefined: not square"
    assert frame["key"][0] == MADE["key"]
    assert "Outside disc, %" not in spectrum_table.metrics([planted(convention="block")])


@pytest.mark.parametrize(
    ("metric", "value", "reason", "expected"),
    [
        ("stiffness_index", -4.12345, None, "−4.123"),
        ("stiffness_index", math.nan, NOT_SQUARE, "undefined"),
        ("percent_negative", math.nan, not_computed("needs counts"), "not computed"),
        ("largest_stable_step", math.inf, None, "∞"),
        ("live_fraction", 0.355, None, "35.5"),
        ("n_zero", 16777216.0, None, "16,777,216"),
        ("max_re", None, None, "not computed"),
    ],
)
def test_metrics_in_words(metric, value, reason, expected):
    assert wording.in_words(metric, value, reason) == expected


@pytest.mark.parametrize("numbers", [(0,), (0, 22)])
def test_python_lines_name_the_same_requests(monkeypatch, numbers):
    requests = [asked("resnet18", image, 8, "branch", "spectrum") for image in numbers]
    told = []

    def compute(wanted, progress=None, where="auto"):
        told.append(wanted)
        return planted(wanted.image.number)

    monkeypatch.setattr(analysis, "compute", compute)
    monkeypatch.setattr("plotly.graph_objects.Figure.show", lambda figure: told.append(len(figure.data)))
    exec(compile(spectrum_table.python(requests), "lines", "exec"), {})
    *computed, drawn = told
    assert computed == requests
    assert drawn > 0


# Colours, by OKLab (Ottosson 2020) and simulated colour blindness (Machado, Oliveira and Fernandes 2009, severity 1).

VISION = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}


def linear(colour: str) -> np.ndarray:
    channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def oklab(rgb: np.ndarray) -> np.ndarray:
    lms = np.array([[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566], [0.0883024619, 0.2817188376, 0.6299787005]])  # fmt: skip
    lab = np.array([[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099], [0.0259040371, 0.7827717662, -0.8086757660]])  # fmt: skip
    return lab @ np.cbrt(lms @ np.clip(rgb, 0, 1))


def contrast(one: str, other: str) -> float:
    high, low = sorted((float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (one, other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("vision", list(VISION))
def test_ten_colours_can_be_told_apart(dark, vision):
    seen = [oklab(VISION[vision] @ linear(colour)) for colour in Style(dark).series]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 0.07  # Okabe and Ito's eight: 0.076


@pytest.mark.parametrize("dark", [False, True])
def test_colours_and_text_stand_out_from_the_paper(dark):
    style = Style(dark)
    assert min(contrast(colour, style.paper) for colour in style.series) >= 3
    assert contrast(style.ink, style.paper) > 10
    assert contrast(style.muted, style.paper) >= 4.5


@pytest.mark.parametrize("dark", [False, True])
def test_density_scale_is_monotone_in_lightness(dark):
    lightness = [oklab(linear(colour))[0] for _, colour in Style(dark).density]
    steps = np.diff(lightness)
    assert (steps > 0).all() if dark else (steps < 0).all()


def test_ten_shapes_for_ten_labels():
    assert len(set(theme.SHAPES)) == len(LABELS) == len(set(theme.LIGHT)) == len(set(theme.DARK))


# Density of clouds


def cloud(count, image=0):
    half = np.random.default_rng(image).normal(size=(count // 2, 2)) @ [0.3, 0.2j]
    return planted(image, values=np.concatenate([half, half.conj()]))


@pytest.mark.parametrize(("count", "marks", "as_density"), [(5000, "auto", False), (5002, "auto", True), (6000, "points", False), (10, "density", True)])  # fmt: skip
def test_clouds_of_many_points_become_their_density(count, marks, as_density):
    figure = spectrum.figure([cloud(count)], Style(), marks=marks)
    assert ("heatmap" in {trace.type for trace in figure.data}) is as_density
    assert spectrum.is_density([cloud(count)], marks) is as_density
    assert spectrum.alt_text([cloud(count)], marks).startswith("Density") is as_density


@pytest.mark.parametrize("axes", ["linear", "arcsinh"])
def test_a_density_counts_every_eigenvalue_where_it_is_and_keeps_the_extremes(axes):
    results = [cloud(5200), cloud(800, image=1)]
    figure = spectrum.figure(results, Style(), marks="auto", axes=axes)
    heat = next(trace for trace in figure.data if trace.type == "heatmap")
    counts, re, im = np.moveaxis(heat.customdata, -1, 0)
    values = np.concatenate([result.arrays["eigenvalues"] for result in results])
    assert counts.sum() == len(values)
    assert spectrum.drawn_and_all(results, "auto") == (6000, 6000)
    assert counts[re < 0].sum() == (values.real < 0).sum(), "no bin mixes signs"
    np.testing.assert_array_equal(counts, counts[::-1], "conjugate pairs, the real axis in the middle of a bin")
    assert (counts * im**2).sum() == pytest.approx((values.imag**2).sum(), rel=0.02)
    ends = [trace for trace in figure.data if trace.type == "scatter" and trace.customdata is not None]
    assert [len(trace.x) for trace in ends] == [3, 3]
    back = Axes(eigenvalue_cloud.scale(results) if axes == "arcsinh" else None)
    assert back.true(min(ends[0].x)) == pytest.approx(results[0].arrays["eigenvalues"].real.min(), rel=1e-5)
    np.testing.assert_allclose(np.diff(heat.x), np.diff(heat.y)[0], rtol=1e-3, err_msg="squares, as drawn")


def test_a_density_of_a_few_far_eigenvalues_stays_small():
    values = np.append(np.random.default_rng(0).normal(size=6000) * 1e-6, [-1e6, 1e6j, -1e6j])
    figure = spectrum.figure([planted(values=values)], Style(), fit="bulk", marks="density")
    heat = next(trace for trace in figure.data if trace.type == "heatmap")
    assert heat.z.size < 1e6
    assert heat.customdata[..., 0].sum() == 6003


OPEN = {"n_eigenvalues": 200, "n_negative": 10, "n_positive": 30, "n_undetermined": 4}


@pytest.mark.parametrize(
    ("metric", "value", "expected"),
    [
        ("percent_negative", 5.0, "5 … 7"),
        ("n_negative", 10, "10 … 14"),
        ("share_positive", 0.15, "15 … 17"),
        ("stiffness_ratio", 40.0, "≥ 40"),
        ("largest_stable_step", 0.5, "≤ 0.5"),
        ("max_re", 1.25, "1.25"),
        ("largest_stable_step", math.inf, "∞"),
    ],
)
def test_undetermined_eigenvalues_leave_bounds(metric, value, expected):
    assert wording.in_bounds(metric, OPEN | {metric: value}) == expected
    determined = OPEN | {metric: value, "n_undetermined": 0}
    assert wording.in_bounds(metric, determined) == wording.in_words(metric, value)


def test_nothing_counted_leaves_no_bounds():
    assert (
        wording.in_bounds("percent_negative", {"percent_negative": math.nan, "n_undetermined": math.nan})
        == "not computed"
    )
