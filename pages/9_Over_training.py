"""Over training: a metric of a run's checkpoints by block, or the spectrum of one block from checkpoint to checkpoint."""

import streamlit as st

from pages.shared.over_training import lines, runs, spectrum_player
from pages.shared.shell import navigation, scenes
from pages.shared.state import controls
from pages.shared.widgets import panels
from stiffcore.conventions import Convention

SHOWN = {
    "metric": ("Metric", lines.show),
    "spectrum": ("Spectrum", spectrum_player.show),
}

style = navigation.page("Over training")
st.title("Stiffness over training")
known = runs.known()
if not known:
    runs.none()
    st.stop()
above = st.container() if scenes.is_on() else None  # a scene begins with its figure; elsewhere the choices come first
with panels.row():
    run = runs.choose(known)
    convention = controls.convention(Convention.SLICES)
    shown = controls.select("Show", "training", {name: title for name, (title, _) in SHOWN.items()}, "metric")
SHOWN[shown][1](run, convention, style, above)
