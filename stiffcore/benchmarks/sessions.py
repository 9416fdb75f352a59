"""Many visitors at once: sessions without a browser press Compute together, while the server's health is asked for.

Each session opens the Spectrum page at an image whose spectrum is not stored, all at once; then all press the button. Asked
for the same spectrum they have to share one computation; whatever they ask for, the server has to answer meanwhile.
"""

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from stiffcore.benchmarks import app_server
from stiffcore.benchmarks.app_server import AppServer

LOOK_AT_HEALTH_EVERY = 0.05  # seconds
POLL = 1.0  # seconds between two looks at a computation, as in the browser
NEVER = float("inf")


@dataclass(frozen=True)
class Crowd:
    """What became of sessions that pressed Compute together.

    begun: what the engine began to compute, each as often as it did. shown: sessions that drew their spectrum in the end.
    refused: sessions that were told in a sentence that the queue is full. answers: seconds of the health endpoint, all of
    them while the sessions were at work; infinite where it did not answer. seconds: from the first press to the last spectrum.
    """

    sessions: int
    begun: tuple[str, ...]
    shown: int
    refused: int
    answers: tuple[float, ...]
    seconds: float


def crowd(server: AppServer, network: str, block: int, images: Sequence[int]) -> Crowd:
    """A session for each image (the same one may be named often), under ``branch``. The server needs app_server.AGENT_API."""
    view = {"network": [network], "convention": ["branch"], "blocks": [str(block)]}
    before = len(server.computed())

    def open_page(image: int) -> dict:
        return server.interact(page="Spectrum", query_params=view | {"images": [str(image)]})

    def press(page: dict) -> dict:
        return server.interact(session_id=page["session_id"], trigger={"key": "compute"})

    with watched_health(server) as answers, ThreadPoolExecutor(len(images)) as pool:
        opened = list(pool.map(open_page, images))
        began = time.monotonic()
        pressed = list(pool.map(press, opened))
        # One session of each computation looks how far it is: more would only load the server.
        waiting = list({image: page for image, page in zip(images, pressed)}.values())
        while waiting := [page for page in waiting if _has(page, "cancel")]:
            time.sleep(POLL)
            waiting = [_again(server, page) for page in waiting]
        ended = list(pool.map(lambda page: _again(server, page), pressed))
        seconds = time.monotonic() - began
    refused = sum("Queue full" in _errors(page) for page in pressed)
    shown = sum(bool(app_server.elements(page, "plotly_chart")) for page in ended)
    return Crowd(len(images), tuple(server.computed()[before:]), shown, refused, tuple(answers), seconds)


def _again(server: AppServer, page: dict) -> dict:
    return server.interact(session_id=page["session_id"])


def _has(page: dict, key: str) -> bool:
    return any(action["key"] == key for action in page["actions"])


def _errors(page: dict) -> str:
    return " ".join(str(element["props"].get("body")) for element in app_server.elements(page, "error"))


@contextlib.contextmanager
def watched_health(server: AppServer) -> Iterator[list[float]]:
    """Asks the health endpoint again and again, in a thread; the list holds the seconds of every answer."""
    answers: list[float] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(LOOK_AT_HEALTH_EVERY):
            seconds = server.seconds_to_answer(30)
            answers.append(NEVER if seconds is None else seconds)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield answers
    finally:
        ended.set()
        thread.join(60)
