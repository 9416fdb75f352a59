"""Home: the question, its answer by three readings, and links to the pages and scenes."""

import streamlit as st

from pages.shared.shell import navigation, scenes
from pages.shared.state import controls
from pages.shared.widgets import panels

style = navigation.page("Home")
st.title("How stiff is a residual network?")
controls.notes()
with panels.error_boundary():
    from pages.shared.home import (
        answer,
    )  # it needs pandas, which takes longer to import than a visitor waits for the title

    answer.section(style)
pages, about = panels.responsive_columns([1.2, 1], "links")
with pages:
    st.subheader("Where to go")
    navigation.page_links()
with about:
    st.subheader("What is computed")
    st.markdown(
        "A residual block computes x′ = ReLU(F(x) + x): one step of forward Euler for the ODE with right-hand side F. Whether such an "
        "ODE is *stiff* shows in the block's Jacobian: in its eigenvalues, as the paper reads them, and in its logarithmic norms, as the "
        "field defines it. This app computes and draws both, for ResNet18, 34 and 50, for networks of your own, and at CIFAR-10 images "
        "or at yours."
    )
    controls.copy_link()
st.subheader("Scenes")
st.caption(
    "Prepared views, to explore or to present. Page Down and Page Up, or a presenter's remote, go to the next and the previous "
    "scene. All controls stay usable."
)
scenes.page_links()
