"""Does stiffness explain adversarial examples? A rule on intervals, and the sentence that it gives. Needs no torch.

The rule. For each reading of stiffness (S and P by convention, s) the partial r with the smallest perturbation is read at every
block with at least FEWEST images. A reading

    holds            if at more than half of its blocks the 95 % interval lies beyond EXPLAINS on the same side, and the adjusted p
                     is below 0.05
    does not hold    if at every block the interval lies within −EXPLAINS … EXPLAINS
    not shown        otherwise: too few images, or intervals that reach EXPLAINS at some blocks only

The whole question holds if one reading does, and does not hold if none of them does; else it is not shown.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from stiffcore.adversarial.relation import FEWEST, GIVEN, MEASURES, OUTCOMES
from stiffcore.statistics.correlation import SIGNIFICANT

EXPLAINS = 0.3  # r: 9 % of the variance of the ranks; Cohen's (1988) medium effect
HOLDS, FAILS, OPEN = "holds", "does not hold", "not shown"
RULE = (
    f"A reading of stiffness explains the smallest perturbation if at more than half of its blocks the 95 % interval of the partial r "
    f"lies beyond ±{EXPLAINS} (9 % of the variance of the ranks) on one side with an adjusted p below {SIGNIFICANT}; it does not if every "
    f"interval lies within ±{EXPLAINS}; else it is not shown. Blocks with fewer than {FEWEST} images do not count."
)


@dataclass(frozen=True)
class Verdict:
    """word: HOLDS, FAILS or OPEN. answer: for which readings, and which have no verdict; numbers: the largest r. readings: measure -> its word, of those judged."""

    word: str
    answer: str
    numbers: str
    readings: dict[str, str]

    @property
    def head(self) -> str:
        """``Not shown.``"""
        return f"{self.word.capitalize()}."

    @property
    def sentence(self) -> str:
        return f"{self.answer} {self.numbers}".strip()


def of(table: pd.DataFrame, outcome: str = "pgd_radius") -> Verdict:
    """The verdict on a table of ``relation.table``, and the sentence."""
    cells = table[table["measure"].map(lambda name: MEASURES[name].stiffness)]
    judged = cells[(cells["n"] >= FEWEST) & cells["partial_low"].notna()]
    if judged.empty:
        few = f"No reading of stiffness has {FEWEST} images with a smallest perturbation at any block."
        return Verdict(OPEN, few, "", {})
    readings = {str(name): _reading(part) for name, part in judged.groupby("measure", sort=False)}
    words = set(readings.values())
    word = HOLDS if HOLDS in words else FAILS if words == {FAILS} else OPEN
    answer = f"{_answer(judged, readings)} {_not_judged(cells, readings)}".strip()
    return Verdict(word, answer, _numbers(table, judged, outcome), readings)


def _reading(cells: pd.DataFrame) -> str:
    """The word of one measure, from its blocks."""
    significant = cells["partial_p_adjusted"] < SIGNIFICANT
    beyond = (cells["partial_low"] > EXPLAINS, cells["partial_high"] < -EXPLAINS)
    if any((side & significant).mean() > 0.5 for side in beyond):
        return HOLDS
    return FAILS if (_reach(cells) < EXPLAINS).all() else OPEN


def _reach(cells: pd.DataFrame) -> pd.Series:
    """The larger end of an interval, in size."""
    return cells[["partial_low", "partial_high"]].abs().max(axis=1)


def _answer(judged: pd.DataFrame, readings: dict[str, str]) -> str:
    """``P (slices): does not hold (298 images). S and P (branch): not decided (93 to 298 images).``"""
    parts = []
    for word in (HOLDS, FAILS, OPEN):
        names = [name for name, said in readings.items() if said == word]
        if names:
            said = "not decided" if word == OPEN else word
            parts.append(f"{_titles(names)}: {said} ({_images(judged, names)}).")
    return " ".join(parts)


def _not_judged(cells: pd.DataFrame, readings: dict[str, str]) -> str:
    """The readings without a verdict, and why: ``s (branch): only 38 images, no verdict.``"""
    why: dict[str, list[str]] = {}
    for name, part in cells[~cells["measure"].isin(readings)].groupby("measure", sort=False):
        n = int(part["n"].max())
        reason = "not computed" if not n else f"only {n:,} images" if n < FEWEST else "undefined"
        why.setdefault(reason, []).append(str(name))
    return " ".join(f"{_titles(names)}: {reason}, no verdict." for reason, names in why.items())


def _numbers(table: pd.DataFrame, judged: pd.DataFrame, outcome: str) -> str:
    """The largest r among the readings with a verdict, which are named: other measures of the table may have larger ones."""
    raw, given = (judged.loc[judged[name].abs().idxmax()] for name in ("r", "partial_r"))
    symbols = listed(list(dict.fromkeys(MEASURES[name].symbol for name in judged["measure"])))
    return (
        f"Of {symbols} at blocks with at least {FEWEST} images, the largest partial r with the smallest {OUTCOMES[outcome]} is "
        f"{_interval(given)}, of {_where(given)}; the largest raw r, {signed(raw['r'])} of {_where(raw)}, is {_interval(raw)} {GIVEN}."
        f"{_margin(table)}"
    )


def _where(cell: pd.Series) -> str:
    return f"{MEASURES[cell['measure']].title} at block {cell['block']}"


def _interval(cell: pd.Series) -> str:
    """The partial r and its interval."""
    return f"{signed(cell['partial_r'])} ({signed(cell['partial_low'])} to {signed(cell['partial_high'])})"


def _images(judged: pd.DataFrame, names: list[str]) -> str:
    counts = sorted({int(n) for n in judged.loc[judged["measure"].isin(names), "n"]})
    return f"{counts[0]:,} images" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,} images"


def _margin(table: pd.DataFrame) -> str:
    """What the margin alone gives, for comparison."""
    found = table[(table["measure"] == "margin") & table["r"].notna()]
    return "" if found.empty else f" The margin alone has a raw r of {signed(found['r'].iloc[0])}."


def _titles(names: list[str]) -> str:
    """``S (slices), S and P (branch)``."""
    symbols: dict[str, list[str]] = {}
    for name in names:
        symbols.setdefault(str(MEASURES[name].convention), []).append(MEASURES[name].symbol)
    return ", ".join(f"{listed(of)} ({convention})" for convention, of in symbols.items())


def listed(names: list[str]) -> str:
    """``a, b and c``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def signed(r: float) -> str:
    """``−0.14``; ``+0.20``."""
    rounded = 0.0 if np.isnan(r) else round(float(r), 2) + 0.0
    return f"{rounded:{'+' if rounded else ''}.2f}".replace("-", "−")
