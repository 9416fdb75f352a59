"""A visitor of the app: a window through app.py, what it shows, and what it waits for."""

import re
import time
from pathlib import Path

from streamlit.testing.v1 import AppTest

from pages.shared.state import controls, service
from pages.shared.widgets import gallery
from stiffcore.analysis.requests import Request
from tests.made_up.asked import asked

ROOT = Path(__file__).parents[2]
SPECTRUM = "pages/1_Spectrum.py"
IMAGES = gallery.first_of_each_label()
ODES = "pages/7_Stiff_ODEs.py"
ODE_IMAGES = IMAGES[3:6]  # of its networks' part


class Visitor:
    """One browser window: AppTest, and the figures that its last run drew."""

    def __init__(self, figures: list, **url: str):
        self.at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
        self.figures = figures
        for name, value in url.items():
            self.at.query_params[name] = value

    def run(self, step=None) -> "Visitor":
        self.figures.clear()
        (step or self.at).run()
        assert not self.at.exception, self.at.exception
        return self

    def open(self, page: str, /, **url: str) -> "Visitor":
        """As a link does that opens a new window: the page with its parameters, and not the home page before it."""
        self.at.switch_page(page)
        for name, value in url.items():
            self.at.query_params[name] = value
        return self.run()

    def go(self, page: str, /, **url: str) -> "Visitor":
        """As a link within the session does: the next page's URL holds what the link says, and nothing else."""
        self.at.switch_page(page)
        self.at.query_params.clear()
        self.at.query_params.update(url)
        return self.run()

    @property
    def url(self) -> dict[str, str]:
        """AppTest gives lists or strings."""
        return {k: v[0] if isinstance(v, list) else v for k, v in self.at.query_params.items()}

    def texts(self, *kinds: str) -> str:
        """As visitors read them, without the backslashes and joiners of controls.escape_markdown."""
        found = "\n".join(str(element.value) for kind in kinds for element in self.at.get(kind))
        return re.sub(r"\\([\\`*_~\[\]$<>&|+=#.)-])", r"\1", found.replace(controls.JOINER, ""))

    def html(self) -> str:
        return "\n".join(element.proto.body for element in self.at.get("html"))

    def snippets(self) -> list[str]:
        """The lines under every "Python" of the page."""
        return [code.value for code in self.at.get("code") if code.value.startswith("import stiffcore as sc")]

    def button(self, key: str):
        return next((button for button in self.at.button if button.key == key), None)


def spectrum_of(*images: int, block=8, network="resnet18", convention="branch") -> list[Request]:
    return [asked(network, image, block, convention, "spectrum") for image in images]


def wait_for(condition, seconds=20.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)


def finished(page: Visitor):
    """The page, after its jobs."""

    def is_idle() -> bool:
        return not any(job.active for key in page.at.session_state["jobs"] if (job := service.job_service().find(key)))

    if "jobs" in page.at.session_state:
        wait_for(is_idle, 60)
    return page.run()


def cells(html: str) -> dict[str, list[str]]:
    """Row's name -> the texts of its cells, of every table on a page, one table's after the other's."""
    found: dict[str, list[str]] = {}
    for name, line in re.findall(r"<tr><th scope=\"row\"[^>]*>(.*?)</th>(.*?)</tr>", html):
        found.setdefault(name, []).extend(re.sub("<[^>]+>", "", cell) for cell in re.findall("<td.*?</td>", line))
    return found


def metrics(page: Visitor) -> dict[str, str]:
    """The large numbers of a page by their labels."""
    return {metric.label: metric.value for metric in page.at.metric}


def trace(figure, name: str):
    return next(trace for trace in figure.data if trace.name == name)
