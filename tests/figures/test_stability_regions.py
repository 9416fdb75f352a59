"""Stability regions over spectra: where they are drawn, and what the numbers beside them say."""

from dataclasses import replace

import numpy as np
import pytest

from stiffcore.figures.axes import Axes
from stiffcore.figures.odes import stability_regions
from stiffcore.figures.spectra import compare, spectrum, through_depth
from stiffcore.figures.spectra.played import Look
from stiffcore.figures.theme import Style
from stiffcore.networks.architecture import Architecture
from stiffcore.networks.network import Network
from stiffcore.odes import spectrum_stability, stability
from tests.made_up.asked import asked
from tests.made_up.figures import planted
from tests.made_up.spectra import made_up

METHODS = [name for name in stability_regions.TITLES if name != stability_regions.UNIT_CIRCLE]


def paths(figure) -> list[np.ndarray]:
    """The corners of every path of a figure, complex; a frame around everything is a path of its own."""
    parts = [
        part for shape in figure.layout.shapes if shape.type == "path" for part in shape.path.split("Z") if part.strip()
    ]
    corners = [np.array([pair.split(",") for pair in part.strip(" M").split("L")], float) for part in parts]
    return [points[:, 0] + 1j * points[:, 1] for points in corners]


@pytest.mark.parametrize("step", [0.05, 0.5, 2.0])
@pytest.mark.parametrize("name", METHODS)
def test_outlines_are_where_the_method_keeps_the_size_of_an_eigenvalue(name, step):
    curve = stability_regions.outline(name, step)
    np.testing.assert_allclose(np.abs(stability.amplification(name, step * curve)), 1, atol=1e-9)


@pytest.mark.parametrize("axes", ["linear", "arcsinh"])
@pytest.mark.parametrize("name", METHODS)
def test_a_region_is_drawn_through_the_axes(name, axes):
    values = [-0.9, 0.01 + 0.02j, 0.01 - 0.02j]
    figure = spectrum.figure([planted(values=values)], Style(), step=0.5, axes=axes, regions=[name])
    back = Axes(0.02 if axes == "arcsinh" else None).true
    if axes == "linear" and name in stability_regions.DISCS:
        (circle,) = (shape for shape in figure.layout.shapes if shape.type == "circle")
        assert (circle.x0, circle.x1, circle.y1) == (-4, 0, 2)
        return
    drawn = [z for path in paths(figure) for z in path if len(path) > 4]
    true = np.array([complex(back(z.real), back(z.imag)) for z in drawn])
    reach = np.abs(stability_regions.outline(name, 0.5)).max()
    np.testing.assert_allclose(np.abs(true).max(), reach, rtol=1e-3)
    np.testing.assert_allclose(np.abs(stability.amplification(name, 0.5 * true)), 1, atol=2e-3)


def test_arcsinh_axes_show_the_edge_of_a_disc_close_to_zero_as_smoothly_as_elsewhere():
    values = [1e-4, 2e-4j, -2e-4j]
    figure = spectrum.figure([planted(values=values)], Style(), axes="arcsinh")
    (outline,) = paths(figure)
    assert np.abs(np.diff(outline)).max() < 0.2, "in drawn units, where the whole region is about 20 wide"


def test_backward_euler_is_stable_outside_of_its_disc():
    figure = spectrum.figure([planted()], Style(), regions=["backward-euler"])
    filled = [shape for shape in figure.layout.shapes if shape.fillrule == "evenodd"]
    assert len(filled) == 1
    assert any(len(path) == 4 and np.abs(path).max() > 100 for path in paths(figure)), "the frame around the disc"
    assert "outside of it" in figure.layout.annotations[-2].text


def test_several_regions_are_told_apart_by_dashes_and_named():
    figure = spectrum.figure([planted()], Style(), step=0.25, regions=list(stability_regions.TITLES))
    (words,) = (note.text for note in figure.layout.annotations if "dashed" in (note.text or ""))
    assert words.split("<br>") == [
        "dashed: |1 + 0.25 λ| = 1, forward Euler",
        "dotted: |R(0.25 λ)| = 1, RK4",
        "dash-dotted: |1 − 0.25 λ| = 1, backward Euler: outside of it",
        "solid: |λ| = 1",
    ]
    outlines = [shape for shape in figure.layout.shapes if shape.line.dash and shape.line.width]
    assert {shape.line.dash for shape in outlines} == {"dash", "dot", "dashdot", "solid"}
    circles = {(shape.x0, shape.x1) for shape in figure.layout.shapes if shape.type == "circle"}
    assert circles == {(-8, 0), (-1, 1)}, "the unit circle knows no step"


@pytest.mark.parametrize(("fit", "y"), [("disc", stability_regions.CORNER), ("all", stability_regions.INSIDE)])
def test_the_name_is_in_the_corner_outside_a_whole_disc_and_inside_of_one_that_the_panel_cuts(fit, y):
    """Where the panel ends inside the disc, its corners lie beside the outline."""
    result = planted(values=[-1.2, 0.1 + 0.9j, 0.1 - 0.9j])
    for figure in (spectrum.figure([result], Style(), fit=fit), compare.figure({"A": result}, Style(), fit=fit)):
        (note,) = (note for note in figure.layout.annotations if "dashed" in (note.text or ""))
        assert (note.y, note.yanchor, note.bgcolor) == (y, "top", Style().paper)
        assert max(map(len, note.text.split("<br>"))) <= 20, "fits a narrow panel"


def of_structure(structure: Architecture, convention: str):
    """A made-up spectrum of an identity block of a network of this structure."""
    network = Network("made up", "ab" * 32, structure.blocks(32), lambda: None)
    block = next(block.block for block in network.blocks if block.is_identity)
    return made_up(asked(network, 0, block, convention, "spectrum"))


PLAIN = Architecture("basic", (2, 2), (16, 32), stem="3x3", stem_channels=16)
PREACTIVATED = replace(PLAIN, unit="pre-activation", last_norm=True)


@pytest.mark.parametrize(
    ("structure", "convention", "name"),
    [
        (PLAIN, "block", "dashed: |λ| = 1"),
        (PLAIN, "branch", "dashed: |1 + λ| = 1<br>forward Euler"),
        (PREACTIVATED, "block", "dashed: |λ| = 1:<br>forward Euler’s disc of J_F<br>moved by 1"),
        (PREACTIVATED, "branch", "dashed: |1 + λ| = 1<br>forward Euler"),
    ],
)
def test_without_an_outer_relu_the_unit_circle_is_eulers_disc_moved_by_one(structure, convention, name):
    result = of_structure(structure, convention)
    network = result.request.network
    depth = through_depth.figure(
        {result.request.block: result}, result.request.convention, Style(), Look(regions=result.request.convention.default_regions),
        result.request.block,
    )  # fmt: skip
    for figure in (spectrum.figure([result], Style()), compare.figure({"A": result}, Style()), depth):
        assert [note.text for note in figure.layout.annotations if "dashed" in note.text] == [name]
    about = stability_regions.about(network, result.request.convention)
    assert ("J = I + J_F" in about) == (structure is PREACTIVATED and convention == "block")


def test_sides_that_differ_in_the_outer_relu_share_the_plain_name():
    both = [of_structure(structure, "block") for structure in (PLAIN, PREACTIVATED)]
    assert stability_regions.moved(both) == ""
    overlay = compare.figure(dict(zip("AB", both, strict=True)), Style(), view="overlay")
    assert "dashed: |λ| = 1" in [note.text for note in overlay.layout.annotations]


def test_no_region_where_none_is_chosen_and_none_behind_singular_values():
    for figure in (
        spectrum.figure([planted()], Style(), regions=[]),
        spectrum.figure([planted(block=7)], Style(), regions=["rk4"]),
    ):
        assert not [shape for shape in figure.layout.shapes if shape.type != "line"]


def test_the_zoom_outlives_another_step_and_other_regions():
    one, other = (
        spectrum.figure([planted()], Style(), step=step, regions=regions)
        for step, regions in ((1, ["rk4"]), (0.1, ["forward-euler", "rk4"]))
    )
    assert one.layout.uirevision == other.layout.uirevision
    assert one.layout.xaxis.range == other.layout.xaxis.range


def test_the_fit_shows_every_chosen_region():
    figure = spectrum.figure([planted()], Style(), fit="disc", step=0.5, regions=["forward-euler", "rk4"])
    (left, right), (bottom, top) = figure.layout.xaxis.range, figure.layout.yaxis.range
    for name in ("forward-euler", "rk4"):
        curve = stability_regions.outline(name, 0.5)
        assert left < curve.real.min()
        assert right > curve.real.max()
        assert bottom < curve.imag.min()
        assert top > curve.imag.max()


# Numbers


def test_shares_and_steps_of_hand_worked_eigenvalues():
    values = np.array([-4, -1 + 1j, -1 - 1j, 2, 1e-14])
    made = spectrum_stability.of_method(values, zeros=5, tolerance=1e-12)
    assert made == {"share_outside": 0.2, "largest_stable_step": 0.5, "share_positive": 0.1}
    half = spectrum_stability.of_method(values, 5, 0, 1e-12, step=0.5)
    assert half["share_outside"] == 0.1
    assert half["largest_stable_step"] == 0.5, "no step changes it"
    implicit = spectrum_stability.of_method(values, 5, 0, 1e-12, 0.5, "backward-euler")
    assert implicit["share_outside"] == 0.1, "2 lies in the disc around 2"
    assert implicit["largest_stable_step"] == np.inf
    rk4 = spectrum_stability.of_method(values, 5, 0, 1e-12, 1.0, "rk4")
    assert rk4["largest_stable_step"] == pytest.approx(2.785293563 / 4)
