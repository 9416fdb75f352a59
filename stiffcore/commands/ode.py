"""``flow``: a block as an ODE."""

import argparse

from stiffcore.commands import own_networks, terminal
from stiffcore.images import registry as images
from stiffcore.odes import block_flow


def add_parser(commands: terminal.Commands) -> None:
    flow = commands.add_parser(
        "flow",
        help="compare a block's single step with the exact flow of its ODE",
        description="Integrate x' = F(x) from a block's input to t = 1, exactly and by forward Euler with steps 1, 1/2, 1/4 and so "
        "on, and print the relative distances. For identity blocks of at most 8,192 dimensions.",
    )
    own_networks.add_options(flow)
    flow.add_argument("--images", default="0", help="bundled, all, or 0,3,10:20 (end excluded); default 0")
    flow.add_argument("--blocks", help="numbers from 1 like 6,8; default the blocks of the last stage")
    flow.add_argument("--json", action="store_true", help="print a JSON list of objects")
    flow.set_defaults(run=run_flow, leaves_at_once=True)


def run_flow(arguments: argparse.Namespace) -> int:
    network = own_networks.network_of(arguments)
    blocks = block_flow.last_stage_blocks(network)
    if arguments.blocks:
        blocks = terminal.parse_blocks(network, arguments.blocks)
    chosen = images.listed(arguments.images)
    requests = [block_flow.FlowRequest(network, image, block) for image in chosen for block in blocks]
    rows = [_row(flow) for flow in _flows([block_flow.check(request) for request in requests])]
    if arguments.json:
        terminal.show_json(rows)
    else:
        lines = [
            "image  block  " + "  ".join(f"h=1/{round(1 / step):<6}" for step in block_flow.STEPS) + "  of the way"
        ]
        for row in rows:
            distances = "  ".join(f"{distance:<10.4g}" for distance in row["distance"])
            lines.append(f"{row['image']:5}  {row['block']:5}  {distances}  {row['of_travel'][0]:.4g}")
        terminal.show("\n".join(lines))
    return 0


def _flows(requests: list[block_flow.FlowRequest]) -> list[block_flow.BlockFlow]:
    from stiffcore.odes import block_flow_integration  # torch

    if problem := terminal.cache_problem():
        terminal.say(problem)
    flows = []
    with terminal.progress() as progress:
        for position, request in enumerate(requests):
            progress(
                position, len(requests), f"{request.network.name}, block {request.block}, image {request.image.name}"
            )
            flows.append(block_flow_integration.compute(request))
    return flows


def _row(flow: block_flow.BlockFlow) -> dict:
    return {
        "network": flow.request.network.name,
        "weights": flow.weights,
        "image": flow.request.image.in_rows,
        "block": flow.request.block,
        "step": list(block_flow.STEPS),
        "distance": flow.distance.tolist(),
        "of_travel": flow.of_travel.tolist(),
        "growth": flow.growth,
        "converged_to": flow.converged_to,
        "n_evaluations": flow.n_evaluations,
        "seconds": flow.seconds,
    }
