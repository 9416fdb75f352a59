"""Journeys through the Stiff ODEs page in a real Chromium, with the real engine; no request may leave the machine."""

import re

from stiffcore.images import cifar10

PARTS = ("1 · A stiff equation", "2 · Stability regions", "3 · Two stiff systems", "4 · ResNets", "5 · Real blocks")


def test_the_step_slides_through_the_limit_and_the_error_grows(window):
    visitor = window("/Stiff_ODEs").figure()
    assert visitor.page.get_by_text("inside: shrinks, changing sign").is_visible()
    first_two = "Array.from(f._fullData.find(t => t.name === 'Forward Euler, h = 0.0015').y.slice(0, 2))"
    assert visitor.of_figure(first_two) == [0, 1.5]
    visitor.tell(visitor.page.get_by_role("radio", name="0.1", exact=True).click)
    visitor.page.wait_for_url("**until=0.1**")
    slider = visitor.page.get_by_role("slider").first
    for _ in range(40):
        if float(slider.input_value()) >= 0.0021:
            break
        visitor.tell(lambda: slider.press("ArrowRight"))
    visitor.page.wait_for_selector("text=outside: the error grows")
    step = visitor.url["h"]
    assert 0.0021 <= float(step) <= 0.0023
    visitor.page.wait_for_function(
        f"document.querySelector('.js-plotly-plot')?.data?.some(t => t.name === 'Forward Euler, h = {step}')"
    )
    visitor.tell(visitor.button("The same, implicit").click)
    visitor.page.wait_for_selector("text=inside: the error shrinks")
    assert visitor.url["method"] == "backward-euler"


def test_a_bad_step_is_refused_in_words_and_mended_in_place(window):
    visitor = window("/Stiff_ODEs?h=-1")
    assert "Expected a step size above 0, got -1" in visitor.page.locator("[data-testid=stAlert]").inner_text()
    field = visitor.page.get_by_role("spinbutton")
    field.fill("0.001")
    visitor.tell(lambda: field.press("Enter")).figure()
    assert visitor.page.locator("[data-testid=stAlert]").count() == 0
    assert visitor.url["h"] == "0.001"


def test_every_part_opens_and_draws_without_an_error(window):
    visitor = window("/Stiff_ODEs").figure()
    for part in PARTS[1:]:
        visitor.tell(visitor.page.get_by_role("radio", name=re.compile(f"^{part}")).click)
        assert visitor.page.locator("[data-testid=stException]").count() == 0
    visitor.page.wait_for_url("**part=blocks**")
    visitor.figure()
    assert visitor.of_figure("f.data.filter(t => t.name && t.name.includes('·')).length") == 3
    assert visitor.page.get_by_text("The flow itself", exact=True).is_visible()


def test_fit_with_progress_cancel_and_fit_again(window):
    settings = "net-seed=7&net-points=16&net-depth=2&net-width=4"
    long = window(f"/Stiff_ODEs?part=networks&{settings}&net-iterations=600")
    long.button("Fit both").click()
    long.page.wait_for_selector("text=/Fitting the ResNet|Fitting the ODE-Net/")
    long.button("Cancel").click()
    long.page.wait_for_selector("text=Cancelled.")
    long.button("Fit both").wait_for()  # offered again
    short = window(f"/Stiff_ODEs?part=networks&{settings}&net-iterations=100")
    short.button("Fit both").click()
    short.page.wait_for_selector(".js-plotly-plot .main-svg", timeout=90_000)
    short.settled()
    assert short.page.locator(".js-plotly-plot").count() == 4
    assert short.of_figure("f.data.map(t => t.name)")[:3] == ["line", "ResNet", "ResNet"]
    short.page.reload()
    short.figure()  # kept: nothing is fitted again
    assert short.button("Fit both").count() == 0


def test_a_real_block_is_followed_by_its_own_ode(window):
    image = cifar10.bundled()[-1]  # its flow does not ship
    visitor = window(f"/Stiff_ODEs?part=blocks&images={image}")
    visitor.button("Compute the flow").click()
    visitor.page.wait_for_selector(".js-plotly-plot .main-svg", timeout=90_000)
    visitor.settled()
    distances = visitor.page.evaluate("Array.from(document.querySelector('.js-plotly-plot')._fullData[0].y)")
    assert len(distances) == 7
    assert distances == sorted(distances, reverse=True)
    assert 0.4 < distances[-1] / distances[-2] < 0.6  # order one
