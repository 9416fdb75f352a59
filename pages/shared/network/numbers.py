"""The page's numbers in words and as a table, and the pictures of the directions."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import streamlit as st

from pages.shared.network import chosen
from pages.shared.state import controls
from pages.shared.widgets import panels
from stiffcore.figures.network import directions as pictures, growth as figures
from stiffcore.figures.theme import Style
from stiffcore.growth import rows
from stiffcore.growth.requests import Growth

CAPTION = (
    "Solid: the change that grows most, ‖J‖₂. Dashed: the mean of 16 random changes. Pixels count from 0 to 1. Right: "
    "(1/L) log σᵢ of all L blocks, by QR of the propagated directions. Exponents always start at the input of block 1, and the "
    "directions below at the image."
)


def sentence(found: Sequence[Growth], names: Sequence[str], start: str) -> str:
    """What was computed, and what came out for the first and the last line."""
    what = (
        "the output of block k with respect to the image, Jₖ ⋯ J₁ Jₛₜₑₘ"
        if start == "image"
        else "the output of block k with respect to the input of the first block, Jₖ ⋯ J₁"
    )
    first = found[0].request
    where = (
        f"at image {first.image.name}"
        if len({growth.request.image for growth in found}) == 1
        else f"of {first.network.title or first.network.name}"
    )
    parts = []
    for growth, name in zip(found, names, strict=True):
        largest, random = figures.values(growth, start)
        parts.append(f"{controls.escape_markdown(name)} {largest[-1]:.3g} (a random change: {random[-1]:.2g} times)")
    return f"The norm of the derivative of {what}, {controls.escape_markdown(where)}. Behind the last block: {', '.join(parts)}."


def table(found: Sequence[Growth]) -> pd.DataFrame:
    """A row for each block of each line, with the leading exponent."""
    frames = [rows.of(growth).assign(lyapunov_exponent=growth.lyapunov[:, 0]) for growth in found]
    return pd.concat(frames, ignore_index=True)


def python(found: Sequence[Growth]) -> str:
    """Python that computes the same."""
    lines = ["import stiffcore as sc", "", "for network, image in ("]
    lines += [f"    ({growth.request.network.name!r}, {growth.request.image.in_rows!r})," for growth in found]
    lines += ["):", "    growth = sc.growth(network, image)"]
    return "\n".join([*lines, "    print(growth.growth, growth.singular_values, growth.lyapunov[-1])", ""])


def directions(growth: Growth, target: str, style: Style) -> None:
    """The input directions as pictures, with their singular values."""
    at_last = target == "last"
    values = growth.singular_values if at_last else growth.logit_values
    shown = growth.input_directions if at_last else growth.logit_directions
    if not len(values):
        st.info("This network has no head, and so no logits.", icon=":material/info:")
        return
    figure = pictures.figure(shown, values, style, _seen(growth))
    panels.chart(figure, "directions", pictures.alt_text(values, chosen.label(growth)))
    st.caption(
        f"Right singular vectors of {'image → last block' if at_last else 'image → logits'}, {controls.escape_markdown(chosen.label(growth))}: "
        "a change of norm 1 in this direction, in pixels from 0 to 1, is σᵢ times as long there. Grey is no change; each picture has its "
        "own scale, and a sign has no meaning."
    )
    frame = pd.DataFrame(
        {
            "network": growth.request.network.name,
            "image": growth.request.image.in_rows,
            "direction": np.arange(1, len(values) + 1),
            "singular_value": values,
            "lyapunov_exponent": _padded(growth.lyapunov[-1], len(values)),
        }
    )
    name = f"directions-{growth.request.network.name}-{growth.request.image.in_rows}"
    panels.downloads(figure, frame, name, f"Directions, {chosen.label(growth)}", link=False)


def _padded(values: np.ndarray, count: int) -> np.ndarray:
    return np.pad(values[:count], (0, max(count - len(values), 0)), constant_values=np.nan)


def _seen(growth: Growth) -> np.ndarray:
    """The image in the size that the network takes."""
    request, side = growth.request, growth.input_directions.shape[-1]
    pixels = request.image.pixels
    if pixels.shape[0] == side:
        return pixels
    step = np.arange(side) * pixels.shape[0] // side  # nearest neighbour: it is only looked at
    return pixels[step][:, step]
