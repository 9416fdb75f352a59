"""The stored results of the page's lines; for the others the estimate, the button, the progress. One job for all that are missing."""

from collections.abc import Sequence

import streamlit as st

from pages.shared.jobs import job_badge, ode_jobs
from pages.shared.state import controls, service
from pages.shared.widgets import panels
from stiffcore.growth import compute, estimate, requests
from stiffcore.growth.requests import PRECISION, Growth, GrowthRequest
from stiffcore.progress import Progress
from stiffcore.storage import cache as result_cache


def of(asked: Sequence[GrowthRequest]) -> list[Growth]:
    """The results that there are, in the order of the requests."""
    key = result_cache.key({"growth of": [requests.key(request) for request in asked]})
    job = service.job_service().find(key)
    fresh = {growth.request: growth for growth in job.result} if job and job.status == "done" else {}
    found = {request: requests.stored(request) or fresh.get(request) for request in asked}
    missing = tuple(request for request, growth in found.items() if growth is None)
    if missing:
        names = ", ".join(controls.escape_markdown(request.where) for request in missing)
        about = sum(estimate.seconds(request.network) for request in missing)
        sentence = f"**Not stored yet:** {names}. About {about:.0f} s on one core."
        ode_jobs.offer(key, _work(missing), "Growth through the network", sentence, "Compute")
    there = [growth for growth in found.values() if growth is not None]
    panels.notices(growth.notice for growth in there)
    return there


def _work(asked: tuple[GrowthRequest, ...]):
    """The job that computes these requests: progress -> their results."""

    def work(progress: Progress) -> list[Growth]:
        results = []
        for at, request in enumerate(asked):

            def report(_: int, __: int, what: str, at: int = at, request: GrowthRequest = request) -> None:
                progress(at, len(asked), f"{request.where}: {what}")

            results.append(compute.compute(request, report))
        return results

    return work


def badge(found: Sequence[Growth], names: Sequence[str]) -> None:
    """How the results were made, their worst residuals, and doubts about networks that were read from files."""
    residual = max(float(growth.residuals.max()) for growth in found)
    agreement = max(float(growth.agreement.max()) for growth in found)
    model = max(growth.model_error for growth in found)
    weights = " / ".join(dict.fromkeys(growth.weights[:8] for growth in found))
    parts = [
        "cpu", PRECISION, job_badge.took(sum(growth.seconds for growth in found)), f"weights {weights}",
        f"residual {residual:.0e}", f"two starts agree to {agreement:.0e}", f"J v of the module to {model:.0e}",
    ]  # fmt: skip
    st.markdown(
        ":green-badge[stored] " + " ".join(f":gray-badge[{controls.escape_markdown(part)}]" for part in parts if part)
    )
    controls.doubts(growth.request.network for growth in found)
