"""Golden values: metrics of the weights that ship at a few images, in a file that the tests compute again.

They change only with the weights, the version of the algorithm, or by mistake.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from stiffcore import device_names
from stiffcore.analysis import compute as analysis
from stiffcore.analysis.requests import ALGORITHM, Request
from stiffcore.conventions import Convention
from stiffcore.files import write_replaced
from stiffcore.images import registry as images
from stiffcore.networks import registry as networks
from stiffcore.rebuild.target import Need, Target, Workers, same_weights

PATH = Path(__file__).resolve().parents[2] / "tests" / "analysis" / "golden.json"
SECONDS = 60.0  # of one core
Case = tuple[str, int, int, str]  # network, image, block, convention
CASES: dict[Case, tuple[str, ...]] = {  # -> metrics
    ("resnet18", 0, 8, "block"): ("max_re", "min_re", "n_negative", "n_zero", "n_one"),
    ("resnet18", 0, 8, "branch"): (
        "stiffness_index", "percent_negative", "n_negative", "n_zero", "largest_stable_step", "outside_euler",
    ),
    ("resnet18", 0, 8, "slices"): (
        "stiffness_index", "percent_negative", "n_negative", "n_zero", "expected_percent_negative",
    ),
    ("resnet18", 0, 7, "block"): ("largest_singular_value", "smallest_singular_value"),
    ("resnet18-shuffled", 0, 8, "branch"): ("max_re", "min_re", "n_negative"),
    ("resnet34", 0, 13, "slices"): ("stiffness_index", "n_negative", "n_zero"),
    ("resnet50", 11, 16, "block"): ("max_re", "n_negative", "n_zero", "n_one"),
    ("resnet50", 11, 16, "branch"): ("max_re", "min_re", "n_zero"),
}  # fmt: skip


def request(case: Case) -> Request:
    network, image, block, convention = case
    return Request(networks.find(network), images.find(image), block, Convention(convention), "counts")


def values(cases: dict[Case, tuple[str, ...]], workers: Workers | None = None) -> list[dict]:
    """The cases computed, not taken from what is stored: network, image, block, convention and metrics by their names."""
    found = []
    for at, (case, names) in enumerate(cases.items()):
        if workers is not None:
            workers.step(at, len(cases), f"golden values: block {case[2]} of {case[0]}")
        (result,) = analysis.compute_many([request(case)], again=True, where=device_names.CPU)
        made = dict(zip(("network", "image", "block", "convention"), case, strict=True))
        found.append(made | {"metrics": {name: result.metrics[name] for name in names}})
    return found


def read(path: Path = PATH) -> dict:
    """The file: algorithm, weights (network -> hash) and cases; empty where it is missing or damaged."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


@dataclass(frozen=True)
class Golden(Target):
    path: Path = PATH

    @property
    def networks(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(network for network, *_ in CASES))

    def need(self) -> Need:
        content = read(self.path)
        if not content:
            return Need((f"{self.path.name} is not there, or damaged",), len(CASES), SECONDS)
        noted = content.get("weights", {})
        said = [same_weights(name, noted.get(name), networks.find(name)) for name in self.networks]
        if content.get("algorithm") != ALGORITHM:
            said.append(f"computed by version {content.get('algorithm')} of the algorithm, now {ALGORITHM}")
        names = ("network", "image", "block", "convention")
        there = {tuple(case[name] for name in names): tuple(case["metrics"]) for case in content.get("cases", [])}
        if there != CASES:
            said.append("its list of cases is another one")
        reasons = tuple(filter(None, said))
        return Need(reasons, len(CASES), SECONDS) if reasons else Need()

    def everything(self) -> Need:
        return Need(("",), len(CASES), SECONDS)

    def make(self, workers: Workers) -> None:
        weights = {name: networks.find(name).weights_sha256 for name in self.networks}
        content = {"algorithm": ALGORITHM, "weights": weights, "cases": values(CASES, workers)}
        write_replaced(self.path, (json.dumps(content, indent=1) + "\n").encode())
