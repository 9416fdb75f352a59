"""Published tables: every table of the paper beside ours, with its errata, and a verdict per claim."""

import streamlit as st

from pages.shared.published import recipe, tables as published_tables, verdict_table
from pages.shared.shell import navigation
from pages.shared.state import ask, controls
from pages.shared.widgets import panels, statistics
from stiffcore.conventions import Convention
from stiffcore.networks import catalogue
from stiffcore.paper import comparison, published

style = navigation.page("Published tables")
st.title("The paper's numbers beside ours")
st.caption(
    f"{published.source()}. Every published number uses the convention “As published (slices)”; other conventions give other numbers."
)

# Choose.
with panels.row():
    network = controls.network(width=200)
    kind = controls.select("Table", "table", published.KINDS, "by_block", st.selectbox, width=420)
    convention = controls.convention(Convention.SLICES)
controls.notes()
paper = catalogue.paper(network)

# Compute.
with panels.error_boundary():
    rows = statistics.rows(network, convention)
    table = comparison.side_by_side(ask.find_network(network), kind, rows, convention)

    # Draw.
    st.subheader(published.title(ask.find_network(network), kind))
    if kind != "sizes":
        statistics.about(rows, network, convention, paper=False)
        if paper:
            st.caption(published.implied_images_sentence(paper))
    published_tables.DRAWN[kind](table, published.number(paper, kind), style)
    published_tables.legend(table, style)
    published_tables.errata(published.number(paper, kind))
    published_tables.download(table, network, convention, published.number(paper, kind))

    st.subheader("What the paper claims, and what holds")
    verdict_table.section(statistics.verdicts(), paper, style)
    recipe.section(ask.find_network(network), statistics.rows(network, Convention.SLICES), style)
    published_tables.other_errata()
