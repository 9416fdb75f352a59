"""Fifty visitors at once, on a real server with the real engine: sessions of Streamlit's agent API, which is on only here.

A browser for each of them would not fit on a small machine; what the server does is the same.
"""

import pytest

from stiffcore.benchmarks import app_server, sessions as benchmark_sessions
from stiffcore.images import cifar10

SESSIONS = 50
QUICK = ("resnet18", 8)  # network, block: a spectrum takes about a second
IMAGES = cifar10.bundled()[-4:]  # none of their spectra ships


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with app_server.AppServer(tmp_path_factory.mktemp("cache"), app_server.AGENT_API) as started:
        yield started


def test_the_agent_api_is_off_unless_asked_for():
    options = (app_server.ROOT / ".streamlit" / "config.toml").read_text("utf-8")
    assert "agent" not in options.lower()


@pytest.mark.slow
def test_fifty_sessions_that_ask_for_the_same_spectrum_cause_one_computation(server):
    crowd = benchmark_sessions.crowd(server, *QUICK, [IMAGES[0]] * SESSIONS)
    assert len(crowd.begun) == 1, crowd.begun
    assert f"image={IMAGES[0]}," in crowd.begun[0]
    assert crowd.shown == SESSIONS
    assert crowd.refused == 0
    assert benchmark_sessions.NEVER not in crowd.answers


@pytest.mark.slow
def test_the_server_answers_while_sessions_compute_different_spectra(server):
    crowd = benchmark_sessions.crowd(server, *QUICK, IMAGES[1:])
    assert len(set(crowd.begun)) == len(crowd.begun) == len(IMAGES) - 1
    assert crowd.shown == len(IMAGES) - 1
    assert len(crowd.answers) > 3
    assert benchmark_sessions.NEVER not in crowd.answers
