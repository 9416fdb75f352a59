"""The Compare page's figures: locked axes, overlays, what is missing; groups and sweeps."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from stiffcore.analysis import perturbation
from stiffcore.conventions import Convention
from stiffcore.figures.spectra import compare, perturbation as perturbed
from stiffcore.figures.statistics import groups
from stiffcore.figures.theme import Style
from stiffcore.statistics import group_tests
from tests.made_up.asked import asked
from tests.made_up.rows import rows
from tests.made_up.spectra import made_up

STYLE = Style()


def spectrum(image=0, block=8, convention=Convention.BRANCH, network="resnet18"):
    return made_up(asked(network, image, block, convention, "spectrum"))


def annotations(figure) -> list[str]:
    return [note.text for note in figure.layout.annotations]


@pytest.mark.parametrize("axes", ["linear", "arcsinh"])
@pytest.mark.parametrize("fit", ["all", "bulk", "disc"])
def test_side_by_side_the_axes_are_locked_and_hold_both(axes, fit):
    sides = {"A": spectrum(0), "B": spectrum(900)}
    figure = compare.figure(sides, STYLE, "side", fit, axes)
    x, y = figure.layout.xaxis, figure.layout.yaxis
    assert (figure.layout.xaxis2.matches, figure.layout.yaxis2.matches) == ("x", "y")
    assert (y.scaleanchor, figure.layout.yaxis2.scaleanchor) == ("x", None), "plotly knows one of both per axis only"
    assert figure.layout.xaxis2.range == x.range
    assert figure.layout.yaxis2.range == y.range
    drawn = {
        trace.xaxis: float(min(trace.x)) for trace in figure.data if len(trace.x) == 3 and trace.customdata is not None
    }
    assert drawn["x"] > drawn["x2"], "A left, B right"
    if fit == "all":
        assert x.range[0] < drawn["x2"]


def test_a_letter_has_its_colour_and_shape_even_where_both_are_the_same_image():
    figure = compare.figure({"A": spectrum(), "B": spectrum(network="resnet18-untrained")}, STYLE, "overlay")
    listed = [trace for trace in figure.data if trace.showlegend]
    assert [trace.name[:11] for trace in listed] == ["A: ResNet18", "B: ResNet18"]
    assert [trace.marker.color for trace in listed] == [STYLE.colour(0), STYLE.colour(1)]
    assert [trace.marker.symbol for trace in listed] == [STYLE.shape(0), STYLE.shape(1)]
    assert "xaxis2" not in figure.layout


def test_each_panel_has_the_region_of_its_convention_and_an_overlay_both():
    sides = {"A": spectrum(), "B": spectrum(convention="block")}
    side = compare.figure(sides, STYLE)
    notes = [note for note in side.layout.annotations if "dashed" in note.text]
    assert [(note.xref, note.text) for note in notes] == [
        ("x domain", "dashed: |1 + λ| = 1<br>forward Euler"),
        ("x2 domain", "dashed: |λ| = 1"),
    ]
    (both,) = [text for text in annotations(compare.figure(sides, STYLE, "overlay")) if "|λ| = 1" in text]
    assert "|1 + λ| = 1" in both
    nothing = compare.figure({"A": spectrum(convention="slices")}, STYLE)
    assert not any("= 1" in text for text in annotations(nothing))


def test_structural_eigenvalues_of_both_are_counted():
    sides = {"A": spectrum(block=8), "B": spectrum(block=6)}
    assert {"0 × 800", "0 × 600"} <= set(annotations(compare.figure(sides, STYLE)))
    assert "0 × 600 to 800" in annotations(compare.figure(sides, STYLE, "overlay"))


def test_slices_are_heat_side_by_side_and_lines_in_an_overlay():
    sides = {"A": spectrum(convention="slices"), "B": spectrum(1, convention="slices")}
    assert [trace.type for trace in compare.figure(sides, STYLE).data].count("heatmap") == 2
    kinds = [trace.type for trace in compare.figure(sides, STYLE, "overlay", axes="arcsinh").data]
    assert (kinds.count("contour"), kinds.count("heatmap")) == (2, 0)
    clouds = compare.figure({"A": spectrum(), "B": spectrum(1)}, STYLE, "overlay", marks="density")
    assert [trace.type for trace in clouds.data].count("contour") == 2


def test_singular_values_lock_with_singular_values_only():
    both = compare.figure({"A": spectrum(block=7), "B": spectrum(1, block=7)}, STYLE)
    assert both.layout.xaxis2.matches == "x"
    assert both.layout.yaxis2.type == "log"
    mixed = {"A": spectrum(block=7), "B": spectrum()}
    assert not compare.is_lockable(mixed)
    figure = compare.figure(mixed, STYLE, "overlay")
    assert figure.layout.xaxis2.matches is None
    assert figure.layout.xaxis2.title.text == "Re λ"
    assert np.array_equal(figure.data[0].y, [3, 2, 1])


def test_a_side_that_is_missing_says_so_in_its_panel():
    figure = compare.figure({"B": spectrum()}, STYLE)
    (note,) = [note for note in figure.layout.annotations if note.text == "A is not computed"]
    assert (note.xref, note.x) == ("paper", sum(figure.layout.xaxis.domain) / 2)
    assert annotations(figure)[0] == "A: not computed"


def test_zoom_is_kept_while_b_is_varied_and_not_when_the_question_changes():
    def revision(b, **look):
        return compare.figure({"A": spectrum(), "B": b}, STYLE, **look).layout.uirevision

    assert revision(spectrum(1)) == revision(spectrum(2, block=6))
    assert revision(spectrum(1)) != revision(spectrum(1, convention="block"))
    assert revision(spectrum(1)) != revision(spectrum(1), fit="bulk")


@pytest.mark.parametrize("kind", ["box", "violin"])
def test_groups_stand_side_by_side_in_every_block(kind):
    frame = rows(images=30)
    sides = {
        name: group_tests.values(group_tests.of_label(frame, name, "x"), "percent_negative", [7, 8])
        for name in ("cat", "dog")
    }
    sides["dog"] = sides["dog"][sides["dog"]["block"] == 8]
    figure = groups.figure(sides, "percent_negative", [6, 7, 8], STYLE, kind)
    assert [trace.type for trace in figure.data] == [kind, kind]
    assert [trace.name for trace in figure.data] == ["cat", "dog"]
    assert [trace.offsetgroup for trace in figure.data] == ["0", "1"]
    assert set(figure.data[0].x) == {"7", "8"}
    assert set(figure.data[1].x) == {"8"}
    assert np.allclose(np.sort(figure.data[1].y), np.sort(sides["dog"]["value"]))
    assert [(note.x, note.text) for note in figure.layout.annotations] == [("6", "no value")]
    assert f"dog, median {sides['dog']['value'].median():.4g}" in groups.alt_text(sides, "percent_negative")


def test_a_sweep_crosses_what_is_seen_wrong_and_leaves_a_gap_where_nothing_is_defined():
    count = len(perturbation.SWEEP)
    table = pd.DataFrame(
        {"strength": perturbation.SWEEP, "seen": "cat", "correct": [True, True, False, False, False],
         "loss": np.arange(count) + 0.5, "stiffness_index": np.nan, "percent_negative": 5.0, "max_re": 1.0}
    )  # fmt: skip
    figure = perturbed.figure(table, STYLE)
    loss = next(trace for trace in figure.data if trace.name == "loss")
    assert loss.y.tolist() == [0.5, 1.5, 2.5, 3.5, 4.5]
    assert loss.marker.symbol == ("circle", "circle", "x", "x", "x")
    assert annotations(figure).count("undefined") == 1
    assert [trace.name for trace in figure.data if isinstance(trace, go.Scatter) and trace.showlegend is not False] == [
        "predicted right",
        "predicted wrong",
    ]
    assert "from 0.5 to 4.5" in perturbed.alt_text(table).replace("goes ", "")
