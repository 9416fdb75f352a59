"""The figure through depth: a frame a block, the same traces in each, one plane for all of them."""

import json

import numpy as np
import pytest

from stiffcore.conventions import Convention
from stiffcore.figures import theme
from stiffcore.figures.axes import Axes
from stiffcore.figures.spectra import through_depth
from stiffcore.figures.spectra.played import Look
from stiffcore.figures.theme import Style
from stiffcore.networks import registry as networks
from tests.made_up.figures import planted

WIDE, NARROW = [-3.0, 0.1 + 2j, 0.1 - 2j], [-0.5, 0.2 + 0.1j, 0.2 - 0.1j]


def blocks(convention=Convention.BRANCH, many=0):
    """ResNet18: block 2 wide, 4 narrow, 6 of many points, 7 not square, 8 not computed."""
    cloud = np.random.default_rng(0).normal(size=many // 2) * (1 + 1j)
    return {
        2: planted(block=2, convention=convention, values=WIDE, zeros=300, ones=0),
        4: planted(block=4, convention=convention, values=NARROW, zeros=20, ones=7),
        6: planted(block=6, convention=convention, values=np.concatenate([cloud, cloud.conj()]), zeros=0),
        7: planted(block=7, convention=convention),
        8: None,
    }


def draw(convention=Convention.BRANCH, many=10, at=2, **look):
    return through_depth.figure(blocks(convention, many), convention, Style(), Look(**look), at)


def frame(figure, block: int):
    return next(frame for frame in figure.frames if frame.name == str(block))


@pytest.mark.parametrize("convention", [Convention.BRANCH, Convention.SLICES])
@pytest.mark.parametrize("many", [10, 3000, 6000])
def test_every_frame_has_the_same_traces(convention, many):
    figure = draw(convention, many)
    assert [f.name for f in figure.frames] == ["2", "4", "6", "7", "8"]
    kinds = [trace.type for trace in figure.data]
    assert len(kinds) == 5
    assert all([trace.type for trace in f.data] == kinds for f in figure.frames), "plotly changes data, not traces"
    steps = figure.layout.sliders[0].steps
    assert [list(step.args[0]) for step in steps] == [[f.name] for f in figure.frames]
    assert all(step.args[1]["frame"]["redraw"] for step in steps)


@pytest.mark.parametrize("axes", ["linear", "arcsinh"])
def test_axes_hold_every_block_and_stay(axes):
    figure = draw(axes=axes)
    back = Axes(None)
    if axes == "arcsinh":
        back = Axes(float(f"{abs(0.2 + 0.1j):.0e}"))  # the finest: the median of |λ| in block 4, to one digit
        np.testing.assert_allclose(frame(figure, 4).data[1].x[0], np.arcsinh(-0.5 / back.scale), rtol=1e-6)
    (left, right), (bottom, top) = figure.layout.xaxis.range, figure.layout.yaxis.range
    assert back.true(left) < -3
    assert back.true(right) > 1, "a structural one belongs to block 4"
    assert back.true(top) > 2
    assert bottom == -top
    for each in figure.frames:
        assert not {"xaxis", "yaxis"} & each.layout.to_plotly_json().keys()
        for trace in each.data[1:]:
            assert all(left <= x <= right for x in trace.x)


def test_a_frame_shows_its_own_block():
    figure = draw(at=4)
    assert sorted(frame(figure, 2).data[1].x) == pytest.approx([-3, 0.1, 0.1])
    assert [len(trace.x) for trace in frame(figure, 2).data] == [0, 3, 3, 1, 0]
    assert [len(trace.x) for trace in frame(figure, 4).data] == [0, 3, 3, 1, 1]
    np.testing.assert_array_equal(figure.data[1].x, frame(figure, 4).data[1].x)
    assert figure.layout.sliders[0].active == 1
    texts = [[note.text for note in each.layout.annotations] for each in figure.frames]
    assert {"0 × 300", "dashed: |1 + λ| = 1<br>forward Euler"} <= set(
        note.text for note in draw(regions=("forward-euler",)).layout.annotations
    )
    assert {"0 × 20", "1 × 7"} <= set(texts[1])
    assert texts[1][-1].startswith("<b>Block 4</b> · n = 8,192 · S not computed")
    assert any("not square: no eigenvalues<br>singular values up to 2" in text for text in texts[3])
    assert "not computed" in texts[4]


def test_large_blocks_are_densities_and_small_ones_points_of_the_same_figure():
    figure = draw(many=6000)
    heat, cloud, ends = frame(figure, 6).data[:3]
    assert 10 ** heat.z[np.isfinite(heat.z)] @ np.ones(np.isfinite(heat.z).sum()) == pytest.approx(6000, rel=1e-5)
    assert [len(cloud.x), len(ends.x)] == [0, 3]
    assert [len(trace.x) for trace in frame(figure, 2).data[:3]] == [0, 3, 3]
    assert figure.layout.coloraxis.cmax == pytest.approx(np.nanmax(heat.z))


def test_one_file_that_does_not_start_by_itself():
    html = theme.to_html(draw(), "Through depth")
    assert "Plotly.addFrames" in html
    assert "Plotly.animate(" not in html.split("Plotly.addFrames")[-1]


@pytest.mark.parametrize("style", [Style(dark, talk) for dark in (False, True) for talk in (False, True)], ids=str)
def test_every_style_serialises(style):
    figure = through_depth.figure(blocks(Convention.SLICES), Convention.SLICES, style, Look(axes="arcsinh"), 8)
    content = json.loads(figure.to_json())
    assert len(content["frames"]) == 5
    assert content["layout"]["sliders"][0]["activebgcolor"] == style.accent
    assert "Block 8" in content["layout"]["annotations"][0]["text"]
    assert through_depth.alt_text(blocks(), networks.find("resnet18")).startswith(
        "Eigenvalues in the complex plane, a frame"
    )
