"""Uploaded networks of one structure may be checkpoints of one training: a button makes them a run for the page Over training."""

from collections.abc import Sequence

import streamlit as st

from pages.shared.state import ask, controls
from stiffcore.errors import CannotCompute
from stiffcore.networks import uploaded as uploaded_networks
from stiffcore.networks.uploaded import UploadedWeights
from stiffcore.runs import steps, uploading

MADE = "run of uploads"  # in the session: the name of the run that was made, or why there is none


def offer() -> None:
    """For each structure and normalisation with several networks: which they are, and the button; then a link to the run."""
    groups: dict[tuple, list[UploadedWeights]] = {}
    for own in uploaded_networks.known():
        groups.setdefault((own.architecture, own.preprocessing), []).append(own)
    for number, group in enumerate(group for group in groups.values() if len(group) > 1):
        with st.container(border=True, key=f"training-{number}"):
            _offer(group, number)


def _offer(group: Sequence[UploadedWeights], number: int) -> None:
    titles = [own.title for own in group]
    numbers, unit = steps.of_names(titles)
    in_order = sorted(zip(numbers, titles, group, strict=True), key=lambda one: one[:2])
    listed = ", ".join(f"{unit} {step:,} {controls.escape_markdown(title)}" for step, title, _ in in_order)
    st.markdown(
        f"**Checkpoints of one training?** These networks have one structure and are read in one way: {listed}."
    )
    names = tuple(own.network for own in group)
    st.button(
        "Show over training", key=f"make-run-{number}", icon=":material/trending_up:", on_click=_make, args=(names,)
    )
    made = st.session_state.get(MADE, {}).get(names)
    if made and made.get("refused"):
        st.error(controls.escape_markdown(made["refused"]), icon=":material/block:")
    elif made:
        st.page_link(
            "pages/9_Over_training.py",
            label="Over training",
            icon=":material/arrow_forward:",
            query_params={"run": made["run"]},
        )


def _make(names: tuple[str, ...]) -> None:
    """A callback: the networks are remembered as a run."""
    try:
        networks = [ask.find_network(name) for name in names]
        titles = [uploaded_networks.get(name).title for name in names]
        found = {"run": uploading.remember(networks, titles, ask.bundled()).name}
    except CannotCompute as error:  # one of them was removed, or the disk refuses
        found = {"refused": str(error)}
    st.session_state.setdefault(MADE, {})[names] = found
