"""The Spectrum page's one view: blocks side by side, images overlaid, stability regions behind them."""

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from pages.shared.jobs import computing
from pages.shared.spectrum import eigenmodes, nonnormality_panel
from pages.shared.state import ask, controls
from pages.shared.widgets import gallery, panels, plane, stability_overlay
from pages.shared.widgets.stability_overlay import Overlay
from stiffcore.analysis import modes
from stiffcore.analysis.requests import Request
from stiffcore.analysis.results import Result
from stiffcore.conventions import Convention
from stiffcore.figures.panel import Series
from stiffcore.figures.spectra import spectrum, spectrum_table
from stiffcore.figures.theme import Style
from stiffcore.images.image import NO_IMAGE, Image


@dataclass(frozen=True)
class Look:
    """How the spectra are drawn."""

    colour_by: str
    series: dict[Image, Series]
    fit: str
    axes: str
    marks: str
    overlay: Overlay
    chosen: eigenmodes.Choice  # the eigenvalue whose mode is shown


def show(network: str, convention: Convention, style: Style) -> None:
    """Choose, compute, draw."""
    requests, look = _choose(network, convention, style)
    controls.notes()
    blocks, asked = (
        ", ".join(str(block) for block in dict.fromkeys(request.block for request in requests)),
        requests[0].network,
    )
    title = f"{asked.title}, {asked.noun} {blocks} ({convention})"
    with panels.error_boundary():
        results = computing.results(requests, title)
        eigenmodes.check(results, look.chosen)
        controls.notes()
        if results:
            _draw(requests, results, look, title, style)
        else:
            controls.copy_link()


def _choose(network: str, convention: Convention, style: Style) -> tuple[list[Request], Look]:
    row = panels.row()
    with row:
        blocks = controls.blocks(network, wrap=True)
    first, others = panels.looks(row, style)
    with first:
        axes, marks = plane.axes_and_marks(convention)
        shown = plane.fit("spectrum", convention)
    with others:
        overlay = stability_overlay.choose(network, blocks, convention)
    asked = ask.find_network(network)
    images, colour_by, series = (0,), "image", spectrum.series_of([NO_IMAGE], "image", style)
    if asked.takes_images:
        with panels.row():
            images = gallery.choose(network, gallery.first_of_each_label()[3:6])
            colour_by = controls.select("Colour by", "overlay", spectrum.OVERLAYS, "image")
            series = spectrum.series_of([*map(ask.find_image, images)], colour_by, style, asked.classes)
            gallery.strip(network, images, {image.in_rows: look.colour for image, look in series.items()})
    requests = [ask.request(network, image, block, convention) for block in blocks for image in images]
    return requests, Look(colour_by, series, shown, axes, marks, overlay, eigenmodes.choice())


def _draw(requests: Sequence[Request], results: Sequence[Result], look: Look, title: str, style: Style) -> None:
    shown = {"series": look.series, "axes": look.axes, "regions": look.overlay.regions, "marks": look.marks}
    figure = spectrum.figure(results, style, look.colour_by, look.fit, look.overlay.step, **shown)
    picture, numbers = panels.responsive_columns([2.1, 1])
    with picture:
        panels.chart(figure, "spectrum", spectrum.alt_text(results, look.marks), **_clicks(results, look))
        panels.drawn(*spectrum.drawn_and_all(results, look.marks), spectrum.is_density(results, look.marks))
        stability_overlay.numbers(results, look.series, look.overlay, style)
    with numbers:
        panels.metrics(results, {image: series.colour for image, series in look.series.items()}, style)
    computing.badge(results, title)
    first = requests[0]
    name, python = f"spectrum-{first.network.name}-{first.convention}", spectrum_table.python(requests)
    panels.downloads(figure, spectrum_table.points(results), name, title, python)
    panels.equivalent_table(spectrum_table.metrics(results), "Every metric of every spectrum in the figure.")
    _below(results, look, style)


def _clicks(results: Sequence[Result], look: Look) -> dict:
    """Makes points clickable if they have modes."""
    if not any(map(eigenmodes.has_modes, results)) or spectrum.is_density(results, look.marks):
        return {}
    return {
        "on_select": lambda: eigenmodes.clicked(results, look.axes, "chart-spectrum"),
        "selection_mode": "points",
    }


def _below(results: Sequence[Result], look: Look, style: Style) -> None:
    """Modes and non-normality, for cores that are small enough."""
    small = [result for result in results if eigenmodes.has_modes(result)]
    sides = [len(result.arrays["eigenvalues"]) for result in results if "eigenvalues" in result.arrays]
    if small:
        with panels.error_boundary():
            eigenmodes.show(results, look.chosen, style)
            chosen = eigenmodes.chosen_of(results, look.chosen)
            nonnormality_panel.show(chosen[0] if chosen else small[0], style)
    elif sides:
        st.caption(
            f"Modes and pseudospectra are available for cores up to {modes.LARGEST_CORE:,}. The smallest here has side "
            f"{min(sides):,}" + (": choose a later block." if results[0].request.network.takes_images else ".")
        )
