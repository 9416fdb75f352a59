"""Figures of the stiff example, the stiff systems and the flows of blocks. Computes only the points of curves."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from stiffcore.figures.odes.curves import finished, line
from stiffcore.figures.theme import Style
from stiffcore.odes import example as stiff_example, stability
from stiffcore.odes.block_flow import STEPS, BlockFlow
from stiffcore.odes.example import Solution, StepReport
from stiffcore.odes.stiff_systems import Portrait

MOST_MARKERS = 150  # steps; with more, the numerical solution is a line without markers
SMALLEST_ERROR = 1e-16  # drawn on a log axis
SHOWN_Y = (-0.4, 2.7)  # of the stiff example; unstable solutions leave the figure
NAMES = {
    "robertson": ("y₁", "y₂ × 10⁴", "y₃"),
    "van_der_pol": ("y₁", "y₂ / μ"),
}


def decades(*values: np.ndarray, most: int = 5) -> dict:
    """A log axis between powers of ten around the values, with a tick at each power, or at about `most` of them."""
    positive = np.concatenate([np.ravel(v) for v in values])
    positive = positive[np.isfinite(positive) & (positive > 0)]
    low, high = np.floor(np.log10(positive.min()) + 1e-9), np.ceil(np.log10(positive.max()) - 1e-9)
    high = max(high, low + 1)
    margin = 0.04 * (high - low)
    return {
        "type": "log",
        "range": [low - margin, high + margin],
        "dtick": max(1, round((high - low) / most)),
        "exponentformat": "power",
        "minor": {"showgrid": False},
    }


def example(report: StepReport, t_end: float, style: Style) -> go.Figure:
    """The exact and the numerical solution, and the distance between them on a log axis."""
    fig = make_subplots(2, 1, shared_xaxes=True, row_heights=[0.68, 0.32], vertical_spacing=0.06)
    fine = np.unique(np.concatenate([np.linspace(0, t_end, 500), np.linspace(0, min(t_end, 0.006), 300)]))
    exact, run = stiff_example.example_solution(fine), report.solution
    slow = 3 - stiff_example.EXACT_COEFFICIENTS[1] * np.exp(-fine)
    colour = style.bad if not report.is_stable else style.accent
    title = stability.method(report.method).title
    fig.add_trace(line(fine, slow, "slow part alone", style.muted, style, dash="dot", hoverinfo="skip"), 1, 1)
    fig.add_trace(
        line(fine, exact, "exact", style.ink, style, hovertemplate="exact y(%{x:.5f}) = %{y:.5f}<extra></extra>"), 1, 1
    )
    mode = "lines+markers" if run.n_steps <= MOST_MARKERS else "lines"
    fig.add_trace(
        line(
            run.times, run.states[:, 0], f"{title}, h = {report.step:g}", colour, style, mode=mode,
            marker={"size": style.marker_size + 2, "symbol": "circle" if report.is_stable else "x"},
            hovertemplate="t = %{x:.5f}<br>y = %{y:.5g}<extra></extra>",
        ),
        1,
        1,
    )  # fmt: skip
    error = np.maximum(np.abs(run.states[:, 0] - stiff_example.example_solution(run.times)), SMALLEST_ERROR)
    fig.add_trace(
        line(
            run.times[1:], error[1:], "error", colour, style, mode=mode, showlegend=False,
            marker={"size": style.marker_size, "symbol": "circle" if report.is_stable else "x"},
            hovertemplate="t = %{x:.5f}<br>error %{y:.3g}<extra></extra>",
        ),
        2,
        1,
    )  # fmt: skip
    fig.update_yaxes(title_text="y", range=SHOWN_Y, row=1, col=1)
    fig.update_yaxes(title_text="|error|", **decades(error[1:], most=3), row=2, col=1)
    fig.update_xaxes(range=[-0.01 * t_end, 1.01 * t_end])
    fig.update_xaxes(title_text="t", row=2, col=1)
    return finished(fig, style, 470, f"example {t_end}")


def portrait(shown: Portrait, style: Style, by_step: bool = False) -> go.Figure:
    """The solution, and along it the real parts of the Jacobian's eigenvalues and the stiffness ratio.

    by_step: against the number of the solver's step instead of time, which stretches the fast phases.
    """
    fig = make_subplots(
        3, 1, shared_xaxes=True, row_heights=[0.34, 0.36, 0.3], vertical_spacing=0.07,
        subplot_titles=("Solution", "|Re λ| of the Jacobian along it", "Stiffness ratio"),
    )  # fmt: skip
    fig.for_each_annotation(lambda note: note.update(x=0, xanchor="left", font={"color": style.ink}))
    times, robertson = shown.reference.times, shown.system.name == "robertson"
    first = 1 if robertson and not by_step else 0  # a log axis has no 0
    x = (np.arange(len(times)) if by_step else times)[first:]
    _solution(fig, x, shown.reference.states[first:], shown, style)
    _eigenvalues(fig, x, shown.eigenvalues[first:], style)
    _ratio(fig, x, shown.ratio[first:], shown.n_decaying[first:], style)
    where = "step %{x}, " * by_step + "t = %{customdata:.5g}<br>"
    for trace in fig.select_traces(lambda trace: trace.hovertemplate):
        trace.update(customdata=times[first:], hovertemplate=where + trace.hovertemplate)
    fig.update_yaxes(**decades(np.abs(shown.eigenvalues.real)), row=2, col=1)
    fig.update_yaxes(**decades(shown.ratio), row=3, col=1)
    if robertson and not by_step:
        fig.update_xaxes(**decades(times))
    fig.update_xaxes(title_text="step of the solver" if by_step else "t", row=3, col=1)
    finished(fig, style, 660, f"portrait {shown.system.formula} {by_step}")
    return fig.update_layout(margin={"t": 84}, legend={"y": 1.06})  # the legend above the first title


def _solution(fig: go.Figure, x: np.ndarray, states: np.ndarray, shown: Portrait, style: Style) -> None:
    scales = (1, 1e4, 1) if shown.system.name == "robertson" else (1, 2 / shown.system.t_end)
    for position, (name, scale) in enumerate(zip(NAMES[shown.system.name], scales, strict=True)):
        look = {"dash": ("solid", "dash", "dot")[position], "hovertemplate": f"{name} = %{{y:.4g}}<extra></extra>"}
        fig.add_trace(line(x, scale * states[:, position], name, style.colour(position), style, **look), 1, 1)


def _eigenvalues(fig: go.Figure, x: np.ndarray, eigenvalues: np.ndarray, style: Style) -> None:
    """The eigenvalues; the sign of the real part decides whether a point is drawn as decaying or growing."""
    for decays, colour, symbol, name in (
        (True, style.good, "circle", "decays (Re λ < 0)"),
        (False, style.bad, "x", "grows (Re λ > 0)"),
    ):
        for position in range(eigenvalues.shape[1]):
            real = eigenvalues[:, position].real
            seen = real < 0 if decays else real > 0
            if not seen.any():
                continue
            fig.add_trace(
                line(
                    x, np.where(seen, np.abs(real), np.nan), name, colour, style, mode="lines+markers",
                    marker={"size": style.marker_size * 0.6, "symbol": symbol}, legendgroup=name,
                    showlegend=not any(trace.name == name for trace in fig.data),
                    hovertemplate="|Re λ| = %{y:.4g}<extra>" + name + "</extra>",
                ),
                2,
                1,
            )  # fmt: skip


def _ratio(fig: go.Figure, x: np.ndarray, ratio: np.ndarray, n_decaying: np.ndarray, style: Style) -> None:
    """The ratio: solid where both eigenvalues decay, dotted where only one does, a band where it is undefined."""
    for count, name, dash in ((2, "both decay", "solid"), (1, "only one decays: ratio 1", "dot")):
        if (n_decaying == count).any():
            y = np.where(n_decaying == count, ratio, np.nan)
            look = {"dash": dash, "mode": "lines+markers", "marker": {"size": style.marker_size * 0.5}}
            fig.add_trace(
                line(
                    x, y, name, style.accent if count == 2 else style.muted, style,
                    hovertemplate="ratio %{y:.4g}<extra></extra>", **look,
                ),
                3,
                1,
            )  # fmt: skip
    for start, end in stretches(n_decaying == 0):
        fig.add_vrect(
            x0=x[max(start - 1, 0)], x1=x[min(end, len(x) - 1)], fillcolor=style.bad, opacity=0.25, row=3, col=1,
            line={"color": style.bad, "width": 1.5},  # visible even where the band is thinner than a pixel
            layer="below",
        )  # fmt: skip
    if (n_decaying == 0).any():
        fig.add_trace(
            go.Scatter(
                x=[None], y=[None], mode="markers", name="undefined: nothing decays",
                marker={"symbol": "square", "color": style.bad, "opacity": 0.5, "size": style.marker_size + 4},
            ),
            3,
            1,
        )  # fmt: skip


def stretches(flags: np.ndarray) -> list[tuple[int, int]]:
    """Runs of True as (start, end), end excluded."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags.astype(np.int8), [0]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def costs(solutions: Sequence[Solution], t_end: float, style: Style) -> go.Figure:
    """The number of evaluations of f against time, both on log axes; a cross where a solver used up its budget."""
    fig = go.Figure()
    for position, run in enumerate(solutions):
        colour, kind = style.colour(position), stiff_example.ADAPTIVE[run.method]
        fig.add_trace(
            line(
                run.times[1:], run.spent[1:], f"{run.method}, {kind}", colour, style,
                dash="solid" if kind == "implicit" else "dash",
                hovertemplate=f"{run.method}<br>t = %{{x:.4g}}<br>%{{y:,}} evaluations<extra></extra>",
            )
        )  # fmt: skip
        fig.add_trace(
            go.Scatter(
                x=run.times[-1:], y=run.spent[-1:], mode="markers", showlegend=False, name=run.method,
                marker={"symbol": "circle" if run.finished else "x", "size": style.marker_size + 7, "color": colour},
                hovertemplate=f"{run.method}: {run.message or 'reached the end'}<extra></extra>",
            )
        )  # fmt: skip
    fig.add_vline(x=t_end, line={"color": style.muted, "dash": "dot", "width": 1})
    fig.update_xaxes(title_text="t reached", **decades(*(run.times for run in solutions), np.array([t_end])))
    fig.update_yaxes(title_text="evaluations of f", **decades(*(run.spent for run in solutions)))
    return finished(fig, style, 330, f"costs {t_end}")


def flows(shown: Sequence[BlockFlow], names: Sequence[str], style: Style) -> go.Figure:
    """The distance of forward Euler from a block's exact flow against the step, on log axes. shown: not empty."""
    fig = go.Figure()
    for position, (flow, name) in enumerate(zip(shown, names, strict=True)):
        fig.add_trace(
            line(
                STEPS, flow.distance, name, style.colour(position), style, mode="lines+markers",
                marker={"symbol": style.shape(position), "size": style.marker_size + 3},
                hovertemplate=f"{name}<br>h = %{{x:.4g}}<br>distance %{{y:.3g}}<extra></extra>",
            )
        )  # fmt: skip
    guide = min(flow.distance[-1] for flow in shown) / 2 * np.array(STEPS) / STEPS[-1]
    fig.add_trace(line(STEPS, guide, "∝ h", style.muted, style, dash="dot", hoverinfo="skip"))
    labels = ["1", *[f"1/{round(1 / step)}" for step in STEPS[1:]]]
    fig.update_xaxes(title_text="step h", type="log", tickvals=STEPS, ticktext=labels, autorange="reversed")
    fig.update_yaxes(title_text="relative distance at t = 1", **decades(guide, *(flow.distance for flow in shown)))
    return finished(fig, style, 400, "flows")
