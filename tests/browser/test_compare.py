"""Journeys through the Compare page in a real Chromium: pin, vary, zoom both, perturb."""

import re

import pytest

from pages.shared.shell import scenes
from tests.browser.planted import A, B, C


def shows(visitor, letter: str, what: str) -> None:
    """Until the figure lists a side by its network or image."""
    visitor.when_figure(f"f._fullData.some(t => t.name?.startsWith('{letter}: ') && t.name.includes('{what}'))")


def width(visitor, axis: str) -> float:
    low, high = visitor.of_figure(f"f._fullLayout.{axis}.range")
    return high - low


def test_zooming_one_side_zooms_the_other_and_stays_while_b_is_varied(window):
    visitor = window(f"/Compare?a.images={A}&b.images={B}").figure()
    before = width(visitor, "xaxis")
    assert width(visitor, "xaxis2") == before
    visitor.page.locator(".js-plotly-plot").scroll_into_view_if_needed()
    box = visitor.page.locator(".js-plotly-plot .nsewdrag").nth(1).bounding_box()  # over B
    visitor.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    for _ in range(60):  # plotly listens a while after it has drawn
        visitor.page.mouse.wheel(0, -300)
        visitor.page.wait_for_timeout(500)
        if width(visitor, "xaxis2") < 0.9 * before:
            break
    visitor.when_figure(f"f._fullLayout.xaxis2.range[1] - f._fullLayout.xaxis2.range[0] < {0.9 * before}").settled()
    for letter in "xy":
        ends = [visitor.of_figure(f"f._fullLayout.{letter}axis{side}.range") for side in ("", "2")]
        assert ends[0] == pytest.approx(ends[1]), "A is zoomed with B"
    zoomed = visitor.of_figure("f._fullLayout.xaxis.range")
    visitor.button(f"Image {B}").click()
    thumbnail = visitor.page.locator("[class*=thumbnails-b] button", has_text=re.compile(rf"^\s*{C} "))
    visitor.tell(thumbnail.click)
    visitor.page.keyboard.press("Escape")
    shows(visitor, "B", f"image {C} ")
    assert visitor.of_figure("f._fullLayout.xaxis2.range") == pytest.approx(zoomed, abs=0.1)


def test_vary_swap_and_pin(window):
    visitor = window(f"/Compare?a.images={A}&b.images={A}&b.network=resnet18-untrained").figure()
    missing = visitor.page.locator(".annotation-text")
    missing.get_by_text("B is not computed").wait_for()
    assert "1 result is not stored yet" in visitor.page.locator(".st-key-offer").inner_text()
    visitor.tell(visitor.button("Swap").click)
    missing.get_by_text("A is not computed").wait_for()
    assert (visitor.url["a.network"], visitor.url["b.network"]) == ("resnet18-untrained", "resnet18")
    visitor.tell(visitor.button("Pin B as A").click)
    shows(visitor, "A", "ResNet18 ·")
    assert visitor.url["a.network"] == "resnet18"
    assert visitor.page.locator(".st-key-offer").count() == 0


def test_an_image_and_its_adversarial_twin(window):
    visitor = window(f"/Compare?compare=perturbation&a.images={A}&strength=4")
    visitor.button("Perturb").click()
    pair = visitor.page.locator(".sides")
    pair.get_by_text(f"{A} + FGSM 4/255").wait_for(timeout=120_000)
    pair.get_by_text(re.compile("at most 4 grey levels")).wait_for()
    visitor.settled()
    visitor.page.locator(".st-key-offer").get_by_role("button", name="Compute").click()
    visitor.page.wait_for_selector(".st-key-offer", state="detached")
    visitor.page.wait_for_selector(".st-key-progress", state="detached", timeout=120_000)
    shows(visitor, "B", "FGSM 4/255")
    visitor.page.wait_for_selector(".grid tbody tr")  # below the figure
    assert visitor.page.locator(".grid tbody tr").count() > 10, "metrics before and after"
    again = window("/Compare" + visitor.page.url.split("/Compare")[1]).figure()
    shows(again, "B", "FGSM 4/255")
    assert again.button("Perturb").count() == 0, "the link finds what was made"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_fits_a_projector(window, scheme):
    visitor = window(f"/Compare?a.images={A}&b.images={B}", scheme=scheme).figure()
    visitor.resized(1024, 768)
    assert visitor.sticks_out() == []
    panels = visitor.page.locator(".js-plotly-plot .nsewdrag")
    assert panels.nth(0).bounding_box()["width"] == pytest.approx(panels.nth(1).bounding_box()["width"], abs=2)


def test_the_remote_works_with_the_focus_on_a_slider_and_counts_two_quick_presses(window):
    names = list(scenes.SCENES)
    visitor = window("/Stiff_ODEs?scene=" + names[0]).figure()
    bar = visitor.page.locator(".st-key-scene")
    visitor.page.get_by_role("slider").first.focus()
    visitor.page.keyboard.press("PageDown")
    visitor.page.keyboard.press("PageDown")
    bar.get_by_text(f"3/{len(names)} · {scenes.SCENES[names[2]].title}").wait_for()
    visitor.figure()
    visitor.page.keyboard.press("PageDown")
    bar.get_by_text(f"4/{len(names)} · ").wait_for()
    visitor.settled()
    visitor.page.locator("input[role=combobox], [role=combobox] input").first.focus()
    visitor.page.keyboard.press("PageUp")
    bar.get_by_text(f"3/{len(names)} · ").wait_for()
    visitor.page.wait_for_url(f"**scene={names[2]}**")
    visitor.settled()


def test_the_remote_waits_for_a_bar_that_is_not_there_yet(window):
    names = list(scenes.SCENES)
    visitor = window("/Stiff_ODEs?scene=" + names[0]).figure()
    bar = visitor.page.locator(".st-key-scene")
    visitor.page.evaluate(
        "document.querySelector('.st-key-scene-next button').disabled = true"
    )  # as without a connection
    visitor.page.keyboard.press("PageDown")
    visitor.page.wait_for_timeout(500)
    assert bar.get_by_text(f"1/{len(names)} · ").count() == 1
    visitor.page.evaluate("document.querySelector('.st-key-scene-next button').disabled = false")
    bar.get_by_text(f"2/{len(names)} · ").wait_for()
    visitor.settled()


def test_a_presenters_remote_goes_from_scene_to_scene(window):
    names = list(scenes.SCENES)
    visitor = window()
    first = scenes.SCENES[names[0]]
    visitor.tell(visitor.page.get_by_role("link", name=first.title).click)
    bar = visitor.page.locator(".st-key-scene")
    bar.get_by_text(f"1/{len(names)} · {first.title}").wait_for()
    visitor.figure()
    for key, at in (("PageDown", 1), ("PageDown", 2), ("PageUp", 1)):
        scene = scenes.SCENES[names[at]]
        visitor.tell(lambda key=key: visitor.page.keyboard.press(key))
        bar.get_by_text(f"{at + 1}/{len(names)} · {scene.title}").wait_for()
        visitor.page.wait_for_url(f"**scene={names[at]}**")
        visitor.settled()
        assert {name: visitor.url[name] for name in scene.link} == scene.link
    visitor.tell(bar.get_by_role("button", name="End").click)
    visitor.page.wait_for_selector("h1:has-text('How stiff')")
    visitor.settled()
    assert bar.count() == 0
    assert "scene" not in visitor.url
