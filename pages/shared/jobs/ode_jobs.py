"""Work that takes seconds, other than a spectrum: a button, then progress and Cancel; shared by all who wait for the same."""

from collections.abc import Callable

import streamlit as st

from pages.shared.state import controls, service
from stiffcore.errors import CannotCompute

POLL = 1.0  # seconds between two looks at a running job


def offer(key: str, work: Callable, title: str, sentence: str, label: str) -> object | None:
    """What the job under this key returned, once it is done; until then the button, its progress, or why it failed.

    work: progress -> result, as of stiffcore.jobs. It is submitted by the button's callback only.
    """
    job = service.job_service().find(key)
    if job and job.status == "done":
        return job.result
    if job and job.active:
        service.remember(key)
        progress(key)
        return None
    if job and job.status == "failed":
        st.error(controls.plain(job.error), icon=":material/block:")
    elif job and job.status == "cancelled":
        st.info("Cancelled.", icon=":material/cancel:")
    with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"offer-{key[:8]}"):
        st.markdown(sentence, width="stretch")
        st.button(
            label, key=f"submit-{key[:8]}", type="primary", icon=":material/play_arrow:",
            on_click=submit, args=(key, work, title),
        )  # fmt: skip
    if refusal := st.session_state.pop("refused", None):
        st.error(refusal, icon=":material/block:")
    return None


def submit(key: str, work: Callable, title: str) -> None:
    """A button's callback, or a click's: never to be called in a run of the page, which would submit again what was cancelled."""
    try:
        service.job_service().submit(key, work, title=title, watcher=service.visitor())
        service.remember(key)
    except CannotCompute as error:  # the queue is full
        st.session_state["refused"] = str(error)


@st.fragment(run_every=POLL)
def progress(key: str) -> None:
    """Queue position, stage, time and Cancel; the page is drawn again at the end."""
    job = service.watch(key)
    if job is None or not job.active:
        st.rerun()
    with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"progress-{key[:8]}"):
        with st.container(width="stretch"):
            if job.status == "queued":
                st.progress(0.0, text=f"**{controls.plain(job.title)}** · waiting, number {job.position} in the queue")
            else:
                share = min(job.done / job.total, 1.0) if job.total else 0.0
                what = job.what or "starting"
                stage = f"{job.done} of {job.total} · {what}" if job.total else what
                st.progress(share, text=f"**{controls.plain(job.title)}** · {stage} · {job.seconds:.0f} s")
        st.button("Cancel", key=f"cancel-{key[:8]}", icon=":material/close:", on_click=service.cancel, args=(key,))
