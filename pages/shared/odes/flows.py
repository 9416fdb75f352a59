"""The flow of part 5 of the Stiff ODEs page: a block's own ODE integrated, and how far the network's single step is from it."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import streamlit as st

from pages.shared.jobs import ode_jobs
from pages.shared.state import ask, controls
from pages.shared.widgets import gallery, ode_table, panels
from stiffcore.figures.odes import example as figures
from stiffcore.figures.theme import Style
from stiffcore.networks import catalogue
from stiffcore.odes import block_flow
from stiffcore.odes.block_flow import STEPS, BlockFlow, FlowRequest
from stiffcore.storage import cache as result_cache


def show(requests: Sequence[FlowRequest], looks: dict, style: Style) -> None:
    """Forward Euler at halving steps against the exact flow, for one block at several images."""
    st.markdown(
        "Two solutions of x′ = F(x) from the block's input to t = 1: an accurate one, and forward Euler with h = 1, 1/2, 1/4 … "
        "At h = 1 forward Euler is the network's step, before its outer ReLU. The distance between the two solutions shows how "
        "closely the block follows its ODE."
    )
    block_flow.check(requests[0])
    flows = {request.image: block_flow.stored(request) for request in requests}
    missing = tuple(request for request in requests if flows[request.image] is None)
    if missing:
        flows |= {flow.request.image: flow for flow in _computed(missing) or ()}
    computed = [flows[image] for image in flows if flows[image] is not None]
    if not computed:
        return
    panels.notices(flow.notice for flow in computed)
    names = [looks[flow.request.image].name for flow in computed]
    figure = figures.flows(computed, names, style)
    picture, numbers = st.columns([1.35, 1])
    with picture:
        panels.chart(figure, "flows", _alt(computed))
    with numbers:
        rows = [
            (name, *(ode_table.number(v) for v in (flow.distance[0], flow.of_travel[0], flow.growth)),
             f"{flow.observed_orders[-1]:.2f}", ode_table.number(flow.converged_to, 1))
            for name, flow in zip(names, computed, strict=True)
        ]  # fmt: skip
        ode_table.show(("Image", "Distance, h = 1", "Of the way", "Growth", "Order", "Exact to at least"), rows, style)
        st.caption(
            "Distance: ‖x₁ − x(1)‖ / ‖x(1)‖ of the network's single step. Of the way: the same over ‖x(1) − x(0)‖. Growth: "
            "‖x(1)‖ / ‖x(0)‖. Order: observed at the last halving of the step. Exact to at least: how much x(1) changes at a hundred "
            "times the tolerance."
        )
    frame = pd.DataFrame(
        {"image": np.repeat([flow.request.image.in_rows for flow in computed], len(STEPS)), "step": np.tile(STEPS, len(computed)),
         "distance": np.concatenate([flow.distance for flow in computed]),
         "of_travel": np.concatenate([flow.of_travel for flow in computed])}
    )  # fmt: skip
    request = computed[0].request
    python = (
        "import stiffcore as sc\nfrom stiffcore.odes import block_flow, block_flow_integration\n\n"
        f"request = block_flow.FlowRequest(sc.network({request.network.name!r}), sc.image({request.image.in_rows}), {request.block})\n"
        "flow = block_flow_integration.compute(request)\nprint(flow.distance, flow.observed_orders)"
    )
    name = f"flow-{request.network.name}-{request.block}"
    panels.downloads(
        figure, frame, name, f"{request.network.title}, block {request.block}: its flow", python, link=False
    )
    panels.equivalent_table(frame, "Relative distance at t = 1 by step.")


def _computed(missing: tuple[FlowRequest, ...]) -> tuple[BlockFlow, ...] | None:
    """From a job; None until it is done."""

    def work(progress) -> tuple[BlockFlow, ...]:
        from stiffcore.odes import block_flow_integration  # torch, in the job's thread

        def of_all(position: int):
            return lambda done, total, what: progress(
                position * total + done, len(missing) * total, f"image {missing[position].image.name}: {what}"
            )

        return tuple(block_flow_integration.compute(request, of_all(at)) for at, request in enumerate(missing))

    key = result_cache.key({"flows": [block_flow.key(request) for request in missing]})
    few = "1 flow is" if len(missing) == 1 else f"{len(missing)} flows are"
    title = f"{missing[0].network.title}, block {missing[0].block}: flow"
    sentence = f"**{few} not stored yet.** A few seconds each, up to a minute for a block of 8,192 dimensions."
    return ode_jobs.offer(key, work, title, sentence, "Compute the flow")


def every_block(style: Style) -> None:
    """One number per block: the identity blocks of the last stages, at the shipped images."""
    rows = []
    for name in catalogue.PAPER:
        for block in block_flow.last_stage_blocks(ask.find_network(name)):
            wanted = (ask.flow(name, image, block) for image in gallery.first_of_each_label())
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
        ode_table.show(heads, rows, style)


def _alt(flows: Sequence[BlockFlow]) -> str:
    return "Relative distance of the network's single step from the exact flow: " + ", ".join(
        f"image {flow.request.image.name}: {flow.distance[0]:.3g}" for flow in flows
    )
