"""Spectrum: choose a network, images, blocks and a convention; see the eigenvalues in the complex plane."""

import streamlit as st

from pages.shared import computing, controls, gallery, navigation, panels, zoom
from stiffcore import analysis, catalogue
from stiffcore.figures import spectrum, spectrum_table

style = navigation.page("Spectrum")
st.title("Spectrum")

# Choose.
with panels.row():
    network = controls.network(width=190)
    convention = controls.convention("branch")
st.caption(catalogue.CONVENTIONS[convention].question)
with panels.row():
    blocks = controls.blocks(network, wrap=True)
    # The slices' eigenvalues lie within hundredths of 0, their extremes at 1.
    axes = controls.one_of("Axes", "axes", spectrum.AXES, "arcsinh" if convention == "slices" else "linear")
    fits = {name: fit for name, fit in spectrum.FITS.items() if name != "disc" or convention in spectrum.REGIONS}
    fit = controls.one_of("Fit", "fit", fits, "all", again=lambda: zoom.forget("spectrum"))
with panels.row():
    images = gallery.choose(network, gallery.first_of_each_label()[3:6])
    overlay = controls.one_of("Colour by", "overlay", spectrum.OVERLAYS, "image")
    series = spectrum.series_of(images, overlay, style)
    colours = {image: look.colour for image, look in series.items()}
    gallery.strip(network, images, colours)
controls.notes()

# Compute.
requests = [analysis.Request(network, image, block, convention, "spectrum") for block in blocks for image in images]
title = f"{controls.NETWORK_TITLES[network]}, block {', '.join(map(str, blocks))} ({convention})"
with panels.refusals():
    results = computing.results(requests, title)

    # Draw.
    if results:
        figure = spectrum.figure(results, style, overlay, fit, series=series, axes=axes)
        picture, numbers = panels.beside([2.1, 1])
        with picture:
            panels.chart(figure, "spectrum", spectrum.alt_text(results))
            panels.drawn(*spectrum.drawn_and_all(results))
        with numbers:
            panels.metrics(results, colours, style.paper)
        panels.badge(results)
        panels.downloads(
            figure,
            spectrum_table.points(results),
            f"spectrum-{network}-{convention}",
            title,
            spectrum_table.python(requests),
        )
        panels.equivalent_table(spectrum_table.metrics(results), "Every metric of every spectrum in the figure.")
    else:
        controls.copy_link()
