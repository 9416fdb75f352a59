"""The pages about many images in a real Chromium: made-up rows in the server's cache, figures, a chosen point, downloads."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from stiffcore.analysis import requests as analysis
from stiffcore.images import cifar10
from stiffcore.networks import catalogue
from stiffcore.storage import cache as result_cache
from tests.browser.window import running_app
from tests.made_up.asked import asked
from tests.made_up.spectra import made_up

NETWORK = "resnet34-untrained"  # no rows of it ship
BLOCKS = len(catalogue.blocks(NETWORK))
IMAGES = cifar10.bundled()[:24]
ALONE = IMAGES[5]  # its value lies far from the others', so that a click meets no other point
VIEW = f"network={NETWORK}&convention=slices"


def store_rows() -> None:
    """A row for every block at every image; P grows with the image's position, S with the block."""
    for block in (block.block for block in catalogue.blocks(NETWORK)):
        for at, image in enumerate(IMAGES):
            request = asked(NETWORK, image, block, "slices", "counts")
            result = made_up(request)
            values = {
                "percent_negative": 90.0 if image == ALONE else 10 + 0.1 * at,
                "stiffness_index": -1.0 - block - at,
            }
            made = result.made | {"loss": 0.1 + 0.05 * at, "predicted": result.made["predicted"] if at % 5 else 0}
            result = dataclasses.replace(result, metrics=result.metrics | values, made=made)
            assert result_cache.default().put(analysis.key(request), analysis.header_of(result), {}) is None


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STIFFCORE_CACHE", str(tmp_path_factory.mktemp("cache")))
        store_rows()
        with running_app(tmp_path_factory.mktemp("server") / "log") as app:
            yield app


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
    assert sorted(visitor.of_figure(blocks)) == list(range(1, BLOCKS + 1))
    assert f"{len(IMAGES)} images" in visitor.page.locator("[data-testid=stMain]").inner_text()
    lines = csv_of(visitor, visitor.button("Data (CSV)"))
    assert "block" in lines[0].split(",")
    assert len(lines) == 1 + BLOCKS


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
