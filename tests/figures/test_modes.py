"""Figures of modes and pseudospectra: the numbers that came in are drawn, the real matrix's symmetry is used."""

import json

import numpy as np
import pytest

import stiffcore as sc
from stiffcore.analysis import modes, nonnormality
from stiffcore.figures.axes import Axes
from stiffcore.figures.spectra import eigenvalue_cloud, mode as mode_figure, pseudospectra, spectrum
from stiffcore.figures.theme import Style
from tests.made_up.asked import asked
from tests.made_up.figures import planted

VALUES = np.array([-0.9, 0.1 + 0.2j, 0.1 - 0.2j])
REQUEST = asked("resnet18", 0, 6, "branch", "spectrum")
STYLES = [Style(dark, talk) for dark in (False, True) for talk in (False, True)]


def planted_mode() -> modes.Mode:
    right = np.arange(16.0).reshape(4, 4) / np.linalg.norm(np.arange(16))
    return modes.Mode(
        REQUEST, 0.1 + 0.2j, right, right.T, np.ones(256) / 16, np.ones(256) / 16, 1e-15, 2e-15, 8.19, 0.5, "ab"
    )


def planted_pseudospectra() -> nonnormality.NonNormality:
    x, y = np.linspace(-1, 0.5, 6), np.array([0.0, 0.2, 0.4])
    logs = np.add.outer(-y, -x)
    logs[0, 0] = np.inf  # a point of the grid that is an eigenvalue
    return nonnormality.NonNormality(REQUEST, 0.7, 2.5, 3.6, 3.3, x, y, logs, 60.0, "ab")


def test_maps_and_the_chosen_eigenvalue_are_drawn_as_they_came():
    figure = mode_figure.figure(planted_mode(), VALUES, Style(), "data:image/png;base64,")
    right, left = (trace.z for trace in figure.data if trace.type == "heatmap")
    np.testing.assert_allclose(right, planted_mode().right_map, rtol=1e-6)
    np.testing.assert_allclose(left, right.T)
    chosen = figure.data[1]
    np.testing.assert_allclose([chosen.x, chosen.y], [[0.1, 0.1], [0.2, -0.2]], rtol=1e-6)
    assert figure.layout.yaxis3.range[0] > figure.layout.yaxis3.range[1], "the first row of pixels is on top"
    assert figure.layout.annotations[0].text == "λ = 0.1 +0.2 i"
    assert len(figure.layout.images) == 1
    assert "4 × 4 pixels" in mode_figure.alt_text(planted_mode())


def test_pseudospectra_are_mirrored_and_have_few_levels():
    found = planted_pseudospectra()
    figure = pseudospectra.figure(found, VALUES, Style())
    contour = figure.data[0]
    np.testing.assert_allclose(contour.y, [-0.4, -0.2, 0, 0.2, 0.4], rtol=1e-6)
    np.testing.assert_array_equal(contour.z, contour.z[::-1])
    assert contour.z[3][1] == pytest.approx(-found.log_resolvent[1, 1], rel=1e-6)
    assert np.isfinite(contour.z).all()
    levels = contour.contours
    assert (levels.end - levels.start) / levels.size <= pseudospectra.MOST_LEVELS
    assert figure.layout.xaxis.range[1] > 0.7, "the numerical abscissa is in view"
    assert any(shape.x0 == shape.x1 == 0.7 for shape in figure.layout.shapes)


@pytest.mark.parametrize("style", STYLES, ids=str)
def test_every_style_serialises(style):
    for figure in (
        mode_figure.figure(planted_mode(), VALUES, style),
        pseudospectra.figure(planted_pseudospectra(), VALUES, style),
    ):
        assert json.loads(figure.to_json())["layout"]["template"]["layout"]["paper_bgcolor"] == style.paper


@pytest.mark.parametrize("kind", ["linear", "arcsinh"])
def test_a_click_finds_the_eigenvalue_that_is_drawn_there(kind):
    results = [planted(0, 6, values=3 * VALUES), planted(0, 8, values=VALUES), planted(1, 8, values=VALUES + 1e-3)]
    for result in results[:2]:
        inside = [other for other in results if other.request.block == result.request.block]
        axes = Axes(eigenvalue_cloud.scale(inside) if kind == "arcsinh" else None)
        for position, value in enumerate(result.arrays["eigenvalues"]):
            x, y = np.float32(axes(value.real)), np.float32(axes(value.imag))  # as the browser has them
            assert eigenvalue_cloud.nearest(results, 0, float(x), float(y), kind) == (result, position)
    assert eigenvalue_cloud.nearest(results, 5, 0.0, 0.0, kind) is None


def test_a_click_finds_the_eigenvalue_of_a_matrix_in_which_no_image_has_a_part():
    result = sc.analyse(sc.matrix(np.diag([-1.0, -2.0, -5.0])), convention="branch", level="spectrum")
    drawn = spectrum.figure([result], Style()).data[0]
    at = drawn.x.tolist().index(-5)
    found = eigenvalue_cloud.nearest([result], int(drawn.customdata[at]), float(drawn.x[at]), 0.0, "linear")
    assert found is not None
    assert result.arrays["eigenvalues"][found[1]] == -5
