"""The speed of the app: first paint of a cold server, stored views, large clouds in Chromium, many sessions at once.

The app runs in a separate process with its own cache folder; see app_server.py. A report has built-in types only.
"""

import importlib.metadata
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stiffcore.analysis.requests import ALGORITHM, Request
from stiffcore.analysis.results import Result
from stiffcore.benchmarks import app_server, browser as benchmark_browser, main as benchmark, sessions
from stiffcore.benchmarks.app_server import AppServer
from stiffcore.benchmarks.timing import as_seconds, as_spread, clocked, spread
from stiffcore.conventions import Convention
from stiffcore.images import cifar10, registry as images
from stiffcore.networks import registry as networks
from stiffcore.storage import cache as result_cache

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SERVERS, CLOUDS, VIEWS = 5, 5, 5  # rounds of the first three measurements
SESSIONS = 50
GOALS = {"title": 2.0, "stored view": 0.5, "drawing": 2.0, "health": 1.0}  # seconds, each of them an upper bound
LARGE = (
    "resnet50",
    0,
    2,
    Convention.BRANCH,
)  # network, image, block, convention: 65,536 eigenvalues; no shipped spectrum is that large
QUICK = ("resnet18", 8)  # network, block: a new spectrum takes about a second

Say = Callable[[str], None]


def run(say: Say, browser: bool = True, n_sessions: int = SESSIONS) -> dict:
    """Measure everything and report. browser: False to skip the measurements that need Chromium.

    Raises CannotCompute if the app does not start, or if Chromium or Playwright is missing.
    """
    report: dict = {"environment": environment(), "goals_seconds": GOALS}
    with tempfile.TemporaryDirectory(prefix="stiffcore-benchmark-") as folder:
        if browser:
            with benchmark_browser.chromium() as chromium:
                report["environment"]["chromium"] = chromium.version
                report["first_paint"] = first_paint(chromium, Path(folder), say)
                report["large_cloud"] = large_cloud(chromium, Path(folder), say)
        with AppServer(Path(folder) / "sessions", app_server.AGENT_API) as server:
            report["stored_view"] = stored_view(server, say)
            report["same_spectrum"], report["different_spectra"] = crowds(server, n_sessions, say)
    return report


def environment() -> dict[str, object]:
    """The versions and the machine."""
    versions = {name: importlib.metadata.version(name) for name in ("streamlit", "plotly", "pandas")}
    return benchmark.environment() | versions | {"date": time.strftime("%Y-%m-%d")}


def first_paint(chromium: "Browser", folder: Path, say: Say, servers: int = SERVERS) -> dict:
    """The home page in a new server and a new browser window, several times.

    torch_imported_before: the number of rounds in which the server imported torch before the figure was drawn.
    """
    times, early = [], 0
    for at in range(servers):
        with AppServer(folder / f"cold {at}") as server:
            context = chromium.new_context(viewport={"width": 1280, "height": 900})
            began = time.time()
            seen = benchmark_browser.seconds_to_paint(context, server.address, "figure")
            context.close()
            imported = server.torch_imported()
            early += imported is not None and imported < began + seen["figure"]
            times.append(seen | {"start": server.seconds_to_start})
        say(f"cold server {at + 1} of {servers}: title {seen['title']:.2f} s, figure {seen['figure']:.2f} s")
    names = ("start", "paint", "title", "figure")
    return {name: spread([of_round[name] for of_round in times]) for name in names} | {"torch_imported_before": early}


def large_cloud(chromium: "Browser", folder: Path, say: Say, rounds: int = CLOUDS) -> dict:
    """A made-up spectrum of 65,536 eigenvalues: seconds until WebGL has painted, from the server's answer and from the
    navigation."""
    cache = folder / "large"
    store_cloud(cache)
    network, image, block, convention = LARGE
    view = f"network={network}&blocks={block}&convention={convention}&images={image}"
    address = f"/Spectrum?{view}&marks=points"  # by default so many are drawn as a density
    times = []
    with AppServer(cache) as server:
        context = chromium.new_context(viewport={"width": 1280, "height": 900})
        benchmark_browser.seconds_to_paint(context, server.address, "figure")  # a visitor who has seen the home page
        for at in range(rounds):
            times.append(benchmark_browser.seconds_to_paint(context, server.address + address, "webgl"))
            say(f"large cloud {at + 1} of {rounds}: painted {times[-1]['webgl']:.2f} s after the navigation")
        context.close()
    return {
        "points": int(times[-1]["points"]),
        "drawing": spread([of_round["webgl"] - of_round["answer"] for of_round in times]),
        "from_navigation": spread([of_round["webgl"] for of_round in times]),
    }


def store_cloud(cache: Path) -> None:
    """Store a spectrum of random numbers, of the size of LARGE, in a cache folder that the app will use."""
    network, image, block, convention = LARGE
    large = Request(networks.find(network), images.find(image), block, convention, "spectrum")
    n = large.geometry.n_in
    half = np.random.default_rng(0).normal(size=(n // 2, 2)) @ [0.3, 0.3j]
    values = np.concatenate([half, half.conj()])
    extremes = {"max_re": float(values.real.max()), "min_re": float(values.real.min()), "n_eigenvalues": n}
    key = large.key
    made = {
        "weights": large.network.weights_sha256, "image_sha256": large.image.sha256,
        "predicted": 0, "loss": 0.0, "algorithm": ALGORITHM, "device": "made up", "precision": "float64",
        "threads": 1, "seconds": 0.0, "date": "", "key": key, "quantity": large.quantity,
    }  # fmt: skip
    result = Result(large, extremes, {}, {"eigenvalues": values}, {}, made)
    stored = result_cache.ResultCache(cache)
    stored.put(key, result.header(), result.arrays)
    stored.close()


def stored_view(server: AppServer, say: Say, rounds: int = VIEWS) -> list[dict]:
    """Every page as a new session opens it: the server's time until the page has run and is written as the API's JSON.

    first: seconds of the first session, which reads the shipped results; seconds: those of the later sessions.
    """
    views = []
    for page in server.interact()["pages"]:
        opened = lambda page=page: server.interact(page=page["url_path"])  # noqa: E731
        first, *seconds = (clocked(opened)[1] for _ in range(1 + rounds))
        say(f"stored view {page['title']}: {as_seconds(statistics.median(seconds))}")
        views.append({"page": page["title"], "first": first, "seconds": spread(seconds)})
    return views


def crowds(server: AppServer, n_sessions: int, say: Say) -> tuple[dict, dict]:
    """Sessions that ask for the same new spectrum, and sessions that each ask for another one."""
    last = cifar10.bundled()[-n_sessions - 1 :]  # none of these ships
    reports = []
    for title, asked in (("the same spectrum", [last[0]] * n_sessions), ("different spectra", last[1:])):
        crowd = sessions.crowd(server, *QUICK, asked)
        reports.append(
            {
                "sessions": crowd.sessions, "computations": len(crowd.begun), "distinct": len(set(crowd.begun)),
                "shown": crowd.shown, "refused": crowd.refused, "seconds": crowd.seconds,
                "worst_answer": max(crowd.answers), "answers": len(crowd.answers),
            }
        )  # fmt: skip
        say(f"{n_sessions} sessions, {title}: {len(crowd.begun)} computations, {as_seconds(crowd.seconds)}")
    return reports[0], reports[1]


def exit_code(report: dict) -> int:
    """0; 1 if a spectrum was computed twice, a session got no answer, or torch was imported before the first figure.
    These do not depend on the speed of the machine."""
    same, different = report["same_spectrum"], report["different_spectra"]
    broken = same["computations"] != 1 or same["shown"] != same["sessions"]
    broken |= different["computations"] != different["distinct"]
    broken |= different["shown"] + different["refused"] != different["sessions"]
    return int(broken or bool(report.get("first_paint", {}).get("torch_imported_before")))


def as_text(report: dict) -> str:
    """The machine, then a line for each measurement with its goal."""
    lines = [f"{name:16} {value}" for name, value in report["environment"].items()]
    lines += ["", "Seconds: median (minimum … maximum).", ""]
    rows = [_row(*row) for row in _rows(report)]
    width = max(len(name) for name, _ in rows)
    return "\n".join([*lines, *(f"{name.ljust(width)}  {text}" for name, text in rows)])


def _row(name: str, rounds: list[float], goal: str = "", note: str = "") -> tuple[str, str]:
    limit = GOALS.get(goal)
    judged = "" if limit is None else f"goal < {limit:g} s: {'met' if statistics.median(rounds) < limit else 'missed'}"
    return name, "; ".join(filter(None, (as_spread(rounds), judged, note)))


def _rows(report: dict) -> list[tuple]:
    """Name, seconds, goal and note of each line."""
    rows = []
    if cold := report.get("first_paint"):
        early = cold["torch_imported_before"]
        torch = f"torch imported before it in {early} rounds" if early else "torch not imported before it"
        rows += [
            ("server starts", cold["start"]["rounds"]),
            ("cold server, home: first paint of the window", cold["paint"]["rounds"]),
            ("cold server, home: title", cold["title"]["rounds"], "title"),
            ("cold server, home: figure", cold["figure"]["rounds"], "", torch),
        ]
    if large := report.get("large_cloud"):
        name = f"{large['points']:,} points by WebGL"
        rows.append((f"{name}: from the server's answer", large["drawing"]["rounds"], "drawing"))
        rows.append((f"{name}: from the navigation", large["from_navigation"]["rounds"]))
    for view in report["stored_view"]:
        note = f"first {as_seconds(view['first'])}"
        rows.append((f"stored view, server: {view['page']}", view["seconds"]["rounds"], "stored view", note))
    for name in ("same_spectrum", "different_spectra"):
        crowd = report[name]
        note = (
            f"{crowd['computations']} computations, {crowd['shown']} sessions shown, {crowd['refused']} refused because "
            f"the queue is full, {as_seconds(crowd['seconds'])} in all"
        )
        title = f"{crowd['sessions']} sessions, {name.replace('_', ' ')}: worst answer of the health endpoint"
        rows.append((title, [crowd["worst_answer"]], "health", note))
    return rows
