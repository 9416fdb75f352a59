"""What tests of the app share: a window on an app of its own, an engine that is planted, and an app with nothing shipped."""

import threading
from functools import cache

import pytest
import streamlit as st
from streamlit.components.v2 import manifest_scanner

from pages.shared.state import service
from stiffcore.analysis import compute as analysis
from stiffcore.analysis.requests import Request
from stiffcore.storage import cache as result_cache, shipped as shipped_results
from stiffcore.storage.shipped import ShippedResults
from tests.app.visitor import ODES, Visitor
from tests.made_up.spectra import made_up, store


@pytest.fixture(scope="package", autouse=True)
def one_scan_for_components():
    """Every AppTest reads the metadata of all installed packages, in search of Streamlit components: half of a test's time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_scanner, "scan_component_manifests", cache(manifest_scanner.scan_component_manifests))
        yield


@pytest.fixture
def nothing_ships(tmp_path, monkeypatch):
    """Only what a test plants is there."""
    monkeypatch.setattr(result_cache, "shipped", lambda: shipped_results.ShippedResults(tmp_path / "nothing ships"))


@pytest.fixture
def visitor(tmp_path, monkeypatch):
    """A function that opens a window on an app with an empty cache and a job service of its own."""
    monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path / "cache"))
    st.cache_resource.clear()
    figures: list = []
    draw = st.plotly_chart
    monkeypatch.setattr(st, "plotly_chart", lambda figure, **look: figures.append(figure) or draw(figure, **look))
    yield lambda **url: Visitor(figures, **url)
    service.job_service().close()
    st.cache_resource.clear()


@pytest.fixture
def engine(monkeypatch):
    """Replaces the engine by one that notes what it is asked for, and waits for ``go`` before each result."""
    asked: list[Request] = []
    places: list[str] = []
    go = threading.Event()

    def compute_many(requests, progress=None, refused=None, where="auto", **_):
        asked.append(tuple(requests))
        places.append(where)
        for done, request in enumerate(requests):
            while not go.wait(0.02):
                progress(done, len(requests), f"block {request.block}: planted stage")
            progress(done, len(requests), "planted stage")
            store(request)
            yield made_up(request)

    monkeypatch.setattr(analysis, "compute_many", compute_many)
    compute_many.asked, compute_many.places, compute_many.go = asked, places, go
    yield compute_many
    go.set()


@pytest.fixture
def open_part(visitor, tmp_path, monkeypatch):
    """A function that opens one part of the Stiff ODEs page with the choices given; nothing ships."""
    nothing = ShippedResults(tmp_path)
    monkeypatch.setattr(result_cache, "shipped", lambda: nothing)
    return lambda part, **choices: visitor().open(ODES, part=part, **choices)
