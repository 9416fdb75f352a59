"""Journeys through the page Own files in a real Chromium, with the real engine; no request may leave the machine."""

import io
import re
from urllib.parse import quote

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from pages.shared.state import controls
from stiffcore.images import cifar10
from stiffcore.networks import manifest
from tests.browser.window import running_app

CHOSEN = """title => {const field = document.querySelector('.st-key-choice-network');
    const shown = [field?.innerText, ...[...field?.querySelectorAll('input') ?? []].map(input => input.value)];
    return shown.some(text => text?.includes(title))}"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """An app with an empty cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STIFFCORE_CACHE", str(tmp_path_factory.mktemp("cache")))
        with running_app(tmp_path_factory.mktemp("server") / "log") as app:
            yield app


def upload(visitor, field: str, name: str, content: bytes) -> None:
    chosen = visitor.page.locator(f".st-key-own-{field} input[type=file]")
    file = {"name": name, "mimeType": "application/octet-stream", "buffer": content}
    visitor.tell(lambda: chosen.set_input_files(file))


def refusal(visitor) -> str:
    alert = visitor.page.locator("[data-testid=stAlert]", has_text="Expected")
    alert.wait_for()
    return alert.inner_text().strip()


def photograph() -> bytes:
    """A test image, enlarged in the middle of a wider one."""
    wide = Image.new("RGB", (640, 400), "white")
    wide.paste(Image.fromarray(cifar10.image(0)).resize((400, 400), Image.Resampling.BICUBIC), (120, 0))
    file = io.BytesIO()
    wide.save(file, "JPEG", quality=95)
    return file.getvalue()


def test_a_bad_picture_is_one_sentence_and_a_good_one_leads_to_its_spectrum(window):
    visitor = window("/Own_files")
    upload(visitor, "image", "cat.png", b"<svg onload=alert(1) xmlns='http://www.w3.org/2000/svg'/>")
    said = refusal(visitor)
    assert re.fullmatch(
        r"(?s).*Expected a PNG, JPEG, WebP, BMP or AVIF picture .* got an HTML or SVG file: save it as PNG or JPEG\.",
        said,
    )
    upload(visitor, "image", "our cat.jpg", photograph())
    visitor.page.get_by_alt_text("The same picture in 32 by 32 pixels").wait_for()
    assert visitor.page.locator("[data-testid=stAlert]").count() == 1, "the refused one's, which is still in the list"
    assert "cat.png: Expected" in refusal(visitor)
    visitor.tell(visitor.button("Use this image").click)
    link = visitor.page.get_by_role("link", name="Its spectrum")
    link.wait_for()
    visitor.tell(link.click)
    visitor.page.wait_for_url("**/Spectrum?**")
    visitor.page.locator(".chosen", has_text="our cat.jpg").wait_for()
    visitor.tell(visitor.button("Compute").click)
    visitor.page.wait_for_selector(".js-plotly-plot .main-svg", timeout=180_000)
    visitor.settled()
    (number,) = visitor.drawn_images()
    assert visitor.url["images"] == str(number)
    assert number >= 1_000_000
    strip = visitor.page.locator(".chosen")
    strip.get_by_text(re.compile("^seen as ")).wait_for()  # the computation looked at it
    assert "no label our cat.jpg" in strip.inner_text()


def test_a_bad_checkpoint_is_one_sentence_and_a_good_one_is_tested_and_chosen(window):
    visitor = window("/Own_files")
    upload(visitor, "checkpoint", "evil.pt", b"\x80\x02cos\nsystem\n(S'touch executed'\ntR.")
    assert "a pickle that torch.save did not write: save it with torch.save(model.state_dict()" in refusal(visitor)
    state = {f"module.{name}": value for name, value in load_file(manifest.FOLDER / "resnet18.safetensors").items()}
    state["module.fc.bias"] = state["module.fc.bias"] + 0.01  # nobody else's weights
    file = io.BytesIO()
    torch.save({"net": state, "acc": 93.1}, file)
    upload(visitor, "checkpoint", "best.pth", file.getvalue())
    visitor.page.get_by_text("best.pth: PyTorch, resnet18, 11,183,582 numbers").wait_for()
    visitor.tell(visitor.button("Load and test").click)
    done = visitor.page.locator("[data-testid=stAlert]", has_text="Read with max-pool, with CIFAR-10's normalisation")
    done.wait_for(timeout=180_000)
    accuracy = float(re.search(r"right at ([0-9.]+) %", done.inner_text())[1])
    assert accuracy > 50, "the shipped network's, nearly"
    visitor.settled()
    mine = visitor.page.locator("[class*=st-key-network-resnet18-own-]").get_by_role("link", name="Spectrum")
    visitor.tell(mine.click)
    visitor.page.wait_for_url("**/Spectrum?**network=resnet18-own-**")
    visitor.button("Compute").wait_for()
    visitor.page.wait_for_function(CHOSEN, arg="ResNet18, uploaded: best.pth")


DRAWN = """alert => [...alert.querySelectorAll('a, code, em, strong, del, img, .katex, sup, [style*=color]')]
    .map(found => found.outerHTML)"""


@pytest.mark.parametrize(
    "asked",
    [
        "www.evil.example https://evil.example <https://evil.example> a@evil.example",
        "[x](https://evil.example) ![x](https://evil.example/x.png) :red[x] $x$",
        "*x* **x** _x_ `x` ~~x~~ <b>x</b> &amp; :smile: x -> y x -- y 2 >= 1 12:30",
    ],
)
def test_what_a_link_asks_for_is_shown_as_typed_and_becomes_no_link(window, asked):
    visitor = window(f"/Own_files?own-label={quote(asked)}")
    alert = visitor.page.locator("[data-testid=stAlert]", has_text="Expected")
    alert.wait_for()
    assert f"got {asked[:80]!r}." in alert.inner_text().replace(controls.JOINER, "")
    assert alert.evaluate(DRAWN) == []


def test_a_file_named_as_an_address_becomes_no_link(window):
    visitor = window("/Own_files")
    file = io.BytesIO()
    torch.save(load_file(manifest.FOLDER / "resnet18.safetensors"), file)
    upload(visitor, "checkpoint", "www.evil.example _x_.pt", file.getvalue())
    said = visitor.page.locator("[data-testid=stMarkdown]", has_text="11,183,582 numbers")
    said.wait_for()
    assert "www_evil.example _x_.pt: PyTorch, resnet18" in said.inner_text().replace(controls.JOINER, "")
    assert said.locator("a, em").count() == 0
