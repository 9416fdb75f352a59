"""What is not stored yet: an estimate and a button, then progress and Cancel; shared by all who wait for the same."""

from collections.abc import Sequence

import streamlit as st

from pages.shared.state import controls, service
from pages.shared.widgets import panels
from stiffcore.analysis import estimate, requests as analysis
from stiffcore.errors import CannotCompute

POLL = 1.0  # seconds between two looks at a running job


def results(requests: Sequence[analysis.Request], title: str) -> list[analysis.Result]:
    """Those results that there are. For the others: why not, what they would cost, or how far they have got."""
    found = service.results(requests)
    missing = [request for request, result in zip(requests, found, strict=True) if result is None]
    job = service.find(requests)
    if job and job.active:
        service.remember(job.key)
        _progress(job.key, job.done)
    elif missing:
        if job and job.status == "failed":
            st.error(controls.plain(job.error), icon=":material/block:")
        elif job and job.status == "cancelled":
            st.info("Cancelled. What had been finished is kept.", icon=":material/cancel:")
        refused = _refusals(job)
        _offer(requests, [request for request in missing if request not in refused], title)
    there = [result for result in found if result is not None]
    for notice in dict.fromkeys(notice for result in there for notice in result.notices):
        st.warning(controls.plain(notice), icon=":material/save:")
    return there


def badge(results: Sequence[analysis.Result], title: str) -> None:
    """How the results were made, and beside it "Compute again"; then its progress, or whether the new numbers agree."""
    if not results:
        return
    requests = list(dict.fromkeys(result.request for result in results))
    job = service.find_again(requests)
    busy = bool(job and job.active)
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        panels.badge(results)
        name = f"again-{service.again_key(requests)[:8]}"
        cost = estimate.of(requests, again=True).sentence
        st.button(
            "Compute again", key=name, type="tertiary", icon=":material/refresh:", disabled=busy, help=f"Computes {cost}",
            on_click=_submit_again, args=(tuple(requests), title),
        )  # fmt: skip
    if refusal := st.session_state.pop(f"refused {name}", None):
        st.error(controls.plain(refusal), icon=":material/block:")
    if busy:
        service.remember(job.key)
        _progress(job.key, job.done, "again")
    elif job and job.status == "failed":
        st.error(f"{controls.plain(job.error)} What was stored is kept.", icon=":material/block:")
    elif job and job.status == "cancelled":
        st.info("Cancelled. Each stored result is kept until its new one is complete.", icon=":material/cancel:")
    elif job and job.result:
        _refusals(job)
        _agreement(job.result.pairs)


def _refusals(job) -> set[analysis.Request]:
    """What the engine refused while it computed the rest: said with its reason, and not offered again."""
    refused = job.result.refused if job and job.status == "done" else {}
    for reason, requests in refused.items():
        names = ", ".join(map(name_of, requests))
        st.error(f"Not computed, {names}: {controls.plain(reason)}", icon=":material/block:")
    return {request for requests in refused.values() for request in requests}


def _agreement(pairs: Sequence[tuple]) -> None:
    """Whether what was computed again agrees with what was stored before."""
    from stiffcore.analysis import agreement

    compared = [found for _, found in pairs if found is not None]
    if compared:
        sentence = controls.plain(agreement.in_words(compared))
        good = all(found.agrees for found in compared)
        (st.success if good else st.warning)(sentence, icon=":material/done_all:" if good else ":material/difference:")


def _submit_again(requests: tuple, title: str) -> None:
    """The button's callback: the only place that submits."""
    try:
        service.submit_again(requests, title)
    except CannotCompute as error:  # the queue is full
        st.session_state[f"refused again-{service.again_key(requests)[:8]}"] = str(error)


def name_of(request: analysis.Request) -> str:
    return f"block {request.block} at image {request.image.name}"


def _offer(requests: Sequence[analysis.Request], wanted: Sequence[analysis.Request], title: str) -> None:
    """An estimate and the button."""
    if not wanted:
        return
    with st.container(border=True, horizontal=True, vertical_alignment="center", key="offer"):
        st.markdown(estimate.of(wanted).sentence, width="stretch")
        st.button(
            "Compute", key="compute", type="primary", icon=":material/play_arrow:", on_click=_submit,
            args=(tuple(requests), tuple(wanted), title),
        )  # fmt: skip
    if refusal := st.session_state.pop("refused", None):
        st.error(controls.plain(refusal), icon=":material/block:")


def _submit(view: tuple, wanted: tuple, title: str) -> None:
    """The button's callback: the only place that submits."""
    try:
        service.submit(view, wanted, title)
    except CannotCompute as error:  # the queue is full
        st.session_state["refused"] = str(error)


@st.fragment(run_every=POLL)
def _progress(key: str, drawn: int, name: str = "") -> None:
    """Queue position, stage, time and Cancel.

    The page is drawn again when another result has arrived since it was drawn with ``drawn`` of them, and at the end.
    """
    job = service.watch(key)
    if job is None or not job.active or job.done > drawn:
        st.rerun()
    with st.container(border=True, key=f"progress{name}-{key[:8]}" if name else "progress"):
        text, button = st.columns([6, 1], vertical_alignment="center")
        with text:
            if job.status == "queued":
                st.progress(0.0, text=f"**{controls.plain(job.title)}** · waiting, number {job.position} in the queue")
            else:
                share = min(job.done / job.total, 1.0) if job.total else 0.0
                steps = f"{job.done} of {job.total}" if job.total else "starting"
                st.progress(
                    share,
                    text=f"**{controls.plain(job.title)}** · {steps} · {job.what or 'starting'} · {job.seconds:.0f} s",
                )
        look = {"key": f"cancel-{key[:8]}" if name else "cancel", "icon": ":material/close:", "width": "stretch"}
        button.button("Cancel", help="For every window that waits for it", on_click=service.cancel, args=(key,), **look)


@st.fragment(run_every=2 * POLL)
def monitor() -> None:
    """In the sidebar of every page: the computations that this window waits for, so that other pages stay usable."""
    jobs = [job for key in st.session_state.get("jobs", []) if (job := service.watch(key))]
    running = [job for job in jobs if job.active]
    for job in running:
        where = f"number {job.position} in the queue" if job.status == "queued" else f"{job.done} of {job.total or '?'}"
        st.caption(f":material/progress_activity: {controls.plain(job.title)}: {where}")
    if len(running) < len(st.session_state.get("jobs", [])):
        st.session_state["jobs"] = [job.key for job in running]
