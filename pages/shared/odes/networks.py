"""Part 4 of the Stiff ODEs page: a small ResNet and an ODE-Net fitted to the same data (the paper's Figure 2)."""

from dataclasses import asdict

import numpy as np
import pandas as pd
import streamlit as st

from pages.shared.jobs import ode_jobs
from pages.shared.state import ask, controls
from pages.shared.widgets import gallery, ode_table, panels
from stiffcore.analysis import compute as analysis
from stiffcore.conventions import Convention
from stiffcore.figures.odes import ode_net as figures, stability_plane
from stiffcore.figures.odes.stability_plane import Cloud
from stiffcore.figures.theme import Style
from stiffcore.odes import ode_net, stability

DEFAULT = ode_net.Settings()
LABELS = {
    "seed": "Seed",
    "points": "Points",
    "depth": "Blocks L",
    "width": "Width",
    "iterations": "Iterations",
}
CHOICES = {
    "seed": (0, 1, 2, 3, 4, 5, 6, 7),
    "points": (16, 32, 64),
    "depth": (2, 4, 8, 16),
    "width": (4, 8, 12, 16),
    "iterations": (100, 300, 600),
}


def show(style: Style) -> None:
    """Choose settings; see both fits, how the points travel, and the eigenvalues of the blocks."""
    st.markdown(
        "A ResNet of L blocks with step h = T/L takes L steps of forward Euler, x ← x + h·Fᵢ(x), each with **its own weights**. "
        "An **ODE-Net** has no fixed steps and **one F(x, t)** for all t from 0 to T; a solver integrates x′ = F to a "
        f"tolerance. Both are fitted here to the same random data, with T = {ode_net.DURATION:g}."
    )
    with panels.row():
        chosen = {
            name: controls.select(
                LABELS[name], f"net-{name}", options, getattr(DEFAULT, name), draw=st.selectbox, width=118
            )
            for name, options in CHOICES.items()
        }
    settings = ode_net.Settings(**chosen)
    fit = ode_net.stored(settings) or _fitted(settings)
    if fit is not None:
        _draw(fit, style)


def _fitted(settings: ode_net.Settings) -> ode_net.Fit | None:
    """From a job; None until it is done."""

    def work(progress) -> ode_net.Fit:
        from stiffcore.odes import ode_net_fit  # torch, in the job's thread

        return ode_net_fit.compute(settings, progress)

    known = ode_net.stored(DEFAULT)
    share = settings.iterations / DEFAULT.iterations
    about = ""
    if known is not None:
        seconds = share * (known.seconds[0] * settings.depth / DEFAULT.depth + known.seconds[1])
        about = f" About {max(seconds, 1):.0f} s, estimated from the default settings."
    title = f"ResNet and ODE-Net, seed {settings.seed}"
    return ode_jobs.offer(
        ode_net.key(settings), work, title, f"**These settings are not stored yet.**{about}", "Fit both"
    )


def _draw(fit: ode_net.Fit, style: Style) -> None:
    ode_table.metrics(
        [
            ("Mean square error of a line", ode_table.number(fit.line_loss)),
            (f"of the ResNet, {fit.parameters[0]:,} parameters", ode_table.number(float(fit.resnet_losses[-1]))),
            (f"of the ODE-Net, {fit.parameters[1]:,} parameters", ode_table.number(float(fit.ode_losses[-1]))),
        ]
    )
    panels.notices([fit.notice])
    curves = figures.curves(fit, style)
    panels.chart(curves, "curves", _curves_alt(fit))
    st.subheader(f"Paths from t = 0 to t = {ode_net.DURATION:g}")
    st.markdown(
        "Every line is the read-out of one data point over t. At t = 0 the points are in the order of their x; at "
        f"t = {ode_net.DURATION:g} each should have reached its circle, the data. The ResNet jumps from block to block; the "
        "ODE-Net moves continuously. Thin lines mark the times at which its solver evaluated F."
    )
    paths = figures.paths(fit, style)
    panels.chart(paths, "paths", "Each data point's read-out over t, for both networks.")
    panels.downloads(paths, _paths_frame(fit), "resnet-and-ode-net-paths", "Paths over t", link=False)
    left, right = panels.responsive_columns([1, 1.1])
    with left:
        st.subheader("More blocks, smaller steps")
        st.markdown(
            "Use the ODE-Net's F in all blocks of a ResNet, with step h = T/L: twice the blocks halve the distance to the ODE-Net "
            f"(order {fit.observed_orders[-1]:.2f} between the last two). With few blocks it is a different network."
        )
        refinement = figures.refinement(fit, style)
        panels.chart(refinement, "refinement", _refinement_alt(fit))
        panels.downloads(refinement, _refined(fit), "resnet-refined", "More blocks, smaller steps", link=False)
    with right:
        st.subheader("Eigenvalues of the blocks")
        _eigenvalues(fit, style)
    first, last = (f"{ode_table.number(fit.refined_distance[at])} with {ode_net.REFINEMENTS[at]}" for at in (0, -1))
    ode_table.lesson(
        f"If all blocks share one F, more blocks come closer to its flow: a distance of {first} block, {last} blocks. The fitted "
        "ResNet has different weights in every block: it does not discretise one ODE, and nothing keeps its steps small."
    )
    python = f"from stiffcore.odes import ode_net, ode_net_fit\nfit = ode_net_fit.compute(ode_net.Settings(**{asdict(fit.settings)}))"
    panels.downloads(curves, _frame(fit), "resnet-and-ode-net", "A ResNet and an ODE-Net", python)
    panels.equivalent_table(_frame(fit), "The curves of both networks.")
    panels.equivalent_table(_refined(fit), "ResNets whose blocks all use the ODE-Net's F.")


def _paths_frame(fit: ode_net.Fit) -> pd.DataFrame:
    """A row per network, time and data point: the read-out there."""
    times = (np.arange(fit.settings.depth + 1) * fit.settings.step, np.linspace(0, ode_net.DURATION, ode_net.DENSE))
    return pd.concat(
        pd.DataFrame(
            {"network": name, "t": np.repeat(t, path.shape[1]), "point": np.tile(np.arange(path.shape[1]), len(t)),
             "read_out": path.ravel()}
        )
        for name, t, path in zip(("ResNet", "ODE-Net"), times, (fit.resnet_paths, fit.ode_paths), strict=True)
    )  # fmt: skip


def _refined(fit: ode_net.Fit) -> pd.DataFrame:
    """A row per ResNet whose blocks all use the ODE-Net's F."""
    refined = {"blocks": ode_net.REFINEMENTS, "distance": fit.refined_distance, "mean_square_error": fit.refined_losses}
    return pd.DataFrame(refined)


def _eigenvalues(fit: ode_net.Fit, style: Style) -> None:
    """The eigenvalues of the small networks' blocks in the plane of the real ones, with a real block to compare."""
    clouds = figures.clouds(fit, style)
    outside, growing = (
        [f"{100 * share:.0f} %" for share in shares]
        for shares in (
            [stability.share_outside(cloud.z, len(cloud.z)) for cloud in clouds],
            [float((cloud.z.real > 0).mean()) for cloud in clouds],
        )
    )
    st.markdown(
        f"hλ of ∂F/∂x at every block and point, h = {fit.settings.step:g}, with forward Euler's disc, as on the Spectrum page for "
        f"real blocks, where h = 1. Outside the disc: ResNet {outside[0]}, ODE-Net {outside[1]}. With Re λ > 0, which no step of "
        f"forward Euler damps: ResNet {growing[0]}, ODE-Net {growing[1]}."
    )
    request = ask.request("resnet18", gallery.first_of_each_label()[3], 8, Convention.BRANCH)
    real = analysis.stored(request)
    if real is not None and controls.switch("With a real block: ResNet18's last, at a cat", "real", default=True):
        clouds.append(Cloud("ResNet18, block 8", real.arrays["eigenvalues"], style.ink, "diamond", 4, 0.6))
    plane = stability_plane.figure(clouds, ["forward-euler"], style, kept_zoom=f"net {fit.settings}", height=400)
    panels.chart(plane, "net-plane", f"Eigenvalues of both networks; outside the disc: {outside[0]} and {outside[1]}.")


def _frame(fit: ode_net.Fit) -> pd.DataFrame:
    line = np.polyval(np.polyfit(*fit.data, 1), fit.grid)
    return pd.DataFrame({"x": fit.grid, "line": line, "resnet": fit.resnet_curve, "ode_net": fit.ode_curve})


def _curves_alt(fit: ode_net.Fit) -> str:
    return (
        f"{fit.settings.points} random points with the fits of a ResNet and an ODE-Net; mean square errors "
        f"{fit.resnet_losses[-1]:.3g} and {fit.ode_losses[-1]:.3g}, of a line {fit.line_loss:.3g}."
    )


def _refinement_alt(fit: ode_net.Fit) -> str:
    pairs = zip(ode_net.REFINEMENTS, fit.refined_distance, strict=True)
    return "Distance from the ODE-Net by number of blocks: " + ", ".join(f"{depth}: {far:.3g}" for depth, far in pairs)
