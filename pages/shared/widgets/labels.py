"""Whether a page about labels has something to show for a network."""

import streamlit as st

from pages.shared.state import ask, controls
from stiffcore.images import cifar10


def are_known(network: str) -> bool:
    """Whether CIFAR-10's labels are the network's classes; if not, says that nothing depends on them."""
    asked = ask.find_network(network)
    if asked.classes == cifar10.LABELS:
        return True
    what = f"{len(asked.classes):,} classes, which are not CIFAR-10’s labels" if asked.classes else "no classes"
    st.info(
        f"{controls.escape_markdown(asked.title)} has {what}, so no image has a label or a loss, and there is nothing to show here.",
        icon=":material/label_off:",
    )
    return False
