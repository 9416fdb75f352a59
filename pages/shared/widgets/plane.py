"""How the complex plane is drawn: the axes' scale, points or density, and what the axes show."""

import streamlit as st

from pages.shared.state import choices, controls, zoom
from stiffcore.conventions import Convention
from stiffcore.figures.spectra import spectrum

MARKS_HELP = "Auto: points, or a density above 5,000 eigenvalues. Hover is off above 5,000 points."


def axes_and_marks(*conventions: Convention) -> tuple[str, str]:
    """Linear or arcsinh axes; points or their density. conventions: those of the shown spectra."""
    wanted = {convention.default_axes for convention in conventions}
    axes = controls.select("Axes", "axes", spectrum.AXES, "arcsinh" if "arcsinh" in wanted else "linear")
    return axes, controls.select("Draw", "marks", spectrum.MARKS, "auto", help=MARKS_HELP)


def fit(chart: str, *conventions: Convention) -> str:
    """What the axes show. Pressing the chosen button again ends the visitor's zoom of that chart.

    The disc is offered where one of the conventions has it; elsewhere a choice of it is reset without a note.
    """
    has_disc = any(convention.regions for convention in conventions)
    fits = {name: title for name, title in spectrum.FITS.items() if name != "disc" or has_disc}
    if not has_disc and st.session_state.get("chosen", {}).get("fit") == "disc":
        choices.forget("fit")
    return controls.select("Fit", "fit", fits, "all", again=lambda: zoom.forget(chart))
