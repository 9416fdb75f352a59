"""A real Chromium on a real server, for the journeys: windows that know when the server has answered."""

import contextlib
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

ROOT = Path(__file__).parents[2]
CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--enable-unsafe-swiftshader",  # else a WebGL canvas stays empty, and nobody notices
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# What this window has said to the server, and when the server was last heard. The state that Streamlit shows is not enough:
# it has not changed yet when somebody looks right after a click.
LISTEN = """
(() => {
  const told = window.told = {sent: 0, at: 0, heard: 0};
  window.WebSocket = class extends WebSocket {
    constructor(...given) {
      super(...given);
      this.addEventListener("message", () => { told.heard = performance.now(); });
    }
    send(data) {
      told.sent += 1;
      told.at = performance.now();
      super.send(data);
    }
  };
})();
"""
QUIET = 400  # milliseconds without a word from the server; what a widget says late (a slider, 200) comes within them
ANSWERED = f"""() => document.querySelector("[data-test-script-state]")?.dataset.testScriptState === "notRunning"
    && told.heard > told.at && performance.now() - told.heard > {QUIET}"""
PAINTED = """() => {const gl = document.querySelector('.gl-canvas-context');
    if (!gl?.width) return 0;
    const copy = document.createElement('canvas'); copy.width = gl.width; copy.height = gl.height;
    const flat = copy.getContext('2d'); flat.drawImage(gl, 0, 0);
    const pixels = flat.getImageData(0, 0, gl.width, gl.height).data;
    let count = 0; for (let i = 3; i < pixels.length; i += 4) count += pixels[i] > 0; return count}"""
# The charts whose WebGL canvas is blank although points of theirs lie within the axes.
BLANK = """() => Array.from(document.querySelectorAll('.js-plotly-plot')).filter(plot => {
    const gl = plot.querySelector('.gl-canvas-context');
    if (!gl?.width || !plot._fullData) return false;
    const within = (axis, value) => {
        const [low, high] = plot._fullLayout[axis[0] + 'axis' + axis.slice(1)].range;
        return value >= low && value <= high;
    };
    const seen = plot._fullData.some(t => t.type === 'scattergl' && t.visible === true && t.x
        && Array.from(t.x).some((x, i) => within(t.xaxis, x) && within(t.yaxis, t.y[i])));
    if (!seen) return false;
    const copy = document.createElement('canvas'); copy.width = gl.width; copy.height = gl.height;
    const flat = copy.getContext('2d'); flat.drawImage(gl, 0, 0);
    return !flat.getImageData(0, 0, gl.width, gl.height).data.some((value, i) => i % 4 === 3 && value > 0);
}).map(plot => plot.closest('[class*=st-key-chart]')?.className ?? 'a chart')"""


class App(NamedTuple):
    """A running server: where it answers, and the file that holds all that it said."""

    address: str
    log: Path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def is_healthy(address: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/_stcore/health", timeout=2) as answer:
        return answer.status == 200
    return False


def time_to_answer(address: str) -> float:
    began = time.monotonic()
    assert is_healthy(address)
    return time.monotonic() - began


@contextlib.contextmanager
def running_app(log_file: Path) -> Iterator[App]:
    """An app whose cache is $STIFFCORE_CACHE; at the end it still runs, and its log holds no error of ours."""
    port = free_port()
    with log_file.open("w+") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port), "--server.headless", "true"],
            cwd=ROOT, stdout=log, stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONFAULTHANDLER": "1"},
        )  # fmt: skip
        address = f"http://127.0.0.1:{port}"
        try:
            until = time.monotonic() + 60
            while not is_healthy(address):
                assert process.poll() is None, f"the server ended: {said(log_file)}"
                assert time.monotonic() < until, f"the server did not start: {said(log_file)}"
                time.sleep(0.1)
            yield App(address, log_file)
            assert process.poll() is None, f"the server ended: {said(log_file)}"
        finally:
            process.terminate()
            process.wait(60)
    text = said(log_file)
    assert not re.search(r'File "[^"]*/(pages|stiffcore)/|app\.py", line', text), text[-3000:]
    assert "External URL" not in text, "headless mode asked an outside host for its address"


def said(log_file: Path) -> str:
    return log_file.read_text("utf-8", "replace")


STILL = """() => {  // the panels of all figures have not moved for half a second
    const boxes = [...document.querySelectorAll('.js-plotly-plot .nsewdrag')].map(e => e.getBoundingClientRect());
    const now = JSON.stringify(boxes.map(b => [b.x, b.y, b.width, b.height]));
    window.stillFor = now === window.lastBoxes ? window.stillFor + 1 : 0;
    window.lastBoxes = now;
    return window.stillFor >= 5;
}"""


class Window:
    """A browser window that notes requests to other hosts and errors of the page's scripts."""

    def __init__(self, context, server: str, scheme: str = "light"):
        self.server = server
        self.outside: list[str] = []
        self.errors: list[str] = []
        self.page = context.new_page()
        self.page.emulate_media(color_scheme=scheme)
        self.page.on("request", self._note)
        self.page.on("websocket", lambda socket: self._note_address(socket.url.replace("ws", "http", 1)))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))

    def _note(self, request) -> None:
        self._note_address(request.url)

    def _note_address(self, address: str) -> None:
        if (
            urlsplit(address).scheme not in ("data", "blob")
            and urlsplit(address).netloc != urlsplit(self.server).netloc
        ):
            self.outside.append(address)

    def open(self, path: str = "/") -> "Window":
        self.page.goto(self.server + path)
        self.page.wait_for_selector("h1", state="attached")  # on stage, a scene hides it
        return self.settled()

    def settled(self) -> "Window":
        """Until the server has answered everything that this window said, and its last run has ended."""
        self.page.wait_for_function(ANSWERED)
        return self

    def tell(self, act: Callable[[], object]) -> "Window":
        """Does what the server has to hear of (a click on a widget, say), and waits until it has, and has answered.

        Only then is the next click or key safe: a run that ends in between draws widgets anew.
        """
        sent = self.page.evaluate("told.sent")
        act()
        self.page.wait_for_function("before => told.sent > before", arg=sent)
        return self.settled()

    def figure(self) -> "Window":
        self.page.wait_for_selector(".js-plotly-plot .main-svg")
        return self.settled().nothing_blank()

    def nothing_blank(self) -> "Window":
        """Every WebGL canvas that has points to show has painted; it may take a moment."""
        for _ in range(100):
            blank = self.page.evaluate(BLANK)
            if not blank:
                return self
            self.page.wait_for_timeout(200)
        raise AssertionError(f"blank WebGL canvas: {blank}")

    def sticks_out(self) -> list[str]:
        """What of the page ends right of the window, or cannot be reached by scrolling down alone."""
        return self.page.evaluate(
            """() => {const main = document.querySelector('[data-testid=stMain]');
            const out = Array.from(main.querySelectorAll('button, p, h1, h2, h3, label, .js-plotly-plot')).filter(e => {
                const box = e.getBoundingClientRect(), inner = e.closest('.grid, pre, [data-testid=stDataFrame]');
                return box.width > 0 && box.right > innerWidth + 1 && !inner});
            const named = out.map(e => `${e.tagName} ${e.innerText.slice(0, 40)}`);
            return main.scrollWidth > main.clientWidth ? [`by ${main.scrollWidth - main.clientWidth} px`, ...named] : named}"""
        )

    def of_figure(self, expression: str):
        """A value of the drawn figure ``f``, as plotly.js has it."""
        return self.page.evaluate(
            f"(() => {{const f = document.querySelector('.js-plotly-plot'); return {expression}}})()"
        )

    def when_figure(self, condition: str) -> "Window":
        """Waits until an expression of the drawn figure ``f`` is true."""
        self.page.wait_for_function(
            f"() => {{const f = document.querySelector('.js-plotly-plot'); return f?._fullData && ({condition})}}"
        )
        return self

    def resized(self, width: int, height: int) -> "Window":
        """Gives the window another size, and waits until every figure has followed and its panels stay where they are: plotly.js
        follows a moment later, each figure by itself, and more than once."""
        self.page.set_viewport_size({"width": width, "height": height})
        self.page.wait_for_function(
            "() => {const f = [...document.querySelectorAll('.js-plotly-plot')]; const fits = e => "
            "e._fullLayout && e._fullLayout.width <= e.clientWidth + 1 && e.getBoundingClientRect().right <= innerWidth + 1;"
            "return f.length && f.every(fits)}"
        )
        self.settled()
        self.page.wait_for_function(f"() => ({STILL})()", polling=100)
        return self

    def drawn_images(self) -> list[int]:
        """The images of all spectra on the page; a trace of another figure has rows of values in place of a number."""
        of_all = "[...document.querySelectorAll('.js-plotly-plot')].flatMap(f => f._fullData)"
        numbers = (
            f"{of_all}.flatMap(t => t.customdata ? Array.from(t.customdata) : []).filter(x => typeof x === 'number')"
        )
        return sorted(set(self.page.evaluate(numbers)))

    def painted(self, more_than: int) -> int:
        """Pixels that WebGL has painted, as soon as there are more than so many."""
        self.page.wait_for_function(f"() => ({PAINTED})() > {more_than}")
        return self.page.evaluate(PAINTED)

    @property
    def url(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(urlsplit(self.page.url).query).items()}

    def button(self, name: str):
        return self.page.get_by_role("button", name=name).first

    def leave_behind(self, stem: Path) -> str:
        """Writes what a person needs who was not there: HTML and screenshot beside ``stem``. Returns the URL, and where they are."""
        with contextlib.suppress(Exception):  # a page that hangs or has crashed leaves what it can
            stem.with_suffix(".html").write_text(self.page.content(), "utf-8")
            self.page.screenshot(path=stem.with_suffix(".png"), timeout=10_000)
        return (
            f"{self.page.url}\n  {stem}.html, {stem}.png\n  script errors: {self.errors}, other hosts: {self.outside}"
        )


class Windows:
    """Opens windows of one app; of a test that fails, keeps what they show and what the server said."""

    def __init__(self, context, app: App, folder: Path):
        self.context, self.app, self.folder = context, app, folder
        self.opened: list[Window] = []
        self.left = ""  # by the checks at the end, before the windows close

    def __call__(self, path: str = "/", **look) -> Window:
        self.opened.append(Window(self.context, self.app.address, **look))
        return self.opened[-1].open(path)

    def leave_behind(self) -> str:
        """A text for the report: every window's URL and files, and the end of the server's log, which is kept whole too."""
        self.folder.mkdir(parents=True, exist_ok=True)
        pages = [window.leave_behind(self.folder / f"window-{n}") for n, window in enumerate(self.opened, 1)]
        log = said(self.app.log)
        kept = self.folder / "server.log"
        kept.write_text(log, "utf-8")
        return "\n".join([*pages, f"The server said ({kept}):", log[-3000:]])

    def check(self) -> None:
        """No canvas is blank, and no window has asked another host or met a script error."""
        for window in self.opened:
            window.nothing_blank()
        for window in self.opened:
            assert not window.outside, f"asked other hosts: {window.outside}"
            assert not window.errors, f"met script errors: {window.errors}"

    def close(self) -> None:
        for window in self.opened:
            window.page.close()
