"""Blocks: a metric along the depth, networks and conventions side by side, beside the paper and the two baselines."""

import pandas as pd
import streamlit as st

from pages.shared.blocks import baselines, numbers
from pages.shared.jobs import computing
from pages.shared.shell import navigation
from pages.shared.state import ask, controls
from pages.shared.widgets import gallery, panels, selection, statistics
from stiffcore.conventions import Convention
from stiffcore.figures.spectra import spectrum
from stiffcore.figures.statistics import depth
from stiffcore.paper import comparison

style = navigation.page("Blocks")
st.title("Stiffness along the depth")

# Choose.
with panels.row():
    networks = controls.several_of(
        "Networks", "networks", controls.NETWORK_TITLES, statistics.networks_before(), 3, st.multiselect, width=330
    )
    metric = controls.select(
        "Metric", "metric", statistics.metric_titles(), "percent_negative", st.selectbox, width=330
    )
    images = gallery.choose(networks[0], gallery.first_of_each_label()[3:6])
with panels.row():
    conventions = controls.conventions(Convention.SLICES)
    same = controls.switch("Same scale", "same", False)
with panels.row():
    on = {name: controls.switch(title, name, True) for name, title in depth.OVERLAYS.items()}
controls.notes()
statistics.caveat(metric)

# Compute.
shown = [(network, convention) for network in networks for convention in conventions]
with panels.error_boundary():
    missing = (
        [request for view in shown for request in statistics.not_shipped(*view, images, metric)] if on["yours"] else []
    )
    title = f"{', '.join(controls.NETWORK_TITLES[n] for n in networks)} along the depth, images {', '.join(map(str, images))}"
    fresh = computing.results(missing, title) if missing else []
    rows = {view: statistics.rows(*view) for view in shown}
    tables = {view: comparison.along_depth(ask.find_network(view[0]), rows[view], metric, view[1]) for view in shown}
    chosen = pd.concat([statistics.of_images(*view, images, fresh) for view in shown], ignore_index=True)

    # Draw.
    name_of = controls.NETWORK_TITLES.__getitem__
    overlays = tuple(name for name, is_on in on.items() if is_on)
    looks = spectrum.series_of([*map(ask.find_image, images)], "image", style)
    series = {image.in_rows: look for image, look in looks.items()}
    figure = depth.figure(tables, metric, style, overlays, chosen, series, same, name_of)
    gallery.strip(networks[0], images, {image: look.colour for image, look in series.items()})
    event = panels.chart(
        figure, "depth", depth.alt_text(tables, metric, name_of), on_select="rerun", selection_mode="points"
    )
    selection.one_block(event, tables, images)
    numbers.caption()
    computing.badge(fresh, title)
    for view in shown:
        statistics.about(rows[view], *view)
    numbers.below(figure, tables, metric)
    for network, convention in shown:
        if convention.has_baselines:
            baselines.section(network, convention, rows[network, convention], style)
