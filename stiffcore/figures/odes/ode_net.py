"""Figures of the fitted ResNet and ODE-Net: curves, losses, paths from t = 0 to T, refinement."""

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from stiffcore.figures.odes.curves import finished, line
from stiffcore.figures.odes.example import decades
from stiffcore.figures.odes.stability_plane import Cloud
from stiffcore.figures.theme import Style
from stiffcore.odes import ode_net
from stiffcore.odes.ode_net import Fit


def curves(fit: Fit, style: Style) -> go.Figure:
    """The data, the least-squares line and both fits; beside them the losses on a log axis."""
    fig = make_subplots(1, 2, column_widths=[0.62, 0.38], horizontal_spacing=0.1)
    x, y = fit.data
    straight = np.polyval(np.polyfit(x, y, 1), fit.grid)
    fig.add_trace(line(fit.grid, straight, "line", style.muted, style, dash="dot"), 1, 1)
    for name, curve, losses, position, dash in (
        ("ResNet", fit.resnet_curve, fit.resnet_losses, 1, "dash"),
        ("ODE-Net", fit.ode_curve, fit.ode_losses, 0, "solid"),
    ):
        fig.add_trace(line(fit.grid, curve, name, style.colour(position), style, dash=dash), 1, 1)
        fig.add_trace(
            line(np.arange(len(losses)), losses, name, style.colour(position), style, dash=dash, showlegend=False),
            1,
            2,
        )
    fig.add_trace(
        go.Scatter(
            x=x, y=y, mode="markers", name="data", marker={"color": style.ink, "size": style.marker_size + 1.5},
            hovertemplate="x = %{x:.3f}<br>y = %{y:.3f}<extra>data</extra>",
        ),
        1,
        1,
    )  # fmt: skip
    fig.add_hline(y=fit.line_loss, line={"color": style.muted, "dash": "dot", "width": style.line_width}, row=1, col=2)
    fig.update_xaxes(title_text="x", row=1, col=1)
    fig.update_yaxes(title_text="y", row=1, col=1)
    fig.update_xaxes(title_text="iteration", row=1, col=2)
    axis = decades(fit.resnet_losses, fit.ode_losses, np.array([fit.line_loss]))
    fig.update_yaxes(title_text="mean square error", **axis, row=1, col=2)
    return finished(fig, style, 400, f"curves {fit.settings}", titled=True)


def paths(fit: Fit, style: Style) -> go.Figure:
    """The path of every data point from t = 0 to T: jumps of the ResNet, flow of the ODE-Net (the paper's Figure 2)."""
    depth, points = fit.settings.depth, fit.settings.points
    titles = (f"ResNet: {depth} blocks, {depth} jumps", f"ODE-Net: one flow, F evaluated at {len(fit.ode_calls)} times")
    fig = make_subplots(1, 2, shared_yaxes=True, horizontal_spacing=0.04, subplot_titles=titles)
    fig.for_each_annotation(lambda note: note.update(font={"color": style.ink, "size": style.font_size}))
    times = (np.arange(depth + 1) * fit.settings.step, np.linspace(0, ode_net.DURATION, ode_net.DENSE))
    for column, (t, y) in enumerate(zip(times, (fit.resnet_paths, fit.ode_paths), strict=True), start=1):
        gap = np.full((1, points), np.nan)  # one trace for all points, with gaps between them
        mode = "lines+markers" if column == 1 else "lines"
        fig.add_trace(
            go.Scatter(
                x=np.concatenate([np.repeat(t[:, None], points, 1), gap]).T.ravel(),
                y=np.concatenate([y, gap]).T.ravel(),
                mode=mode, showlegend=False, name=("ResNet", "ODE-Net")[column - 1],
                line={"color": style.colour(2 - column), "width": style.line_width * 0.6},
                marker={"size": style.marker_size * 0.8, "color": style.colour(2 - column)},
                hovertemplate="t = %{x:.3f}<br>read-out %{y:.3f}<extra></extra>",
            ),
            1,
            column,
        )  # fmt: skip
        fig.add_trace(
            go.Scatter(
                x=np.full(points, ode_net.DURATION), y=fit.data[1], mode="markers", name="data",
                showlegend=column == 1, marker={"color": style.ink, "size": style.marker_size + 1.5, "symbol": "circle-open"},
                hovertemplate="target: %{y:.3f}<extra></extra>",
            ),
            1,
            column,
        )  # fmt: skip
    mark = {"type": "line", "xref": "x2", "yref": "y2 domain", "y0": 0, "y1": 1, "opacity": 0.5, "layer": "below"}
    mark["line"] = {"color": style.muted, "width": 0.5}
    fig.update_layout(shapes=[mark | {"x0": at, "x1": at} for at in fit.ode_calls.tolist()])  # add_vline: 0.5 s for 40
    fig.update_xaxes(title_text="t = blocks passed × h", row=1, col=1)
    fig.update_xaxes(title_text="t", row=1, col=2)
    fig.update_yaxes(title_text="read-out of the state", row=1, col=1)
    return finished(fig, style, 380, f"paths {fit.settings}", titled=True)


def refinement(fit: Fit, style: Style) -> go.Figure:
    """The largest distance between the ODE-Net and a ResNet of L blocks that are all the ODE-Net's F; log axes."""
    fig = go.Figure()
    depths = np.array(ode_net.REFINEMENTS)
    guide = fit.refined_distance[-1] * depths[-1] / depths
    fig.add_trace(line(depths, guide, "∝ 1/L", style.muted, style, dash="dot", hoverinfo="skip"))
    fig.add_trace(
        line(
            depths, fit.refined_distance, "distance from the ODE-Net", style.accent, style, mode="lines+markers",
            marker={"size": style.marker_size + 3},
            hovertemplate="L = %{x}, h = T/L<br>distance %{y:.4f}<extra></extra>",
        )
    )  # fmt: skip
    fig.update_xaxes(
        title_text="blocks L, step h = T/L", type="log", tickvals=depths, ticktext=[str(d) for d in depths]
    )
    fig.update_yaxes(title_text="largest distance", **decades(fit.refined_distance))
    return finished(fig, style, 380, "refinement", titled=True)


def clouds(fit: Fit, style: Style) -> list[Cloud]:
    """hλ at all points, for the plane of z: of the ResNet's blocks, and of the ODE-Net at the times of these blocks."""
    step = fit.settings.step
    return [
        Cloud("ResNet", step * fit.resnet_eigenvalues.ravel(), style.colour(1), "square", opacity=0.55),
        Cloud("ODE-Net", step * fit.ode_eigenvalues.ravel(), style.colour(0), "circle", opacity=0.55),
    ]
