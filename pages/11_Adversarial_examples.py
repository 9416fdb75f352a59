"""Adversarial examples: the smallest change of an image that changes the prediction, against stiffness."""

import streamlit as st

from pages.shared.adversarial import missing, numbers, view
from pages.shared.shell import navigation
from pages.shared.state import controls
from pages.shared.widgets import labels as network_labels, panels
from stiffcore.adversarial.relation import MEASURES, OUTCOMES

style = navigation.page("Adversarial examples")
st.title("Does stiffness explain adversarial examples?")

# Choose.
with panels.error_boundary():
    choose = panels.row()
    with choose:
        network = controls.network(width=180)
        outcome = controls.select("Smallest", "outcome", OUTCOMES, "pgd_radius")
        measure = MEASURES[
            controls.select("Against", "against", numbers.measures(), numbers.OPENS_ON, st.selectbox, width=230)
        ]
    if not network_labels.are_known(network):
        st.stop()

    # Compute.
    found = numbers.material(network)
    if found.robust.empty:
        controls.notes()
        missing.offer(found.robust, network)
        if found.values(measure).empty and measure.column != "margin":
            view.first(network, measure)
        st.stop()
    table = numbers.table(network, outcome)
    cells = table[table["measure"] == measure.name]
    with choose:
        block = numbers.one_block(network, cells)
    controls.notes()

    # Draw.
    numbers.say(table, outcome, style)
    view.draw(found, cells, network, measure, block, outcome, style)
    numbers.about(found, network, measure)
    missing.offer(found.robust, network)
    numbers.section(table, network, outcome, style)
