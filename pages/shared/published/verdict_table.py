"""The paper's claims and what holds: a row per claim, a column per reading, the reasons in sentences."""

import pandas as pd
import streamlit as st

from pages.shared.widgets import grid, statistics
from stiffcore.figures.theme import Style
from stiffcore.paper import claims, published
from stiffcore.statistics import tables

SIGNS = {claims.HOLDS: "✓", claims.FAILS: "✗", claims.NOT_SHOWN: "?"}


def section(verdicts: pd.DataFrame, network: str, style: Style) -> None:
    """The claims about a network, and those about all networks together."""
    about = verdicts[verdicts["network"].isin([network, tables.ALL])]
    colours = {claims.HOLDS: style.good, claims.FAILS: style.bad}
    readings = [statistics.PAPER, *statistics.READINGS]
    body = []
    for (claim, where), part in about.groupby(["claim", "where"], sort=False):
        by_reading = {row.reading: row for row in part.itertuples()}
        of_geometry = by_reading.get("geometry")
        cells = []
        for reading in readings:
            row = of_geometry or by_reading.get(reading)
            if row is None:
                cells.append(grid.Cell("–", word=True))
                continue
            word = row.answer in (claims.UNDEFINED, claims.NOT_COMPUTED)
            sign = SIGNS.get(row.answer, "")
            cells.append(
                grid.Cell(
                    f"{sign} {row.answer}".strip(), word=word, title=row.sentence, colour=colours.get(row.answer, "")
                )
            )
        body.append((f"{claim} ({where})", cells))
    grid.draw(body, readings, style, published.network_title(network), look="wide")
    with st.expander("Why: one sentence per verdict", icon=":material/gavel:"):
        for (claim, where), part in about.groupby(["claim", "where"], sort=False):
            computed = part[part["answer"] != claims.NOT_COMPUTED]
            st.markdown(f"**{claim}** *({where})*")
            lines = [f"- {row.reading}: **{row.answer}**. {row.sentence}" for row in computed.itertuples()]
            st.markdown("\n".join(lines) or "- Nothing is computed yet.")
    grid.download(verdicts, "claims")
