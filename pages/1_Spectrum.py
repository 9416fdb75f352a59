"""Spectrum: choose a network, images, blocks and a convention; see the eigenvalues in the complex plane."""

import streamlit as st

from pages.shared.shell import navigation
from pages.shared.spectrum import depth_player, menus, view as spectrum_view
from pages.shared.state import controls
from pages.shared.widgets import panels
from stiffcore.conventions import Convention

MODES = {
    "one": ("One view", spectrum_view.show),
    "depth": ("Through depth", depth_player.show),
}

style = navigation.page("Spectrum")
st.title("Spectrum")
with panels.row():
    network = menus.network()
    convention = menus.convention(network, Convention.BRANCH)
    mode = controls.select("Show", "mode", {name: title for name, (title, _) in MODES.items()}, "one")
st.caption(menus.question(network, convention))
MODES[mode][1](network, convention, style)
