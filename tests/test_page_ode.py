"""The Stiff ODEs page as visitors meet it: through app.py, part by part, with the numbers that it shows."""

import subprocess
import sys
import threading

import numpy as np
import pytest
from spectra_made_up import store
from test_app import ROOT, visitor, wait_for  # noqa: F401 - `visitor` is a fixture

from pages.shared import gallery, ode_jobs, ode_table, service
from stiffcore import block_flow, ode, ode_net, result_cache, stability, stiff_systems
from stiffcore.analysis import Request
from stiffcore.shipped_results import ShippedResults

PAGE = "pages/7_Stiff_ODEs.py"
IMAGES = gallery.first_of_each_label()[3:6]


@pytest.fixture
def open_part(visitor, tmp_path, monkeypatch):  # noqa: F811
    """A function that opens one part of the page with the choices given; nothing ships."""
    nothing = ShippedResults(tmp_path)
    monkeypatch.setattr(result_cache, "shipped", lambda: nothing)
    return lambda part, **choices: visitor().open(PAGE, part=part, **choices)


def metrics(page) -> dict[str, str]:
    return {metric.label: metric.value for metric in page.at.metric}


def trace(figure, name: str):
    return next(trace for trace in figure.data if trace.name == name)


def planted_fit(settings: ode_net.Settings) -> ode_net.Fit:
    """A fit by a formula, so that the page is tested without torch."""
    data = ode_net.random_data(settings.seed, settings.points)
    grid = np.linspace(-1, 1, ode_net.CURVE)
    shape = (settings.depth, settings.points, settings.width)
    eigenvalues = np.full(shape, -4.0 + 0j)
    eigenvalues[0] = 8.0
    return ode_net.Fit(
        settings, data, grid, np.sin(grid), np.cos(grid), np.geomspace(1, 0.02, 11), np.geomspace(1, 0.03, 11), 0.9,
        np.zeros((settings.depth + 1, settings.points)), np.ones((ode_net.DENSE, settings.points)), np.linspace(0, 1, 7),
        eigenvalues, eigenvalues, 2.0 / np.array(ode_net.REFINEMENTS), np.full(len(ode_net.REFINEMENTS), 0.03),
        (500, 100), (1.0, 4.0),
    )  # fmt: skip


def planted_flow(request: block_flow.FlowRequest) -> block_flow.BlockFlow:
    distance = 0.25 * np.array(block_flow.STEPS) * (1 + request.image / 1000)
    return block_flow.BlockFlow(request, distance, 2 * distance, 1.5, 1e-6, 300, 2.0, "f" * 64)


def keep(key: str, entry: result_cache.Entry) -> None:
    assert result_cache.default().put(key, entry.header, entry.arrays) is None


# Opening


def test_every_part_shows_real_results_at_once_from_what_ships(visitor):  # noqa: F811
    page = visitor().open(PAGE, part="networks")
    assert len(page.figures) == 4
    page = visitor().open(PAGE, part="blocks")
    assert len(trace(page.figures[-1], "∝ h").x) == len(block_flow.STEPS)
    assert "ResNet50, block 16" in page.html()


def test_no_part_imports_torch():
    code = """
import sys
from pages.shared import service
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
    for word in ("Eq. 10", "Eq. 11", "Lambert 1991", "Why signs matter", "0.001", "Higham and Trefethen 1993"):
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
    np.testing.assert_allclose(exact.y, ode.example_solution(np.asarray(exact.x)), rtol=1e-14)
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
    for method in stability.METHODS.values():
        assert f"{method.title}, h = 0.0015" in table
    for solver in ode.ADAPTIVE:
        run = ode.adaptive(ode.STIFF_EXAMPLE, solver, 0.1)
        assert f"solve_ivp, {solver}" in table
        assert f"<td>{run.n_steps:,}</td><td>{run.n_evaluations:,}</td><td>{run.n_jacobians:,}</td>" in table


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


def test_the_point_is_judged_by_every_method(open_part):
    page = open_part("regions", re="-2.4", im="0.8")
    size = abs(1 + complex(-2.4, 0.8))
    assert f"<td>{size:.3g}</td><td>outside</td>" in page.html()
    assert "<td>0.549</td><td>inside</td>" in page.html()  # RK4
    point = next(t for t in page.figures[0].data if t.name.startswith("hλ"))
    np.testing.assert_allclose(point.y, [0.8, -0.8], rtol=1e-6)


# 3. Two stiff systems


def test_robertson_shows_its_ratio_and_what_explicit_steps_would_cost(open_part):
    page = open_part("systems")
    portrait = stiff_systems.portrait("robertson")
    reached = f"{portrait.costs[0].times[-1]:.3g}"
    assert metrics(page)["Largest stiffness ratio"] == ode_table.number(np.nanmax(portrait.ratio)) == "2·10¹⁴"
    assert metrics(page)["of the time it is undefined"] == "none"
    assert "dropped, not computed" in page.texts("markdown")
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
    assert metrics(page)["of the time it is undefined"].endswith(" %")
    assert trace(figure, "grows (Re λ > 0)") is not None


def figure_stretches(name: str, mu: int) -> list:
    from stiffcore.figures import ode as figures

    return figures.stretches(stiff_systems.portrait(name, mu).n_decaying == 0)


# 4. ResNets and ODE-Nets


def test_a_stored_fit_is_drawn_with_its_numbers(open_part):
    settings = ode_net.Settings(seed=3)
    fit = planted_fit(settings)
    keep(ode_net.key(settings), ode_net.as_entry(fit))
    page = open_part("networks", **{"net-seed": "3"})
    assert list(metrics(page).values()) == ["0.9", "0.02", "0.03"]
    curves, paths, refinement, plane = page.figures
    np.testing.assert_array_equal(trace(curves, "data").y, fit.data[1])
    assert trace(paths, "ODE-Net").x[-2] == 1
    np.testing.assert_array_equal(trace(refinement, "distance from the ODE-Net").y, fit.refined_distance)
    assert "order 1.00" in page.texts("markdown")
    assert sorted(set(np.round(trace(plane, "ResNet").x, 6))) == [-0.5, 1.0]  # h = 1/8 times -4 and 8
    assert "ResNet 12 %, ODE-Net 12 %" in page.texts("markdown")


@pytest.fixture
def fitter(monkeypatch):
    """Replaces the fitting by a planted one that waits for ``go``."""
    from stiffcore import ode_net_fit

    go, asked = threading.Event(), []

    def compute(settings, progress):
        asked.append(settings)
        while not go.wait(0.02):
            progress(30, 600, "Fitting the ResNet")
        fit = planted_fit(settings)
        keep(ode_net.key(settings), ode_net.as_entry(fit))
        return fit

    monkeypatch.setattr(ode_net_fit, "compute", compute)
    compute.go, compute.asked = go, asked
    yield compute
    go.set()


def test_a_new_fit_runs_as_a_job_with_progress_and_is_drawn_at_its_end(open_part, fitter):
    page = open_part("networks", **{"net-seed": "5", "net-depth": "4"})
    settings = ode_net.Settings(seed=5, depth=4)
    key = ode_net.key(settings)
    assert not page.figures
    page.run(page.button(f"submit-{key[:8]}").click())
    wait_for(lambda: service.job_service().find(key).what)
    page.run()
    assert "30 of 600 · Fitting the ResNet" in page.at.get("progress")[0].proto.text
    fitter.go.set()
    wait_for(lambda: service.job_service().find(key).status == "done")
    page.run()
    assert len(page.figures) == 4
    assert fitter.asked == [settings]


def test_a_cancelled_fit_is_not_submitted_again(open_part, fitter):
    page = open_part("networks", **{"net-seed": "6"})
    key = ode_net.key(ode_net.Settings(seed=6))
    page.run(page.button(f"submit-{key[:8]}").click())
    wait_for(lambda: fitter.asked)
    page.run(page.button(f"cancel-{key[:8]}").click())
    wait_for(lambda: service.job_service().find(key).status == "cancelled")
    page.run()
    assert "Cancelled." in page.texts("info")
    assert page.button(f"submit-{key[:8]}") is not None
    assert len(fitter.asked) == 1


def test_a_full_queue_is_said_in_a_sentence(open_part, fitter):
    service.job_service().capacity = 0
    page = open_part("networks", **{"net-seed": "7"})
    page.run(page.button(f"submit-{ode_net.key(ode_net.Settings(seed=7))[:8]}").click())
    assert "Expected at most 0 computations to wait" in page.texts("error")


# 5. Real blocks


def flows_of(images=IMAGES, block=8, network="resnet18") -> list[block_flow.FlowRequest]:
    return [block_flow.FlowRequest(network, image, block) for image in images]


def test_a_blocks_eigenvalues_are_drawn_times_the_step_with_the_largest_stable_one(open_part):
    requests = [Request("resnet18", image, 8, "branch", "spectrum") for image in IMAGES]
    store(*requests)
    for request in flows_of():
        flow = planted_flow(request)
        keep(block_flow.key(request), block_flow.as_entry(flow))
    page = open_part("blocks", blockstep="0.5")
    plane, flows = page.figures
    clouds = [t for t in plane.data if "·" in t.name]
    assert len(clouds) == 3
    assert min(clouds[0].x) == pytest.approx(0.5 * (-1 - IMAGES[0] / 1000), rel=1e-6)
    assert "Outside at h = 0.5" in page.html()
    assert "800 of 803" in page.html()  # structural zeros, of all
    assert f"<td>{2 / (1 + IMAGES[1] / 1000):.3g}</td>" in page.html()  # the largest stable step
    drawn = [t for t in flows.data if t.name != "∝ h"]
    assert [t.y[0] for t in drawn] == [planted_flow(request).distance[0] for request in flows_of()]
    assert "1.00" in page.html()  # observed order
    assert "ResNet18, block 8" in page.html()
    assert page.button("compute") is None


def test_flows_that_are_not_stored_are_followed_in_a_job(open_part, monkeypatch):
    from stiffcore import block_flow_integration

    asked = []

    def compute(request, progress):
        progress(1, 9, "Exact flow")
        asked.append(request)
        return planted_flow(request)

    monkeypatch.setattr(block_flow_integration, "compute", compute)
    monkeypatch.setattr(block_flow, "stored", lambda request: None)
    page = open_part("blocks", images="0")
    button = next(b for b in page.at.button if b.label == "Follow the flow")
    page.run(button.click())
    wait_for(lambda: asked)
    wait_for(lambda: not service.job_service().active())
    page.run()
    assert page.figures[-1].data[0].y[0] == planted_flow(flows_of((0,))[0]).distance[0]
    assert asked == flows_of((0,))


def test_a_block_that_changes_the_shape_is_refused_with_the_ones_to_choose(open_part):
    page = open_part("blocks", blocks="7")
    assert page.texts("error").startswith("Expected an identity block, since x′ = F(x)")
    assert "choose one of 1, 2, 4, 6, 8." in page.texts("error")


def test_a_block_too_large_for_its_flow_still_shows_its_eigenvalues(open_part):
    store(Request("resnet18", 0, 2, "branch", "spectrum"))
    page = open_part("blocks", blocks="2", images="0")
    assert len(page.figures) == 1
    assert page.texts("error").startswith("Expected a block of at most 8,192 dimensions to follow its flow, got 16,384")


def test_work_is_submitted_by_the_button_only():
    """A rerun must never submit what was cancelled: `submit` appears in the callback and nowhere else."""
    source = (ROOT / "pages/shared/ode_jobs.py").read_text("utf-8")
    assert source.count(".submit(") == 1
    assert source.index("def submit") < source.index(".submit(")
    assert callable(ode_jobs.offer)
