"""How a result was made, and beside it "Compute again": of spectra, a mode, pseudospectra, a perturbed image or a sweep."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import streamlit as st

from pages.shared.jobs import ode_jobs
from pages.shared.state import controls, service
from stiffcore.storage import cache as result_cache

Numbers = Callable[[object], Mapping[str, float]]  # the numbers of a result that are compared with the previous one


def took(seconds: float | None) -> str:
    """The computing time in words; empty if it was not measured."""
    return "" if seconds is None else f"{seconds:,.0f} s to compute" if seconds >= 10 else f"{seconds:.2g} s to compute"


def parts(device: str, precision: str, seconds: float | None, weights: str, *others: str) -> list[str]:
    """What a badge says after "stored" or "fresh". weights: their SHA-256."""
    return [device, precision, took(seconds), f"weights {weights[:8]}", *others]


def show(
    key: str, again: Callable, before: object, numbers: Numbers, title: str, about: Sequence[str], queue: str = ""
) -> None:
    """The badge of a job's result. again: progress -> the result, computed even if it is stored; before: the stored one. queue: of
    stiffcore.jobs."""
    key_again = result_cache.key({"again": key})
    jobs = service.job_service()
    is_fresh = any(job is not None and job.status == "done" for job in (jobs.find(key_again), jobs.find(key)))

    def work(progress) -> tuple[Mapping[str, float], Mapping[str, float]]:
        return numbers(before), numbers(again(progress))

    state = "fresh" if is_fresh else "stored"
    compared = with_again(key_again, work, title, state, about, name=f"again-{key[:8]}", queue=queue)
    if compared:
        _agreement(*compared)


def with_again(
    key: str,
    work: Callable,
    title: str,
    state: str,
    about: Sequence[str],
    name: str,
    cost: str | None = None,
    cancelled: str = "Cancelled. The stored result is kept.",
    counts_results: bool = False,
    queue: str = "",
) -> object | None:
    """Draws a badge and "Compute again", with the job's progress or why it failed below. Returns what the job returned.

    key, work: of the second computation. state: "stored", "fresh", or how many of each. about: the badge's other parts, empty
    ones left out. name: the button's key; cost: on hover. counts_results: the job's progress counts results, and the page is
    drawn again for each. queue: of stiffcore.jobs.
    """
    job = service.job_service().find(key)
    is_busy = bool(job and job.active)
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        colour = "green" if state == "stored" else "blue"
        grey = " ".join(f":gray-badge[{controls.escape_markdown(part)}]" for part in about if part.strip())
        st.markdown(f":{colour}-badge[{state}] {grey}")
        st.button(
            "Compute again", key=name, type="tertiary", icon=":material/refresh:", disabled=is_busy, help=cost,
            on_click=ode_jobs.submit, args=(key, work, f"{title}, again"), kwargs={"queue": queue},
        )  # fmt: skip
    ode_jobs.refusal(key)
    if is_busy:
        service.remember(key)
        ode_jobs.progress(key, job.done if counts_results else None)
    else:
        ode_jobs.ended(job, cancelled, "The stored result is kept.")
    return job.result if job else None


def _agreement(old: Mapping[str, float], new: Mapping[str, float]) -> None:
    """Shows the number that changed most, relative to its size. Rounding may change a number by a millionth of it."""
    changes = {name: abs(new[name] - old[name]) / max(abs(old[name]), 1e-300) for name in old if np.isfinite(old[name])}
    name = max(changes, key=changes.__getitem__, default=None)
    if name is None:
        return
    sentence = f"Computed again: {name} was {old[name]:.6g} and is now {new[name]:.6g}"
    if changes[name] <= 1e-6:
        st.success(
            f"{sentence}; no number changed by more than a relative {changes[name]:.1g}.", icon=":material/done_all:"
        )
    else:
        st.warning(f"{sentence}.", icon=":material/difference:")
