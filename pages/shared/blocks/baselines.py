"""The two baselines under slices, and how far S and P differ from them."""

import pandas as pd
import streamlit as st

from pages.shared.state import controls
from pages.shared.widgets import grid, statistics
from stiffcore.conventions import Convention
from stiffcore.figures.theme import Style
from stiffcore.networks import catalogue
from stiffcore.statistics import tables


def section(network: str, convention: Convention, rows: pd.DataFrame, style: Style) -> None:
    """A table by block; draws nothing without rows."""
    if rows.empty:
        return
    st.subheader(
        f"How much is due to geometry and skip? {controls.escape_markdown(controls.NETWORK_TITLES[network])}, {convention}"
    )
    st.caption(
        "P if random: the expected share of negative real parts for random entries on the same receptive field, over the "
        "live outputs. S without skip: S without the slices that carry the skip's 1. Left over: the mean difference."
    )
    table = tables.baselines(rows)
    keeps_shape = {block.block: block.is_identity for block in catalogue.blocks(network)}
    body = []
    for row in table.to_dict("records"):
        cells = []
        for metric, baseline in tables.with_baselines().items():
            cells += [grid.number(row[metric]), grid.number(row[baseline])]
            cells.append(grid.number(row[f"{metric}_left_over"], strong=True))
        name = f"{row['block']}" if keeps_shape[row["block"]] else f"{row['block']} ↘ changes the shape"
        body.append((name, [*cells, grid.number(row["percent_negative_n"], 0)]))
    columns = ["P, %", "if random", "left over", "S", "without skip", "left over", "images"]
    grid.draw(body, columns, style, "Block", [("Percentage negative", 3), ("Stiffness index", 3), ("", 1)])
    grid.download(statistics.named(table, network, convention), f"baselines-{network}")
