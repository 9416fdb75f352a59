"""Figures of the Stiff ODEs page: what they draw of the data, and what stays readable."""

import time

import numpy as np
import plotly.graph_objects as go
import pytest

from stiffcore.figures.odes import example as figures, ode_net as net_figures, stability_plane
from stiffcore.figures.odes.stability_plane import Cloud, View
from stiffcore.figures.theme import Style
from stiffcore.odes import example as stiff_example, ode_net, stability, stiff_systems

STYLE = Style()
VIEW = View(-4, 3, 3)


def winding(point: complex, polygon: np.ndarray) -> int:
    turns = np.angle(np.roll(polygon, -1) - point) - np.angle(polygon - point)
    return round(float(((turns + np.pi) % (2 * np.pi) - np.pi).sum() / (2 * np.pi)))


def polygons(path: str) -> list[np.ndarray]:
    """The closed parts of an SVG path of M, L and Z."""
    parts = [part.replace("M", "").replace("L", "") for part in path.split("Z") if part.strip()]
    return [np.array([complex(*map(float, pair.split(","))) for pair in part.split()]) for part in parts]


@pytest.mark.parametrize("name", stability.METHODS)
def test_the_filled_region_is_where_the_method_is_stable(name):
    figure = stability_plane.figure([], [name], STYLE, VIEW)
    shape = next(shape for shape in figure.layout.shapes if shape.type == "path")
    assert shape.fillrule == "evenodd"
    draw = np.random.default_rng(0)
    points = draw.uniform(-3.5, 2.5, 300) + 1j * draw.uniform(-2.8, 2.8, 300)
    for point in points[np.abs(np.abs(stability.amplification(name, points)) - 1) > 0.02]:
        covered = sum(abs(winding(point, polygon)) for polygon in polygons(shape.path)) % 2 == 1
        assert covered == (not stability.is_outside(name, point)), point


def test_a_large_cloud_is_thinned_and_keeps_its_extremes():
    draw = np.random.default_rng(1)
    z = draw.normal(size=30_000) + 1j * draw.normal(size=30_000)
    figure = stability_plane.figure([Cloud("many", z, STYLE.accent)], ["forward-euler"], STYLE)
    trace = next(trace for trace in figure.data if trace.name == "many")
    assert isinstance(trace, go.Scattergl)
    assert len(trace.x) <= stability_plane.LARGEST_DRAWN + 4
    assert min(trace.x) == np.float32(z.real.min())
    assert max(trace.x) == np.float32(z.real.max())
    assert max(trace.y) == np.float32(z.imag.max())


def test_the_view_holds_every_point_and_every_region():
    view = stability_plane.view_of([Cloud("one", np.array([5 + 0j, -9j]), "red")], ["rk4", "trapezoidal"])
    assert view.left < -2.79
    assert view.right > 5
    assert view.height > 9


@pytest.mark.parametrize("style", [Style(dark=dark, talk=talk) for dark in (False, True) for talk in (False, True)])
def test_an_unstable_run_is_marked_by_colour_and_shape(style):
    for step, colour, shape in ((0.0015, style.accent, "circle"), (0.0021, style.bad, "x")):
        figure = figures.example(stiff_example.report("forward-euler", step, 0.1), 0.1, style)
        run = next(trace for trace in figure.data if trace.name.startswith("Forward Euler"))
        assert (run.line.color, run.marker.symbol) == (colour, shape)
        assert tuple(figure.layout.yaxis.range) == figures.SHOWN_Y, "locked while the step moves"
        assert figure.layout.template.layout.paper_bgcolor == style.paper


def test_stretches_are_runs_of_true():
    assert figures.stretches(np.array([True, True, False, True, False, False, True])) == [(0, 2), (3, 4), (6, 7)]
    assert figures.stretches(np.zeros(4, bool)) == []


@pytest.mark.parametrize(
    ("values", "low", "high"), [([0.06, 0.72], -2, 0), ([1e-7, 1], -7, 0), ([5, 5], 0, 1), ([0, np.nan, 10, 1e3], 1, 3)]
)
def test_log_axes_span_whole_powers_of_ten(values, low, high):
    axis = figures.decades(np.array(values))
    assert axis["range"][0] <= low < high <= axis["range"][1]
    assert axis["range"][1] - axis["range"][0] < 1.1 * (high - low)
    assert axis["dtick"] >= 1


def test_every_eigenvalue_is_drawn_once_as_decaying_or_growing():
    shown = stiff_systems.portrait("van_der_pol", 100)
    figure = figures.portrait(shown, STYLE, by_step=True)
    drawn = {True: 0, False: 0}
    for trace in figure.data:
        if trace.legendgroup:
            drawn[trace.name.startswith("decays")] += int(np.isfinite(trace.y).sum())
    assert drawn == {True: (shown.eigenvalues.real < 0).sum(), False: (shown.eigenvalues.real > 0).sum()}


@pytest.mark.parametrize("by_step", [True, False])
def test_hover_shows_the_time_and_not_the_number_of_the_step(by_step):
    shown = stiff_systems.portrait("van_der_pol", 10)
    hovered = [trace for trace in figures.portrait(shown, STYLE, by_step).data if trace.hovertemplate]
    assert len(hovered) == 8  # two of the solution, four of the eigenvalues' signs, two of the ratio
    for trace in hovered:
        np.testing.assert_array_equal(trace.customdata, shown.reference.times)
        assert "t = %{customdata:.5g}<br>" in trace.hovertemplate
        assert ("step %{x}" in trace.hovertemplate) == by_step
        assert "t = %{x" not in trace.hovertemplate


def test_times_of_the_ode_nets_solver_are_lines_of_one_update():
    fit = ode_net.stored(ode_net.Settings())
    started = time.process_time()
    figure = net_figures.paths(fit, STYLE)
    seconds = time.process_time() - started
    assert (
        [line.x0 for line in figure.layout.shapes]
        == [line.x1 for line in figure.layout.shapes]
        == fit.ode_calls.tolist()
    )
    assert {(line.xref, line.yref, line.y0, line.y1) for line in figure.layout.shapes} == {("x2", "y2 domain", 0, 1)}
    assert seconds < 0.25, "an interaction has half a second; add_vline took all of it for 40 lines"


def test_a_solver_that_ran_out_ends_in_a_cross():
    shown = stiff_systems.portrait("robertson")
    figure = figures.costs(shown.costs, shown.system.t_end, STYLE)
    ends = {trace.name: trace.marker.symbol for trace in figure.data if trace.mode == "markers"}
    assert ends == {"RK45": "x", "Radau": "circle", "BDF": "circle"}
