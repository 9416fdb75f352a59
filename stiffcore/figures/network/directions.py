"""The directions of an image that a network stretches most, as small pictures with their singular values. Computes nothing."""

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from stiffcore.figures import theme
from stiffcore.figures.theme import Style

HEIGHT = 160  # pixels
TARGETS = {"last": "To the last block", "logits": "To the logits"}


def pictures(directions: np.ndarray) -> np.ndarray:
    """uint8 (m, H, W, 3): mid-grey where a direction changes nothing, scaled by its own largest entry."""
    largest = np.abs(directions).max(axis=(1, 2, 3), keepdims=True)
    scaled = 127.5 + 127.5 * directions / np.where(largest > 0, largest, 1.0)
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8).transpose(0, 2, 3, 1)


def figure(directions: np.ndarray, values: np.ndarray, style: Style, picture: np.ndarray) -> go.Figure:
    """directions: (m, 3, H, W); values: their singular values, (m,); picture: the image, uint8 (H, W, 3), drawn in front."""
    shown = [picture, *pictures(directions)]
    titles = ["the image", *(f"σ{_small(at)} = {value:.3g}" for at, value in enumerate(values, 1))]
    fig = make_subplots(1, len(shown), subplot_titles=titles, horizontal_spacing=0.008)
    fig.for_each_annotation(lambda note: note.update(font={"size": style.font_size - 2, "color": style.ink}, yshift=-2))
    for column, pixels in enumerate(shown, 1):
        fig.add_trace(go.Image(z=pixels, hoverinfo="skip"), row=1, col=column)
    axis = {"showticklabels": False, "ticks": "", "showgrid": False, "zeroline": False, "constrain": "domain"}
    fig.update_xaxes(**axis)
    fig.update_yaxes(constraintoward="top", **axis)  # below its title in a narrow window, too
    return theme.apply(fig, style).update_layout(height=HEIGHT, margin={"t": 30, "b": 6, "l": 4, "r": 4})


def _small(number: int) -> str:
    return str(number).translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))


def alt_text(values: np.ndarray, where: str) -> str:
    """One sentence for screen readers."""
    numbers = ", ".join(f"{value:.3g}" for value in values)
    return f"The image and the {len(values)} directions that {where} stretches most, as pictures, with singular values {numbers}."
