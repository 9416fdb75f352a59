"""Runs the app in a separate process, for the benchmark and for tests, and uses it without a browser.

This module does not import Streamlit; only the new process does. Streamlit's agent API is off in the app's
configuration; a caller turns it on with AGENT_API.
"""

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from stiffcore.analysis import compute
from stiffcore.errors import CannotCompute

ROOT = Path(__file__).parents[2]
AGENT_API = ("--server.enableAgentApi=true", "--server.agentMaxSessions=200", "--server.agentWaitTimeout=120")
# `streamlit run` with the log of the engine, and a line in the log when torch is imported.
LAUNCH = """
import importlib.abc, logging, runpy, sys
logging.basicConfig(format="%(created).3f %(name)s: %(message)s")
logging.getLogger("stiffcore").setLevel(logging.INFO)
class Watch(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            logging.getLogger("stiffcore").info("torch is imported")
sys.meta_path.insert(0, Watch())
runpy.run_module("streamlit", run_name="__main__")
"""
_direct = urllib.request.build_opener(
    urllib.request.ProxyHandler({})
)  # a proxy cannot reach the loopback address of this machine


class AppServer:
    """``with AppServer(cache) as server``: the app at ``server.address``, with its own cache folder.

    options: for ``streamlit run``. Raises CannotCompute if the app does not start within ``patience`` seconds.
    """

    def __init__(self, cache: Path, options: Sequence[str] = (), patience: float = 60.0):
        self.cache, self.options, self.patience = Path(cache), tuple(options), patience
        self.address = ""
        self.seconds_to_start = 0.0
        handle, name = tempfile.mkstemp(prefix="stiffcore-app-", suffix=".log")
        os.close(handle)
        self._log = Path(name)
        self._process: subprocess.Popen | None = None

    def __enter__(self) -> "AppServer":
        port = free_port()
        self.address = f"http://127.0.0.1:{port}"
        look = ("--server.headless=true", "--server.address=127.0.0.1", f"--server.port={port}")
        began = time.monotonic()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", LAUNCH, "run", "app.py", *look, *self.options],
                cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                env=os.environ | {"STIFFCORE_CACHE": str(self.cache)},
            )  # fmt: skip
        try:
            while self.seconds_to_answer(2) is None:
                if self._process.poll() is not None or time.monotonic() - began > self.patience:
                    last = " / ".join(self.log().splitlines()[-2:])
                    raise CannotCompute(f"The app did not start ({last!r}): try `streamlit run app.py`.")
                time.sleep(0.02)
        except BaseException:
            self.end()
            raise
        self.seconds_to_start = time.monotonic() - began
        return self

    def __exit__(self, *unused: object) -> None:
        self.end()

    def end(self) -> None:
        """End the process and delete its log."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._log.unlink(missing_ok=True)

    def log(self) -> str:
        """The whole output of the process."""
        return self._log.read_text("utf-8", "replace")

    def computed(self) -> list[str]:
        """The results that the engine started to compute, once per start."""
        return re.findall(rf"^[\d.]+ {re.escape(compute.__name__)}: computing (.+)$", self.log(), re.MULTILINE)

    def torch_imported(self) -> float | None:
        """When the process began to import torch, in the time of time.time(); None if it has not."""
        line = re.search(r"^([\d.]+) stiffcore: torch is imported$", self.log(), re.MULTILINE)
        return float(line[1]) if line else None

    def seconds_to_answer(self, timeout: float = 60.0) -> float | None:
        """The seconds that the health endpoint takes; None if it does not answer in time."""
        began = time.monotonic()
        try:
            with _direct.open(f"{self.address}/_stcore/health", timeout=timeout) as answer:
                return time.monotonic() - began if answer.status == 200 else None
        except OSError:
            return None

    def interact(self, **request: object) -> dict:
        """One step of a session without a browser: returns the page after it has run. The first step has no session_id.

        Keywords: session_id, page, query_params, widget_state and trigger, as in the app's /_stcore/agent/openapi.json.
        Raises CannotCompute if the app refuses the step.
        """
        address = f"{self.address}/_stcore/agent/interact"
        asked = urllib.request.Request(
            address, json.dumps(request).encode(), {"Content-Type": "application/json"}, method="POST"
        )
        try:
            with _direct.open(asked, timeout=180) as answer:
                page: dict = json.load(answer)
                return page
        except urllib.error.HTTPError as error:
            said = error.read()[:300].decode("utf-8", "replace")
            raise CannotCompute(f"The app refused a step ({error.code} {said}): see its log.") from error


def free_port() -> int:
    """A free port of the loopback address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def elements(page: dict, kind: str) -> list[dict]:
    """The elements of one kind ("title", "button", "markdown" ...) of a page that ``interact`` returned, in order."""
    matching, todo = [], [page["tree"]]
    while todo:
        node = todo.pop()
        if node.get("type") == kind:
            matching.append(node)
        todo += reversed(node.get("children", []))
    return matching
