"""README's picture of the home page, drawn by Chromium on a server of its own."""

import hashlib
import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, PngImagePlugin, UnidentifiedImageError

from stiffcore import files
from stiffcore.benchmarks import app_server, browser
from stiffcore.rebuild.target import Need, Target, Workers
from stiffcore.sweeps import shipping

PATH = Path(__file__).resolve().parents[2] / ".github" / "home.png"
WIDTH, HEIGHT = 1280, 760
DRAWN_FROM = "drawn from"  # a text in the picture: the digest of the results that it shows
DRAWN = "document.querySelectorAll('.js-plotly-plot .main-svg').length && !document.querySelector('[data-testid=\"stSpinner\"]')"
SETTLES = 3000  # milliseconds until fonts and figures stand still
SECONDS = 30.0


@dataclass(frozen=True)
class Home(Target):
    """sources: the shipped files that the page draws."""

    sources: tuple[str, ...]
    path: Path = PATH

    @property
    def networks(self) -> tuple[str, ...]:
        return ()  # what it draws are files

    def digest(self) -> str:
        """Of the files' hashes."""
        about = shipping.about()
        hashes = {name: about.get(name, {}).get("sha256", "") for name in self.sources}
        return hashlib.sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest()

    def need(self) -> Need:
        try:
            with Image.open(self.path, formats=("PNG",)) as picture:
                drawn = picture.info.get(DRAWN_FROM)
        except (OSError, UnidentifiedImageError):
            return Need((f"{self.path.name} is not there, or damaged",), 1, SECONDS)
        return Need() if drawn == self.digest() else Need((f"{self.path.name} shows other results",), 1, SECONDS)

    def everything(self) -> Need:
        return Need(("",), 1, SECONDS)

    def make(self, workers: Workers) -> None:
        workers.step(0, 1, self.name)
        with tempfile.TemporaryDirectory() as folder:
            shot = Path(folder) / "home.png"
            with app_server.AppServer(Path(folder) / "cache") as server, browser.chromium() as chromium:
                page = chromium.new_page(viewport={"width": WIDTH, "height": HEIGHT})
                page.goto(server.address, timeout=browser.PATIENCE)
                page.wait_for_function(DRAWN, timeout=browser.PATIENCE)
                page.wait_for_timeout(SETTLES)
                page.screenshot(path=shot)
            text = PngImagePlugin.PngInfo()
            text.add_text(DRAWN_FROM, self.digest())
            with Image.open(shot, formats=("PNG",)) as picture, files.replaced(self.path) as partial:
                picture.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(
                    partial, "PNG", optimize=True, pnginfo=text
                )
