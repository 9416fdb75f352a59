"""Compare: pin A and vary B; label against label; an image and its perturbed twin."""

import streamlit as st

from pages.shared.compare import groups as compare_groups, perturbed as compare_perturbed, spectra as compare_spectra
from pages.shared.shell import navigation
from pages.shared.state import controls
from pages.shared.widgets import panels

PARTS = {
    "spectra": ("Two spectra", compare_spectra.show),
    "groups": ("Groups of images", compare_groups.show),
    "perturbation": ("Perturbation", compare_perturbed.show),
}

style = navigation.page("Compare")
st.title("Compare")
part = controls.select(
    "Compare", "compare", {name: title for name, (title, _) in PARTS.items()}, "spectra", label_visibility="collapsed"
)
with panels.error_boundary():
    PARTS[part][1](style)
