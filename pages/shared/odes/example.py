"""Part 1 of the Stiff ODEs page: the paper's Eq. 8 and 9, its Figure 3, and its remark on the step 0.0015."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from pages.shared.odes import regions as ode_regions, solvers as ode_solvers
from pages.shared.state import choices, controls
from pages.shared.widgets import ode_table, panels
from stiffcore.errors import CannotCompute
from stiffcore.figures.odes import example as figures, stability_plane
from stiffcore.figures.odes.stability_plane import Cloud, View
from stiffcore.figures.theme import Style
from stiffcore.odes import example as stiff_example, stability

SLOWEST, FASTEST = 0.0001, 0.004  # of the slider
INTERVALS = ("0.006", "0.1")
EQUATIONS = (
    r"y' = -1000\,y + 3000 - 2000\,e^{-t},\;\; y(0) = 0 \qquad\Rightarrow\qquad "
    r"y = 3 - \tfrac{997}{999}\,e^{-1000t} - \tfrac{2000}{999}\,e^{-t}"
)
METHODS = {name: method.title for name, method in stability.METHODS.items()}
# What to try, in this order: label -> method, step, interval
TRIES = {
    "Small step": ("forward-euler", "0.0005", "0.006"),
    "The paper's step": ("forward-euler", "0.0015", "0.006"),
    "Past the limit": ("forward-euler", "0.0021", "0.1"),
    "The same, implicit": ("backward-euler", "0.0021", "0.1"),
}
WINDOW = View(-4.3, 1.3, 2.6)  # of hλ; holds every step of the slider


def show(style: Style) -> None:
    """Choose a method and a step; see how the error develops."""
    st.markdown(
        "The solution has a fast part, which is over by t = 0.005, and a slow part, which takes seconds. Only the slow part is of "
        "interest, but forward Euler's step may never exceed 2/1000, however smooth the solution has become."
    )
    st.latex(EQUATIONS)
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        st.markdown("**Try in turn:**", width="content")
        for number, (label, choice) in enumerate(TRIES.items(), 1):
            st.button(f"{number} · {label}", key=f"try-{label}", on_click=_try, args=choice)
    method, step, interval = _choose()
    t_end = float(interval)
    report = stiff_example.report(method, step, t_end)
    figure = figures.example(report, t_end, style)
    picture, numbers = panels.responsive_columns([1.75, 1])
    with picture:
        panels.chart(figure, "example", _alt(report, t_end))
    with numbers:
        region = _live(report, style)
    _remark()
    st.subheader("The same interval by other methods")
    ode_solvers.fixed_steps(step, t_end, report.method, style)
    st.subheader("Solvers that choose their own steps, until t = 1")
    ode_solvers.own_steps(style)
    ode_table.lesson(
        "The fast part is over at once, but its eigenvalue stays: λ = −1000 bounds every explicit step, however smooth the "
        "solution is. Implicit methods are not bound by it, but solve an equation in every step. **Stability, not accuracy, "
        "sets the step: that is stiffness.**"
    )
    title = f"{stability.method(method).title} on the stiff example, h = {step:g}"
    python = (
        f"from stiffcore.odes import example\nreport = example.report({method!r}, {step!r}, {t_end!r})\nprint(report)"
    )
    panels.downloads(figure, _frame(report), f"stiff-example-{method}", title, python)
    st.caption(f"The stability region, with hλ = {ode_table.number(report.z)}:")
    boundary = ode_regions.boundaries([method]).assign(h_lambda=report.z)
    panels.downloads(region, boundary, f"stiff-example-region-{method}", title, link=False)
    panels.equivalent_table(_frame(report), "Each step: the numerical solution, the exact one, and the error.")


def _try(method: str, step: str, interval: str) -> None:
    for name, text in (("method", method), ("h", step), ("until", interval)):
        choices.choose(name, text)


def _parse_step(text: str) -> float:
    """Any number; ``stiff_example.report`` refuses what is not a step, with the reason."""
    try:
        return float(text[:40])
    except ValueError:
        raise CannotCompute(f"Expected h as a number, got {text[:40]!r}.") from None


def _choose() -> tuple[str, float, str]:
    """Method, step and interval. The step has a slider through the stability limit, and a field for any other one."""
    first, second, third, fourth = st.columns([1.25, 2.6, 1.05, 1.1], vertical_alignment="bottom")
    with first:
        method = controls.select("Method", "method", METHODS, "forward-euler", draw=st.selectbox)
    step = choices.current("h", stiff_example.PAPER_STEP, _parse_step, lambda value: f"{value:g}")
    usable = step if np.isfinite(step) else stiff_example.PAPER_STEP
    for key, shown in (("step-slider", min(max(usable, SLOWEST), FASTEST)), ("step-field", usable)):
        # Written only if it differs: a write sets the browser's widget back, even while somebody moves it.
        if not np.isclose(st.session_state.get(key, np.nan), shown, rtol=1e-9, atol=0):
            st.session_state[key] = shown

    def changed(key: str) -> None:
        if st.session_state[key] is not None:  # an emptied field
            choices.choose("h", f"{st.session_state[key]:g}")

    second.slider(
        _step_label(method), SLOWEST, FASTEST, step=0.0001, format="%.4f",
        key="step-slider", on_change=changed, args=("step-slider",),
    )  # fmt: skip
    third.number_input(
        "or any h", step=0.0001, format="%.5f", key="step-field", on_change=changed, args=("step-field",)
    )
    with fourth:
        interval = controls.select("Until t =", "until", INTERVALS, INTERVALS[0])
    return method, step, interval


def _step_label(method: str) -> str:
    """With the chosen method's own limit."""
    limit = stability.real_stability_interval(method) / abs(stiff_example.RATE)
    if np.isinf(limit):
        return "Step h, stable at every step"
    return f"Step h, stable up to {limit:.4g}"


def _view(z: float) -> View:
    """The window of hλ, larger if z lies outside it."""
    scale = max(1.0, 1.1 * abs(z / WINDOW.left))
    return View(scale * WINDOW.left, scale * WINDOW.right, scale * WINDOW.height)


def _live(report: stiff_example.StepReport, style: Style) -> go.Figure:
    """The numbers that depend on the step, and a small figure of hλ, which is returned."""
    verdict = {
        "settles": "inside: the error shrinks",
        "settles, alternating": "inside: shrinks, changing sign",
        "on the limit": "on the edge: never shrinks",
        "unstable": "outside: the error grows",
    }[report.verdict]
    colour = {"unstable": "red", "on the limit": "orange"}.get(report.verdict, "green")
    ode_table.metrics(
        [
            ("hλ, with λ = −1000", ode_table.number(report.z)),
            ("R(hλ): error × in each step", ode_table.number(report.amplification)),
        ]
    )
    st.markdown(f":{colour}-badge[{verdict}]")
    view = _view(report.z)
    region = stability_plane.figure(
        [Cloud("hλ", np.array([report.z + 0j]), style.bad if not report.is_stable else style.accent, size=15, opacity=1)],
        [report.method], style, view, kept_zoom=f"{report.method} {view.left:.4g}", height=280, legend=False,
    )  # fmt: skip
    inside = f"The stability region of {stability.method(report.method).title} and hλ = {report.z:g}: {verdict}."
    panels.chart(region, "example-region", inside)
    ode_table.metrics(
        [
            ("Error, first step", ode_table.number(report.first_error)),
            ("Largest error", ode_table.number(report.largest_error)),
            (
                f"Error at t = {ode_table.number(float(report.solution.times[-1]))}",
                ode_table.number(report.last_error),
            ),
        ]
    )
    return region


def _remark() -> None:
    """The paper's remark on 0.0015, against the numbers."""
    paper = stiff_example.report("forward-euler", stiff_example.PAPER_STEP, 0.1)
    exact_first = float(stiff_example.example_solution(stiff_example.PAPER_STEP))
    fast, slow = stiff_example.PRINTED_COEFFICIENTS
    fine = np.linspace(0, 0.1, 2001)
    rounding = np.abs(
        stiff_example.example_solution(fine) - stiff_example.example_solution(fine, stiff_example.PRINTED_COEFFICIENTS)
    ).max()
    with st.container(border=True):
        st.markdown(
            f"**What the paper says about h = {stiff_example.PAPER_STEP:g}** (its §4.1 calls this step unstable for Eq. 8).  \n"
            f":green[**Right:**] the step is too coarse for the fast part. The first step lands at "
            f"{paper.solution.states[1, 0]:g} where the solution is at {exact_first:.3f}, and the error changes sign from "
            f"step to step.  \n"
            f":red[**Wrong:**] nothing grows. Each step multiplies the error by 1 + hλ = "
            f"{ode_table.number(paper.amplification)}, so it settles: {ode_table.number(paper.last_error)} is left at "
            f"t = {ode_table.number(float(paper.solution.times[-1]))}. "
            f"Instability begins beyond h = 2/1000 = {stiff_example.STABILITY_LIMIT:g}.  \n"
            f"Eq. 9 is printed with rounded coefficients, {fast:g} and {slow:g}; with the exact ones above, 997/999 and "
            f"2000/999, it differs by up to {ode_table.number(rounding, 2)}."
        )


def _frame(report: stiff_example.StepReport) -> pd.DataFrame:
    run = report.solution
    exact = stiff_example.example_solution(run.times)
    y = run.states[:, 0]
    return pd.DataFrame({"t": run.times, "y": y, "exact": exact, "error": np.abs(y - exact)})


def _alt(report: stiff_example.StepReport, t_end: float) -> str:
    return (
        f"{stability.method(report.method).title} with step {report.step:g} on [0, {t_end:g}] against the exact solution: "
        f"{report.verdict}; largest error {report.largest_error:.3g}, at t = {report.solution.times[-1]:.3g} "
        f"{report.last_error:.3g}."
    )
