"""Journeys in a real Chromium, on a real server with the real engine. Any request to another host fails a journey."""

import re
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
import pytest

from pages.shared.shell import navigation
from pages.shared.widgets import gallery
from tests.browser.planted import MADE_UP, SLOW
from tests.browser.window import ROOT, time_to_answer


def test_home_paints_a_spectrum_and_leads_to_the_pages(window):
    home = window().figure()
    assert home.drawn_images() == sorted(gallery.first_of_each_label())
    home.tell(home.page.get_by_role("link", name=re.compile("^.*Spectrum: any block")).click)
    home.page.wait_for_selector("h1:has-text('Spectrum')")
    home.figure()
    assert home.url["convention"] == "branch"


def test_what_a_failed_test_leaves_behind(window, server, tmp_path):
    """Whoever reads the report sees where the window was, what it showed, and what the server said."""
    visitor = window("/Labels")
    text = window.leave_behind()
    assert f"{server.address}/Labels" in text
    assert "You can now view your Streamlit app" in text
    folder = tmp_path / "left-behind"
    assert sorted(path.name for path in folder.iterdir()) == ["server.log", "window-1.html", "window-1.png"]
    assert visitor.page.title() in (folder / "window-1.html").read_text("utf-8")
    assert (folder / "window-1.png").read_bytes().startswith(b"\x89PNG")


def test_every_page_opens_without_an_error_and_without_another_host(window):
    """The pages of the menu that there are; `window` fails on a request to any other host."""
    visitor = window()
    for entries in navigation.MENU.values():
        for path, title, *_ in entries:
            if (ROOT / path).exists():
                visitor.open("/" if path == "app.py" else "/" + re.sub(r"^\d+_", "", Path(path).stem))
                visitor.page.wait_for_function("title => document.title === title", arg=f"{title} · stiffcore")
                assert visitor.page.locator("[data-testid=stException]").count() == 0, title


def test_pick_an_image_and_compute_its_spectrum(window):
    visitor = window("/Spectrum?images=0").figure()
    visitor.button("Images:").click()
    visitor.tell(visitor.page.locator(".st-key-thumbnails button", has_text="2 ship").click)
    visitor.page.wait_for_url("**images=0%2C2**")
    visitor.page.keyboard.press("Escape")
    assert "1 result is not stored yet" in visitor.page.locator(".st-key-offer").inner_text()
    visitor.button("Compute").click()
    visitor.page.wait_for_selector(".st-key-progress")
    visitor.page.wait_for_selector(".st-key-progress", state="detached", timeout=90_000)
    visitor.when_figure("f._fullData.some(t => t.customdata?.includes(2))").settled()
    assert visitor.drawn_images() == [0, 2]
    assert "ship" in " ".join(visitor.page.locator(".grid").all_inner_texts())
    assert visitor.page.locator(".st-key-offer").count() == 0


def test_cancel_reload_second_window_and_a_server_that_answers(window, server):
    first = window(f"/Spectrum?images=1&blocks={SLOW}")
    first.button("Compute").click()
    first.page.wait_for_selector(".st-key-progress")
    second = window(f"/Spectrum?images=1&blocks={SLOW}")
    second.page.wait_for_selector(".st-key-progress")
    assert second.button("Compute").count() == 0
    second.page.reload()
    second.page.wait_for_selector(".st-key-progress")
    assert min(time_to_answer(server.address) for _ in range(5)) < 1, "the server answers while a spectrum is computed"
    second.page.get_by_role("link", name="Home").first.click()
    second.figure()
    assert "ResNet18, block 4 (branch)" in second.page.locator("[data-testid=stSidebar]").inner_text()
    first.button("Cancel").click()
    first.page.wait_for_selector("text=Cancelled. Finished results are kept.")
    assert first.page.locator(".st-key-progress").count() == 0
    first.page.reload()
    first.page.wait_for_selector(".st-key-offer")
    assert first.page.locator(".st-key-progress").count() == 0, "a reload submits nothing"


def test_the_copied_link_reopens_the_view(window):
    one = window("/Spectrum").figure()
    one.tell(one.page.get_by_role("radio", name="Label").click)
    one.tell(one.page.get_by_role("radio", name="Disc").click)
    one.page.wait_for_url("**fit=disc**")
    one.button("Copy link").click()
    link = one.page.locator("[data-testid=stPopoverBody] code").inner_text()
    other = window(link.removeprefix(one.server)).figure()
    assert other.url == one.url
    assert {"network", "convention", "blocks", "images", "overlay", "fit"} <= other.url.keys()
    assert other.drawn_images() == one.drawn_images()
    # Equal axes: what is shown beyond the disc depends on the window's width, to a scroll bar.
    shown = one.of_figure("f._fullLayout.xaxis.range")
    assert other.of_figure("f._fullLayout.xaxis.range") == pytest.approx(shown, abs=0.1)


def test_back_returns_to_the_choice_before(window):
    visitor = window("/Spectrum?images=0").figure()
    visitor.tell(visitor.page.get_by_role("radio", name="Bulk").click)
    visitor.page.wait_for_url("**fit=bulk**")
    visitor.page.go_back()
    visitor.page.wait_for_selector("[role=radio][aria-checked=true] >> text=All")
    assert visitor.url["fit"] == "all"


def test_zoom_survives_another_image_and_a_fit_ends_it(window):
    visitor = window("/Spectrum?images=0").figure()
    visitor.page.evaluate("document.querySelector('.js-plotly-plot').scrollIntoView({block: 'center'})")
    before = visitor.of_figure("f._fullLayout.xaxis.range")
    box = visitor.page.locator(".js-plotly-plot .nsewdrag").first.bounding_box()
    visitor.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    visitor.when_figure("f.reportsZoom")
    span = "f._fullLayout.xaxis.range[1] - f._fullLayout.xaxis.range[0]"
    for _ in range(4):
        now = visitor.of_figure(span)
        # The page reports its zoom to the server, which opens the next figure with it.
        visitor.tell(lambda: visitor.page.mouse.wheel(0, -400)).when_figure(f"{span} < {now}")
    zoomed = visitor.of_figure("f._fullLayout.xaxis.range")
    assert np.ptp(zoomed) < 0.8 * np.ptp(before)
    other = gallery.first_of_each_label()[4]
    visitor.page.evaluate("window.scrollTo(0, 0)")
    visitor.button("Images:").click()
    visitor.tell(visitor.page.locator(".st-key-thumbnails button", has_text=re.compile(rf"^\s*{other} ")).click)
    visitor.page.keyboard.press("Escape")
    visitor.when_figure(f"f._fullData.some(t => t.customdata?.includes({other}))")
    still = visitor.of_figure("f._fullLayout.xaxis.range")  # a longer legend may change the shape of the panel a little
    assert np.mean(still) == pytest.approx(np.mean(zoomed), abs=0.05)
    assert np.ptp(still) == pytest.approx(np.ptp(zoomed), rel=0.15)
    visitor.tell(visitor.page.get_by_role("radio", name="Bulk").click)
    visitor.page.wait_for_url("**fit=bulk**")
    visitor.when_figure(f"f._fullLayout.xaxis.range.some((end, at) => Math.abs(end / {list(still)}[at] - 1) > 0.01)")
    assert visitor.of_figure("f._fullLayout.xaxis.range") != pytest.approx(still, rel=0.01)


def test_a_large_cloud_is_really_painted_by_webgl(window):
    visitor = window("/Spectrum?images=8,9&marks=points").figure()
    visitor.page.wait_for_selector(".js-plotly-plot .gl-canvas-context")
    painted = visitor.painted(more_than=2000)
    assert painted > 2000, "a blank WebGL canvas"
    assert visitor.of_figure("f.data[0].hoverinfo") == "skip"


def test_dark_and_talk_mode_reach_the_figure(window):
    visitor = window("/Spectrum?images=0").figure()
    assert visitor.of_figure("f._fullLayout.paper_bgcolor") == "#FFFFFF"
    visitor.page.emulate_media(color_scheme="dark")
    visitor.page.wait_for_function(
        "document.querySelector('.js-plotly-plot')?._fullLayout?.paper_bgcolor === '#14171C'"
    )
    visitor.page.locator(".st-key-choice-talk label").click()
    visitor.page.wait_for_url("**talk=on**")
    visitor.page.wait_for_function("document.querySelector('.js-plotly-plot')?._fullLayout?.font.size === 20")


def test_downloads_bring_a_figure_that_draws_offline_and_the_data(window, tmp_path):
    visitor = window(f"/Spectrum?images={MADE_UP}").figure()
    with visitor.page.expect_download() as download:
        visitor.button("Data (CSV)").click()
    lines = Path(download.value.path()).read_text("utf-8").splitlines()
    assert lines[0].startswith("network,weights,image,label,block,convention,kind,re,im,multiplicity")
    assert len(lines) == 1 + 3 + 1, "three eigenvalues, and the structural zeros in one row"
    with visitor.page.expect_download() as download:
        visitor.button("Figure (HTML)").click()
    file = tmp_path / "figure.html"
    download.value.save_as(file)
    visitor.page.goto(file.as_uri())
    visitor.page.wait_for_selector(".js-plotly-plot .main-svg")
    assert visitor.outside == [file.as_uri()]
    visitor.outside.clear()


def test_a_hostile_link_shows_a_note_and_fetches_and_runs_nothing(window):
    """An image in Markdown or HTML would be a request to another host, which `window` does not let pass."""
    image = "![x](http://198.51.100.1/x.png)<img src=http://198.51.100.1/x.png onerror=alert(1)>"
    values = {"network": image, "images": image, "blocks": image, "fit": "../.."}
    visitor = window(f"/Spectrum?{urlencode(values)}").figure()
    notes = visitor.page.locator("[data-testid=stAlert]").all_inner_texts()
    assert len(notes) == 4
    assert all("default is shown" in note for note in notes)
    assert "![x](http://198.51.100.1/x.png)" in notes[0].replace("\u2060", ""), "shown as it came"
    assert visitor.url["network"] == "resnet18"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_fits_a_projector(window, scheme):
    visitor = window("/Spectrum", scheme=scheme).figure()
    visitor.page.set_viewport_size({"width": 1024, "height": 768})
    visitor.settled()
    main = "document.querySelector('[data-testid=stMain]')"
    visitor.page.wait_for_function(f"{main}.scrollWidth <= {main}.clientWidth")  # nothing sticks out sideways
    assert visitor.page.locator(".js-plotly-plot").first.bounding_box()["width"] > 500
