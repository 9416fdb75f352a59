"""Work that takes seconds: a button, then progress and Cancel, then the result or why there is none; one job for all who wait."""

from collections.abc import Callable

import streamlit as st

from pages.shared.state import controls, service
from stiffcore.errors import CannotCompute

POLL = 1.0  # seconds between two looks at a running job


def offer(key: str, work: Callable, title: str, sentence: str, label: str, queue: str = "") -> object | None:
    """The result of the job under this key, once it is done. Until then, draws the button, the progress, or why it failed.

    work: progress -> result, as of stiffcore.jobs. It is submitted by the button's callback only. queue: see ``submit``.
    """
    job = service.job_service().find(key)
    if job and job.status == "done":
        return job.result
    if job and job.active:
        service.remember(key)
        progress(key)
        return None
    ended(job)
    button(key, work, title, sentence, label, f"offer-{key[:8]}", f"submit-{key[:8]}", queue)
    return None


def button(
    key: str, work: Callable, title: str, sentence: str, label: str, box: str, name: str, queue: str = ""
) -> None:
    """What the work costs, the button that submits it, and why it was refused. box, name: keys of the elements. queue: see ``submit``."""
    with st.container(border=True, horizontal=True, vertical_alignment="center", key=box):
        st.markdown(sentence, width="stretch")
        st.button(
            label, key=name, type="primary", icon=":material/play_arrow:", on_click=submit, args=(key, work, title),
            kwargs={"queue": queue},
        )  # fmt: skip
    refusal(key)


def submit(
    key: str,
    work: Callable,
    title: str,
    priority: int = 0,
    allowed: Callable[[], None] = lambda: None,
    queue: str = "",
) -> None:
    """The callback of a button or a click. Never call it in a run of the page: every rerun would submit a cancelled job again.

    allowed: raises CannotCompute where the work must not be submitted. ``refusal`` shows the reason. queue: of stiffcore.jobs.
    """
    try:
        allowed()
        service.job_service().submit(key, work, title=title, watcher=service.visitor(), priority=priority, queue=queue)
        service.remember(key)
    except CannotCompute as error:  # the queue is full
        st.session_state[f"refused {key}"] = str(error)


def refusal(key: str) -> None:
    """Shows once why the work under a key was refused."""
    if sentence := st.session_state.pop(f"refused {key}", None):
        st.error(controls.escape_markdown(sentence), icon=":material/block:")


def ended(job, cancelled: str = "Cancelled.", failed: str = "") -> None:
    """Shows why a job ended without a result, if it did. failed: a sentence after the reason."""
    if job and job.status == "failed":
        st.error(f"{controls.escape_markdown(job.error)} {failed}".rstrip(), icon=":material/block:")
    elif job and job.status == "cancelled":
        st.info(cancelled, icon=":material/cancel:")


@st.fragment(run_every=POLL)
def progress(key: str, drawn: int | None = None, suffix: str | None = None) -> None:
    """Queue position, stage, time and Cancel. The page is drawn again when the job ends.

    drawn: how many of the job's results the page shows; it is drawn again when there are more. suffix: of the elements' keys.
    """
    job = service.watch(key)
    if job is None or not job.active or (drawn is not None and job.done > drawn):
        st.rerun()
    suffix = f"-{key[:8]}" if suffix is None else suffix
    with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"progress{suffix}"):
        with st.container(width="stretch"):
            if job.status == "queued":
                st.progress(
                    0.0, text=f"**{controls.escape_markdown(job.title)}** · waiting, number {job.position} in the queue"
                )
            else:
                share = min(job.done / job.total, 1.0) if job.total else 0.0
                what = job.what or "starting"
                stage = f"{job.done} of {job.total} · {what}" if job.total else what
                st.progress(share, text=f"**{controls.escape_markdown(job.title)}** · {stage} · {job.seconds:.0f} s")
        st.button(
            "Cancel", key=f"cancel{suffix}", icon=":material/close:", help="Cancels for everyone waiting",
            on_click=service.cancel, args=(key,),
        )  # fmt: skip
