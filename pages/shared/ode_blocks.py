"""Part 5 of the Stiff ODEs page: a real block's eigenvalues on the stability picture, and its own ODE followed."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import streamlit as st

from pages.shared import computing, controls, gallery, ode_jobs, ode_table, panels, stability_overlay
from stiffcore import analysis, block_flow, catalogue, cifar10, result_cache, stability
from stiffcore.block_flow import STEPS, BlockFlow, FlowRequest
from stiffcore.figures import ode as figures
from stiffcore.figures import spectrum, stability_plane
from stiffcore.figures.stability_plane import Cloud
from stiffcore.figures.theme import Style

FITS = {"all": "Regions and eigenvalues", "points": "Eigenvalues"}
EXPLICIT = {name: method.title for name, method in stability.METHODS.items() if method.is_explicit}


def show(style: Style) -> None:
    """Choose a block and images; see hλ against the regions, and how far the network's one step is from the flow."""
    st.markdown(
        "A block computes ReLU(x + F(x)): one step of forward Euler, h = 1, for x′ = F(x), and then a ReLU. Below are the "
        "eigenvalues of F at real images, times the step. A network cannot choose h; you can."
    )
    with panels.row():
        network = controls.network(width=190)
        (block,) = controls.blocks(network, at_most=1, wrap=True)
        method = controls.one_of("Method", "euler", EXPLICIT, "forward-euler", draw=st.selectbox, width=160)
    with panels.row():
        images = gallery.choose(network, gallery.first_of_each_label()[3:6])
        looks = spectrum.series_of(images, "image", style)
        gallery.strip(network, images, {image: look.colour for image, look in looks.items()})
    block_flow.check_identity(network, block)
    with panels.row():
        step = controls.number("Step h: the network's is 1", "blockstep", 0.05, 2.0, 1.0, 0.05, width=420)
        fit = controls.one_of("Fit", "planefit", FITS, "all")
    requests = [analysis.Request(network, image, block, "branch", "spectrum") for image in images]
    results = computing.results(requests, f"{controls.NETWORK_TITLES[network]}, block {block}, branch")
    with st.container(key="beside"):  # columns lie below each other where the window is narrow, as of panels.beside
        if results:
            _plane(results, looks, method, step, fit, style)
        st.subheader("The flow itself")
        with panels.refusals():
            _flows([FlowRequest(network, image, block) for image in images], looks, style)
    _every_block(style)


def _plane(results: Sequence[analysis.Result], looks: dict, method: str, step: float, fit: str, style: Style) -> None:
    """hλ of every image in the region of a method, and what the step does to them."""
    clouds = [
        Cloud(looks[r.request.image].name, step * r.arrays["eigenvalues"], looks[r.request.image].colour,
              looks[r.request.image].shape, opacity=0.6)
        for r in results
    ]  # fmt: skip
    request = results[0].request
    regions = [method] if method == "forward-euler" else ["forward-euler", method]
    kept_zoom = f"{request.network} {request.block} {method}"
    view = stability_plane.view_of(clouds, regions if fit == "all" else ())
    figure = stability_plane.figure(clouds, regions, style, view, f"{kept_zoom} {fit}", height=480)
    picture, numbers = st.columns([1.35, 1])
    title = stability.method(method).title
    with picture:
        panels.chart(figure, "block-plane", f"Branch eigenvalues times {step:g} of {len(results)} images, {title}.")
        sizes = [len(cloud.z) for cloud in clouds]
        panels.drawn(sum(min(size, stability_plane.LARGEST_DRAWN) for size in sizes), sum(sizes))
    with numbers:
        rows = [_numbers(result, looks, method, step) for result in results]
        heads = ("Image", f"Outside at h = {step:g}", "Largest stable step", "Re λ > 0", "Zeros, of all")
        ode_table.show(heads, rows, style.paper)
        st.caption(
            f"{title}. The largest stable step keeps every eigenvalue with Re λ < 0 inside of the region; those with "
            "Re λ > 0 grow in the ODE itself, and no small step changes that. Structural zeros stay at 0 at every step: "
            "counted, not drawn."
        )
    computing.badge(results, f"{controls.NETWORK_TITLES[request.network]}, block {request.block}, branch")
    frame = pd.concat(
        pd.DataFrame({"image": r.request.image, "re": r.arrays["eigenvalues"].real, "im": r.arrays["eigenvalues"].imag})
        for r in results
    )
    panels.downloads(
        figure, frame, f"steps-{request.network}-{request.block}", f"{request.network}, {title}, h = {step:g}"
    )


def _numbers(result: analysis.Result, looks: dict, method: str, step: float) -> tuple[str, ...]:
    zeros = int(result.metrics["n_zero"])
    total = len(result.arrays["eigenvalues"]) + zeros  # under branch no eigenvalue is structurally 1
    made = stability_overlay.of_result(result, method, step)
    return (
        looks[result.request.image].name,
        stability_overlay.per_cent(made["share_outside"]),
        stability_overlay.step_in_words(made["largest_stable_step"]),
        stability_overlay.per_cent(made["share_positive"]),
        f"{zeros:,} of {total:,}",
    )


def _flows(requests: Sequence[FlowRequest], looks: dict, style: Style) -> None:
    """Forward Euler at halving steps against the exact flow, for one block at several images."""
    st.markdown(
        "Follow x′ = F(x) from the block's input to t = 1, exactly and by forward Euler with h = 1, 1/2, 1/4 … At h = 1 the "
        "second one is the network's own step, before its outer ReLU. The distance says how well the block *is* its ODE."
    )
    block_flow.check(requests[0])
    flows = {request.image: block_flow.stored(request) for request in requests}
    missing = tuple(request for request in requests if flows[request.image] is None)
    if missing:
        flows |= {flow.request.image: flow for flow in _computed(missing) or ()}
    there = [flows[image] for image in flows if flows[image] is not None]
    if not there:
        return
    names = [looks[flow.request.image].name for flow in there]
    figure = figures.flows(there, names, style)
    picture, numbers = st.columns([1.35, 1])
    with picture:
        panels.chart(figure, "flows", _flows_alt(there))
    with numbers:
        rows = [
            (name, *(ode_table.number(v) for v in (flow.distance[0], flow.of_travel[0], flow.growth)),
             f"{flow.observed_orders[-1]:.2f}", ode_table.number(flow.converged_to, 1))
            for name, flow in zip(names, there, strict=True)
        ]  # fmt: skip
        ode_table.show(("Image", "Distance, h = 1", "Of the way", "Growth", "Order", "Exact to"), rows, style.paper)
        st.caption(
            "Distance: ‖x₁ − x(1)‖ / ‖x(1)‖ of the network's single step. Of the way: the same over ‖x(1) − x(0)‖. Growth: "
            "‖x(1)‖ / ‖x(0)‖. Order: what halving the last step gains. Exact to: the exact flow at two tolerances."
        )
    frame = pd.DataFrame(
        {"image": np.repeat([flow.request.image for flow in there], len(STEPS)), "step": np.tile(STEPS, len(there)),
         "distance": np.concatenate([flow.distance for flow in there]),
         "of_travel": np.concatenate([flow.of_travel for flow in there])}
    )  # fmt: skip
    panels.equivalent_table(frame, "Relative distance at t = 1 by step.")


def _computed(missing: tuple[FlowRequest, ...]) -> tuple[BlockFlow, ...] | None:
    """From a job; None until it is done."""

    def work(progress) -> tuple[BlockFlow, ...]:
        from stiffcore import block_flow_integration  # torch, in the job's thread

        def of_all(position: int):
            return lambda done, total, what: progress(
                position * total + done, len(missing) * total, f"image {cifar10.name(missing[position].image)}: {what}"
            )

        return tuple(block_flow_integration.compute(request, of_all(at)) for at, request in enumerate(missing))

    key = result_cache.key({"flows": [block_flow.key(request) for request in missing]})
    few = "1 flow is" if len(missing) == 1 else f"{len(missing)} flows are"
    title = f"{controls.NETWORK_TITLES[missing[0].network]}, block {missing[0].block}: flow"
    sentence = f"**{few} not stored yet.** A few seconds each, up to a minute for a block of 8,192 dimensions."
    return ode_jobs.offer(key, work, title, sentence, "Follow the flow")


def _every_block(style: Style) -> None:
    """One number per block: the last stages' identity blocks at the images that ship."""
    rows = []
    for name in catalogue.ARCHITECTURES:
        for block in block_flow.last_stage_blocks(name):
            wanted = (FlowRequest(name, image, block) for image in gallery.first_of_each_label())
            flows = [flow for request in wanted if (flow := block_flow.stored(request)) is not None]
            if flows:
                distance = np.array([flow.distance[0] for flow in flows])
                of_travel = np.array([flow.of_travel[0] for flow in flows])
                numbers = (np.median(distance), distance.min(), distance.max(), np.median(of_travel))
                rows.append(
                    (
                        f"{controls.NETWORK_TITLES[name]}, block {block}",
                        *map(ode_table.number, numbers),
                        str(len(flows)),
                    )
                )
    if rows:
        st.markdown("**One number per block: the last stages**")
        heads = ("Block", "Distance, median", "Smallest", "Largest", "Of the way, median", "Images")
        ode_table.show(heads, rows, style.paper)


def _flows_alt(flows: Sequence[BlockFlow]) -> str:
    return "Relative distance of the network's single step from the exact flow: " + ", ".join(
        f"image {cifar10.name(flow.request.image)}: {flow.distance[0]:.3g}" for flow in flows
    )
