"""Uploading matrices: read and kept on arrival, then in the network menu of the page Spectrum."""

import datetime
import hashlib

import streamlit as st

from pages.shared.jobs import ode_jobs
from pages.shared.state import controls, service
from stiffcore.matrices import own as matrices
from stiffcore.storage import uploads

FIELD = "own-matrices"
LARGEST = 128  # MB of a file, as checkpoints.sources.LARGEST_FILE, which is checked on the server
FORMS = ("npy", "npz", "safetensors", "pt", "pth")
SOON = 1  # priority of reading a file, which takes seconds at most; computations have 0
WHAT = (
    f"Square matrices A, alone, several or stacked: {', '.join(f'.{form}' for form in FORMS)}, up to {LARGEST} MB. Read as x′ = A x, "
    "and as its step I + A, on the page Spectrum."
)


def upload() -> None:
    """The upload field, and what each file is or why it is refused."""
    files = st.file_uploader(
        "Matrices", key=FIELD, accept_multiple_files=True, max_upload_size=LARGEST, on_change=_arrived
    )
    st.caption(WHAT)
    if len(files) > matrices.MOST:
        st.warning(
            f"{matrices.MOST} files are read at once, got {len(files)}: remove some, then add the others again.",
            icon=":material/stacks:",
        )
    outcomes = st.session_state.setdefault("outcomes of matrices", {})  # a job's result is forgotten after a while
    for file in files[: matrices.MOST]:
        key, name = _key(file), controls.escape_markdown(uploads.clean_name(file.name))
        job = service.job_service().find(key)
        if job and job.active:
            ode_jobs.progress(key)
            continue
        if job and job.status in ("done", "failed"):
            outcomes[key] = job.result if job.status == "done" else job.error
        if key in outcomes:
            _outcome(name, outcomes[key])
        else:
            ode_jobs.ended(job)
            st.button(f"Read {name}", key=f"read-{key[:8]}", on_click=_read, args=(file,), icon=":material/refresh:")
        ode_jobs.refusal(key)


def _outcome(name: str, outcome: matrices.Saved | str) -> None:
    if isinstance(outcome, str):
        st.error(f"{name}: {controls.escape_markdown(outcome)}", icon=":material/block:")
    elif outcome.dropped:
        dropped = controls.escape_markdown(", ".join(outcome.dropped))
        st.info(f"Only the {matrices.MOST} newest are kept. Removed: {dropped}.", icon=":material/delete:")


def _key(file) -> str:
    """Of one arrival: a file that was removed can be brought again."""
    return hashlib.sha256(f"matrices {file.file_id}".encode()).hexdigest()


def _arrived() -> None:
    """A callback: files have come, or were taken away."""
    known = st.session_state.get("outcomes of matrices", {})
    for file in (st.session_state.get(FIELD) or [])[: matrices.MOST]:
        if _key(file) not in known and service.job_service().find(_key(file)) is None:
            _read(file)


def _read(file) -> None:
    """A callback: reads a file in a job, and keeps its matrices."""
    content, name = file.getvalue(), file.name

    def work(progress) -> matrices.Saved:
        progress(0, 0, "reading the matrices")
        uploads.check_uploads()
        return matrices.save(content, name)

    title = f"Reading {uploads.clean_name(name)}"
    ode_jobs.submit(_key(file), work, title, priority=SOON, allowed=uploads.check_uploads)


def show_uploaded() -> None:
    """The uploaded matrices, newest first: their sizes, a link to the page that shows them, and a button to remove them."""
    known = matrices.known()
    if known:
        st.markdown(f"**Uploaded matrices: {len(known)} of {matrices.MOST}**")
    for own in known:
        with st.container(border=True, key=own.network):
            day = datetime.datetime.fromtimestamp(own.registered, datetime.UTC).strftime("%Y-%m-%d")
            names = controls.escape_markdown(
                ", ".join(filter(None, own.names[:6])) + (" …" if len(own.names) > 6 else "")
            )
            st.markdown(
                f"**{controls.escape_markdown(own.title)}** · {own.size}" + (f" · {names}" if any(own.names) else "")
                + f"  \n:gray-badge[numbers {own.sha256[:8]}] :gray-badge[{day}]"
            )  # fmt: skip
            with st.container(horizontal=True, vertical_alignment="center"):
                to = {"network": own.network, "blocks": "1", "mode": "one", "convention": "branch"}
                st.page_link("pages/1_Spectrum.py", label="Spectrum", icon=":material/scatter_plot:", query_params=to)
                look = {"key": f"remove-{own.network}", "icon": ":material/delete:", "type": "tertiary"}
                st.button("Remove", on_click=matrices.remove, args=(own.network,), **look)
