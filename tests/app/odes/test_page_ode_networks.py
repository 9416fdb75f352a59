"""Parts 4 and 5 of the Stiff ODEs page: small networks fitted, real blocks followed; the job's button, and the answer."""

import threading

import numpy as np
import pytest

from pages.shared.jobs import ode_jobs
from pages.shared.odes import answer as ode_answer
from pages.shared.state import service
from stiffcore.odes import block_flow, ode_net, step_limits
from stiffcore.storage import cache as result_cache
from tests.app.visitor import ODE_IMAGES as IMAGES, ODES as PAGE, ROOT, metrics, trace, wait_for
from tests.made_up.asked import asked, asked_flow
from tests.made_up.spectra import store


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
    distance = 0.25 * np.array(block_flow.STEPS) * (1 + request.image.number / 1000)
    return block_flow.BlockFlow(request, distance, 2 * distance, 1.5, 1e-6, 300, 2.0, "f" * 64)


def keep(key: str, entry: result_cache.Entry) -> None:
    assert result_cache.default().put(key, entry.header, entry.arrays) is None


# 4. ResNets and ODE-Nets


def test_a_stored_fit_is_drawn_with_its_numbers(open_part):
    settings = ode_net.Settings(seed=3)
    fit = planted_fit(settings)
    keep(ode_net.key(settings), ode_net.as_entry(fit))
    page = open_part("networks", **{"net-seed": "3"})
    assert "depth 0" not in page.texts("markdown")
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
    from stiffcore.odes import ode_net_fit

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
    assert "Queue full (0 waiting)" in page.texts("error")


# 5. Real blocks


def flows_of(images=IMAGES, block=8, network="resnet18") -> list[block_flow.FlowRequest]:
    return [asked_flow(network, image, block) for image in images]


def test_a_blocks_eigenvalues_are_drawn_times_the_step_with_the_largest_stable_one(open_part):
    requests = [asked("resnet18", image, 8, "branch", "spectrum") for image in IMAGES]
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
    assert "<td>−1</td><td>−1</td><td>−1</td>" in page.html()  # what sets each step: real eigenvalues
    assert "The largest stable step is set by a decay." in page.texts("markdown")
    assert "800 of 803" in page.html()  # structural zeros, of all
    assert f"<td>{2 / (1 + IMAGES[1] / 1000):.3g}</td>" in page.html()  # the largest stable step
    drawn = [t for t in flows.data if t.name != "∝ h"]
    assert [t.y[0] for t in drawn] == [planted_flow(request).distance[0] for request in flows_of()]
    assert "1.00" in page.html()  # observed order
    assert "ResNet18, block 8" in page.html()
    assert page.button("compute") is None


def test_a_step_set_by_an_oscillation_is_told_from_one_set_by_a_decay():
    slow = step_limits.of_eigenvalues(np.array([-1e-5 + 0.1j, -1e-5 - 0.1j, -0.5]), 9)
    fast = step_limits.of_eigenvalues(np.array([-40.0, -0.5]), 9)
    said = ode_answer.what_sets_it([slow, slow])
    assert said.startswith("The largest stable step is set by an oscillation that hardly decays, not by a fast decay.")
    assert said.endswith("Re λ = −0.5, alone would allow h = 4: longer than the network's 1.")
    said = ode_answer.what_sets_it([slow, fast])
    assert "an oscillation that hardly decays at 1 of 2 images, by a decay at the others" in said
    assert said.endswith("Re λ = −40, alone would allow h = 0.05: shorter than the network's 1.")
    assert ode_answer.what_sets_it([step_limits.of_eigenvalues(np.array([1.0]), 9)]).startswith(
        "Nothing bounds the step"
    )


def test_the_answer_depends_on_the_numbers():
    slow = step_limits.of_eigenvalues(np.array([-1e-5 + 0.1j, -1e-5 - 0.1j, -0.5]), 9)
    fast = step_limits.of_eigenvalues(np.array([-40.0, -0.5]), 9)
    no = ode_answer.in_words([slow, slow], [slow, slow])
    assert no.startswith("**Not in the textbook sense.** The fastest decay, Re λ = −0.5, alone allows")
    assert "below 1 in 2 of 2 spectra, in each because of an oscillation" in no
    assert "at most 22.2 %" in no
    yes = ode_answer.in_words([slow, fast], [slow, fast])
    assert yes.startswith("**Yes, in 1 of 2 spectra.** The fastest decay, Re λ = −40, alone allows")
    assert "in 2 of 2 spectra, in 1 of these because of" in yes


def test_the_answer_is_of_every_spectrum_of_the_last_stages_that_ships(visitor):
    page = visitor().open(PAGE, part="blocks", network="resnet50", blocks="15", images="25")
    text = page.texts("markdown")
    assert "set by an oscillation that hardly decays, not by a fast decay" in text
    assert "<td>0.00528</td>" in page.html()
    assert "<td>−3.4·10⁻⁵ ± 0.11 i</td>" in page.html()
    assert "are these ResNets stiff?** **Not in the textbook sense.**" in text
    assert "Over 50 spectra" in page.texts("caption")


def test_flows_that_are_not_stored_are_followed_in_a_job(open_part, monkeypatch):
    from stiffcore.odes import block_flow_integration

    asked = []

    def compute(request, progress):
        progress(1, 9, "Exact flow")
        asked.append(request)
        return planted_flow(request)

    monkeypatch.setattr(block_flow_integration, "compute", compute)
    monkeypatch.setattr(block_flow, "stored", lambda request: None)
    page = open_part("blocks", images="0")
    button = next(b for b in page.at.button if b.label == "Compute the flow")
    page.run(button.click())
    wait_for(lambda: asked)
    wait_for(lambda: not service.job_service().active())
    page.run()
    assert page.figures[-1].data[0].y[0] == planted_flow(flows_of((0,))[0]).distance[0]
    assert asked == flows_of((0,))


def test_the_python_lines_of_a_flow_find_it(open_part, capsys):
    flow = planted_flow(flows_of((0,))[0])
    keep(block_flow.key(flow.request), block_flow.as_entry(flow))
    (code,) = open_part("blocks", images="0").snippets()
    exec(code, {})
    assert capsys.readouterr().out == f"{flow.distance} {flow.observed_orders}\n"


def test_a_block_that_changes_the_shape_is_refused_with_the_ones_to_choose(open_part):
    page = open_part("blocks", blocks="7")
    assert page.texts("error").startswith("Expected an identity block, since x′ = F(x)")
    assert "choose one of 1, 2, 4, 6, 8." in page.texts("error")


def test_a_block_too_large_for_its_flow_still_shows_its_eigenvalues(open_part):
    store(asked("resnet18", 0, 2, "branch", "spectrum"))
    page = open_part("blocks", blocks="2", images="0")
    assert len(page.figures) == 1
    assert page.texts("error").startswith("Expected a block of at most 8,192 dimensions to follow its flow, got 16,384")


def test_work_is_submitted_by_the_button_only():
    """A rerun must never submit what was cancelled: `submit` appears in the callback and nowhere else."""
    source = (ROOT / "pages/shared/jobs/ode_jobs.py").read_text("utf-8")
    assert source.count(".submit(") == 1
    assert source.index("def submit") < source.index(".submit(")
    assert callable(ode_jobs.offer)
