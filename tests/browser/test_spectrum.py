"""Journeys through the Spectrum page's instruments in a real Chromium: the step's slider, a click on an eigenvalue, depth."""

import numpy as np
import pytest

from tests.browser.planted import MADE_UP, VALUE


def drawn_at(visitor, value: complex) -> tuple[float, float]:
    """Where on the screen an eigenvalue is drawn, once it lies within the window."""
    visitor.page.locator(".js-plotly-plot").first.evaluate("f => f.scrollIntoView({block: 'center'})")
    return tuple(
        visitor.of_figure(
            "(() => {const l = f._fullLayout, r = f.getBoundingClientRect(); return ["
            f"r.x + l.xaxis._offset + l.xaxis.d2p({value.real}), r.y + l.yaxis._offset + l.yaxis.d2p({value.imag})]}})()"
        )
    )


def test_the_step_moves_region_and_numbers_and_a_click_shows_the_mode(window):
    visitor = window(f"/Spectrum?images={MADE_UP}&stable=forward-euler,rk4").figure()
    before = visitor.of_figure("f._fullLayout.xaxis.range")
    at = drawn_at(visitor, 0j)
    visitor.page.mouse.move(*at)
    for _ in range(60):  # plotly listens a while after it has drawn
        visitor.page.mouse.wheel(0, -300)
        visitor.page.wait_for_timeout(500)
        zoomed = visitor.of_figure("f._fullLayout.xaxis.range")
        if np.ptp(zoomed) < 0.85 * np.ptp(before):
            break
    visitor.settled()
    zoomed = visitor.of_figure("f._fullLayout.xaxis.range")
    assert np.ptp(zoomed) < 0.85 * np.ptp(before)
    slider = visitor.page.locator(".st-key-choice-blockstep").get_by_role("slider")
    visitor.tell(lambda: slider.press("ArrowLeft"))
    visitor.when_figure("f._fullLayout.annotations.some(a => a.text.includes('|R(0.95 λ)| = 1, RK4'))")
    assert visitor.url["blockstep"] == "0.95"
    still = visitor.of_figure(
        "f._fullLayout.xaxis.range"
    )  # equal axes: a scroll bar may change the panel's shape a little
    assert np.mean(still) == pytest.approx(np.mean(zoomed), abs=0.05)
    assert np.ptp(still) == pytest.approx(np.ptp(zoomed), rel=0.05), "the zoom stays"
    assert visitor.page.locator(".st-key-offer").count() == 0, "nothing is to be computed"
    visitor = window(f"/Spectrum?images={MADE_UP}").figure()
    at = drawn_at(visitor, VALUE)
    visitor.page.mouse.move(*at)
    visitor.page.wait_for_selector(".js-plotly-plot .hoverlayer .hovertext")
    visitor.page.mouse.click(*at)
    visitor.page.wait_for_selector(".st-key-chart-mode .js-plotly-plot .main-svg")
    visitor.page.wait_for_selector("text=8.19")
    visitor.settled()
    assert visitor.url["eigenvalue"] == "8.7.1"


@pytest.mark.parametrize(
    "path", ["/?talk=on", f"/Spectrum?talk=on&images={MADE_UP}&eigenvalue=8.{MADE_UP}.1&blocks=7,8"]
)
def test_talk_mode_fits_a_projector(window, path):
    visitor = window(path).figure()
    visitor.resized(1024, 768)
    assert visitor.page.evaluate("getComputedStyle(document.documentElement).fontSize") == "21px"
    assert visitor.sticks_out() == []
    cut = "Array.from(document.querySelectorAll('[data-testid=stPageLink] p')).filter(e => e.scrollWidth > e.clientWidth + 1)"
    assert visitor.page.evaluate(f"{cut}.map(e => e.innerText)") == []


def test_an_extreme_eigenvalue_is_chosen_by_keys_alone(window):
    visitor = window(f"/Spectrum?images={MADE_UP}").figure()
    field = visitor.page.get_by_role("combobox", name="Eigenvalue")
    field.focus()
    visitor.page.keyboard.type("rightmost")
    visitor.page.get_by_role("option").first.wait_for()
    visitor.tell(lambda: visitor.page.keyboard.press("Enter"))
    visitor.page.wait_for_selector(".st-key-chart-mode .js-plotly-plot .main-svg")
    assert visitor.url["eigenvalue"] == f"8.{MADE_UP}.1"


def test_in_a_scene_the_page_keys_are_the_scenes_and_the_arrows_the_players(window):
    visitor = window(f"/Spectrum?scene=a-block-as-an-ode&mode=depth&images={MADE_UP}").figure()
    visitor.when_figure("f.reportsFrame")
    visitor.page.locator(".player small", has_text="Arrow keys").click()
    visitor.page.keyboard.press("ArrowRight")
    visitor.when_figure("f._fullLayout.sliders[0].active === 1")
    visitor.page.wait_for_url("**at=2**")
    visitor.settled()
    visitor.page.evaluate("window.stepped = 0")
    visitor.page.evaluate(
        "document.querySelector('.st-key-chart-depth-player .js-plotly-plot').on('plotly_sliderchange', () => {stepped += 1})"
    )
    visitor.page.keyboard.press("PageDown")
    visitor.page.locator(".st-key-scene").get_by_text("3/").wait_for()
    assert visitor.page.evaluate("stepped") == 0
    visitor.page.wait_for_url("**scene=beyond-the-disc**")
    visitor.settled()


def test_through_depth_by_keys_buttons_and_play(window):
    visitor = window(f"/Spectrum?mode=depth&images={MADE_UP}").figure()
    locked = visitor.of_figure("[...f._fullLayout.xaxis.range, ...f._fullLayout.yaxis.range]")
    assert visitor.of_figure("f._fullLayout.annotations.some(a => a.text === 'not computed')"), "block 1"
    visitor.when_figure("f.reportsFrame")  # the page's script has found the figure, and hears its slider
    visitor.page.locator(".player small").click()
    for key in ("ArrowRight", "PageDown", "ArrowRight"):
        visitor.page.keyboard.press(key)
    visitor.when_figure("f._fullLayout.annotations.some(a => a.text.includes('<b>Block 4</b>'))")
    visitor.when_figure("f._fullData[1].x.length === 3")
    visitor.page.wait_for_url("**at=4**")
    visitor.page.get_by_role("button", name="‹ Previous").click()
    visitor.when_figure("f._fullLayout.sliders[0].active === 2")
    visitor.page.get_by_role("button", name="▶ Play").click()
    visitor.when_figure("f._fullLayout.sliders[0].active === 7")
    visitor.page.get_by_role("button", name="▶ Play").wait_for()  # it stops at the last block
    visitor.when_figure("f._fullLayout.annotations.some(a => a.text === '0 × 800')")
    visitor.page.wait_for_url("**at=8**")
    assert visitor.of_figure("[...f._fullLayout.xaxis.range, ...f._fullLayout.yaxis.range]") == pytest.approx(locked)
    again = window(f"/Spectrum?mode=depth&images={MADE_UP}&at=8").figure()
    assert again.of_figure("f._fullLayout.sliders[0].active") == 7


def test_keys_that_come_faster_than_frames_are_all_heard(window):
    """While plotly draws a frame, its full layout has sliders anew, and those on the page are still the old ones."""
    visitor = window(f"/Spectrum?mode=depth&images={MADE_UP}").figure()
    visitor.when_figure("f.reportsFrame")
    visitor.page.evaluate(
        """() => {
        const sliders = document.querySelector(".js-plotly-plot")._fullLayout.sliders;
        sliders[0] = {...sliders[0]};
        for (const _ of [1, 2, 3]) document.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowRight"}))}"""
    )
    visitor.when_figure("f._fullLayout.annotations.some(a => a.text.includes('<b>Block 4</b>'))")


def test_a_late_frame_that_sets_the_slider_back_loses_no_key(window):
    visitor = window(f"/Spectrum?mode=depth&images={MADE_UP}").figure()
    visitor.when_figure("f.reportsFrame")
    visitor.page.evaluate(
        """() => {
        const press = () => document.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowRight"}));
        press(); press();
        document.querySelector(".js-plotly-plot").layout.sliders[0].active = 1;  // as plotly does when it draws the first
        press()}"""
    )
    visitor.when_figure("f._fullLayout.annotations.some(a => a.text.includes('<b>Block 4</b>'))")
