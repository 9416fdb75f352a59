"""The menus of the page Spectrum, which has matrices beside networks."""

import streamlit as st

from pages.shared.state import ask, choices, controls
from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.matrices import own as matrices
from stiffcore.networks import catalogue

WIDTHS = {False: 190, True: 300}  # pixels of the menu; a matrix's size is part of its title


def network() -> str:
    """One of all networks, or uploaded matrices."""
    titles = dict(controls.NETWORK_TITLES)
    titles |= {own.network: f"Matrix: {own.title}, {own.size}" for own in matrices.known()}

    def parse(text: str) -> str:
        if matrices.is_name(text):
            return matrices.find(text).name
        catalogue.architecture(text[:80])  # the error says if an uploaded one was removed
        return text

    width = WIDTHS[matrices.is_name(choices.asked_for("network"))]
    return controls.select("Network", "network", titles, "resnet18", draw=st.selectbox, parse=parse, width=width)


def convention(network: str, default: Convention) -> Convention:
    """One convention; of matrices, one of those that have no slices."""
    if ask.find_network(network).takes_images:
        return controls.convention(default)
    return _of_matrices(default)


def question(network: str, convention: Convention) -> str:
    return convention.question if ask.find_network(network).takes_images else convention.question_of_a_matrix


def _of_matrices(default: Convention) -> Convention:
    """I + A or A. Slices, chosen for a network, become the default without a note and hold again for networks."""
    titles = {convention.value: convention.of_a_matrix for convention in Convention if convention.of_a_matrix}
    is_linked = choices.is_linked("convention")

    def parse(text: str) -> str:
        if text in titles:
            return text
        if text not in controls.CONVENTION_TITLES or is_linked:
            raise CannotCompute(
                f"Expected {' or '.join(titles)} for a matrix, which is not made of convolutions, got {text[:80]!r}."
            )
        return default.value

    return Convention(controls.select("Convention", "convention", titles, default.value, parse=parse))
