"""The Spectrum page's instruments: stability regions, density, through depth, computing again, modes."""

import re
import threading

import numpy as np
import pytest
import streamlit as st

from pages.shared.jobs import ode_jobs
from pages.shared.spectrum import eigenmodes
from pages.shared.state import service
from stiffcore.analysis import compute as analysis, modes, nonnormality
from stiffcore.networks import manifest
from stiffcore.odes import stability
from stiffcore.storage import cache as result_cache
from tests.app.visitor import SPECTRUM, spectrum_of, wait_for
from tests.made_up.spectra import made_up, store

pytestmark = pytest.mark.usefixtures("nothing_ships")


def widget(page, key: str):
    return next(w for w in (*page.at.get("button_group"), *page.at.slider) if w.key == f"choice-{key}")


def regions(figure) -> str:
    """What the corner of a panel says about its lines."""
    notes = [note.text for note in figure.layout.annotations if "|" in (note.text or "")]
    return notes[0] if notes else ""


def cells(page, table: int = 0) -> list[list[str]]:
    """The body of a table in HTML, row by row, as text."""
    body = re.findall(r"<tbody>(.*?)</tbody>", page.html(), re.DOTALL)[table]
    rows = re.findall(r"<tr.*?</tr>", body, re.DOTALL)
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in rows]


# Stability regions


def test_a_fit_to_the_disc_ends_quietly_where_the_convention_has_none(visitor):
    store(*spectrum_of(0), *spectrum_of(0, convention="slices"))
    page = visitor().open(SPECTRUM, images="0", convention="branch", fit="disc")
    assert page.url["fit"] == "disc"
    page.run(widget(page, "convention").set_value("slices"))
    assert page.url["fit"] == "all"
    assert not page.texts("warning")


def test_regions_and_their_numbers_move_with_the_step_and_nothing_is_computed(visitor, engine):
    store(*spectrum_of(0))  # −1 and 0.25 ± 0.5i of 803 eigenvalues
    page = visitor().open(SPECTRUM, images="0", stable="forward-euler,rk4")
    assert regions(page.figures[0]).startswith("dashed: |1 + λ| = 1")
    share = 100 * 2 / 803
    limit = stability.real_stability_interval("rk4")
    assert cells(page) == [["0 · cat", f"{share:.1f} %", "2", f"{share:.1f} %", f"{limit:.3g}"]]
    revision = page.figures[0].layout.uirevision
    zoomed = {"revision": revision, "ranges": {"xaxis": [-1, 0.5]}}
    page.at.session_state["zoom of spectrum"] = zoomed
    page.run(widget(page, "blockstep").set_value(2.0))
    assert page.url["blockstep"] == "2"
    assert "|R(2 λ)| = 1, RK4" in regions(page.figures[0])
    assert page.figures[0].layout.xaxis.range == (-1, 0.5), "the zoom stays"
    assert cells(page)[0][1] == f"{share:.1f} %", "−1 is on the edge of the disc"
    page.run(widget(page, "blockstep").set_value(0.05))
    page.run(widget(page, "stable").set_value([]))
    assert page.url["stable"] == "none"
    assert not regions(page.figures[0])
    assert engine.asked == []


def test_shares_agree_with_the_metrics_at_the_networks_own_step(visitor, monkeypatch):
    """On a spectrum that ships: the number that moves is at h = 1 the stored one."""
    from stiffcore.storage import shipped as shipped_results

    monkeypatch.setattr(result_cache, "shipped", shipped_results.shipped)
    page = visitor().open(SPECTRUM)
    results = [analysis.stored(request) for request in spectrum_of(*map(int, page.url["images"].split(",")))]
    shown = [(row[1], row[2]) for row in cells(page)]
    assert shown == [
        (f"{100 * r.metrics['outside_euler']:.1f} %", f"{r.metrics['largest_stable_step']:.3g}") for r in results
    ]


@pytest.mark.parametrize(
    ("convention", "blocks", "said", "step_is_off", "drawn"),
    [
        ("slices", "8", "No region under slices", True, ""),
        ("block", "8", "the outer ReLU projects", True, "dashed: |λ| = 1"),
        ("branch", "7", "No overlay for a block that changes the shape", True, ""),
        ("branch", "7,8", "No overlay for a block that changes the shape", False, "dashed: |1 + λ| = 1<br>forward Euler"),
    ],
)  # fmt: skip
def test_where_no_region_belongs_the_reason_is_said(visitor, convention, blocks, said, step_is_off, drawn):
    for block in map(int, blocks.split(",")):
        store(*spectrum_of(0, block=block, convention=convention))
    page = visitor().open(SPECTRUM, images="0", convention=convention, blocks=blocks)
    assert said in page.texts("caption")
    assert widget(page, "blockstep").disabled is step_is_off
    assert widget(page, "circle" if convention == "block" else "stable").disabled is (not drawn)
    assert regions(page.figures[0]) == drawn


def test_the_unit_circle_of_the_whole_block_counts_what_the_block_enlarges(visitor):
    store(*spectrum_of(5, convention="block"))  # −1.005
    page = visitor().open(SPECTRUM, images="5", convention="block")
    assert cells(page) == [[page.figures[0].data[0].name, f"{100 / 803:.1f} %"]]


# Density


def test_more_than_5000_points_open_as_a_density_that_counts_all(visitor):
    for image in (0, 1):
        (request,) = spectrum_of(image)
        result = made_up(request)
        values = np.random.default_rng(image).normal(size=2501) + 0j
        assert result_cache.default().put(request.key, result.header(), {"eigenvalues": values}) is None  # fmt: skip
    page = visitor().open(SPECTRUM, images="0,1")
    heat = next(trace for trace in page.figures[0].data if trace.type == "heatmap")
    assert heat.customdata[..., 0].sum() == 5002
    assert "All 5,002 eigenvalues, drawn as a density" in page.texts("caption")
    page.run(widget(page, "marks").set_value("points"))
    assert {trace.type for trace in page.figures[0].data} == {"scattergl"}
    assert "density" not in page.texts("caption")


# Computing again


@pytest.fixture
def computed_again(monkeypatch):
    """Replaces the engine: a second computation brings max Re λ = 0.25 + change, once ``go`` is set."""
    asked, go = [], threading.Event()
    change = {"by": 0.0}

    def compute_many(requests, progress=None, refused=None, again=False, **_):
        asked.append((tuple(requests), again))
        for done, request in enumerate(requests):
            while not go.wait(0.02):
                progress(done, len(requests), "planted stage")
            fresh = made_up(request)
            fresh.metrics["max_re"] += change["by"]
            assert result_cache.default().put(request.key, fresh.header(), fresh.arrays) is None
            yield fresh

    monkeypatch.setattr(analysis, "compute_many", compute_many)
    compute_many.asked, compute_many.go, compute_many.change = asked, go, change
    yield compute_many
    go.set()


def press_again(page):
    return page.run(next(button for button in page.at.button if button.label == "Compute again").click())


@pytest.mark.parametrize(("change", "said", "kind"), [(0.0, "the new result agrees with the stored one", "success"), (0.1, "max_re was 0.25, is 0.35", "warning")])  # fmt: skip
def test_compute_again_asks_once_and_says_whether_the_numbers_agree(visitor, computed_again, change, said, kind):
    store(*spectrum_of(0))
    computed_again.change["by"] = change
    page = visitor().open(SPECTRUM, images="0")
    assert "green-badge[stored]" in page.texts("markdown")
    assert computed_again.asked == []
    press_again(page)
    wait_for(lambda: computed_again.asked)
    assert computed_again.asked == [(tuple(spectrum_of(0)), True)]
    wait_for(lambda: service.find_again(spectrum_of(0)).what)
    page.run()
    assert "again" in page.at.get("progress")[0].proto.text
    assert page.figures, "what is stored stays on the screen"
    computed_again.go.set()
    wait_for(lambda: service.find_again(spectrum_of(0)).status == "done")
    page.run()
    page.run()
    assert said in page.texts(kind)
    assert "blue-badge[fresh]" in page.texts("markdown")
    assert len(computed_again.asked) == 1


def test_cancelling_the_second_computation_keeps_what_is_stored(visitor, computed_again):
    store(*spectrum_of(0))
    page = visitor().open(SPECTRUM, images="0")
    press_again(page)
    wait_for(lambda: computed_again.asked)
    page.run()
    page.run(next(button for button in page.at.button if button.label == "Cancel").click())
    wait_for(lambda: service.find_again(spectrum_of(0)).status == "cancelled")
    page.run()
    assert "Each stored result is kept" in page.texts("info")
    assert "green-badge[stored]" in page.texts("markdown")
    assert analysis.stored(spectrum_of(0)[0]).metrics["max_re"] == 0.25
    assert len(computed_again.asked) == 1


# Through depth


def test_through_depth_plays_what_is_stored_and_offers_the_rest(visitor, engine):
    for block in (4, 7, 8):
        store(*spectrum_of(0, block=block))
    page = visitor().open(SPECTRUM, mode="depth", images="0,1", at="4")
    (figure,) = page.figures
    assert [frame.name for frame in figure.frames] == [str(block) for block in range(1, 9)]
    assert figure.layout.sliders[0].active == 3
    assert "0 × 400" in [note.text for note in figure.layout.annotations]
    assert "Not computed: block 1, 2, 3, 5, 6." in page.texts("caption")
    assert "5 results are not stored yet" in page.texts("markdown")
    page.run(page.button("compute").click())
    wait_for(lambda: engine.asked)
    asked = [(request.image.number, request.block) for request in engine.asked[0]]
    assert asked == [(0, block) for block in (1, 2, 3, 5, 6)]
    engine.go.set()
    view = [request for block in range(1, 9) for request in spectrum_of(0, block=block)]
    wait_for(lambda: service.find(view).status == "done")
    page.run()
    assert "Not computed" not in page.texts("caption")
    page.run(widget(page, "mode").set_value("one"))
    assert page.url["images"] == "0,1", "the other images are chosen still"


def test_through_depth_without_a_stored_block_says_what_to_do(visitor):
    page = visitor().open(SPECTRUM, mode="depth", images="0", at="99")
    assert not page.figures
    assert "No block is stored yet" in page.texts("info")
    assert "Expected a block of resnet18 from 1 to 8" in page.texts("warning")
    assert page.url["at"] == "1"


def test_regions_move_through_depth_too(visitor):
    store(*spectrum_of(0))
    page = visitor().open(SPECTRUM, mode="depth", images="0", at="8", stable="rk4", blockstep="0.5")
    assert regions(page.figures[0]) == "dashed: |R(0.5 λ)| = 1<br>RK4"


# Modes and non-normality


def planted_mode(request, value) -> modes.Mode:
    channels = np.zeros(512)
    channels[:3] = 1 / np.sqrt(3)
    maps = np.full((2, 2), 0.5)
    return modes.Mode(request, value, maps, maps, channels, channels, 1.5e-15, 2e-15, 8.19, 0.5, "ab")


@pytest.fixture
def slow_modes(monkeypatch):
    """Replaces the computation of modes by a planted one."""
    asked = []

    def compute(request, value, progress=None):
        asked.append((request, value))
        return planted_mode(request, value)

    monkeypatch.setattr(modes, "compute", compute)
    return asked


def clicked(page, monkeypatch, **point) -> None:
    """As the chart's callback would be called: AppTest knows no charts."""
    results = [analysis.stored(request) for request in spectrum_of(0)]
    monkeypatch.setattr(st, "session_state", {"chart": {"selection": {"points": [point]}}, "chosen": {}})
    monkeypatch.setattr(ode_jobs, "submit", lambda *job: page.append(job))
    eigenmodes.clicked(results, "linear", "chart")


def test_a_click_chooses_the_eigenvalue_and_computes_its_mode(visitor, monkeypatch, slow_modes):
    visitor()
    store(*spectrum_of(0))
    submitted: list = []
    clicked(submitted, monkeypatch, x=0.25, y=-0.5, customdata=0)
    assert st.session_state["chosen"] == {"eigenvalue": "8.0.2"}
    ((key, work, title),) = submitted
    assert work(None).eigenvalue == 0.25 - 0.5j
    assert key == modes.key(spectrum_of(0)[0], 0.25 - 0.5j)
    assert "block 8" in title


@pytest.mark.parametrize("point", [{}, {"x": "<", "y": 0, "customdata": 0}, {"x": 0.2, "y": 0.1, "customdata": [7]}, {"x": float("nan"), "y": 0, "customdata": 0}, {"x": 0, "y": 0, "customdata": []}])  # fmt: skip
def test_what_a_hostile_browser_clicks_is_nothing(visitor, monkeypatch, point):
    visitor()
    store(*spectrum_of(0))
    submitted: list = []
    clicked(submitted, monkeypatch, **point)
    assert submitted == []
    assert st.session_state["chosen"] == {}


def test_a_linked_mode_is_offered_computed_once_and_shown_with_its_numbers(visitor, slow_modes):
    store(*spectrum_of(0))
    page = visitor().open(SPECTRUM, images="0", eigenvalue="8.0.1")
    assert "λ = 0.25 +0.5 i" in page.texts("markdown")
    assert slow_modes == []
    page.run(next(button for button in page.at.button if button.label == "Compute its mode").click())
    job = modes.key(spectrum_of(0)[0], 0.25 + 0.5j)
    wait_for(lambda: service.job_service().find(job).status == "done")
    page.run()
    shown = {metric.label: metric.value for metric in page.at.metric}
    assert shown["Residual ‖Jx − λx‖ / ‖x‖"] == "1.5·10⁻¹⁵"
    assert shown["Condition number of λ"] == "8.19"
    assert shown["Channels with half of it, right"] == "2 of 512"
    assert [trace.type for trace in page.figures[1].data] == ["scatter", "scatter", "heatmap", "heatmap"]
    assert len(slow_modes) == 1


def test_without_a_chosen_eigenvalue_or_with_a_large_core_the_page_says_how(visitor, monkeypatch):
    store(*spectrum_of(0))
    page = visitor().open(SPECTRUM, images="0", eigenvalue="8.0.99")
    assert "Click an eigenvalue" in page.texts("caption")
    assert "about 6 s" in page.texts("markdown"), "pseudospectra are offered"
    monkeypatch.setattr(modes, "LARGEST_CORE", 2)
    page.run()
    assert "for cores up to 2. The smallest here has side 3" in page.texts("caption")


def test_an_eigenvalue_that_the_spectrum_does_not_have_is_given_up_with_a_note(visitor):
    store(*spectrum_of(0))
    page = visitor().open(SPECTRUM, images="0", eigenvalue="8.0.999999")
    assert "Expected one of the 3 eigenvalues of block 8's core, numbered from 0, got 999999" in page.texts("warning")
    assert page.url["eigenvalue"] == "none"
    page.run()
    assert not page.texts("warning"), "said once"
    page.go(SPECTRUM, images="1", eigenvalue="8.0.999999")
    assert not page.texts("warning"), "image 0 is not in view: nobody knows yet"


def test_extremes_are_chosen_from_a_list_and_computed_as_by_a_click(visitor, slow_modes):
    store(*spectrum_of(0, 1))
    page = visitor().open(SPECTRUM, images="0,1")
    listed = page.at.selectbox(key="choice-eigenvalue")
    assert listed.value is None
    assert listed.options == [
        "Block 8 at image 0: rightmost, λ = 0.25 +0.5 i",
        "Block 8 at image 0: leftmost, λ = −1 +0 i",
        "Block 8 at image 1: rightmost, λ = 0.25 +0.5 i",
        "Block 8 at image 1: leftmost, λ = −1.001 +0 i",
    ], "the largest |λ| is the leftmost one here"
    page.run(listed.set_value("8.1.0"))
    assert page.url["eigenvalue"] == "8.1.0"
    wait_for(lambda: slow_modes)
    assert slow_modes == [(spectrum_of(1)[0], -1.001)]
    page.run(page.at.selectbox(key="choice-eigenvalue").set_value(None))
    assert page.url["eigenvalue"] == "none"
    page.go(SPECTRUM, images="0", eigenvalue="8.0.2")
    shown = page.at.selectbox(key="choice-eigenvalue")
    assert shown.value == "8.0.2"
    assert "Block 8 at image 0: chosen, λ = 0.25 −0.5 i" in shown.options


def test_a_mode_says_how_it_was_made_and_is_computed_again_on_request(visitor, monkeypatch):
    store(*spectrum_of(0))
    request, asked = spectrum_of(0)[0], []
    monkeypatch.setattr(modes, "stored", lambda request, value: planted_mode(request, value))
    monkeypatch.setattr(
        modes, "compute", lambda request, value, progress, again: asked.append(again) or planted_mode(request, value)
    )
    page = visitor().open(SPECTRUM, images="0", eigenvalue="8.0.1")
    weights = manifest.entry("resnet18").sha256[:8]
    parts = ("cpu", "float64", "0.5 s to compute", f"weights {weights}", "ODE right-hand side (branch)")
    badge = ":green-badge[stored] " + " ".join(f":gray-badge[{part}]" for part in parts)
    assert badge in page.texts("markdown")
    key = modes.key(request, 0.25 + 0.5j)
    assert asked == []
    page.run(page.button(f"again-{key[:8]}").click())
    wait_for(lambda: service.job_service().find(result_cache.key({"again": key})).status == "done")
    page.run()
    assert asked == [True]
    assert badge.replace(":green-badge[stored]", ":blue-badge[fresh]") in page.texts("markdown")
    assert "the condition number was 8.19 and is now 8.19" in page.texts("success")


def test_the_python_lines_of_a_mode_and_of_pseudospectra_find_the_same(visitor, capsys):
    store(*spectrum_of(0))
    mode = planted_mode(spectrum_of(0)[0], 0.25 + 0.5j)
    x, y = np.linspace(-1.5, 1, 8), np.linspace(0, 1, 4)
    apart = nonnormality.NonNormality(mode.request, 0.75, 2.5, 4.0, 3.0, x, y, -np.add.outer(y, x), 60.0, "ab")
    for key, entry in (
        (modes.key(mode.request, mode.eigenvalue), modes.as_entry(mode)),
        (nonnormality.key(apart.request), nonnormality.as_entry(apart)),
    ):
        assert result_cache.default().put(key, entry.header, entry.arrays) is None
    page = visitor().open(SPECTRUM, images="0", eigenvalue="8.0.1")
    _, *others = page.snippets()
    for code in others:
        exec(code, {})
    of_mode, of_pseudospectra = capsys.readouterr().out.split("NonNormality(")
    assert of_mode.startswith("Mode(request=Request(network=Network(name='resnet18'")
    assert "eigenvalue=(0.25+0.5j)" in of_mode
    assert "numerical_abscissa=0.75" in of_pseudospectra


def test_stored_pseudospectra_are_drawn_with_their_numbers(visitor, monkeypatch):
    store(*spectrum_of(0))
    x, y = np.linspace(-1.5, 1, 8), np.linspace(0, 1, 4)
    made = nonnormality.NonNormality(spectrum_of(0)[0], 0.75, 2.5, 4.0, 3.0, x, y, -np.add.outer(y, x), 60.0, "ab")
    monkeypatch.setattr(nonnormality, "stored", lambda request: made if request == made.request else None)
    page = visitor().open(SPECTRUM, images="0")
    assert page.figures[1].data[0].type == "contour"
    assert "60 s to compute" in page.texts("markdown")
    rows = {row[0].split("<br>")[0]: row[1] for row in cells(page, -1)}
    assert rows["Numerical abscissa ω(J)"] == "0.75"
    assert rows["Largest real part"] == "0.25"
    assert rows["Departure / ‖J‖_F"] == "0.75"
