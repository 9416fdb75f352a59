"""The page Over training in a real Chromium: lines, and frames that play without the server."""

import pytest

from tests.browser.planted import QUICK, RUN

STEPS = [str(checkpoint.step) for checkpoint in RUN.drawn]


@pytest.mark.parametrize("talk", ["off", "on"])
@pytest.mark.parametrize("shown", ["metric&convention=slices&lines=8", "spectrum&convention=branch"])
def test_the_figure_stands_on_the_first_screen(window, shown, talk):
    visitor = window(f"/Over_training?run={RUN.name}&training={shown}&talk={talk}")
    visitor.page.set_viewport_size({"width": 1280, "height": 720})
    visitor.figure()
    visitor.page.wait_for_function("document.querySelector('.js-plotly-plot').getBoundingClientRect().bottom <= 720")
    assert visitor.sticks_out() == []


def test_lines_and_the_strip_are_drawn(window):
    visitor = window(f"/Over_training?run={RUN.name}&convention=slices&lines={QUICK}").figure()
    steps = visitor.of_figure(
        f"Array.from(f._fullData.find(t => t.mode === 'lines+markers' && t.name === 'block {QUICK}').x)"
    )
    assert steps == [int(step) for step in STEPS]
    assert visitor.page.locator("[data-testid=stException]").count() == 0


def test_a_spectrum_plays_to_the_last_step_on_locked_axes_and_the_url_follows(window):
    visitor = window(f"/Over_training?run={RUN.name}&training=spectrum&convention=branch").figure()
    locked = visitor.of_figure("[...f._fullLayout.xaxis.range, ...f._fullLayout.yaxis.range]")
    visitor.when_figure("f.reportsFrame")
    visitor.page.get_by_role("button", name="▶ Play").click()
    visitor.when_figure(f"f._fullLayout.annotations.some(a => a.text.includes('<b>Epoch {STEPS[-1]}</b>'))")
    visitor.page.get_by_role("button", name="▶ Play").wait_for()  # it stops at the last step
    visitor.page.wait_for_url(f"**step={STEPS[-1]}**")
    assert visitor.of_figure("[...f._fullLayout.xaxis.range, ...f._fullLayout.yaxis.range]") == pytest.approx(locked)
    visitor.page.keyboard.press("ArrowLeft")
    visitor.when_figure(f"f._fullLayout.annotations.some(a => a.text.includes('<b>Epoch {STEPS[-2]}</b>'))")
    visitor.page.wait_for_url(f"**step={STEPS[-2]}**")
    again = window("/" + visitor.page.url.split("/", 3)[3]).figure()
    assert again.of_figure("f._fullLayout.sliders[0].active") == len(STEPS) - 2
