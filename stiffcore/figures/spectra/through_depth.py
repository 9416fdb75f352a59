"""A network's blocks at one image in one plane: a frame per block, and a slider."""

from collections.abc import Mapping

import plotly.graph_objects as go

from stiffcore.analysis.results import Result
from stiffcore.conventions import Convention
from stiffcore.figures.spectra import played
from stiffcore.figures.spectra.played import HEIGHT, Frame, Look
from stiffcore.figures.theme import Style
from stiffcore.networks.network import Network

Blocks = Mapping[int, Result | None]  # block -> its result; None: not computed


def figure(blocks: Blocks, convention: Convention, style: Style, look: Look, at: int) -> go.Figure:
    """at: the block that is shown first. At least one result needs eigenvalues or a density."""
    network = next(result.request.network for result in blocks.values() if result is not None)
    frames = [Frame(str(number), result, _words(number, network)) for number, result in blocks.items()]
    return played.figure(
        frames, convention, style, look, str(at), f"{network.noun.capitalize()} ", HEIGHT * (1.1 if style.talk else 1)
    )


def _words(number: int, network: Network) -> tuple[str, ...]:
    block = network.block(number)
    size = f"n = {block.n_out:,}" if block.is_identity else f"{block.n_out:,} × {block.n_in:,}"
    named = [block.path] if block.path and not network.takes_images else []
    return (f"<b>{block.title}</b>", *named, size)


def alt_text(blocks: Blocks, network: Network) -> str:
    """One sentence for screen readers; the table below has the numbers of every block."""
    there = [number for number, result in blocks.items() if result is not None]
    request = next(result.request for result in blocks.values() if result is not None)
    at, said = f" at image {request.image.name}" if network.takes_images else "", request.convention_title
    return (
        f"Eigenvalues in the complex plane, a frame per {network.noun} of {network.title} on locked axes: {network.nouns} "
        f"{there[0]} to {there[-1]}{at}, {said}. The table has the numbers."
    )
