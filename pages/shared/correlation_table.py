"""The numbers of the Correlation page: those of one block, and the table of all, significant cells in bold."""

import numpy as np
import pandas as pd
import streamlit as st

from pages.shared import grid
from stiffcore import correlation, tables
from stiffcore.figures.theme import Style

BEYOND = "percent_negative_beyond_geometry"
MEASURES = {
    "percent_negative": "P: percentage negative",
    "stiffness_index": "S: stiffness index",
    "absolute_stiffness_index": "|S|",
    BEYOND: "P beyond geometry (slices)",
}


def points(rows: pd.DataFrame, measure: str, block: int | str) -> pd.DataFrame:
    """A row per image and block with a value: image, label, predicted, correct, loss, block, value."""
    kept = rows if block == tables.ALL else rows[rows["block"] == block]
    names = ["image", "label", "predicted", "correct", "loss", "block"]
    values = kept[names].assign(value=tables.column(kept, measure))
    return values[np.isfinite(values["value"])]


def numbers(table: pd.DataFrame, measure: str, block: int | str) -> None:
    """r with its interval and p, for the shown measure and block; the reason where there is none."""
    if measure == BEYOND and table["n"].max() and not table.loc[table["measure"] == BEYOND, "n"].max():
        st.info("P beyond geometry is defined under slices only: choose that convention.", icon=":material/block:")
        return
    cells = table[(table["measure"] == measure) & (table["block"] == block)]
    if cells.empty:
        st.info("This block is not computed.", icon=":material/pending:")
    for cell in cells.itertuples():
        if np.isnan(cell.r):
            st.metric(f"r with {cell.outcome}", "undefined")
            st.caption(cell.reason)
            continue
        st.metric(f"r with {cell.outcome}", f"{cell.r:+.3f}".replace("-", "−"))
        text = (
            f"{_interval(cell)}{_p('p', cell.p)}, adjusted {_p('p', cell.p_adjusted)}; Spearman {cell.spearman:+.2f}; "
            f"n = {cell.n:,}" + (f", {cell.n_left_out:,} left out" if cell.n_left_out else "")
        )
        st.caption(text.replace("-", "−"))


def _interval(cell) -> str:
    return "" if np.isnan(cell.low) else f"95 % interval {cell.low:+.2f} to {cell.high:+.2f}; "


def _p(name: str, p: float) -> str:
    return f"{name} < 0.001" if p < 0.001 else f"{name} = {p:.3f}"


def section(table: pd.DataFrame, network: str, convention: str, style: Style) -> None:
    """All blocks and measures: Pearson's r, in bold where the adjusted p is below 0.05."""
    st.subheader("All blocks")
    st.caption(
        f"Pearson's r; bold where Benjamini and Hochberg's adjusted p is below {correlation.SIGNIFICANT}. “All” pools every "
        "pair of image and block. S is signed: a negative r with accuracy says that more negative S goes with higher accuracy."
    )
    cells = {(cell.block, cell.measure, cell.outcome): cell for cell in table.itertuples()}
    measures = {name: title for name, title in MEASURES.items() if convention == "slices" or name != BEYOND}
    body = [
        (str(block), [_cell(cells[block, m, o]) for m in measures for o in correlation.OUTCOMES])
        for block in table["block"].unique()
    ]
    columns = list(correlation.OUTCOMES) * len(measures)
    grid.draw(body, columns, style, "Block", [(title, len(correlation.OUTCOMES)) for title in measures.values()])
    grid.download(table, f"correlations-{network}-{convention}")


def _cell(cell) -> grid.Cell:
    if np.isnan(cell.r):
        return grid.Cell("undefined", word=True, title=cell.reason)
    title = f"{_interval(cell)}{_p('p', cell.p)}, adjusted {_p('p', cell.p_adjusted)}, n = {cell.n:,}"
    return grid.number(cell.r, strong=bool(cell.significant), title=title)
