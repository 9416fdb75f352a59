"""Times contenders for the same answer in interleaved rounds; a ratio needs counts and extremes that agree."""

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from stiffcore.errors import CannotCompute

# Relative to the spectral radius: eigenvalues 0 and 1 can be defective, and are then no more accurate than this.
EXTREMES_AGREE = 1e-6

Say = Callable[[str], None]  # takes a line of progress
Interval = tuple[int, int]  # minimum and maximum; equal if nothing is undetermined
Pair = tuple[str, tuple[str, ...]]  # (slow, fast): the seconds of the fast contenders are added


@dataclass(frozen=True)
class Answer:
    """A contender's results for a spectrum, without those that it does not compute."""

    counts: dict[str, Interval] = field(default_factory=dict)  # eigenvalues by the sign of their real part
    extremes: dict[str, float] = field(default_factory=dict)  # max_re, min_re, spectral_radius
    missing: str = ""  # why an expected answer is missing


def answer_of(values: np.ndarray, zeros: int = 0, ones: int = 0) -> Answer:
    """The answer for a complete spectrum: the eigenvalues, and the numbers of further zeros and ones.

    An eigenvalue within EXTREMES_AGREE of the imaginary axis counts as near it, for every contender.
    """
    complete = np.concatenate([values, [0.0] * (zeros > 0), [1.0] * (ones > 0)])  # each structural value once
    radius = float(np.abs(complete).max(initial=0.0))
    near = EXTREMES_AGREE * radius
    counts = {
        "negative": int((values.real < -near).sum()),
        "near_axis": int((np.abs(values.real) <= near).sum()) + zeros,
        "positive": int((values.real > near).sum()) + ones,
    }
    extremes = {
        "max_re": float(complete.real.max(initial=-np.inf)),
        "min_re": float(complete.real.min(initial=np.inf)),
        "spectral_radius": radius,
    }
    return Answer({name: (count, count) for name, count in counts.items()}, extremes)


def disagreements(a: Answer, b: Answer) -> list[str]:
    """The differences between two answers, or that there is nothing to compare. Empty if they agree."""
    differences = [answer.missing for answer in (a, b) if answer.missing]
    counts, extremes = a.counts.keys() & b.counts.keys(), a.extremes.keys() & b.extremes.keys()
    if not counts and not extremes and not differences:
        differences.append("there is nothing to compare")
    for name in sorted(counts):
        (low_a, high_a), (low_b, high_b) = a.counts[name], b.counts[name]
        if max(low_a, low_b) > min(high_a, high_b):
            differences.append(f"{name} {as_interval(a.counts[name])} against {as_interval(b.counts[name])}")
    finite = [abs(x) for x in (*a.extremes.values(), *b.extremes.values()) if np.isfinite(x)]
    allowed = EXTREMES_AGREE * max(finite, default=0.0)
    differences += [
        f"{name} {a.extremes[name]:.9g} against {b.extremes[name]:.9g}"
        for name in sorted(extremes)
        if not abs(a.extremes[name] - b.extremes[name]) <= allowed  # NaN disagrees
    ]
    return differences


def as_interval(interval: Interval) -> str:
    low, high = interval
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


@dataclass(frozen=True)
class Contender:
    """A method for an answer. ``form`` builds what ``solve`` decomposes; without it ``solve`` gets None and does both."""

    name: str
    solve: Callable[[Any], Any] | None  # None: only the formation is timed
    form: Callable[[], Any] | None = None
    answer: Callable[[Any, Any], Answer] = lambda formed, solved: Answer()  # not timed


@dataclass(frozen=True)
class Run:
    """One round of one contender, in seconds; None for a stage that the contender does not have."""

    formation: float | None
    eigensolver: float | None
    together: float
    answer: Answer


@dataclass
class Comparison:
    """Contenders for the same answer, and the pairs whose ratios are reported."""

    item: str  # of the table: "1" to "5"
    title: str
    facts: dict[str, object]  # network, block, sides ...
    contenders: list[Contender]
    pairs: list[Pair]
    problem: str = ""  # why no ratio may be printed whatever the answers, for example different masks
    rounds: int | None = None  # at most this many, where one round takes very long
    runs: dict[str, list[Run]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)  # contender -> why it could not be run

    def seconds(self, names: Iterable[str], stage: str = "together") -> list[float]:
        """The sum over the contenders per round; empty if one of them did not run or has no such stage."""
        of_each = [[getattr(run, stage) for run in self.runs.get(name, [])] for name in names]
        return [sum(of_round) for of_round in zip(*of_each) if None not in of_round]

    def contradictions(self, slow: str, fast: tuple[str, ...]) -> list[str]:
        """Why a ratio must not be printed: the problem, contenders that did not run, or answers that differ."""
        names = (slow, *fast)
        reasons = [self.problem] * bool(self.problem)
        reasons += [
            f"{name} did not run: {self.refused.get(name, 'no round')}" for name in names if not self.runs.get(name)
        ]
        if not reasons:
            for of_round in zip(*(self.runs[name] for name in names)):
                for other in of_round[1:]:
                    reasons += disagreements(of_round[0].answer, other.answer)
        return list(dict.fromkeys(reasons))

    def ratio(self, slow: str, fast: tuple[str, ...], stage: str = "together") -> list[float] | None:
        """A stage of slow divided by all of fast, per round; None unless counts and extremes agree in every round."""
        if self.contradictions(slow, fast):
            return None
        return [a / b for a, b in zip(self.seconds([slow], stage), self.seconds(fast))] or None


def run_rounds(comparisons: list[Comparison], rounds: int, say: Say) -> None:
    """Run the contenders of every comparison once per round. Every second round is in reverse order, so that drift
    affects all contenders equally."""
    for number in range(rounds):
        for comparison in comparisons:
            if comparison.rounds is not None and number >= comparison.rounds:
                continue
            for contender in comparison.contenders[:: -1 if number % 2 else 1]:
                if contender.name in comparison.refused:
                    continue
                where = f"round {number + 1} of {rounds}, {comparison.title}: {contender.name}"
                say(f"{where} ...")
                try:
                    run = timed(contender)
                except CannotCompute as error:
                    comparison.refused[contender.name] = str(error)
                    say(f"{where}: {error}")
                    continue
                comparison.runs.setdefault(contender.name, []).append(run)
                say(f"{where}: {as_seconds(run.together)}")


def timed(contender: Contender) -> Run:
    """One run; the answer is evaluated after the clock has stopped."""
    formed, formation = None, None
    if contender.form is not None:
        formed, formation = clocked(contender.form)
    solved, eigensolver = None, None
    if (solve := contender.solve) is not None:
        solved, eigensolver = clocked(lambda: solve(formed))
    together = (formation or 0.0) + (eigensolver or 0.0)
    answer = contender.answer(formed, solved)
    # A contender without a formation has no separate time of its eigensolver.
    return Run(formation, eigensolver if contender.form is not None else None, together, answer)


def clocked(work: Callable[[], Any]) -> tuple[Any, float]:
    """The result of ``work`` and its seconds, including the queue of the GPU."""
    _drain()
    began = time.perf_counter()
    result = work()
    _drain()
    return result, time.perf_counter() - began


def _drain() -> None:
    import torch

    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def spread(values: list[float]) -> dict[str, object]:
    """Median, minimum and maximum, and all values in order."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "rounds": list(values)}


def as_seconds(seconds: float) -> str:
    """Three digits: 0.00123 s, 1.23 s, 123 s."""
    return f"{seconds:.0f} s" if seconds >= 100 else f"{seconds:.3g} s"


def times(value: float) -> str:
    """A ratio with three digits: 12.3×."""
    return f"{value:.0f}×" if value >= 100 else f"{value:.3g}×"


def as_spread(values: list[float], text: Callable[[float], str] = as_seconds) -> str:
    """``median (min … max)``; a single value alone."""
    if len(values) == 1:
        return text(values[0])
    return f"{text(statistics.median(values))} ({text(min(values))} … {text(max(values))})"
