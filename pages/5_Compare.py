"""Compare: pin A and vary B; label against label; an image and its perturbed twin."""

import streamlit as st

from pages.shared import compare_groups, compare_perturbed, compare_spectra, controls, navigation, panels

PARTS = {
    "spectra": ("Two spectra", compare_spectra.show),
    "groups": ("Groups of images", compare_groups.show),
    "perturbation": ("Perturbation", compare_perturbed.show),
}

style = navigation.page("Compare")
st.title("Compare")
part = controls.one_of(
    "Compare", "compare", {name: title for name, (title, _) in PARTS.items()}, "spectra", label_visibility="collapsed"
)
with panels.refusals():
    PARTS[part][1](style)
