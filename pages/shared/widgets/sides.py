"""The two sides of the Compare page: the spectrum that each shows, with its image; copied and swapped."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

import numpy as np
import streamlit as st

from pages.shared.state import ask, choices, controls
from pages.shared.widgets import gallery, statistics
from stiffcore.analysis.requests import Request
from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.figures.spectra import compare
from stiffcore.figures.theme import Style
from stiffcore.images import cifar10
from stiffcore.networks import catalogue

ROLES = {"a": "A, pinned", "b": "B, varied"}
CHOICES = ("network", "images", "block", "convention")  # of a side; in the URL as a.network, b.block ...


IMAGE_LOOK = """
<style>
  .sides {display: flex; flex-wrap: wrap; gap: 0.6rem 2rem;}
  figure.side {margin: 0; display: flex; gap: 0.7rem; align-items: center;}
  figure.side img {width: 72px; height: 72px; image-rendering: pixelated; border-radius: 0.3rem; border: 3px solid;}
  figure.side figcaption {font: 400 0.88rem/1.4 "Source Sans", sans-serif;}
  figure.side .wrong {text-decoration: underline wavy; text-underline-offset: 0.2em;}
</style>
"""


@dataclass(frozen=True)
class Side:
    """What one side shows."""

    network: str
    image: int
    block: int
    convention: Convention

    @property
    def request(self) -> Request:
        return ask.request(self.network, self.image, self.block, self.convention)

    @property
    def link(self) -> dict[str, str]:
        """The same on the Spectrum page."""
        texts = (self.network, str(self.image), str(self.block), self.convention.value)
        return dict(zip(("network", "images", "blocks", "convention"), texts, strict=True))

    @property
    def title(self) -> str:
        return f"{controls.NETWORK_TITLES[self.network]}, block {self.block}, image {cifar10.name(self.image)} ({self.convention})"


def defaults() -> dict[str, Side]:
    """What the visitor looked at on other pages; B at another image, so that there is something to compare."""
    chosen: Mapping[str, str] = st.session_state.get("chosen", {})
    (network,) = statistics.networks_before()
    there = len(catalogue.blocks(network))
    block = chosen.get("blocks", "").split(",")[-1]
    block = int(block) if block.isdecimal() and 1 <= int(block) <= there else there
    convention = controls.convention_before(Convention.BRANCH)
    try:
        images = controls.parse_images(chosen["images"])
    except (KeyError, CannotCompute, ValueError):
        images = ()
    first, *others = (*images, *(image for image in gallery.first_of_each_label()[3:] if image not in images))
    return {"a": Side(network, first, block, convention), "b": Side(network, others[0], block, convention)}


def choose(side: str, default: Side, style: Style, role: str | None = None) -> Side:
    """The card of one side: ``a`` or ``b``."""
    look = compare.looks(style)[side.upper()]
    with st.container(border=True):
        head = st.container(horizontal=True, gap="xsmall", vertical_alignment="center")
        with st.container(horizontal=True, gap="xsmall", vertical_alignment="bottom"):
            network = controls.network(name=f"{side}.network", default=default.network, width=155)
            block = _block(side, network, default.block)
            convention = controls.convention(default.convention, f"{side}.convention", draw=st.selectbox, width=240)
        # The image's controls come before its card, which shows what they chose.
        picture = head.container(width="content")
        with head:
            (image,) = gallery.choose(network, (default.image,), f"{side}.", at_most=1)
            chosen = Side(network, image, block, convention)
            st.page_link(
                "pages/1_Spectrum.py", label="Spectrum", icon=":material/scatter_plot:", query_params=chosen.link
            )
        mark = f'<span style="color:{look.colour}">{"●" if side == "a" else "■"}</span> {role or ROLES[side]}'
        picture.html(IMAGE_LOOK + card(mark, network, image, look.colour), width="content")
    return chosen


def card(mark: str, network: str, image: int, colour: str, seen: int | None = None, loss: float | None = None) -> str:
    """An image with its label and a network's prediction, as HTML. seen, loss: the caller's values, which take precedence."""
    label, name, asked = cifar10.label_name(image), escape(cifar10.name(image)), ask.find_network(network)
    seen = gallery.predicted(asked, image) if seen is None else seen
    loss = asked.loss.get(image) if loss is None else loss
    said = escape(gallery.said(asked, seen))
    wrong = ' class="wrong"' if gallery.is_right(asked, image, seen) is False else ""
    size = "" if loss is None or math.isnan(loss) else f", loss {loss:.3g}"
    return (
        f'<figure class="side"><img src="{gallery.thumbnail(image)}" style="border-color:{colour}" alt="{escape(label)}">'
        f"<figcaption><b>{mark}</b><br>{escape(label)} · {name}<br><span{wrong}>{said}</span>{size}</figcaption></figure>"
    )


def picture(pixels: np.ndarray, alt: str, colour: str, head: str, *lines: str) -> str:
    """An image with a heading and lines beside it, as HTML; the lines are HTML."""
    return (
        f'<figure class="side"><img src="{gallery.data_uri(pixels)}" style="border-color:{colour}" alt="{escape(alt)}">'
        f"<figcaption><b>{escape(head)}</b><br>{'<br>'.join(lines)}</figcaption></figure>"
    )


def difference(clean: np.ndarray, pixels: np.ndarray, style: Style) -> str:
    """The change around grey, enlarged so that its largest value just fits."""
    change = pixels.astype(int) - clean
    largest, norm = int(np.abs(change).max()), float(np.sqrt((change**2).sum()))
    factor = 127 // max(largest, 1)
    lines = f"at most {largest} grey level{'' if largest == 1 else 's'}", f"Euclidean norm {norm:.0f}"
    shown = (128 + factor * change).astype(np.uint8)
    return picture(shown, "the difference", style.muted, f"B − A, × {factor}", *lines)


def _block(side: str, network: str, default: int) -> int:
    """One block. After a change of network it stays, if the network has it; else it becomes the last one."""
    there, name = catalogue.blocks(network), f"{side}.block"
    titles = {block.block: f"{block.block}" if block.is_identity else f"{block.block} ↘" for block in there}
    if st.session_state.get("chosen", {}).get(name, "1") not in map(str, titles):
        choices.forget(name)
    return controls.select("Block", name, titles, min(default, len(there)), st.selectbox, width=76)


def pin() -> None:
    """Callback: copies B's choices to A."""
    for name in CHOICES:
        choices.choose(f"a.{name}", choices.shown(f"b.{name}"))


def swap() -> None:
    """Callback: A and B change places."""
    texts = {side: {name: choices.shown(f"{side}.{name}") for name in CHOICES} for side in ROLES}
    for side, other in (("a", "b"), ("b", "a")):
        for name in CHOICES:
            choices.choose(f"{side}.{name}", texts[other][name])


def buttons() -> None:
    st.button("Pin B as A", key="pin", icon=":material/keep:", on_click=pin, help="Copies B's choices to A")
    st.button("Swap", key="swap", icon=":material/swap_horiz:", on_click=swap)
