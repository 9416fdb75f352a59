"""The pages about many images in a real Chromium: made-up rows in the server's cache, figures, a chosen point, downloads."""

import re
from pathlib import Path

import numpy as np

from stiffcore.images import cifar10
from stiffcore.networks import catalogue
from tests.browser.planted import ALONE, IMAGES, NETWORK, VIEW


def csv_of(visitor, button) -> list[str]:
    """The lines of a download."""
    with visitor.page.expect_download() as download:
        button.click()
    return Path(download.value.path()).read_text("utf-8").splitlines()


def is_whole(visitor) -> bool:
    return visitor.page.locator("[data-testid=stException]").count() == 0


def test_blocks_draws_every_block_and_offers_its_numbers(window):
    visitor = window(f"/Blocks?networks={NETWORK}&conventions=slices&images={ALONE}").figure()
    assert is_whole(visitor)
    blocks = "f._fullData.filter(t => t.name?.startsWith('mean')).flatMap(t => Array.from(t.x))"
    assert sorted(visitor.of_figure(blocks)) == list(range(1, len(catalogue.blocks(NETWORK)) + 1))
    assert f"{len(IMAGES)} images" in visitor.page.locator("[data-testid=stMain]").inner_text()
    lines = csv_of(visitor, visitor.button("Data (CSV)"))
    assert "block" in lines[0].split(",")
    assert len(lines) == 1 + len(catalogue.blocks(NETWORK))


def test_labels_draws_every_image_and_offers_its_numbers(window):
    visitor = window(f"/Labels?{VIEW}&of=8&metric=percent_negative").figure()
    assert is_whole(visitor)
    drawn = visitor.of_figure("f._fullData.flatMap(t => t.customdata ? Array.from(t.customdata, d => d[0] ?? d) : [])")
    assert set(IMAGES) == set(drawn)
    lines = csv_of(visitor, visitor.button("Data (CSV)"))
    assert len(lines) == 1 + len(IMAGES)


def test_a_point_of_correlation_shows_its_image_and_leads_to_its_spectrum(window):
    visitor = window(f"/Correlation?{VIEW}&of=8&measure=percent_negative").figure()
    assert is_whole(visitor)
    assert len(csv_of(visitor, visitor.button("Data (CSV)"))) == 1 + len(IMAGES)
    visitor.page.evaluate("document.querySelector('.js-plotly-plot').scrollIntoView({block: 'center'})")
    x, y = visitor.of_figure(
        f"""(() => {{
            const trace = f._fullData.find(t => t.xaxis === 'x' && t.yaxis === 'y' && t.customdata?.some(d => d[0] === {ALONE}));
            const at = Array.from(trace.customdata).findIndex(d => d[0] === {ALONE});
            const box = f.querySelector('.nsewdrag').getBoundingClientRect();
            const {{xaxis, yaxis}} = f._fullLayout;
            return [box.left + xaxis.d2p(trace.x[at]), box.top + yaxis.d2p(trace.y[at])];
        }})()"""
    )
    visitor.page.mouse.move(x - 3, y)
    visitor.page.mouse.move(x, y)
    visitor.page.wait_for_selector(f".hoverlayer .hovertext >> text=image {ALONE}")
    visitor.tell(lambda: visitor.page.mouse.click(x, y))
    label = cifar10.LABELS[cifar10.label(ALONE)]
    visitor.page.wait_for_selector(f"text=Image {ALONE}: {label}")
    visitor.tell(visitor.page.get_by_role("link", name=re.compile("Its spectrum at block 8")).click)
    visitor.page.wait_for_selector("h1:has-text('Spectrum')")
    chosen = {"network": NETWORK, "convention": "slices", "images": str(ALONE), "blocks": "8"}
    assert chosen.items() <= visitor.settled().url.items()


def test_published_tables_stand_beside_ours(window):
    visitor = window(f"/Published_tables?{VIEW}&table=by_block")
    assert is_whole(visitor)
    row = visitor.page.locator("tbody tr", has=visitor.page.locator("th", has_text=re.compile("^8$"))).first
    ours = np.mean([90.0 if image == ALONE else 10 + 0.1 * at for at, image in enumerate(IMAGES)])
    assert f"{ours:.2f}" in row.inner_text()
    lines = csv_of(visitor, visitor.button("Table (CSV)"))
    assert any(f"{ours:.2f}"[:5] in line for line in lines)
