"""Part 3 of the Stiff ODEs page: Robertson's reaction and Van der Pol's oscillator."""

import pandas as pd
import streamlit as st

from pages.shared.state import controls
from pages.shared.widgets import ode_table, panels
from stiffcore.figures.odes import example as figures
from stiffcore.figures.theme import Style
from stiffcore.odes import example as stiff_example, stiff_systems

SYSTEMS = {"robertson": "Robertson's reaction", "van_der_pol": "Van der Pol's oscillator"}
STORIES = {
    "robertson": "Three substances whose rate constants differ by nine powers of ten. The middle one is in balance within a "
    "few milliseconds; the reaction goes on for years. Mass is conserved, so one eigenvalue is 0 by structure; it is left "
    "out.",
    "van_der_pol": "An oscillator that creeps, then jumps. While it creeps, one direction decays, at a rate that falls from 3μ towards 0, "
    "and the other slowly *grows*. The ratio covers decaying eigenvalues only, so it is 1 nearly all the time: the textbook "
    "ratio assumes that all eigenvalues decay, and misses the stiffness here. The cost depends on the fast rate times the "
    "time spent creeping.",
}


@st.cache_resource(show_spinner="Solving …", max_entries=8)
def solved(name: str, mu: int) -> stiff_systems.Portrait:
    """Solved once for all visitors; a resource, since a system's right-hand side is a closure, which cache_data refuses."""
    return stiff_systems.portrait(name, mu)


def show(style: Style) -> None:
    """Choose a system; see its solution, eigenvalues and ratio over time, and the solvers' costs."""
    with panels.row():
        name = controls.select("System", "system", SYSTEMS, "robertson")
        mu = 1000
        if name == "van_der_pol":
            mu = controls.select("μ", "mu", stiff_systems.VAN_DER_POL_MU, 1000)
        by_step = controls.switch(
            "Stretch the fast moments", f"stretch_{name}", default=name == "van_der_pol",
            help="The x axis counts the steps of an implicit solver instead of time: its steps are short where the solution changes fast.",
        )  # fmt: skip
    st.markdown(STORIES[name])
    shown = solved(name, mu)
    st.caption(shown.system.formula)
    figure = figures.portrait(shown, style, by_step)
    picture, numbers = panels.responsive_columns([1.4, 1])
    with picture:
        panels.chart(figure, "portrait", _alt(shown))
    with numbers:
        _costs(shown, style)
    ode_table.lesson(_lesson(shown))
    python = (
        "from stiffcore.odes import stiff_systems\n"
        f"portrait = stiff_systems.portrait({name!r}, mu={mu})\nprint(portrait.eigenvalues, portrait.ratio)"
    )
    panels.downloads(figure, _frame(shown), f"stiff-{name}", shown.system.title, python)
    panels.equivalent_table(_frame(shown).iloc[:: max(len(shown.ratio) // 60, 1)], "About sixty of the solver's steps.")


def _costs(shown: stiff_systems.Portrait, style: Style) -> None:
    explicit = shown.costs[0]
    st.markdown("**What it costs**")
    figure = figures.costs(shown.costs, shown.system.t_end, style)
    panels.chart(figure, "costs", _costs_alt(shown))
    rows = [
        (
            f"{run.method}, {stiff_example.ADAPTIVE[run.method]}",
            *(f"{count:,}" for count in (run.n_steps, run.n_evaluations, run.n_jacobians, run.n_factorisations)),
            ode_table.number(float(run.times[-1]), 3) + ("" if run.finished else " ✕"),
        )
        for run in shown.costs
    ]
    frame = pd.concat(
        pd.DataFrame({"solver": run.method, "t": run.times, "evaluations": run.spent}) for run in shown.costs
    )
    title = f"{shown.system.title}: what it costs"
    panels.downloads(figure, frame, f"stiff-{shown.system.name}-costs", title, link=False)
    ode_table.show(("Solver", "Steps", "Evaluations", "Jacobians", "Factorisations", "t reached"), rows, style)
    if explicit.finished:
        st.caption(f"All reach t = {shown.system.t_end:g}: at this stiffness, explicit steps are still affordable.")
    else:
        st.caption(
            f"✕ The explicit solver stops at t = {explicit.times[-1]:.3g} of {ode_table.number(shown.system.t_end)}, where "
            f"its budget of {stiff_example.MOST_EVALUATIONS:,} evaluations is spent. The whole interval would need about "
            f"{ode_table.number(shown.evaluations_needed, 2)}, estimated from the largest |Re λ| along the way and RK45's real "
            "stability interval."
        )
    ode_table.metrics(numbers(shown))
    if shown.ratio_is_unbounded:
        st.caption(
            "Unbounded: an eigenvalue passes through 0 while the other one decays. The height of the drawn peaks only shows how "
            "close a solver step came to such a moment."
        )


def numbers(shown: stiff_systems.Portrait) -> list[tuple[str, str]]:
    """Numbers of the system itself, independent of the solver's steps: (label, value)."""
    undefined, one, _ = shown.decaying_shares
    pairs = [("Fastest decay |Re λ| × T", ode_table.number(shown.fastest_decay))]
    if shown.ratio_is_unbounded:
        almost = "over 99.9 %" if one > 0.9995 else f"{ode_table.number(100 * one)} %"
        pairs += [("Largest stiffness ratio", "unbounded"), ("of the time, just one decays", almost)]
    else:
        pairs += [("Stiffness ratio at the end", ode_table.number(float(shown.ratio[-1])))]
    share = f"{ode_table.number(100 * undefined, 2)} %" if undefined else "none"
    return [*pairs, ("of the time it is undefined", share)]


def _lesson(shown: stiff_systems.Portrait) -> str:
    implicit = min(shown.costs[1:], key=lambda run: run.n_evaluations)
    ratio = "unbounded" if shown.ratio_is_unbounded else ode_table.number(float(shown.ratio[-1]))
    return (
        f"The interval is {ode_table.number(shown.fastest_decay)} lifetimes of the fastest decay long. An explicit step is at most "
        f"a few such lifetimes long (RK45: {stiff_example.RK45_REAL_INTERVAL:.2f}), whatever the solution does; "
        f"{implicit.method} needs {implicit.n_steps:,} steps in all. The cost of an explicit method depends on this number of "
        f"lifetimes, not on the ratio ({ratio})."
    )


def _frame(shown: stiff_systems.Portrait) -> pd.DataFrame:
    columns = {"t": shown.reference.times}
    columns |= {f"y{i + 1}": shown.reference.states[:, i] for i in range(shown.reference.states.shape[1])}
    for i in range(2):
        columns |= {f"re_{i + 1}": shown.eigenvalues[:, i].real, f"im_{i + 1}": shown.eigenvalues[:, i].imag}
    return pd.DataFrame(columns | {"stiffness_ratio": shown.ratio, "n_decaying": shown.n_decaying})


def _alt(shown: stiff_systems.Portrait) -> str:
    return (
        f"{shown.system.title}: solution, real parts of the two eigenvalues and stiffness ratio until t = "
        f"{shown.system.t_end:g}. " + "; ".join(f"{label}: {value}" for label, value in numbers(shown)) + "."
    )


def _costs_alt(shown: stiff_systems.Portrait) -> str:
    return "Evaluations over time: " + "; ".join(
        f"{run.method} {run.n_evaluations:,} until t = {run.times[-1]:.3g}" for run in shown.costs
    )
