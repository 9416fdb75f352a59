"""The figure of a metric against the relative depth of several networks."""

import numpy as np
import pytest

from stiffcore.conventions import Convention
from stiffcore.figures.statistics import answer
from stiffcore.figures.theme import Style
from stiffcore.networks import registry
from stiffcore.paper import comparison
from tests.made_up import rows

STYLES = [Style(dark, talk) for dark in (False, True) for talk in (False, True)]
S = "stiffness_index"


def tables(value=None, networks=("resnet18", "resnet34")):
    return {
        name: comparison.along_depth(
            registry.find(name),
            rows.rows(name, images=4, **({} if value is None else {S: value})),
            S,
            Convention.SLICES,
        )
        for name in networks
    }


def line(figure, name):
    return next(trace for trace in figure.data if trace.name == name)


@pytest.mark.parametrize("style", STYLES)
def test_networks_of_different_depths_share_the_axis(style):
    found = tables()
    figure = answer.figure(found, S, style)
    assert line(figure, "resnet18").x.tolist() == pytest.approx([block / 8 for block in range(1, 9)])
    assert line(figure, "resnet34").x.tolist() == pytest.approx([block / 16 for block in range(1, 17)])
    assert line(figure, "resnet18").y.tolist() == pytest.approx(found["resnet18"]["mean"].tolist())


def test_an_arcsinh_axis_draws_true_values_in_hover_and_ticks():
    found = tables()
    figure = answer.figure(found, S, Style(), scale=2.0)
    assert line(figure, "resnet18").y[0] == pytest.approx(np.arcsinh(found["resnet18"]["mean"][0] / 2))
    assert line(figure, "resnet18").customdata[0][1] == pytest.approx(found["resnet18"]["mean"][0])
    assert "0" in figure.layout.yaxis.ticktext


def test_a_baseline_is_one_dashed_line_a_network_and_one_legend_entry():
    figure = answer.figure(tables(), S, Style(), faded=tables(-1.0))
    dashed = [trace for trace in figure.data if trace.line.dash == "dash"]
    assert [list(trace.y) for trace in dashed] == [[-1.0] * 8, [-1.0] * 16]
    assert [trace.showlegend for trace in dashed] == [True, False]


def test_the_papers_means_are_open_diamonds():
    figure = answer.figure(tables(networks=("resnet18",)), S, Style(), published=True)
    assert min(line(figure, "the paper's").y) == pytest.approx(-12.99)


def test_the_threshold_is_named_where_it_lies():
    figure = answer.figure(tables(), S, Style(), threshold=(-1.0, "a factor above 1"))
    assert any(note.text == "a factor above 1" and note.y == -1 for note in figure.layout.annotations)


def test_without_a_value_the_figure_is_empty_but_drawn():
    figure = answer.figure(tables(np.nan), S, Style())
    assert not figure.data
    assert answer.arcsinh_scale(tables(np.nan)) == 1.0


def test_the_alt_text_names_networks_and_metric():
    assert "resnet18; resnet34" in answer.alt_text(tables(), S)
