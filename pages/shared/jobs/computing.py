"""Missing results: an estimate and a button, then progress and Cancel; one job for all who wait for the same results."""

from collections.abc import Sequence

import streamlit as st

from pages.shared.jobs import job_badge, ode_jobs
from pages.shared.state import controls, service
from pages.shared.widgets import panels
from stiffcore.analysis import estimate
from stiffcore.analysis.requests import Request
from stiffcore.analysis.results import Result


def results(requests: Sequence[Request], title: str) -> list[Result]:
    """The results that are stored. For the others, shows why they failed, what they would cost, or how far they are."""
    stored = service.results(requests)
    missing = [request for request, result in zip(requests, stored, strict=True) if result is None]
    job = service.find(requests)
    if job and job.active:
        service.remember(job.key)
        ode_jobs.progress(job.key, job.done, suffix="")
    elif missing:
        ode_jobs.ended(job, "Cancelled. Finished results are kept.")
        refused = _refusals(job.result if job else None)
        _offer(requests, tuple(request for request in missing if request not in refused), title)
    available = [result for result in stored if result is not None]
    panels.notices(notice for result in available for notice in result.notices)
    return available


def badge(results: Sequence[Result], title: str) -> None:
    """How the results were made, and "Compute again" beside it; then its progress, or whether the new numbers agree."""
    if not results:
        return
    requests = tuple(dict.fromkeys(result.request for result in results))
    controls.doubts(request.network for request in requests)
    key = service.again_key(requests)
    computed = job_badge.with_again(
        key,
        service.work_again(requests, service.device_chosen()),
        title,
        *_state_and_parts(results),
        name=f"again-{key[:8]}",
        cost=f"Computes {_cost(requests, again=True)}",
        cancelled="Cancelled. Each stored result is kept until its new one is complete.",
        counts_results=True,
        queue=service.queue(),
    )
    if computed:
        _refusals(computed)
        _agreement(computed.pairs)


def _state_and_parts(results: Sequence[Result]) -> tuple[str, list[str]]:
    """Stored or fresh; device, precision, seconds, weights, convention, key."""
    fresh = sum(not result.stored for result in results)
    made = [result.made for result in results]

    def all_of(name: str, form=str) -> str:
        return " / ".join(dict.fromkeys(form(m[name]) for m in made if m.get(name) is not None))

    parts = [
        all_of("device"),
        all_of("precision"),
        job_badge.took(sum(m.get("seconds") or 0 for m in made)),
        f"weights {all_of('weights', lambda sha: str(sha)[:8])}",
        " / ".join(dict.fromkeys(r.request.convention_title for r in results)),
        f"key {all_of('key', lambda key: str(key)[:8])}" if len(results) == 1 else f"{len(results)} results",
    ]
    state = (
        "stored" if not fresh else "fresh" if fresh == len(results) else f"{fresh} fresh, {len(results) - fresh} stored"
    )
    return state, parts


def _refusals(computed: service.Computed | None) -> set[Request]:
    """Shows what the engine refused, with the reason, and returns it: it is not offered again."""
    refused = computed.refused if computed else {}
    for reason, requests in refused.items():
        names = ", ".join(map(name_of, requests))
        st.error(f"Not computed, {names}: {controls.escape_markdown(reason)}", icon=":material/block:")
    return {request for requests in refused.values() for request in requests}


def _agreement(pairs: Sequence[tuple]) -> None:
    """Whether what was computed again agrees with what was stored before."""
    from stiffcore.analysis import agreement

    compared = [agrees for _, agrees in pairs if agrees is not None]
    if compared:
        sentence = controls.escape_markdown(agreement.in_words(compared))
        good = all(one.agrees for one in compared)
        (st.success if good else st.warning)(sentence, icon=":material/done_all:" if good else ":material/difference:")


def name_of(request: Request) -> str:
    return request.where


def _offer(requests: Sequence[Request], wanted: tuple[Request, ...], title: str) -> None:
    """An estimate and the button."""
    if wanted:
        key, sentence = service.view_key(requests), _cost(wanted)
        work, queue = service.work(wanted, service.device_chosen()), service.queue()
        ode_jobs.button(key, work, title, sentence, "Compute", box="offer", name="compute", queue=queue)


def _cost(requests: Sequence[Request], again: bool = False) -> str:
    """The estimate. What is known are the seconds of a core: where a card may compute, it says so."""
    sentence = estimate.of(requests, again=again).sentence
    return f"{sentence} On a card it may be quicker." if service.may_be_on_card(requests) else sentence


def device() -> None:
    """A menu of the devices that spectra can be computed on; draws nothing on a server without a card."""
    titles, key = service.devices(), f"menu-{service.DEVICE}"
    if not titles:
        return

    def chosen() -> None:
        st.session_state[service.DEVICE] = st.session_state[key]

    st.session_state[key] = service.device_chosen()  # a widget's own value does not outlive a change of page
    st.selectbox(
        "Compute spectra on", list(titles), format_func=titles.get, key=key, on_change=chosen,
        help="Results are stored once, wherever they are computed, and agree to rounding. All else is computed on the CPU.",
    )  # fmt: skip


@st.fragment(run_every=2 * ode_jobs.POLL)
def monitor() -> None:
    """In the sidebar of every page: the computations that this window waits for, so that other pages stay usable."""
    jobs = [job for key in st.session_state.get("jobs", []) if (job := service.watch(key))]
    running = [job for job in jobs if job.active]
    for job in running:
        where = f"number {job.position} in the queue" if job.status == "queued" else f"{job.done} of {job.total or '?'}"
        st.caption(f":material/progress_activity: {controls.escape_markdown(job.title)}: {where}")
    if len(running) < len(st.session_state.get("jobs", [])):
        st.session_state["jobs"] = [job.key for job in running]
