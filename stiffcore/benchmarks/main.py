"""The benchmark: our spectra against the direct methods, in one process, in interleaved rounds, all in float64.

A report has built-in types only, for JSON and for ``as_text``. It has a ratio only if the counts and extremes of both
sides agree in every round; otherwise it lists the disagreements.
"""

import os
import platform
from collections.abc import Sequence
from typing import TypedDict, cast

import numba
import numpy as np
import scipy
import torch
from threadpoolctl import threadpool_info

from stiffcore import device
from stiffcore.benchmarks import card, cases, formation, slices as slice_cases
from stiffcore.benchmarks.text import STAGES, as_text
from stiffcore.benchmarks.timing import Comparison, Say, run_rounds, spread
from stiffcore.device_names import AUTO
from stiffcore.errors import CannotCompute

__all__ = ["as_text", "exit_code", "run"]


class Extent(TypedDict):
    """What is measured: network -> blocks, of items 1 and 2; ResNet18's blocks, of item 3."""

    full_spectrum: dict[str, tuple[int, ...]]
    outermost: dict[str, tuple[int, ...]]
    all_slices: tuple[int, ...]


ITEMS = ("1", "2", "3", "4", "5")
IMAGE = 0  # official test index
FULL_ROUNDS = 5
QUICK: Extent = {
    "full_spectrum": {"resnet18": (6, 8)},
    "outermost": {
        "resnet18": (4, 6, 8),
        "resnet18-untrained": (8,),
    },  # untrained: no proof, and level counts must not suffer
    "all_slices": (6, 8),
}
FULL: Extent = {
    "full_spectrum": {"resnet18": (4, 6, 8), "resnet50": (16,)},
    "outermost": {"resnet18": (2, 4, 6, 8), "resnet18-untrained": (6, 8), "resnet50": (2,)},
    "all_slices": (1, 2, 3, 4, 5, 6, 7, 8),
}
ONE_ROUND = {("resnet50", 16)}  # of item 1: the dense side takes minutes
BUSY = 0.25  # load per core before the start; above this, timings are unreliable


def run(
    full: bool,
    say: Say,
    items: Sequence[str] = ITEMS,
    rounds: int | None = None,
    only: tuple[str, Sequence[int]] | None = None,
    where: str = AUTO,
    seconds: float | None = None,
) -> dict:
    """Measure and report. full: five rounds of everything; otherwise one round of ResNet18's blocks 6 and 8, and of the
    extremes of block 4.

    say: takes lines of progress. items: items of the table, "1" to "5". only: a network and some of its blocks instead,
    without the slices and item 5. where: the device of item 5, "auto" for the first card; "cpu" stands in for one. seconds: that
    item 5 may take. Raises CannotCompute for an unknown item, or a device that is not there.
    """
    if unknown := [item for item in items if item not in ITEMS]:
        raise CannotCompute(f"Expected items among {', '.join(ITEMS)}, got {unknown[0]!r}: choose some of them.")
    extent = FULL if full else QUICK
    if only is not None:
        network, blocks = only
        extent = {"full_spectrum": {network: tuple(blocks)}, "outermost": {network: tuple(blocks)}, "all_slices": ()}
        items = [item for item in items if item not in ("3", "5")]
    rounds = 1 if {*items} == {"5"} else rounds or (FULL_ROUNDS if full else 1)  # item 5 has one
    device.use_one_thread()
    here = environment() | {"extent": "full" if full else "quick", "rounds": rounds, "image": IMAGE}
    say("; ".join(f"{name} {value}" for name, value in here.items()))
    comparisons = chosen(extent, items)
    notes = [
        f"Only one round of: {found.title}; the dense side takes minutes." for found in comparisons if found.rounds
    ]
    run_rounds(comparisons, rounds, say)
    about, on_card = card.run(full, where, say, notes, seconds) if "5" in items else ({}, [])
    load, cores = cast(float, here["load_before"]), cast(int, here["cores"])  # of these types in environment
    if load > BUSY * cores:
        notes.append(f"The machine was busy (load {load:.1f} before the start): measure again.")
    return {
        "environment": here,
        "comparisons": [described(comparison) for comparison in (*comparisons, *on_card)],
        "card": about,
        "totals": totals(comparisons),
        "memory": memory(extent["all_slices"], say) if "3" in items else [],
        "notes": notes,
    }


def exit_code(report: dict) -> int:
    """0; 1 if two sides disagreed, one did not run, or a part of item 5 failed."""
    ratios = [
        ratio for part in ("comparisons", "totals") for comparison in report[part] for ratio in comparison["ratios"]
    ]
    return int(
        any(ratio["disagreement"] for ratio in (*ratios, *report["memory"])) or bool(report["card"].get("failures"))
    )


def chosen(extent: Extent, items: Sequence[str]) -> list[Comparison]:
    """The comparisons of items 1 to 4."""
    wanted: dict[str, set[int]] = {}
    for part in (extent["full_spectrum"], extent["outermost"]):
        for network, blocks in part.items():
            wanted.setdefault(network, set()).update(blocks)
    if extent["all_slices"]:
        wanted["resnet18"] |= set(extent["all_slices"])
    if not {"1", "2", "3", "4"} & set(items):
        return []
    loaded = {network: cases.load_cases(network, sorted(blocks), IMAGE) for network, blocks in wanted.items()}
    comparisons = []
    if "1" in items:
        comparisons += [cases.full_spectrum(case) for case in _of(loaded, extent["full_spectrum"])]
    if "2" in items:
        comparisons += [cases.outermost(case) for case in _of(loaded, extent["outermost"])]
    if "3" in items:
        comparisons += [slice_cases.all_slices(loaded["resnet18"][block]) for block in extent["all_slices"]]
    if "4" in items:
        parts = (extent["full_spectrum"], extent["outermost"])
        both = {id(case): case for part in parts for case in _of(loaded, part)}
        comparisons += [formation.comparison_of(case) for case in both.values()]
    for comparison in comparisons:
        if comparison.item == "1" and (comparison.facts["network"], comparison.facts["block"]) in ONE_ROUND:
            comparison.rounds = 1
    return comparisons


def _of(loaded: dict[str, dict[int, cases.Case]], part: dict[str, tuple[int, ...]]) -> list[cases.Case]:
    return [loaded[network][block] for network, blocks in part.items() for block in blocks]


def environment() -> dict[str, object]:
    """Versions, threads and the machine."""
    pools = {
        f"{pool['internal_api']} {pool['version'] or ''}".strip(): pool["num_threads"] for pool in threadpool_info()
    }
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "numba": numba.__version__,
        "lapack": "MKL" if torch.backends.mkl.is_available() else "as torch was built",
        "precision": "float64",
        "processor": _processor(),
        "cores": device.usable_cpus(),
        "torch_threads": torch.get_num_threads(),
        "library_threads": ", ".join(f"{name}: {threads}" for name, threads in pools.items()),
        "memory_gb": round(device.available_memory() / 1e9, 1),
        "gpus": ", ".join(device.cards()) or "none",
        "load_before": os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0,
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def described(comparison: Comparison) -> dict:
    """One comparison with built-in types only."""
    contenders = []
    for contender in comparison.contenders:
        runs = comparison.runs.get(contender.name, [])
        stages = {stage: [getattr(run, stage) for run in runs if getattr(run, stage) is not None] for stage in STAGES}
        seconds = {stage: spread(values) if values else None for stage, values in stages.items()}
        answer = {"counts": runs[-1].answer.counts, "extremes": runs[-1].answer.extremes} if runs else None
        answer = None if comparison.item == "5" else answer  # thousands of numbers, which its tables do not have
        refused = comparison.refused.get(contender.name)
        contenders.append({"name": contender.name} | seconds | {"answer": answer, "refused": refused})
    described = {
        "item": comparison.item,
        "title": comparison.title,
        "facts": comparison.facts,
        "contenders": contenders,
        "ratios": [_ratio(comparison, slow, fast) for slow, fast in comparison.pairs],
    }
    if comparison.item == "4" and (shares := formation.product_shares(comparison)):
        described["times_of_its_products"] = spread(shares)
    return described


def _ratio(comparison: Comparison, slow: str, fast: tuple[str, ...]) -> dict:
    """eigensolver_alone: the eigensolver of the slow side, without its formation, divided by all of the fast side."""
    values, alone = comparison.ratio(slow, fast), comparison.ratio(slow, fast, "eigensolver")
    pair = {"slow": slow, "fast": list(fast), "ratio": values and spread(values)}
    return pair | {
        "eigensolver_alone": alone and spread(alone),
        "disagreement": comparison.contradictions(slow, fast),
    }


def totals(comparisons: list[Comparison]) -> list[dict]:
    """The slices of all blocks together: seconds of each contender, and ratios if the answers agree at every block."""
    parts = [comparison for comparison in comparisons if comparison.item == "3"]
    if len(parts) < 2:
        return []
    blocks = ", ".join(str(part.facts["block"]) for part in parts)
    sums = {
        contender.name: {stage: _summed(parts, contender.name, stage) for stage in STAGES}
        for contender in parts[0].contenders
    }
    contenders: list[dict[str, object]] = [
        {"name": name, "answer": None, "refused": None}
        | {stage: spread(values) if values else None for stage, values in of_stage.items()}
        for name, of_stage in sums.items()
    ]
    ratios = []
    for slow, fast in parts[0].pairs:
        why = [f"{part.title}: {text}" for part in parts for text in part.contradictions(slow, fast)]
        ratio: dict[str, object] = {"slow": slow, "fast": list(fast), "ratio": None, "eigensolver_alone": None}
        ratio["disagreement"] = why
        below = [sum(of_round) for of_round in zip(*(sums[name]["together"] for name in fast))]
        for key, stage in (("ratio", "together"), ("eigensolver_alone", "eigensolver")):
            values = [a / b for a, b in zip(sums[slow][stage], below)]
            ratio[key] = spread(values) if values and not why else None
        ratios.append(ratio)
    title = f"slices of {parts[0].facts['network']} blocks {blocks} together"
    return [{"item": "3", "title": title, "facts": {}, "contenders": contenders, "ratios": ratios}]


def _summed(parts: list[Comparison], name: str, stage: str) -> list[float]:
    """Seconds of one contender's stage over all blocks, per round."""
    return [sum(of_round) for of_round in zip(*(part.seconds([name], stage) for part in parts))]


def memory(blocks: Sequence[int], say: Say) -> list[dict]:
    """The peak memory of both sides above the baseline, each in a process of its own."""
    say("memory of the slices, each side in a new process ...")
    measured, why = slice_cases.peaks("resnet18", blocks, IMAGE)
    share = None if why else measured[1].bytes / measured[0].bytes
    sides = [{"name": peak.name, "blocks": list(peak.blocks), "bytes": peak.bytes} for peak in measured]
    title = "peak memory above the baseline for the slices of resnet18"
    return [{"item": "3", "title": title, "sides": sides, "share": share, "disagreement": why}]
