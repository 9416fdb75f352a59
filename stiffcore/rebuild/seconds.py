"""How long a result takes: means of the seconds that earlier rebuilds measured, else the general estimate. Imports no torch.

seconds.json: ``network convention level`` -> block -> seconds on one core. Every rebuilt file of rows writes its own.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from stiffcore.analysis import estimate
from stiffcore.analysis.requests import Request
from stiffcore.files import write_replaced

PATH = Path(__file__).with_name("seconds.json")


def measured(path: Path = PATH) -> dict[str, dict[str, float]]:
    """The file; empty where it is missing."""
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


def of(requests: Iterable[Request]) -> float:
    """Seconds of one core, of all requests together."""
    known = measured()
    cost: dict[tuple[str, str, str, int], float] = {}
    total = 0.0
    for request in requests:
        # A run's checkpoints are called resnet20-seed-0-epoch-3.
        at = request.network.name.partition("-seed-")[0], str(request.convention), request.quantity, request.block
        if at not in cost:
            by_block = known.get(" ".join(at[:3]), {})
            cost[at] = by_block.get(str(request.block)) or estimate.seconds(request)
        total += cost[at]
    return total


def note(network: str, convention: str, quantity: str, by_block: dict[int, float], path: Path = PATH) -> None:
    """Writes the means that were just measured; other blocks keep theirs."""
    known = measured(path)
    name = f"{network} {convention} {quantity}"
    together = known.get(name, {}) | {str(block): round(value, 2) for block, value in by_block.items()}
    known[name] = dict(sorted(together.items(), key=lambda item: int(item[0])))
    lines = (f"{json.dumps(key)}: {json.dumps(known[key])}" for key in sorted(known))
    write_replaced(path, ("{\n" + ",\n".join(lines) + "\n}\n").encode())
