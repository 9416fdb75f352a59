"""Labels: a metric's distribution per label, and how much labels differ compared with blocks."""

import streamlit as st

from pages.shared.labels import numbers as label_numbers
from pages.shared.shell import navigation
from pages.shared.state import controls
from pages.shared.widgets import labels as network_labels, panels, selection, statistics
from stiffcore.conventions import Convention
from stiffcore.figures import wording
from stiffcore.figures.statistics import labels
from stiffcore.statistics import tables

style = navigation.page("Labels")
st.title("Does stiffness depend on the label?")

# Choose.
above, below = panels.row(), panels.row()
with above:
    network = controls.network(width=180)
    metric = controls.select(
        "Metric", "metric", statistics.metric_titles(), "percent_negative", st.selectbox, width=310
    )
with below:
    convention = controls.convention(Convention.SLICES)
    kind = controls.select("Drawn as", "kind", labels.KINDS, "box")
with panels.error_boundary():
    rows = statistics.rows(network, convention)
    with above:
        block = statistics.one_block(network, label_numbers.opens_on(rows, network, metric))
    controls.notes()
    statistics.caveat(metric)

    # Compute.
    statistics.about(rows, network, convention)
    if not network_labels.are_known(network):
        st.stop()
    values, paper = tables.per_image(rows, metric, block), label_numbers.published_labels(network, metric, block)

    # Draw.
    if len(values) or (rows.empty and len(paper)):
        title = statistics.view_title(f"{wording.title(metric)} by label", network, convention, block)
        figure = labels.figure(values, metric, style, kind, paper, title)
        alt, name = labels.alt_text(values, metric), f"labels-{metric}-{network}-{convention}"
        picture, beside = panels.responsive_columns([2.6, 1])
        with picture:
            event = panels.chart(figure, "labels", alt, on_select="rerun", selection_mode="points")
        with beside:
            label_numbers.spread(network, rows, metric, block)
            selection.one_point(event, rows, metric, wording.title(metric), network, convention, block)
        python = statistics.python(network, convention, f'print(sc.by_label(rows, ["{metric}"], {block!r}))')
        panels.downloads(figure, statistics.named(values, network, convention, block=block), name, title, python)
        label_numbers.table(rows, paper, metric, block, style, name)
    elif len(rows):
        label_numbers.no_value(rows, metric, block)
