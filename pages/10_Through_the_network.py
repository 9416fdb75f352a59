"""Through the network: how far a small change of an image grows, block by block, and which changes grow most."""

import streamlit as st

from pages.shared.network import chosen, numbers, results
from pages.shared.shell import navigation
from pages.shared.state import controls
from pages.shared.widgets import panels
from stiffcore.figures.network import directions, growth

style = navigation.page("Through the network")
st.title("How far does a small change grow?")

# Choose.
with panels.row():
    networks, images = chosen.lines(style)
    start = controls.select("Growth", "start", growth.STARTS, "image")
controls.notes()

# Compute.
with panels.error_boundary():
    asked = chosen.requests(networks, images)
    found = results.of(asked)

    # Draw.
    if found:
        names = chosen.names(found)
        st.markdown(numbers.sentence(found, names, start))
        figure = growth.figure(found, names, start, style)
        panels.chart(figure, "growth", growth.alt_text(found, names, start))
        st.caption(numbers.CAPTION)
        results.badge(found, names)
        title = f"Growth by depth, {growth.STARTS[start].lower()}: {', '.join(names)}"
        panels.downloads(figure, lambda: numbers.table(found), "growth", title, numbers.python(found))
        panels.equivalent_table(numbers.table(found), "By network, image and block.")

        st.subheader("The changes that grow most")
        with panels.row():
            one = chosen.line(found, names)
            target = controls.select("Singular values", "target", directions.TARGETS, "last")
        controls.notes()
        numbers.directions(one, target, style)
