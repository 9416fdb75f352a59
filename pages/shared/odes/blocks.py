"""Part 5 of the Stiff ODEs page: a real block's eigenvalues against stability regions, and its own ODE."""

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from pages.shared.jobs import computing
from pages.shared.odes import answer as ode_answer, flows as ode_flows
from pages.shared.state import ask, controls
from pages.shared.widgets import gallery, ode_table, panels, stability_overlay
from stiffcore.analysis.results import Result
from stiffcore.conventions import Convention
from stiffcore.figures.odes import stability_plane
from stiffcore.figures.odes.stability_plane import Cloud
from stiffcore.figures.spectra import spectrum, spectrum_table
from stiffcore.figures.theme import Style
from stiffcore.metrics import definitions
from stiffcore.odes import block_flow, stability, step_limits

FITS = {"all": "Regions and eigenvalues", "points": "Eigenvalues"}
EXPLICIT = {name: method.title for name, method in stability.METHODS.items() if method.is_explicit}


def show(style: Style) -> None:
    """Choose a block and images; see hλ against the regions, and how far the network's single step is from the flow."""
    st.markdown(
        "A block computes ReLU(x + F(x)): one step of forward Euler, h = 1, for x′ = F(x), and then a ReLU. Below are the "
        "eigenvalues of F at real images, times the step. A network cannot choose h; you can."
    )
    with panels.row():
        network = controls.network(width=190)
        (block,) = controls.blocks(network, at_most=1, wrap=True)
        method = controls.select("Method", "euler", EXPLICIT, "forward-euler", draw=st.selectbox, width=160)
    with panels.row():
        images = gallery.choose(network, gallery.first_of_each_label()[3:6])
        looks = spectrum.series_of([*map(ask.find_image, images)], "image", style)
        gallery.strip(network, images, {image.in_rows: look.colour for image, look in looks.items()})
    block_flow.check_identity(ask.find_network(network), block)
    with panels.row():
        step = controls.number("Step h: the network's is 1", "blockstep", 0.05, 2.0, 1.0, 0.05, width=420)
        fit = controls.select("Fit", "planefit", FITS, "all")
    requests = [ask.request(network, image, block, Convention.BRANCH) for image in images]
    results = computing.results(requests, f"{controls.NETWORK_TITLES[network]}, block {block}, branch")
    # The columns inside stack in a narrow window, as those of panels.responsive_columns do.
    with st.container(key="beside"):
        if results:
            _plane(results, looks, method, step, fit, style)
        st.subheader("The flow itself")
        with panels.error_boundary():
            ode_flows.show([ask.flow(network, image, block) for image in images], looks, style)
    ode_flows.every_block(style)
    ode_answer.show()


def _plane(results: Sequence[Result], looks: dict, method: str, step: float, fit: str, style: Style) -> None:
    """hλ of every image against the region of a method, and what the step does to the eigenvalues."""
    clouds = [
        Cloud(looks[r.request.image].name, step * r.arrays["eigenvalues"], looks[r.request.image].colour,
              looks[r.request.image].shape, opacity=0.6)
        for r in results
    ]  # fmt: skip
    request = results[0].request
    regions = [method] if method == "forward-euler" else ["forward-euler", method]
    kept_zoom = f"{request.network.name} {request.block} {method}"
    view = stability_plane.view_of(clouds, regions if fit == "all" else ())
    figure = stability_plane.figure(clouds, regions, style, view, f"{kept_zoom} {fit}", height=480)
    picture, numbers = st.columns([1.35, 1])
    title = stability.method(method).title
    with picture:
        panels.chart(figure, "block-plane", f"Branch eigenvalues times {step:g} of {len(results)} images, {title}.")
        sizes = [len(cloud.z) for cloud in clouds]
        panels.drawn(sum(min(size, stability_plane.LARGEST_DRAWN) for size in sizes), sum(sizes))
    with numbers:
        _numbers(results, looks, method, step, style)
    computing.badge(results, f"{request.network.title}, block {request.block}, branch")
    frame = pd.concat(
        pd.DataFrame(
            {"image": r.request.image.in_rows, "re": r.arrays["eigenvalues"].real, "im": r.arrays["eigenvalues"].imag}
        )
        for r in results
    )
    panels.downloads(
        figure, frame, f"steps-{request.network.name}-{request.block}", f"{request.network.title}, {title}, h = {step:g}",
        spectrum_table.python([result.request for result in results]),
    )  # fmt: skip


def _numbers(results: Sequence[Result], looks: dict, method: str, step: float, style: Style) -> None:
    """What the step does to each image's eigenvalues, and what limits the step: a decay or an oscillation."""
    limits = [ode_answer.limits_of(result, method, step) for result in results]
    columns = [_column(result, limit, method, step) for result, limit in zip(results, limits, strict=True)]
    heads = ("", *(looks[result.request.image].name for result in results))
    names = (
        f"Outside at h = {step:g}", "Re λ < 0 but outside", "Largest stable step", "set by λ =", "Decay alone allows",
        "Re λ > 0", "Zeros, of all",
    )  # fmt: skip
    ode_table.show(heads, list(zip(names, *columns, strict=True)), style)
    st.markdown(ode_answer.what_sets_it(limits))
    interval = stability.real_stability_interval(method)
    st.caption(
        f"{stability.method(method).title}. The largest stable step keeps every eigenvalue with Re λ < 0 inside the region; "
        f"decay alone allows {ode_table.number(interval, 4)} / |min Re λ|. Eigenvalues with Re λ > 0 grow in the "
        f"ODE itself, and no small step changes that. {definitions.BESIDE_THE_AXIS} Structural zeros stay at 0 at every step; they are counted, not drawn."
    )


def _column(result: Result, limits: step_limits.StepLimits, method: str, step: float) -> tuple[str, ...]:
    zeros = int(result.metrics["n_zero"])
    total = len(result.arrays["eigenvalues"]) + zeros  # under branch no eigenvalue is structurally 1
    shares = stability_overlay.of_result(result, method, step)
    return (
        stability_overlay.per_cent(shares["share_outside"]),
        stability_overlay.per_cent(limits.decaying_outside),
        stability_overlay.step_in_words(shares["largest_stable_step"]),
        "none" if limits.kind == "none" else ode_table.complex_number(limits.set_by),
        stability_overlay.step_in_words(limits.decay_limit),
        stability_overlay.per_cent(shares["share_positive"]),
        f"{zeros:,} of {total:,}",
    )
