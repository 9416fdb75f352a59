"""The stiff example by other methods: all one-step methods at the chosen step, and scipy's solvers with steps of their own."""

from collections.abc import Mapping

import numpy as np
import streamlit as st

from pages.shared.widgets import ode_table
from stiffcore.figures.theme import Style
from stiffcore.odes import example as stiff_example, stability

OWN_STEPS_UNTIL = 1.0
SMOOTH_FROM = 0.1  # e^(-1000 t) is 4e-44 there
COSTS = ("Steps", "Evaluations of f", "Jacobians", "Factorisations")


def fixed_steps(step: float, t_end: float, chosen: str, style: Style) -> None:
    """Every one-step method at the visitor's step, with the chosen one in bold."""
    reports = [stiff_example.report(name, step, t_end) for name in stability.METHODS]
    rows = [
        (
            stability.method(report.method).title,
            "explicit" if stability.method(report.method).is_explicit else "implicit",
            *_costs(report.solution),
            *map(ode_table.number, (report.largest_error, report.last_error)),
        )
        for report in reports
    ]
    last = ode_table.number(float(reports[0].solution.times[-1]))
    heads = (f"Method, h = {step:g}", "Kind", *COSTS, "Largest error", f"Error at t = {last}")
    ode_table.show(heads, rows, style, chosen=list(stability.METHODS).index(chosen))
    unstable = [stability.method(report.method).title for report in reports if not report.is_stable]
    st.caption(
        (f"Unstable at this step: {', '.join(unstable)}. " if unstable else "All are stable at this step. ")
        + "An implicit step solves an equation for its end point: one factorisation (for a single equation: a division), and one "
        "more evaluation of f to confirm it."
    )


@st.cache_resource(show_spinner=False, max_entries=1)
def solved() -> Mapping[str, stiff_example.Solution]:
    """solve_ivp's methods on [0, OWN_STEPS_UNTIL]."""
    return {
        method: stiff_example.adaptive(stiff_example.STIFF_EXAMPLE, method, OWN_STEPS_UNTIL)
        for method in stiff_example.ADAPTIVE
    }


def own_steps(style: Style) -> None:
    """solve_ivp on a longer interval: most of it is smooth."""
    rows = []
    for method, run in solved().items():
        error = np.abs(run.states[:, 0] - stiff_example.example_solution(run.times))
        errors = map(ode_table.number, (float(error.max()), float(error[-1])))
        steps, *others = _costs(run)
        rows.append((method, stiff_example.ADAPTIVE[method], steps, f"{len(_smooth_steps(run)):,}", *others, *errors))
    last = f"Error at t = {OWN_STEPS_UNTIL:g}"
    heads = ("Solver", "Kind", COSTS[0], f"at t ≥ {SMOOTH_FROM:g}", *COSTS[1:], "Largest error", last)
    ode_table.show(heads, rows, style)
    st.caption(_what_holds_back(solved()))


def _smooth_steps(run: stiff_example.Solution) -> np.ndarray:
    """The lengths of the steps that begin at SMOOTH_FROM or later."""
    return np.diff(run.times)[run.times[:-1] >= SMOOTH_FROM]


def _what_holds_back(runs: Mapping[str, stiff_example.Solution]) -> str:
    """RK45's steps against its stability interval, in numbers."""
    counts = {method: len(_smooth_steps(run)) for method, run in runs.items()}
    step = float(np.median(_smooth_steps(runs["RK45"])))
    return (
        f"scipy's solve_ivp at its default relative tolerance of 10⁻³. From t = {SMOOTH_FROM:g} on nothing fast is left, but "
        f"RK45 still takes {counts['RK45']} steps there, of about {ode_table.number(step)}: hλ = "
        f"{ode_table.number(step * stiff_example.RATE)}, close to the end of its stability interval, "
        f"−{stiff_example.RK45_REAL_INTERVAL:.2f}. Stability limits it, not accuracy. Number of steps there: Radau "
        f"{counts['Radau']}, BDF {counts['BDF']}; both solve linear equations in every step."
    )


def _costs(run: stiff_example.Solution) -> tuple[str, ...]:
    counts = (run.n_steps, run.n_evaluations, run.n_jacobians, run.n_factorisations)
    return tuple(f"{count:,}" for count in counts)
