"""The numbers of the Correlation page: those of one block, and the table of all, significant cells in bold."""

import numpy as np
import pandas as pd
import streamlit as st

from pages.shared.widgets import correlation_words, grid, statistics
from stiffcore.conventions import Convention
from stiffcore.figures.theme import Style
from stiffcore.metrics import definitions
from stiffcore.metrics.metric import EVERY
from stiffcore.metrics.missing import NOT_SQUARE, Missing
from stiffcore.paper.estimate import signed
from stiffcore.statistics import correlation, tables
from stiffcore.statistics.row_values import filled

OPENS_ON = "percent_negative"


def symbol(measure: str) -> str:
    """A measure's symbol, with its conventions unless it is defined under all of them."""
    metric = definitions.named(measure)
    where = "" if {*metric.conventions} == {*EVERY} else f" ({', '.join(metric.conventions)})"
    return f"{metric.symbol}{where}"


def measures() -> dict[str, str]:
    """Measure -> title, the page's default first."""
    phrases = {name: definitions.named(name).phrase for name in (OPENS_ON, *correlation.correlated())}
    return {name: f"{symbol(name)}: {phrase}" if phrase else symbol(name) for name, phrase in phrases.items()}


def points(rows: pd.DataFrame, measure: str, block: int | str) -> pd.DataFrame:
    """A row per image and block with a value: image, label, predicted, correct, loss, block, value; for ``all``, of the pool."""
    rows = filled(rows, [measure])
    kept = rows[tables.pool(rows, measure).holds(rows) if block == tables.ALL else rows["block"] == block]
    names = ["image", "label", "predicted", "correct", "loss", "block"]
    values = kept[names].assign(value=tables.column(kept, measure))
    return values[np.isfinite(values["value"])]


def numbers(rows: pd.DataFrame, table: pd.DataFrame, measure: str, block: int | str) -> None:
    """r with its interval and p for the shown measure and block, or the reason why there is none."""
    metric = definitions.named(measure)
    if not metric.is_of(rows["convention"].iloc[0]):
        where = " and ".join(metric.conventions)
        st.info(f"{metric.symbol} is defined under {where} only: choose that convention.", icon=":material/block:")
        return
    cells = table[(table["measure"] == measure) & (table["block"] == block)]
    if block == tables.ALL:
        statistics.pooled(rows, measure)
    elif cells.empty:
        is_definable = block in tables.definable_in(rows)
        st.info(
            "This block is not computed." if is_definable else f"{NOT_SQUARE}.".capitalize(), icon=":material/pending:"
        )
    for cell in cells.to_dict("records"):
        if np.isnan(cell["r"]):
            st.metric(f"r with {cell['outcome']}", cell["reason"].word)
            st.caption(str(cell["reason"]))
            continue
        st.metric(f"r with {cell['outcome']}", signed(cell["r"], 3))
        left_out = f", {cell['n_left_out']:,} left out" if cell["n_left_out"] else ""
        st.caption(f"{correlation_words.sure(cell)}; Spearman {signed(cell['spearman'])}; n = {cell['n']:,}{left_out}")
        if left := correlation_words.given(cell):
            st.caption(f"**{left[0].upper()}{left[1:]}.**")


def in_a_line(rows: pd.DataFrame, measure: str, block: int | str) -> str:
    """The shown r with loss and what is left of it, for the figure; "" where there is none."""
    if block == tables.ALL:
        found = correlation.pooled(rows, measure, "loss", resamples=0, permutations=0)
        left = correlation.given(rows, measure, "loss", resamples=0, permutations=0)
    else:
        part = rows[rows["block"] == block]
        found = correlation.correlate(tables.column(part, measure), tables.column(part, "loss"), resamples=0)
        left = correlation.given(part, measure, "loss", resamples=0)
    if found.reason:
        return ""
    given = "undefined" if left.reason else signed(left.r)
    return f"r with loss {signed(found.r)}; {correlation_words.GIVEN} {given}"


def section(table: pd.DataFrame, measure: str, network: str, convention: Convention, style: Style) -> None:
    """All blocks and measures: Pearson's r, in bold where the adjusted p is below 0.05; below, one measure in full."""
    st.subheader("All blocks")
    st.caption(
        f"Pearson's r; below it, the partial r {correlation_words.GIVEN}. Bold, or with a star: adjusted p (Benjamini–Hochberg, over "
        f"the blocks and both outcomes) below {correlation.SIGNIFICANT}. “All” pools the pairs of image and block, for the images that "
        "have a value at every block of the pool; its p permutes the images, 10,000 times, and is not adjusted. S is signed: a "
        "negative r with accuracy means that more negative S goes with higher accuracy."
    )
    cells = {(cell.block, cell.measure, cell.outcome): cell for cell in table.itertuples()}
    shown = {name: title for name, title in measures().items() if definitions.named(name).is_of(convention)}
    body = [
        (
            _name(cells[block, measure, "loss"]),
            [_cell(cells[block, m, o]) for m in shown for o in correlation.OUTCOMES],
        )
        for block in table["block"].unique()
    ]
    columns = list(correlation.OUTCOMES) * len(shown)
    grid.draw(body, columns, style, "Block", [(title, len(correlation.OUTCOMES)) for title in shown.values()])
    grid.download(statistics.named(table, network, convention), f"correlations-{network}-{convention}")
    with st.expander(f"{measures()[measure]}: intervals, p, Spearman and n of every block", icon=":material/table:"):
        _in_full(table[table["measure"] == measure], style)


def _name(cell) -> str:
    """A block's number; "all" with the blocks that it stands for, where those are not all."""
    if cell.block != tables.ALL or cell.n_blocks >= cell.of_blocks:
        return str(cell.block)
    return f"all, partial: {cell.n_blocks} of {cell.of_blocks} blocks"


def _cell(cell) -> grid.Cell:
    if np.isnan(cell.r):
        return _word(cell.reason)
    named = cell._asdict()
    title = f"{correlation_words.sure(named)}, n = {cell.n:,}; {correlation_words.given(named)}"
    star = "*" if correlation_words.survives(named) else ""
    left = "–" if np.isnan(cell.partial_r) else f"{signed(cell.partial_r)}{star}"
    return grid.number(cell.r, strong=bool(cell.significant), title=title, small=left)


def _word(reason: Missing) -> grid.Cell:
    return grid.Cell(reason.word, word=True, title=str(reason))


def _in_full(table: pd.DataFrame, style: Style) -> None:
    """A row per outcome and block of one measure: every column of ``correlation.table``."""
    columns = ["r", "95 % interval", "p", "adjusted p"]
    groups = [("of r", 4), (f"of r {correlation_words.GIVEN}", 4), ("", 5)]
    counts = ["Spearman", "p of Spearman", "n", "images", "left out"]
    for outcome, part in table.groupby("outcome", sort=False):
        body = [(_name(cell), _numbers_of(cell)) for cell in part.itertuples()]
        named = [(f"with {outcome}: {groups[0][0]}", 4), *groups[1:]]
        grid.draw(body, [*columns, *columns, *counts], style, "Block", named, "dense")


def _numbers_of(cell) -> list[grid.Cell]:
    counts = [grid.number(count, 0) for count in (cell.n, cell.n_images, cell.n_left_out)]
    if np.isnan(cell.r):
        return [_word(cell.reason), *[grid.Cell("–", word=True)] * 9, *counts]
    shown = _with_interval(cell.r, cell.low, cell.high, bool(cell.significant))
    shown += [grid.p_value(cell.p), grid.p_value(cell.p_adjusted)]
    if np.isnan(cell.partial_r):
        shown += [_word(cell.partial_reason), *[grid.Cell("–", word=True)] * 3]
    else:
        survives = correlation_words.survives(cell._asdict())
        shown += _with_interval(cell.partial_r, cell.partial_low, cell.partial_high, survives)
        shown += [grid.p_value(cell.partial_p), grid.p_value(cell.partial_p_adjusted)]
    return [*shown, grid.number(cell.spearman), grid.p_value(cell.spearman_p), *counts]


def _with_interval(r: float, low: float, high: float, strong: bool) -> list[grid.Cell]:
    interval = "none" if np.isnan(low) else f"{signed(low)} to {signed(high)}"
    return [grid.number(r, strong=strong), grid.Cell(interval, word=interval == "none")]
