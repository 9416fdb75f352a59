"""What all visitors share: the job service, what is stored, and torch imported in the background."""

import hashlib
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from stiffcore import imports
from stiffcore.analysis import compute as analysis, on_card
from stiffcore.analysis.requests import Request
from stiffcore.analysis.results import Result
from stiffcore.device_names import AUTO, CPU, CUDA, number_of
from stiffcore.errors import CannotCompute

WARM_UP_AFTER = 4.0  # seconds; the first page has been drawn by then
DEVICE = "device"  # key of the visitor's choice; it is no part of a view, and so not of its link
SAME_IN_ALL = ("NVIDIA", "GeForce", "Generation", "GPU")
log = logging.getLogger(__name__)


@st.cache_resource(show_spinner=False)
def job_service():
    """One stiffcore.jobs.JobService for the whole server."""
    from stiffcore import jobs

    return jobs.JobService(prepare=_prepare)


@st.cache_resource(show_spinner=False)
def warm_up() -> threading.Timer | None:
    """Import torch once the first page is there, so that the first computation does not wait for it."""
    if not st.runtime.exists():  # a script run without a server, as in tests
        return None
    timer = threading.Timer(WARM_UP_AFTER, _import_torch)
    timer.daemon = True
    timer.start()
    return timer


def _prepare(queue: str) -> None:
    """In a queue's thread: torch, and the card that "auto" means there."""
    _import_torch()
    try:
        if number_of(queue or CPU) is not None:
            import torch

            torch.cuda.set_device(queue)
    except Exception:  # as below
        log.exception("The device %s could not be chosen", queue)


def _import_torch() -> None:
    try:
        imports.import_torch()
    except Exception:  # the computation will report it to the visitor
        log.exception("torch could not be imported")


def devices() -> dict[str, str]:
    """What a visitor may choose to compute on, with its title; empty on a server without a card, and in its first seconds, before torch is
    there."""
    if not imports.has_torch():
        return {}
    from stiffcore import device

    cards = {
        f"{CUDA}:{number}": f"{CUDA}:{number} · {_short(name)}".rstrip(" ·")
        for number, name in enumerate(device.cards())
    }
    return {AUTO: "the quicker one", CPU: "CPU"} | cards if cards else {}


def _short(name: str) -> str:
    """A card's name without the words that all have: ``NVIDIA RTX 6000 Ada Generation`` -> ``RTX 6000 Ada``. The menu would cut it."""
    return " ".join(word for word in name.split() if word not in SAME_IN_ALL)


def device_chosen() -> str:
    """The device that this visitor chose, "auto" by default, and where it is no device of this server."""
    chosen = st.session_state.get(DEVICE, AUTO)
    return chosen if chosen in devices() else AUTO


def queue() -> str:
    """The queue of the device that this visitor chose: each has one. "auto" takes the shortest among the cards'."""
    chosen, cards = device_chosen(), [name for name in devices() if name not in (AUTO, CPU)]
    if chosen == AUTO and cards:
        return min(cards, key=job_service().load)
    return "" if chosen in (AUTO, CPU) else chosen


def may_be_on_card(requests: Sequence[Request]) -> bool:
    """Whether a card may compute some of these, by what this visitor chose."""
    return bool(queue()) and any(on_card.may_compute(request, device_chosen()) for request in requests)


def still_there(where: str) -> str:
    """The device that a visitor chose before. Raises CannotCompute where its card is lost; says what the menu offers now."""
    left = devices()
    if where in (AUTO, CPU, *left):
        return where
    instead = f"choose {', '.join(left.values())} in the sidebar" if left else "press the button again for the CPU"
    raise CannotCompute(f"The card {where} is not there any more: {instead}.")


def visitor() -> str:
    """Identifies this browser window among those that wait for a job."""
    context = get_script_run_ctx()
    return context.session_id if context else "no session"


def view_key(requests: Sequence[Request]) -> str:
    """The key of a whole view's computation: the same for every visitor, whatever is stored already."""
    keys = sorted(request.key for request in requests)
    return hashlib.sha256("\n".join(keys).encode()).hexdigest()


@dataclass(frozen=True)
class Computed:
    """A job's outcome: (result, its agreement with the one stored before, or None), and the refused requests by reason."""

    pairs: tuple[tuple, ...]
    refused: dict[str, tuple[Request, ...]]

    @property
    def results(self) -> list[Result]:
        return [result for result, _ in self.pairs]


def _whatever_can_be(requests: Sequence[Request], progress, agreement, where: str, **options) -> Computed:
    """Computes all that can be. What cannot, for example for lack of memory, is reported; the rest continue.

    agreement: a new result -> how it agrees with what was stored before. Raises CannotCompute if nothing can be computed.
    """
    refused: dict[str, tuple] = {}

    def report(request: Request, error: CannotCompute) -> None:
        refused[str(error)] = (*refused.get(str(error), ()), request)

    made = analysis.compute_many(requests, progress, report, where=still_there(where), **options)
    pairs = tuple((on_card.with_reason(new, where), agreement(new)) for new in made)
    if not pairs and refused:
        raise CannotCompute(next(iter(refused)))
    return Computed(pairs, refused)


def again_key(requests: Sequence[Request]) -> str:
    """The key of computing a view again."""
    return hashlib.sha256(f"again {view_key(requests)}".encode()).hexdigest()


def work(requests: tuple[Request, ...], where: str = AUTO) -> Callable:
    """The job that computes these requests on a device: progress -> Computed."""
    return lambda progress: _whatever_can_be(requests, progress, lambda new: None, where=where)


def work_again(requests: tuple[Request, ...], where: str = AUTO) -> Callable:
    """The job that computes stored results again on a device and compares: progress -> Computed.

    A stored result is replaced only when the new one is complete. After a cancellation the others stay stored as they were.
    """

    def again(progress) -> Computed:
        from stiffcore.analysis import agreement

        before = {request: analysis.stored(request) for request in requests}

        def agrees(new: Result):
            return before[new.request] and agreement.of(before[new.request], new)

        return _whatever_can_be(requests, progress, agrees, again=True, where=where)

    return again


def find_again(requests: Sequence[Request]):
    """The job that computes, or recently computed, these requests again, or None."""
    return job_service().find(again_key(requests)) if requests else None


def watch(key: str):
    """The job under a key. Tells the service that this window still waits for it."""
    return job_service().watch(key, visitor())


def cancel(key: str) -> None:
    """Cancels a job for everyone waiting. The worker is free at the computation's next stage."""
    job_service().cancel(key)


def remember(key: str) -> None:
    """Makes this session follow a job; the sidebar of every page shows it."""
    followed = st.session_state.setdefault("jobs", [])
    if key not in followed:
        followed.append(key)


def find(requests: Sequence[Request]):
    """The job that computes, or computed, these requests, or None."""
    return job_service().find(view_key(requests)) if requests else None


def results(requests: Sequence[Request]) -> list[Result | None]:
    """The stored results, with the notices of the job that computed them, and those that a finished job could not store; a recently
    recomputed one counts as fresh."""
    computed, again = (
        {result.request: result for result in job.result.results} if job and job.status == "done" else {}
        for job in (find(requests), find_again(requests))
    )
    return [again.get(request) or _stored(request, computed) or computed.get(request) for request in requests]


def _stored(request: Request, computed: Mapping[Request, Result]) -> Result | None:
    """The stored result. computed: by a job that has just ended, which had notices that are not stored."""
    result, new = analysis.stored(request), computed.get(request)
    return replace(result, notices=new.notices) if result and new and new.notices else result
