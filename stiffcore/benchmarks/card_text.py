"""Item 5 as tables in Markdown, for the terminal and for the README, from the report as JSON has it. Imports no torch."""

import json
from collections.abc import Callable
from pathlib import Path

from stiffcore.benchmarks.timing import as_seconds, times

KEPT = Path(__file__).with_name("gpu.json")  # of the last card that ran tests/gpu.sh; absent until one has
FORMING, SLICES, SWEEP = "forming", "slices", "sweep"
BY_BLOCK = (FORMING, "all eigenvalues", "full spectrum with its checks", "extremes", "proved count")


def kept(path: Path = KEPT) -> str:
    """The tables of a card's report, with its notes, for example that the machine was busy; "" where there is none, or no card."""
    if not path.exists():
        return ""
    report = json.loads(path.read_text("utf-8"))
    if not report["card"]:
        return ""
    return as_markdown(report) + "".join(f"\n{note}\n" for note in report["notes"])


def as_markdown(report: dict) -> str:
    """Where it was measured, a table by block, a table of what is counted an image, what was left out, and notes."""
    card, here = report["card"], report["environment"]
    parts = [part for part in report["comparisons"] if part["item"] == "5"]
    rates = {side: _flops(rate) for side, rate in card["gflop_per_second"].items()}
    intro = (
        f"{card['name']} beside {card['host_threads']} threads of {here['processor']}, torch {here['torch']}, float64 on both sides, test "
        f"image {here['image']}, the host's time in brackets; a ratio stands only where both sides agree. A float64 product reaches "
        f"{rates['card']} on the card and {rates['host']} on the host.\n\n"
    )
    left = _listed("Not measured", [*card["left_out"], *card["failures"]]) + _listed("Notes", card["notes"])
    return _of_tests(report.get("tests")) + intro + _by_block(parts, card) + "\n" + _an_image(parts) + left


def _of_tests(tests: dict | None) -> str:
    """How many tests passed, failed and were skipped; "" where none ran."""
    if not tests or not (tests["passed"] or tests["failed"]):
        return ""
    failed = f", {len(tests['failed'])} failed" if tests["failed"] else ""
    skipped = f", {tests['skipped']} skipped" if tests["skipped"] else ""
    return f"{tests['passed']} tests that need a card passed on it{failed}{skipped}. "


def _listed(title: str, notes: list[str]) -> str:
    return f"\n{title}:\n\n" + "".join(f"- {note}\n" for note in notes) if notes else ""


def _by_block(parts: list[dict], card: dict) -> str:
    blocks: dict[tuple[int, str], dict[str, dict]] = {}
    for part in parts:
        if part["facts"]["what"] in BY_BLOCK:
            of_block = blocks.setdefault((part["facts"]["core_side"], part["facts"]["title"]), {})
            of_block[part["facts"]["what"]] = part
    rows = [
        [title, f"{side:,}", _cell(found.get(FORMING)), _rate(found.get(FORMING), card)]
        + [_cell(found.get(what)) for what in BY_BLOCK[1:]]
        for (side, title), found in sorted(blocks.items())
    ]
    return _table(["block", "core's side", FORMING, "its rate, of a product's", *BY_BLOCK[1:]], rows)


def _an_image(parts: list[dict]) -> str:
    rows = []
    for part in parts:
        if part["facts"]["what"] == SLICES:
            rows.append([f"slices of {part['facts']['title']}, seconds an image", *_sides(part, as_seconds)])
        elif part["facts"]["what"] == SWEEP:
            title = f"sweep of {part['facts']['title']} under slices, images a minute"
            rows.append([title, *_sides(part, lambda seconds: f"{60 / seconds:.3g}")])
    return _table(["an image", "with the card", "host alone", "ratio"], rows)


def _sides(part: dict, text: Callable[[float], str]) -> list[str]:
    both = [_seconds(contender) for contender in part["contenders"]]
    return [*("–" if seconds is None else text(seconds) for seconds in both), _ratio(part)]


def _cell(part: dict | None) -> str:
    """``1.2 s (16 s): 13×``."""
    if part is None or (card := _seconds(part["contenders"][0])) is None:
        return "–"
    if len(part["contenders"]) == 1 or (host := _seconds(part["contenders"][1])) is None:
        return as_seconds(card)
    return f"{as_seconds(card)} ({as_seconds(host)}): {_ratio(part)}"


def _seconds(contender: dict) -> float | None:
    return contender["together"] and float(contender["together"]["median"])


def _ratio(part: dict) -> str:
    (ratio,) = part["ratios"]
    return times(ratio["ratio"]["median"]) if ratio["ratio"] else "no ratio, the sides differ"


def _rate(part: dict | None, card: dict) -> str:
    """Of the products with which the core was formed on the card, and its share of a large product's."""
    if part is None or not (seconds := _seconds(part["contenders"][0])):
        return "–"
    rate = part["facts"]["gflop"] / seconds
    return f"{_flops(rate)}, {100 * rate / card['gflop_per_second']['card']:.0f} %"


def _flops(gflop: float) -> str:
    return f"{gflop / 1e3:.3g} Tflop/s" if gflop >= 1e3 else f"{gflop:.3g} Gflop/s"


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
