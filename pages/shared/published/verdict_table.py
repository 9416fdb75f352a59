"""The paper's claims and what holds: a row per claim, a column per reading, the reasons in sentences."""

import pandas as pd
import streamlit as st

from pages.shared.widgets import grid, statistics
from stiffcore.figures.theme import Style
from stiffcore.paper import estimate, published
from stiffcore.statistics import tables

SIGNS = {estimate.HOLDS: "✓", estimate.FAILS: "✗", estimate.NOT_SHOWN: "?"}


def section(verdicts: pd.DataFrame, network: str, style: Style) -> None:
    """The claims about a network, and those about all networks together."""
    about = verdicts[verdicts["network"].isin([network, tables.ALL])]
    colours = {estimate.HOLDS: style.good, estimate.FAILS: style.bad}
    readings = [statistics.PAPER, *statistics.READINGS]
    body = []
    for (claim, where, means), part in about.groupby(["claim", "where", "means"], sort=False):
        by_reading = {row.reading: row for row in part.itertuples()}
        of_geometry = by_reading.get("geometry")
        cells = []
        for reading in readings:
            row = of_geometry or by_reading.get(reading)
            if row is None:
                cells.append(grid.Cell("–", word=True))
                continue
            word = row.answer in (estimate.UNDEFINED, estimate.NOT_COMPUTED)
            sign = SIGNS.get(row.answer, "")
            cells.append(
                grid.Cell(
                    f"{sign} {row.answer}".strip(),
                    word=word,
                    title=row.sentence,
                    colour=colours.get(row.answer, ""),
                    small=row.interval,
                )
            )
        body.append((grid.Cell(f"{claim} ({where})", small=means), cells))
    st.caption(
        "A verdict follows from 95 % intervals over the images, drawn anew 2,000 times (bootstrap): it holds if every number of the "
        "claim lies where the claim says with its whole interval, does not hold if one lies elsewhere with its whole interval, and "
        "is not shown otherwise. Below each verdict: the number that decides. The paper's tables have no intervals; its numbers are taken as "
        "printed. Other weights than ours may give other numbers: an interval speaks of images only."
    )
    grid.draw(body, readings, style, published.network_title(network), look="wide")
    with st.expander("Why: one sentence per verdict", icon=":material/gavel:"):
        for (claim, where), part in about.groupby(["claim", "where"], sort=False):
            computed = part[part["answer"] != estimate.NOT_COMPUTED]
            st.markdown(f"**{claim}** *({where})*")
            lines = [f"- {row.reading}: **{row.answer}**. {row.sentence}" for row in computed.itertuples()]
            st.markdown("\n".join(lines) or "- Nothing is computed yet.")
    grid.download(verdicts, "claims")
