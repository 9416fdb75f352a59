"""Spectrum: choose a network, images, blocks and a convention; see the eigenvalues in the complex plane."""

import streamlit as st

from pages.shared import controls, navigation, panels, spectrum_view
from stiffcore import catalogue

MODES = {
    "one": ("One view", spectrum_view.show),
}

style = navigation.page("Spectrum")
st.title("Spectrum")
with panels.row():
    network = controls.network(width=190)
    convention = controls.convention("branch")
st.caption(catalogue.CONVENTIONS[convention].question)
MODES["one"][1](network, convention, style)
