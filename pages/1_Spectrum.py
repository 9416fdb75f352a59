"""Spectrum: choose a network, images, blocks and a convention; see the eigenvalues in the complex plane."""

import streamlit as st

from pages.shared.shell import navigation
from pages.shared.spectrum import depth_player, view as spectrum_view
from pages.shared.state import controls
from pages.shared.widgets import panels
from stiffcore.conventions import Convention
from stiffcore.matrices import own as matrices

MODES = {
    "one": ("One view", spectrum_view.show),
    "depth": ("Through depth", depth_player.show),
}
QUESTIONS = {  # of matrices
    Convention.BLOCK: "How does I + A, a step of forward Euler for x′ = A x, stretch and turn a vector?",
    Convention.BRANCH: "Read as the ODE x′ = A x: how stiff is it?",
}

style = navigation.page("Spectrum")
st.title("Spectrum")
with panels.row():
    network = controls.network(width=190, matrices=True)
    of_matrices = matrices.is_name(network)
    convention = (controls.convention_of_matrices if of_matrices else controls.convention)(Convention.BRANCH)
    mode = controls.select("Show", "mode", {name: title for name, (title, _) in MODES.items()}, "one")
st.caption(QUESTIONS[convention] if of_matrices else convention.question)
MODES[mode][1](network, convention, style)
