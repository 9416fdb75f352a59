"""Stiff ODEs: why the eigenvalues on the other pages matter; the paper's Figures 2 and 3, and a block's own ODE."""

import streamlit as st

from pages.shared.odes import (
    blocks as ode_blocks,
    definitions as ode_definitions,
    example as ode_example,
    networks as ode_networks,
    regions as ode_regions,
    systems as ode_systems,
)
from pages.shared.shell import navigation
from pages.shared.state import controls
from pages.shared.widgets import panels

PARTS = {
    "example": ("1 · A stiff equation", ode_example.show),
    "regions": ("2 · Stability regions", ode_regions.show),
    "systems": ("3 · Two stiff systems", ode_systems.show),
    "networks": ("4 · ResNets and ODE-Nets", ode_networks.show),
    "blocks": ("5 · Real blocks", ode_blocks.show),
}

style = navigation.page("Stiff ODEs")
st.title("Stiff ODEs")
st.markdown(
    "An equation is **stiff** when a part of its solution that died out long ago still dictates how small the steps must be. "
    "The eigenvalues say how small. A ResNet, read as an integrator, takes such steps and cannot make them smaller."
)
part = controls.select(
    "Part", "part", {name: title for name, (title, _) in PARTS.items()}, "example", label_visibility="collapsed"
)
notes = st.container()
with panels.error_boundary():
    PARTS[part][1](style)
with notes:
    controls.notes()
ode_definitions.show()
