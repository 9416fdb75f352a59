"""What the training recipe changed: the paper's block means beside the first weights' and those of today. Nothing while the first ship."""

from typing import TYPE_CHECKING

import streamlit as st

from pages.shared.widgets import grid
from stiffcore.figures.theme import Style
from stiffcore.metrics import definitions
from stiffcore.networks.network import Network
from stiffcore.paper import earlier
from stiffcore.statistics.tables import SHOWN

if TYPE_CHECKING:  # pandas would delay the first paint
    import pandas as pd

WHO = {"published": "paper", "earlier": "first weights", "ours": "these weights"}


def section(network: Network, rows: "pd.DataFrame | None", style: Style) -> None:
    """rows: of the network under ``slices``."""
    if rows is None or rows.empty or not earlier.is_superseded(network):
        return
    table = earlier.side_by_side(network, rows)
    st.subheader("What the training recipe changed")
    st.caption(_sentence(network, table))
    cells = table.set_index(["block", "metric"])
    body = [
        (str(block), [grid.number(cells.loc[(block, metric), who]) for metric in SHOWN for who in WHO])
        for block in table["block"].drop_duplicates()
    ]
    groups = [(definitions.named(metric).heading, len(WHO)) for metric in SHOWN]
    grid.draw(body, [WHO[who] for _ in SHOWN for who in WHO], style, "block", groups)
    grid.download(table, f"recipe-{network.name}")


def _sentence(network: Network, table: "pd.DataFrame") -> str:
    """The distances in words."""
    known, far = earlier.earlier()[network.name], earlier.distances(table)
    names = {SHOWN[0]: "log |S|", SHOWN[1]: "log P"}
    parts = [f"of {names[one.metric]} from {one.earlier:.2f} to {one.ours:.2f}" for one in far.itertuples() if one.n]
    return (
        f"Mean distances from the paper's block means, with the first weights that shipped ({100 * known['accuracy']:.2f} % accuracy) and with "
        f"these: {', '.join(parts)}. Each is the mean over the blocks of |log ours − log published|; means over {known['images']:,} images "
        "then."
    )
