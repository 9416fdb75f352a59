"""The app's benchmark: what it stores and says; one quick round of what a browser paints."""

import shutil

import numpy as np
import pytest

from stiffcore.analysis import compute as analysis
from stiffcore.benchmarks import app as benchmark_app, browser as benchmark_browser, sessions as benchmark_sessions
from stiffcore.benchmarks.app_server import elements
from stiffcore.benchmarks.timing import spread
from stiffcore.commands import main as command_line
from stiffcore.errors import CannotCompute
from tests.made_up.asked import asked


def crowd(**changed) -> dict:
    made = {
        "sessions": 50, "computations": 1, "distinct": 1, "shown": 50, "refused": 0, "seconds": 9.0, "worst_answer": 0.4,
        "answers": 80,
    }  # fmt: skip
    return made | changed


def report(**changed) -> dict:
    """As ``run`` returns it, with made-up numbers."""
    made = {
        "environment": {"streamlit": "1.2.3"},
        "first_paint": {name: spread([1.0, 3.0, 1.5]) for name in ("start", "paint", "title", "figure")}
        | {"torch_imported_before": 0},
        "large_cloud": {"points": 65_536, "drawing": spread([2.5]), "from_navigation": spread([4.0])},
        "stored_view": [{"page": "Spectrum", "first": 0.9, "seconds": spread([0.2, 0.1, 0.3])}],
        "same_spectrum": crowd(),
        "different_spectra": crowd(computations=17, distinct=17, shown=17, refused=33, worst_answer=1.5),
    }
    return made | changed


def lines(text: str) -> dict[str, str]:
    return dict(line.split("  ", 1) for line in text.splitlines() if "  " in line)


def test_each_figure_stands_beside_its_goal():
    said = lines(benchmark_app.as_text(report()))
    assert said["cold server, home: title"].strip() == "1.5 s (1 s … 3 s); goal < 2 s: met"
    assert said["65,536 points by WebGL: from the server's answer"].strip() == "2.5 s; goal < 2 s: missed"
    assert said["stored view, server: Spectrum"].strip() == "0.2 s (0.1 s … 0.3 s); goal < 0.5 s: met; first 0.9 s"
    health = said["50 sessions, different spectra: worst answer of the health endpoint"]
    assert (
        "1.5 s; goal < 1 s: missed; 17 computations, 17 sessions shown, 33 refused because the queue is full" in health
    )


def test_what_was_left_out_is_not_in_the_table():
    without = report()
    del without["first_paint"], without["large_cloud"]
    assert "cold server" not in benchmark_app.as_text(without)
    assert benchmark_app.exit_code(without) == 0


@pytest.mark.parametrize(
    "broken",
    [
        {"same_spectrum": crowd(computations=2)},
        {"same_spectrum": crowd(shown=49)},
        {"different_spectra": crowd(computations=18, distinct=17, shown=17, refused=33)},
        {"different_spectra": crowd(computations=17, distinct=17, shown=16, refused=33)},
        {"first_paint": {"torch_imported_before": 1}},
    ],
)
def test_a_broken_promise_is_an_exit_code(broken):
    assert benchmark_app.exit_code(report(**broken)) == 1
    assert benchmark_app.exit_code(report()) == 0


def test_the_large_cloud_is_a_whole_result_of_the_cache(tmp_path, monkeypatch):
    benchmark_app.store_cloud(tmp_path)
    monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path))
    values = analysis.stored(asked(*benchmark_app.LARGE, "spectrum")).arrays["eigenvalues"]
    assert len(values) == len(np.unique(values)) == 65_536


def test_without_chromium_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(CannotCompute, match="apt-get install chromium"), benchmark_browser.chromium():
        pass


def test_elements_are_found_wherever_they_stand_in_their_order():
    title, other = {"type": "title", "props": {"body": "a"}}, {"type": "title", "props": {"body": "b"}}
    tree = {
        "type": "root",
        "children": [{"type": "columns", "children": [title]}, {"type": "main", "children": [other]}],
    }
    assert elements({"tree": tree}, "title") == [title, other]


def test_health_is_watched_until_the_end_and_a_missing_answer_is_no_number():
    class Dead:
        def seconds_to_answer(self, timeout):
            return None

    with benchmark_sessions.watched_health(Dead()) as answers:
        while not answers:
            pass
    assert set(answers) == {benchmark_sessions.NEVER}


def test_the_command_has_its_help(capsys):
    with pytest.raises(SystemExit) as ended:
        command_line.main(["benchmark-app", "--help"])
    assert ended.value.code == 0
    assert "--sessions" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.browser
def test_one_round_in_a_browser(tmp_path):
    with benchmark_browser.chromium() as browser:
        found = benchmark_app.large_cloud(browser, tmp_path, lambda line: None, rounds=1)
    assert found["points"] >= 65_536
    assert 0 < found["drawing"]["median"] < found["from_navigation"]["median"]
