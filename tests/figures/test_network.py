"""The figures of a whole network: growth by depth, exponents, directions."""

import dataclasses

import numpy as np
import pytest

from stiffcore.figures.network import directions, growth
from stiffcore.figures.theme import Style
from tests.made_up.growth import made_up


def test_a_line_for_the_largest_growth_and_one_for_random_directions():
    results = [made_up(), made_up("resnet34")]
    figure = growth.figure(results, ["a", "b"], "image", Style())
    lines = {(trace.name, trace.xaxis): trace for trace in figure.data}
    assert lines["a", "x"].y.tolist() == results[0].growth.tolist()
    assert lines["a, random directions", "x"].y.tolist() == results[0].random_growth.tolist()
    assert lines["b", "x2"].y.tolist() == pytest.approx(results[1].lyapunov[-1].tolist())
    assert len(lines["b", "x"].x) == 16
    low, high = figure.layout.yaxis.range
    assert (
        low < np.log10(2) < np.log10(results[1].growth.max()) < high
    )  # of the first random one to the last largest one


def test_blocks_that_let_nothing_pass_leave_a_gap_on_the_log_axis():
    alive = made_up()
    zero = np.where(np.arange(8) < 5, alive.growth, 0.0)
    dead = dataclasses.replace(alive, growth=zero, random_growth=0 * zero, log_stretch=np.full((8, 10), -np.inf))
    figure = growth.figure([dead], ["dead"], "image", Style(dark=True, talk=True))
    drawn = figure.data[0].y
    assert np.isfinite(drawn[:5]).all()
    assert np.isnan(drawn[5:].astype(float)).all()
    assert np.isnan(figure.data[2].y.astype(float)).all()
    assert "dead from 20 to 0" in growth.alt_text([dead], ["dead"], "image")


def test_directions_are_scaled_by_their_own_largest_entry():
    found = made_up()
    shown = directions.pictures(found.input_directions)
    assert shown.shape == (10, 32, 32, 3)
    for picture, direction in zip(shown, found.input_directions, strict=True):
        at = np.unravel_index(np.abs(direction).argmax(), direction.shape)
        assert picture[at[1], at[2], at[0]] == (255 if direction[at] > 0 else 0)
    figure = directions.figure(found.input_directions, found.singular_values, Style(), found.request.image.pixels)
    assert [note.text for note in figure.layout.annotations][:2] == ["the image", "σ₁ = 2.56e+03"]
