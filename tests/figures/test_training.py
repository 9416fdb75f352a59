"""The figures over a training: lines with bands and gaps, the strip below, and one block's frames on locked axes."""

import json

import numpy as np
import pytest

from stiffcore.conventions import Convention
from stiffcore.figures.spectra import through_training
from stiffcore.figures.spectra.played import Look
from stiffcore.figures.spectra.through_training import Shown
from stiffcore.figures.statistics import training
from stiffcore.figures.theme import Style
from stiffcore.statistics import over_training
from tests.made_up.figures import planted
from tests.made_up.runs import made_up, rows

RUN = made_up(steps=(0, 2, 10, 20))
STYLES = [Style(dark, talk) for dark in (False, True) for talk in (False, True)]


def tables(blocks=(6, 8), metric="stiffness_index", gap=None):
    frame = rows(RUN)
    if gap is not None:
        here = (frame["step"] == gap) & (frame["block"] == 8)
        frame.loc[here, metric] = np.nan
        frame.loc[here, "reasons"] = json.dumps({metric: "undefined: min Re λ = 0"})
    return over_training.table(frame[frame["block"].isin(blocks)], metric), over_training.by_step(frame)


def draw(style=STYLES[0], gap=None, metric="stiffness_index", **look):
    return training.figure(*tables(gap=gap, metric=metric), metric, style, "epoch", **look)


def line(figure, name):
    return next(trace for trace in figure.data if trace.name == name and trace.mode == "lines+markers")


def test_a_line_per_block_and_the_strip_with_accuracy_and_loss():
    figure = draw()
    assert list(line(figure, "block 8").x) == [0, 2, 10, 20]
    assert line(figure, "block 8").y.tolist() == pytest.approx([-8.0 - step + 0.015 for step in (0, 2, 10, 20)])
    strip = [trace for trace in figure.data if "ship" in trace.name]
    assert strip[0].y.tolist() == pytest.approx([10, 20, 60, 100])
    assert strip[1].y.tolist() == pytest.approx([2, 1.8, 1, 0])
    assert figure.layout.xaxis2.title.text == "epoch"


def test_without_accuracy_on_the_images_that_ship_the_swept_ones_are_named():
    table, steps = tables()
    figure = training.figure(table, steps.assign(accuracy_bundled=np.nan), "stiffness_index", Style())
    accuracy = next(trace for trace in figure.data if trace.name.startswith("accuracy"))
    assert accuracy.name.endswith("on the images that were swept")
    assert accuracy.y.tolist() == pytest.approx(100 * steps["accuracy"])


def test_a_checkpoint_without_a_value_is_a_gap_with_its_reason():
    figure = draw(gap=2)
    whole = line(figure, "block 8")
    assert np.isnan(whole.y[1])
    assert not whole.connectgaps
    (mark,) = (trace for trace in figure.data if trace.marker.symbol == training.GAP)
    assert (list(mark.x), mark.customdata[0][1]) == ([2], "undefined: min Re λ = 0")
    low, _ = figure.layout.yaxis.range
    assert mark.y[0] == low < np.nanmin(whole.y)
    band = next(trace for trace in figure.data if trace.fill == "toself" and trace.name == "block 8")
    assert [x for x in band.x if x is not None and not np.isnan(x)] == [0, 0, 0, 10, 20, 20, 10, 10], (
        "two pieces, none over the gap"
    )


def test_arcsinh_keeps_true_values_in_ticks_and_hover():
    figure = draw(axes="arcsinh")
    assert "−10" in figure.layout.yaxis.ticktext
    drawn = line(figure, "block 8")
    assert [data[5] for data in drawn.customdata] == pytest.approx([-8.0 - step + 0.015 for step in (0, 2, 10, 20)])
    ratio = np.sinh(drawn.y) / np.asarray([data[5] for data in drawn.customdata])
    assert ratio == pytest.approx(np.full(4, ratio[0]))


def test_a_block_has_its_colour_whatever_else_is_drawn():
    order = [8, 6, 4]
    both = training.figure(*tables((6, 8)), "stiffness_index", Style(), order=order)
    alone = training.figure(*tables((6,)), "stiffness_index", Style(), order=order)
    assert line(both, "block 6").line.color == line(alone, "block 6").line.color == Style().colour(1)


@pytest.mark.parametrize("style", STYLES, ids=str)
def test_every_style_serialises_and_a_metric_without_any_value_too(style):
    assert json.loads(draw(style).to_json())
    empty = draw(style, metric="largest_singular_value", axes="arcsinh")
    assert json.loads(empty.to_json())
    assert sum(len(trace.x) for trace in empty.data if trace.marker.symbol == training.GAP) == 8


@pytest.mark.parametrize(("value", "top"), [(0.0, 1), (0.31, 0.4), (2.3, 3), (4.0, 4), (5.3, 6), (9.9, 10), (11, 20)])
def test_the_loss_axis_ends_at_a_round_number(value, top):
    assert training._above(value) == pytest.approx(top)


def shown(values=(-3.0, -1.0, None)):
    return [
        Shown(step, None if value is None else planted(values=[value, 0.5 + 1j, 0.5 - 1j]), accuracy)
        for step, value, accuracy in zip((0, 5, 30), values, (0.1, float("nan"), 0.9), strict=True)
    ]


def test_frames_over_training_say_the_step_and_the_accuracy_on_locked_axes():
    figure = through_training.figure(shown(), "epoch", Convention.BRANCH, Style(), Look(), 5)
    assert [frame.name for frame in figure.frames] == ["0", "5", "30"]
    assert figure.layout.sliders[0].active == 1
    titles = [frame.layout.annotations for frame in figure.frames]
    texts = [[note.text for note in notes] for notes in titles]
    assert any(text.startswith("<b>Epoch 0</b> · 10.0 % right · S ") for text in texts[0])
    assert any(text.startswith("<b>Epoch 5</b> · S ") for text in texts[1])
    assert "not computed" in texts[2]
    left, right = figure.layout.xaxis.range
    assert left < -3 < 0.5 < right
    assert not any({"xaxis", "yaxis"} & frame.layout.to_plotly_json().keys() for frame in figure.frames)
    assert through_training.alt_text(shown(), "epoch", "run") == (
        "Eigenvalues in the complex plane, a frame per checkpoint on locked axes: run, epoch 0 to 5. The table has the numbers."
    )
