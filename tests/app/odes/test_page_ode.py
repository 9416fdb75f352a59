"""The Stiff ODEs page as visitors meet it: through app.py, part by part, with the numbers that it shows."""

import subprocess
import sys

import numpy as np
import pytest

from pages.shared.odes import solvers as ode_solvers, systems as ode_systems
from pages.shared.widgets import ode_table
from stiffcore.odes import block_flow, example as stiff_example, stability, stiff_systems
from tests.app.visitor import ODES as PAGE, ROOT, metrics, trace

# Opening


def test_both_figures_of_the_example_can_be_taken_along(open_part):
    page = open_part("example")
    labels = [button.proto.label for button in page.at.get("download_button")]
    assert labels.count("Figure (HTML)") == labels.count("Data (CSV)") == len(page.figures)


def test_every_part_shows_real_results_at_once_from_what_ships(visitor):
    page = visitor().open(PAGE, part="networks")
    assert len(page.figures) == 4
    page = visitor().open(PAGE, part="blocks")
    assert len(trace(page.figures[-1], "∝ h").x) == len(block_flow.STEPS)
    assert "ResNet50, block 16" in page.html()


def test_no_part_imports_torch():
    code = """
import sys
from pages.shared.state import service
from streamlit.testing.v1 import AppTest
service.WARM_UP_AFTER = 1e6  # seconds: here nothing but the page itself may import torch
at = AppTest.from_file("app.py", default_timeout=60).run()
for part in sys.argv[2:]:
    at.query_params["part"] = part
    at.switch_page(sys.argv[1]).run()
    assert not at.exception and at.title[0].value == "Stiff ODEs", part
loaded = [name for name in ("torch", "torchvision", "torchdiffeq", "numba") if name in sys.modules]
assert not loaded, loaded
"""
    run = [sys.executable, "-c", code, PAGE, "example", "regions", "systems", "networks", "blocks"]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_definitions_and_their_sources_are_below(open_part):
    page = open_part("regions")
    box = next(e for e in page.at.expander if e.label == "Definitions and sources")
    text = "\n".join(str(m.value) for m in box.markdown)
    for word in (
        "Eq. 10", "Eq. 11", "Lambert 1991", "Why signs matter", "0.001", "Higham and Trefethen 1993",
        "Decay limit", "An oscillation that hardly decays", "a large implicit step may damp it",
    ):  # fmt: skip
        assert word in text


# 1. The stiff example


def test_opens_on_the_papers_step_which_settles(open_part):
    page = open_part("example")
    assert page.url["h"] == "0.0015"
    shown = metrics(page)
    assert shown["hλ, with λ = −1000"] == "−1.5"
    assert shown["R(hλ): error × in each step"] == "−0.5"
    assert shown["Error, first step"] == "0.722"
    assert "green-badge[inside: shrinks, changing sign]" in page.texts("markdown")
    run = trace(page.figures[0], "Forward Euler, h = 0.0015")
    np.testing.assert_allclose(run.x, 0.0015 * np.arange(5))
    assert run.y[1] == 1.5
    exact = trace(page.figures[0], "exact")
    np.testing.assert_allclose(exact.y, stiff_example.example_solution(np.asarray(exact.x)), rtol=1e-14)
    assert trace(page.figures[1], "hλ").x[0] == -1.5


def test_says_what_is_right_and_wrong_in_the_papers_remark(open_part):
    text = open_part("example").texts("markdown")
    assert "Right:" in text
    assert "Wrong:" in text
    assert "1 + hλ = −0.5" in text
    assert "lands at 1.5 where the solution is at 0.778" in text
    assert "0.998 and 2.002" in text


def test_the_step_moves_through_the_limit(open_part):
    page = open_part("example", until="0.1")
    for step, factor, said in (
        (0.0005, "0.5", "green-badge[inside: the error shrinks]"),
        (0.002, "−1", "orange-badge[on the edge: never shrinks]"),
        (0.0021, "−1.1", "red-badge[outside: the error grows]"),
    ):
        page.run(next(s for s in page.at.slider if s.key == "step-slider").set_value(step))
        assert metrics(page)["R(hλ): error × in each step"] == factor
        assert said in page.texts("markdown")


def test_slider_field_and_buttons_set_the_same_step(open_part):
    page = open_part("example")
    page.run(page.button("try-The same, implicit").click())
    assert (page.url["method"], page.url["h"], page.url["until"]) == ("backward-euler", "0.0021", "0.1")
    assert "green-badge[inside: the error shrinks]" in page.texts("markdown")
    field = next(n for n in page.at.number_input if n.key == "step-field")
    page.run(field.set_value(0.02))
    assert page.url["h"] == "0.02"
    assert metrics(page)["hλ, with λ = −1000"] == "−20"


def test_other_methods_stand_beside_it_with_their_costs(open_part):
    page = open_part("example", until="0.1")
    table = page.html()
    assert "Method, h = 0.0015" in table
    assert "Error at t = 0.099" in table  # 66 steps: the last multiple of h, not 0.1
    assert metrics(page)["Error at t = 0.099"] == "1.36·10⁻⁶"
    for method in stability.METHODS.values():
        evaluations, solves = (66 * method.evaluations, 0) if method.is_explicit else (132, 66)
        evaluations += 66 * (method.name == "trapezoidal")  # f at the step's start as well
        row = f"<td>66</td><td>{evaluations}</td><td>{solves}</td><td>{solves}</td>"
        assert row in table.split(f">{method.title}</th>")[1].split("</tr>")[0]
    assert "All are stable at this step." in page.texts("caption")
    page = open_part("example", until="0.1", h="0.0025")
    assert "Unstable at this step: Forward Euler, Runge–Kutta 2. An" in page.texts("caption")


def test_solvers_with_their_own_steps_show_that_stability_holds_the_explicit_one_back(open_part):
    """On [0, 0.006] RK45 is the cheapest of them: the table is of an interval that is smooth for its most part."""
    page = open_part("example")
    for solver in stiff_example.ADAPTIVE:
        run = stiff_example.adaptive(stiff_example.STIFF_EXAMPLE, solver, 1.0)
        smooth = int((run.times[:-1] >= 0.1).sum())
        counts = (run.n_steps, smooth, run.n_evaluations, run.n_jacobians, run.n_factorisations)
        assert "".join(f"<td>{n:,}</td>" for n in counts) in page.html()
        steps = ode_solvers._smooth_steps(run)
        if solver == "RK45":
            assert abs(np.median(steps) * stiff_example.RATE) == pytest.approx(
                stiff_example.RK45_REAL_INTERVAL, rel=0.05
            ), "as said"
        else:
            assert len(steps) < 10, "as said"
        sentence = {"RK45": "RK45 still takes {} steps", "Radau": "Radau {},", "BDF": "BDF {};"}[solver]
        assert sentence.format(smooth) in page.texts("caption")


def test_the_sliders_label_names_the_chosen_methods_limit_and_the_view_holds_the_point(open_part):
    for method, limit in (
        ("forward-euler", "up to 0.002"),
        ("rk4", "up to 0.002785"),
        ("backward-euler", "at every step"),
    ):
        page = open_part("example", method=method, h="0.02", until="0.1")
        slider = next(s for s in page.at.slider if s.key == "step-slider")
        assert slider.label == f"Step h, stable {limit}"
        low, high = page.figures[1].layout.xaxis.range
        assert low < -20 < 0 < high
    page = open_part("example", h="0.0021")
    assert tuple(page.figures[1].layout.xaxis.range) == (-4.3, 1.3), "still while the slider moves"


def test_a_step_that_is_no_use_is_refused_with_a_sentence_and_can_be_mended(open_part):
    page = open_part("example", h="nan")
    assert page.texts("error") == "Expected a step size above 0, got nan: choose a positive step."
    for step, sentence in (
        ("0", "Expected a step size above 0, got 0: choose a positive step."),
        ("-1", "Expected a step size above 0, got -1: choose a positive step."),
        ("1e-09", "Expected at most 20,000 steps, got 6,000,000 of size 1e-09: choose a step of at least 3e-07."),
        ("7", "Expected a step inside [0, 0.006], got 7: choose one of at most 0.006."),
    ):
        page.at.query_params["h"] = step
        page.run()
        assert page.texts("error") == sentence
        assert not page.figures
    page.run(page.button("try-Small step").click())
    assert not page.texts("error")
    assert metrics(page)["hλ, with λ = −1000"] == "−0.5"


def test_hostile_values_fall_back_with_a_note(open_part):
    page = open_part("none")
    assert "default is shown" in page.texts("warning")
    for name, value in (("h", "<b>"), ("method", "euler"), ("until", "9")):
        page.at.query_params[name] = value
        page.run()
        assert "default is shown" in page.texts("warning"), name
        assert not page.texts("error")
    page = open_part("regions", re="nan")
    assert "default is shown" in page.texts("warning")


# 2. Stability regions


def test_regions_are_the_exact_contours_with_their_intervals(open_part):
    page = open_part("regions", regions="forward-euler,rk4,backward-euler")
    (figure,) = page.figures
    for name in ("forward-euler", "rk4", "backward-euler"):
        drawn = trace(figure, stability.method(name).title)
        z = np.asarray(drawn.x, dtype=float) + 1j * np.asarray(drawn.y, dtype=float)
        np.testing.assert_allclose(np.abs(stability.amplification(name, z)), 1, atol=1e-5)
    assert len(figure.layout.shapes) == 4  # three regions and the imaginary axis
    table = page.html()
    assert "[−2.785, 0]" in table
    assert "±2.828 i" in table


def test_implicit_intervals_are_half_lines_and_the_default_point_tells_methods_apart(open_part):
    page = open_part("regions")
    assert page.html().count("<td>(−∞, 0]</td><td>whole axis</td>") == 2
    assert "[−∞" not in page.html()
    cells = [row.split("</td>")[0] for row in page.html().split("</th><td>")[1:]]
    assert len(cells) == len(set(cells)) == len(stability.METHODS)
    assert [page.html().count(f"<td>{where}</td>") for where in ("outside", "inside")] == [1, 4]


def test_the_point_is_judged_by_every_method(open_part):
    page = open_part("regions", re="-2.4", im="0.8")
    size = abs(1 + complex(-2.4, 0.8))
    assert f"<td>{size:.3g}</td><td>outside</td>" in page.html()
    assert "<td>0.549</td><td>inside</td>" in page.html()  # RK4
    point = next(t for t in page.figures[0].data if t.name.startswith("hλ"))
    np.testing.assert_allclose(point.y, [0.8, -0.8], rtol=1e-6)


# Two stiff systems, and numbers that do not depend on the solver


def test_robertson_shows_its_ratio_and_what_explicit_steps_would_cost(open_part):
    page = open_part("systems")
    portrait = stiff_systems.portrait("robertson")
    reached = f"{portrait.costs[0].times[-1]:.3g}"
    assert metrics(page)["Stiffness ratio at the end"] == ode_table.number(portrait.ratio[-1]) == "2·10¹⁴"
    assert metrics(page)["Fastest decay |Re λ| × T"] == "4·10¹⁴"
    assert metrics(page)["of the time it is undefined"] == "none"
    assert "0 by structure; it is left out" in page.texts("markdown")
    assert f"The explicit solver stops at t = {reached} of 4·10¹⁰" in page.texts("caption")
    figure, costs = page.figures
    np.testing.assert_array_equal(trace(figure, "both decay").y, portrait.ratio[1:])
    assert trace(costs, "RK45, explicit").y[-1] == portrait.costs[0].n_evaluations
    assert f"{reached} ✕" in page.html()


def test_van_der_pol_shows_where_the_ratio_is_undefined(open_part):
    page = open_part("systems", system="van_der_pol", mu="100")
    figure = page.figures[0]
    assert trace(figure, "undefined: nothing decays") is not None
    bands = [shape for shape in figure.layout.shapes if shape.type == "rect"]
    assert len(bands) == len(figure_stretches("van_der_pol", 100))
    shown = metrics(page)
    assert "Stiffness ratio at the end" not in shown
    assert shown["Largest stiffness ratio"] == "unbounded"
    assert shown["of the time, just one decays"] == "99.9 %"
    assert shown["of the time it is undefined"] == "0.0096 %"
    assert "an eigenvalue passes through 0 while the other one decays" in page.texts("caption")
    assert trace(figure, "grows (Re λ > 0)") is not None


@pytest.mark.parametrize(("name", "mu"), [("robertson", 1000), *(("van_der_pol", mu) for mu in (10, 100, 1000))])
def test_numbers_shown_describe_the_system_and_not_the_solvers_steps(name, mu):
    shown, tighter = (stiff_systems.portrait(name, mu, reference_rtol=rtol) for rtol in (1e-6, 3e-7))
    assert tighter.reference.finished
    assert tighter.reference.n_steps > 1.2 * shown.reference.n_steps
    assert ode_systems.numbers(shown) == ode_systems.numbers(tighter)


def figure_stretches(name: str, mu: int) -> list:
    from stiffcore.figures.odes import example as figures

    return figures.stretches(stiff_systems.portrait(name, mu).n_decaying == 0)
