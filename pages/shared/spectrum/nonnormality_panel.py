"""Below a spectrum: how far the block's Jacobian is from normal; eigenvalues alone do not say what one step does."""

import numpy as np
import pandas as pd
import streamlit as st

from pages.shared.jobs import job_badge, ode_jobs
from pages.shared.state import controls
from pages.shared.widgets import ode_table, panels
from stiffcore.analysis import nonnormality
from stiffcore.analysis.requests import PRECISION
from stiffcore.analysis.results import Result
from stiffcore.figures.spectra import pseudospectra as figures, spectrum_table
from stiffcore.figures.theme import Style
from stiffcore.figures.wording import capital


def show(result: Result, style: Style) -> None:
    """The stored numbers of one block at one image, or the offer to compute them."""
    request, values = result.request, result.arrays["eigenvalues"]
    st.subheader("How far from normal")
    st.markdown(
        f"{controls.escape_markdown(capital(request.where))}. Eigenvalues describe the long run; "
        "with a non-normal matrix, much can happen before (Higham and Trefethen 1993)."
    )
    measured = nonnormality.stored(request)
    if measured is None:
        seconds = nonnormality.estimated_seconds(len(values))
        sentence = f"**Not stored yet.** One Schur form and a grid of resolvent norms: about {seconds:.0f} s."
        title = f"{request.network.title}, {request.part}: pseudospectra"
        work = lambda progress: nonnormality.compute(request, progress)  # noqa: E731 - as the other jobs
        measured = ode_jobs.offer(nonnormality.key(request), work, title, sentence, "Compute pseudospectra")
    if measured is not None:
        _draw(measured, result, style)


def _draw(found: nonnormality.NonNormality, result: Result, style: Style) -> None:
    request = found.request
    figure = figures.figure(found, result.arrays["eigenvalues"], style)
    picture, numbers = st.columns([1.6, 1])
    with picture:
        panels.chart(figure, "pseudospectra", figures.alt_text(found))
    with numbers:
        ode_table.show(("Of J", "Value"), _rows(found, result), style)
        st.caption(
            "Lines: log₁₀ ε. A change of J with norm ε can move eigenvalues up to the line. ω(J): the rate at which ‖exp(tJ)‖ grows "
            "at t = 0. If it is right of the rightmost eigenvalue, some change grows before it decays. Departure: "
            "(‖J‖²_F − Σ|λ|²)^½, 0 for a normal matrix. ‖exp(tJ)‖: the most that x′ = Jx can grow in the time t; a block's time is 1. "
            "Kreiss's constant: how far it outgrows e^(t·max Re λ) at least; over the grid, so a lower bound."
        )
    _badge(found)
    panels.notices([found.notice])
    frame = _frame(found)
    python = (
        "import stiffcore as sc\nfrom stiffcore.analysis import nonnormality\n\n"
        f"request = sc.request({spectrum_table.arguments_in_python(request)}, "
        '"spectrum")\nprint(nonnormality.compute(request))\n'
    )
    name = f"pseudospectra-{request.network.name}-{request.block}"
    panels.downloads(figure, frame, name, f"Pseudospectra, {request.network.title}, {request.part}", python, link=False)
    panels.equivalent_table(frame.iloc[:: max(len(frame) // 200, 1)], "About two hundred points of the grid.")


def _badge(found: nonnormality.NonNormality) -> None:
    request = found.request
    about = job_badge.parts("cpu", PRECISION, found.seconds, request.network.weights_sha256, request.convention_title)

    def numbers(made: nonnormality.NonNormality) -> dict[str, float]:
        return {"ω(J)": made.numerical_abscissa, "‖J‖₂": made.norm, "Henrici's departure": made.departure}

    again = lambda progress: nonnormality.compute(request, progress, again=True)  # noqa: E731 - as the other jobs
    job_badge.show(nonnormality.key(request), again, found, numbers, f"{request.geometry.title}: pseudospectra", about)


def _rows(found: nonnormality.NonNormality, result: Result) -> list[tuple[str, str]]:
    return [
        ("Numerical abscissa ω(J)\nmax eigenvalue of (J + Jᵀ)/2", ode_table.number(found.numerical_abscissa, 4)),
        *_transient(found, result),
        ("Largest real part\nof an eigenvalue", ode_table.number(result.metrics.get("max_re", np.nan), 4)),
        ("Norm ‖J‖₂", ode_table.number(found.norm, 4)),
        ("Spectral radius", ode_table.number(result.metrics.get("spectral_radius", np.nan), 4)),
        ("Henrici's departure", ode_table.number(found.departure, 4)),
        ("Departure / ‖J‖_F\n0 normal, 1 nilpotent", ode_table.number(found.departure / (found.frobenius or 1.0), 3)),
    ]


def _transient(found: nonnormality.NonNormality, result: Result) -> list[tuple[str, str]]:
    """The most growth within a block's time, and Kreiss's constant."""
    grown, at = ("not computed", "compute again") if found.growth is None else _largest(found.growth)
    kreiss = nonnormality.kreiss_constant(found, result.metrics.get("max_re", np.nan))
    return [
        (f"Largest ‖exp(tJ)‖₂, 0 ≤ t ≤ 1\n{at}", grown),
        ("Kreiss's constant, at least\ngrowth beyond e^(t·max Re λ)", ode_table.number(kreiss, 4)),
    ]


def _largest(growth: np.ndarray) -> tuple[str, str]:
    """The largest of the norms, with t = 0, where it is 1; and the time."""
    if np.isnan(growth).any():
        return "not computed", "Lanczos' iteration did not settle"
    values, times = np.append(1.0, growth), (0.0, *nonnormality.TIMES)
    at = int(np.argmax(values))
    return ode_table.number(values[at], 4), f"largest at t = {times[at]:g} ({len(values)} times tried)"


def _frame(found: nonnormality.NonNormality) -> pd.DataFrame:
    x, y = np.meshgrid(found.x, found.y)
    return pd.DataFrame({"re": x.ravel(), "im": y.ravel(), "log10_resolvent_norm": found.log_resolvent.ravel()})
