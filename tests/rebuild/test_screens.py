"""README's picture of the home page: drawn by a real Chromium, and stale once the results that it shows are others."""

import pytest
from PIL import Image

from stiffcore.rebuild import targets
from stiffcore.rebuild.screens import HEIGHT, WIDTH, Home
from stiffcore.rebuild.target import Workers
from stiffcore.sweeps import shipping


@pytest.mark.browser
def test_the_home_page_is_drawn(tmp_path, monkeypatch):
    target = Home("screens", targets.HOME_DRAWS, path=tmp_path / "home.png")
    assert target.need().reasons == ("home.png is not there, or damaged",)
    target.make(Workers())
    assert not target.need().is_stale
    with Image.open(target.path) as picture:
        assert picture.size == (WIDTH, HEIGHT)
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 20, "an empty page has few colours"
    changed = shipping.about() | {targets.HOME_DRAWS[0]: {"sha256": "0" * 64}}
    monkeypatch.setattr(shipping, "about", lambda: changed)
    assert target.need().reasons == ("home.png shows other results",)


def test_a_damaged_picture_is_stale(tmp_path):
    (tmp_path / "home.png").write_bytes(b"no picture")
    assert Home("screens", (), path=tmp_path / "home.png").need().is_stale
