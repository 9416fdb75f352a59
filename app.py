"""Home: what this app is, a real spectrum, and links to the pages."""

import streamlit as st

from pages.shared.jobs import computing
from pages.shared.shell import navigation, scenes
from pages.shared.state import ask, controls, service
from pages.shared.widgets import gallery, panels
from stiffcore.conventions import Convention
from stiffcore.figures.spectra import spectrum, spectrum_table

NETWORK, BLOCK, CONVENTION = "resnet18", 8, Convention.BRANCH

style = navigation.page("Home")
st.title("How stiff is a residual network?")
st.markdown(
    "A residual block computes x′ = ReLU(F(x) + x): one step of forward Euler for the ODE with right-hand side F. "
    "Whether such an ODE is *stiff* shows in the eigenvalues of the block's Jacobian. This app computes and draws "
    "them: whole spectra of ResNet18, 34 and 50 at CIFAR-10 images, beside the published numbers."
)

controls.notes()
images = gallery.first_of_each_label()
with panels.error_boundary():
    requests = [ask.request(NETWORK, image, BLOCK, CONVENTION) for image in images]
    results = [result for result in service.results(requests) if result is not None]
    picture, links = panels.responsive_columns([2.2, 1])
    with picture:
        title = f"The last block of ResNet18 at {len(results)} images, one of each label"
        st.subheader(title)
        if results:
            figure = spectrum.figure(results, style, overlay="label")
            panels.chart(figure, "home", spectrum.alt_text(results))
            panels.drawn(*spectrum.drawn_and_all(results))
            computing.badge(results, title)
            python = spectrum_table.python(requests)
            panels.downloads(figure, lambda: spectrum_table.points(results), "home", title, python)
            panels.equivalent_table(spectrum_table.metrics(results), "Every metric of every spectrum in the figure.")
        else:
            st.info("No spectrum is stored yet: open the Spectrum page and compute one.", icon=":material/info:")
    with links:
        st.subheader("Where to go")
        st.markdown(
            "Each point is an eigenvalue λ of the Jacobian of F at one image. Inside the dashed disc, |1 + λ| ≤ 1, the "
            "network's step of 1 damps it. Left of the imaginary axis but outside the disc, the ODE decays but the "
            "network's step does not."
        )
        navigation.page_links()
st.subheader("Scenes")
st.caption(
    "Prepared views, to explore or to present. Page Down and Page Up, or a presenter's remote, go to the next and the previous "
    "scene. All controls stay usable."
)
scenes.page_links()
