"""A correlation in words: r, its interval and p, and what is left of it given live fraction and label."""

from collections.abc import Mapping

import pandas as pd

from stiffcore.paper.estimate import signed
from stiffcore.statistics import correlation, tables

GIVEN = "given live fraction and label"


def p_value(name: str, p: float) -> str:
    return f"{name} < 0.001" if p < 0.001 else f"{name} = {p:.3f}"


def interval(low: float, high: float) -> str:
    return "" if pd.isna(low) else f"95 % interval {signed(low)} to {signed(high)}"


def sure(cell: Mapping) -> str:
    """“95 % interval −0.16 to −0.03; p = 0.002, adjusted p = 0.005”; the p of all blocks is not adjusted."""
    p = p_value("p", cell["p"])
    if cell["block"] == tables.ALL:
        p += " by permuting images"
    elif not pd.isna(cell["p_adjusted"]):
        p += f", adjusted {p_value('p', cell['p_adjusted'])}"
    return "; ".join(filter(None, [interval(cell["low"], cell["high"]), p]))


def given(cell: Mapping) -> str:
    """“given live fraction and label: +0.13 (95 % interval …; p …)”, or why there is none."""
    if pd.isna(cell["partial_r"]):
        reason = cell["partial_reason"]
        return "" if pd.isna(reason) else f"{GIVEN}: {reason}"
    said = [interval(cell["partial_low"], cell["partial_high"]), p_value("p", cell["partial_p"])]
    if cell["block"] != tables.ALL and not pd.isna(cell["partial_p_adjusted"]):
        said.append(f"adjusted {p_value('p', cell['partial_p_adjusted'])}")
    return f"{GIVEN}: {signed(cell['partial_r'])} ({', '.join(filter(None, said))})"


def survives(cell: Mapping) -> bool:
    """Whether the partial r is significant, by the adjusted p; by its own p for all blocks."""
    p = cell["partial_p"] if cell["block"] == tables.ALL else cell["partial_p_adjusted"]
    return bool(p < correlation.SIGNIFICANT)
