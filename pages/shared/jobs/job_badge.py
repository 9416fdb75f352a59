"""How a mode, pseudospectra, a perturbed image or a sweep was made, and beside it "Compute again"; as computing.badge for spectra."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import streamlit as st

from pages.shared.jobs import ode_jobs
from pages.shared.state import controls, service
from stiffcore.networks import manifest
from stiffcore.storage import cache as result_cache

Numbers = Callable[[object], Mapping[str, float]]  # what of a result is compared with the one before


def parts(device: str, precision: str, seconds: float | None, network: str, *others: str) -> list[str]:
    """What a badge says after "stored" or "fresh"; seconds: None where nobody measured them."""
    took = "" if seconds is None else f"{seconds:,.0f} s to compute" if seconds >= 10 else f"{seconds:.2g} s to compute"
    found = [device, precision, took, f"weights {manifest.entry(network).sha256[:8]}", *others]
    return [part for part in found if part]


def show(key: str, again: Callable, before: object, numbers: Numbers, title: str, about: Sequence[str]) -> None:
    """The badge of the result under a job's key. again: progress -> the result, whatever is stored; before: the stored one."""
    key_again = result_cache.key({"again": key})
    jobs = service.job_service()
    job, first = jobs.find(key_again), jobs.find(key)
    fresh = any(found is not None and found.status == "done" for found in (job, first))
    busy = bool(job and job.active)

    def work(progress) -> tuple[Mapping[str, float], Mapping[str, float]]:
        return numbers(before), numbers(again(progress))

    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        state = ":blue-badge[fresh] " if fresh else ":green-badge[stored] "
        st.markdown(state + " ".join(f":gray-badge[{controls.plain(part)}]" for part in about))
        st.button(
            "Compute again", key=f"again-{key[:8]}", type="tertiary", icon=":material/refresh:", disabled=busy,
            on_click=ode_jobs.submit, args=(key_again, work, f"{title}, again"),
        )  # fmt: skip
    if busy:
        service.remember(key_again)
        ode_jobs.progress(key_again)
    elif job and job.status == "failed":
        st.error(f"{controls.plain(job.error)} What was stored is kept.", icon=":material/block:")
    elif job and job.status == "cancelled":
        st.info("Cancelled. What was stored is kept.", icon=":material/cancel:")
    elif job and job.result:
        _agreement(*job.result)


def _agreement(old: Mapping[str, float], new: Mapping[str, float]) -> None:
    """The number that moved most, relative to its size; rounding may move one by a millionth of it, whatever its condition."""
    moved = {name: abs(new[name] - old[name]) / max(abs(old[name]), 1e-300) for name in old if np.isfinite(old[name])}
    name = max(moved, key=moved.__getitem__, default=None)
    if name is None:
        return
    sentence = f"Computed again: {name} was {old[name]:.6g}, is {new[name]:.6g}"
    if moved[name] <= 1e-6:
        st.success(f"{sentence}; nothing moved by more than a relative {moved[name]:.1g}.", icon=":material/done_all:")
    else:
        st.warning(f"{sentence}.", icon=":material/difference:")
