"""The time that a browser takes to paint the app: a cold server's home page, and a large cloud of eigenvalues by WebGL.

Only this module needs Playwright and Chromium. A script in the page polls for each element and records when it first
appears, in seconds since the navigation began; the browser itself reports its first paint.
"""

import contextlib
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

from stiffcore.errors import CannotCompute

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--enable-unsafe-swiftshader",  # otherwise a WebGL canvas stays empty on a machine without a GPU
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE = 300_000  # milliseconds; generous, since a busy machine is slow
NOTE = """
(() => {
  const seen = window.seenFirst = {};
  const DRAWN = ".js-plotly-plot .scatterlayer .point, .js-plotly-plot .heatmaplayer image";
  const small = document.createElement("canvas");
  small.width = small.height = 64;
  const flat = small.getContext("2d", {willReadFrequently: true});
  const isPainted = () => {
    const canvas = document.querySelector(".gl-canvas-context");
    if (!canvas || !canvas.width) return false;
    flat.clearRect(0, 0, 64, 64);
    flat.drawImage(canvas, 0, 0, 64, 64);
    return flat.getImageData(0, 0, 64, 64).data.some((value, at) => at % 4 === 3 && value > 0);
  };
  // The figure comes in one message, by far the largest.
  window.WebSocket = class extends WebSocket {
    constructor(...given) {
      super(...given);
      this.addEventListener("message", ({data}) => {
        if ((data.byteLength ?? data.size) > 250000) note("answer", () => true);
      });
    }
  };
  const note = (name, look) => { if (!(name in seen) && look()) seen[name] = performance.now() / 1000; };
  setInterval(() => {
    note("title", () => document.querySelector("h1"));
    note("figure", () => "webgl" in seen || document.querySelector(DRAWN));
    const paint = performance.getEntriesByName("first-contentful-paint")[0];
    if (paint) seen.paint = paint.startTime / 1000;
  }, 20);
  const watch = setInterval(() => {  // seldom: reading a canvas back takes time from the drawing
    note("webgl", isPainted);
    if ("webgl" in seen) clearInterval(watch);
  }, 100);
})();
"""


@contextlib.contextmanager
def chromium() -> Iterator["Browser"]:
    """A Chromium that Playwright controls. Raises CannotCompute if one of the two is missing."""
    executable = next(filter(None, map(shutil.which, NAMES)), None)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        executable = None
    if executable is None:
        raise CannotCompute(
            "Chromium or Playwright is missing: install them (apt-get install chromium; pip install playwright), or skip the "
            "measurements in a browser with --no-browser."
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


def seconds_to_paint(context: "BrowserContext", address: str, until: str) -> dict[str, float]:
    """Opens an address in a new window of a browser context, and returns when each element first appeared.

    until: "figure" or "webgl". Returns the seconds since the navigation began of "paint" (the first paint), "title",
    "answer" (a large figure has arrived), "figure" and, if WebGL draws it, "webgl"; and "points", the number of points
    in the figure.
    """
    page = context.new_page()
    try:
        page.add_init_script(NOTE)
        page.goto(address, timeout=PATIENCE)
        page.wait_for_function(f"window.seenFirst.{until} && window.seenFirst.paint", timeout=PATIENCE)
        seen: dict[str, float] = page.evaluate("window.seenFirst")
        points = page.evaluate(
            "document.querySelector('.js-plotly-plot')._fullData.reduce((sum, trace) => sum + (trace.x?.length || 0), 0)"
        )
        seen["points"] = points
        return seen
    finally:
        page.close()
