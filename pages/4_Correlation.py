"""Correlation: stiffness against loss and accuracy, per block, and which correlations are significant."""

import streamlit as st

from pages.shared.correlation import table as correlation_table
from pages.shared.shell import navigation
from pages.shared.state import controls
from pages.shared.widgets import labels as network_labels, panels, selection, statistics
from stiffcore.conventions import Convention
from stiffcore.figures.statistics import correlation
from stiffcore.networks import catalogue

style = navigation.page("Correlation")
st.title("Does stiffness correlate with accuracy and loss?")

# Choose.
with panels.row():
    network = controls.network(width=180)
    measure = controls.select(
        "Stiffness", "measure", correlation_table.measures(), correlation_table.OPENS_ON, st.selectbox, width=310
    )
    block = statistics.one_block(network, str(len(catalogue.blocks(network))))
with panels.row():
    convention = controls.convention(Convention.SLICES)
    log_loss = controls.switch("Loss on a log axis", "log", True)
controls.notes()

# Compute.
with panels.error_boundary():
    rows = statistics.rows(network, convention)
    statistics.about(rows, network, convention)
    if network_labels.are_known(network) and len(rows):
        values = correlation_table.points(rows, measure, block)

        # Draw.
        picture, beside = panels.responsive_columns([2.2, 1])
        if len(values):
            with picture:
                axis = correlation_table.measures()[measure]
                title = statistics.view_title(
                    f"{correlation_table.symbol(measure)} and loss", network, convention, block
                )
                said = correlation_table.in_a_line(rows, measure, block)
                figure = correlation.figure(values, title, style, log_loss, axis, said)
                alt = correlation.alt_text(values, title, said)
                event = panels.chart(figure, "correlation", alt, on_select="rerun", selection_mode="points")
                name = f"correlation-{measure}-{network}-{convention}"
                code = f'for outcome in ("accuracy", "loss"):\n    print(sc.correlate(rows, "{measure}", outcome))'
                python = statistics.python(network, convention, code)
                whole = statistics.named(values, network, convention)
                panels.downloads(figure, whole, name, title, python)
        table = statistics.correlations(network, convention)  # after the figure, which does not need it
        with beside:
            correlation_table.numbers(rows, table, measure, block)
            if len(values):
                selection.one_point(event, rows, measure, axis, network, convention, block)
        correlation_table.section(table, measure, network, convention, style)
        if len(values):
            panels.equivalent_table(
                whole, "Every point of the figure: image, label, prediction, loss, block and value."
            )
