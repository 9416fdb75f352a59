"""Choosing images by looking at them: thumbnails by label and by the network's prediction."""

import base64
import io
from collections.abc import Sequence
from functools import lru_cache
from html import escape

import numpy as np
import streamlit as st
from PIL import Image

from pages.shared.state import ask, choices, controls
from stiffcore.errors import CannotCompute
from stiffcore.images import cifar10, uploaded as uploaded_images
from stiffcore.networks.network import Network

PER_PAGE = 30  # three rows of ten
OWN = "own"  # among the labels of the gallery: uploaded images
PREDICTIONS = {"any": "Any", "right": "Right", "wrong": "Wrong"}
LOOK = """
<style>
  [data-testid="stPopoverBody"]:has([class*="thumbnails"]) {width: min(56rem, 92vw); max-width: 92vw;}
  [class*="thumbnails"] [role="toolbar"] {
    display: grid; grid-template-columns: repeat(auto-fill, minmax(5.6rem, 1fr)); gap: 0.4rem; width: 100%;}
  [class*="thumbnails"] button {border-radius: 0.4rem !important; height: auto !important; padding: 0.35rem 0.2rem !important;
    width: 100%; max-width: none;}
  [class*="thumbnails"] button p {display: flex; flex-direction: column; align-items: center; font-size: 0.74rem;
    line-height: 1.15; text-align: center; white-space: normal;}
  [class*="thumbnails"] button p img {width: 54px !important; height: 54px !important; max-height: none !important;
    max-width: none !important; margin: 0 0 0.25rem !important; object-fit: fill !important; image-rendering: pixelated; border-radius: 0.25rem;}
  .chosen {display: flex; flex-wrap: wrap; gap: 0.55rem; margin: 0;}
  .chosen figure {margin: 0; display: flex; gap: 0.45rem; align-items: center; padding: 0.2rem 0.6rem 0.2rem 0.2rem;
    border: 2px solid; border-radius: 0.45rem;}
  .chosen img {width: 44px; height: 44px; image-rendering: pixelated; border-radius: 0.25rem;}
  .chosen figcaption {font: 400 0.8rem/1.25 "Source Sans", sans-serif;}
  .chosen .wrong {text-decoration: underline wavy; text-underline-offset: 0.2em;}
</style>
"""


@lru_cache(maxsize=1024)
def thumbnail(image: int) -> str:
    """An image as a data URI; the browser enlarges it."""
    return data_uri(cifar10.image(image))


def data_uri(pixels: np.ndarray) -> str:
    """uint8 (height, width, 3) as a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _of(name: str) -> Network | None:
    """A network by its name; None for the name of a run, whose checkpoints differ in what they predict."""
    try:
        return ask.find_network(name)
    except CannotCompute:
        return None


def predicted(network: Network | None, image: int) -> int | None:
    """The class that a network predicts for a bundled or uploaded image; None if it has not been computed."""
    if network is None:
        return None
    if not uploaded_images.is_number(image):
        return network.predicted.get(image)
    try:
        return uploaded_images.get(image).predicted.get(network.weights_sha256)
    except CannotCompute:
        return None


def is_right(network: Network | None, image: int, seen: int | None) -> bool | None:
    """Whether a predicted class is the image's label; None without either, and if CIFAR-10's labels are not the classes."""
    label = cifar10.label(image)
    return (
        None if label is None or seen is None or network is None or network.classes != cifar10.LABELS else seen == label
    )


def class_name(network: Network, seen: int) -> str:
    """``dog``, or ``class 57`` of a network whose classes have no names."""
    name = network.class_name(seen)
    return f"class {name}" if name.isdecimal() else name


def said(network: Network, seen: int | None) -> str:
    return "no prediction" if seen is None else f"seen as {class_name(network, seen)}"


def caption(network: Network | None, image: int) -> str:
    """``cat`` if the network sees a cat, ``cat, seen as dog`` if it does not; after an uploaded image's name."""
    seen = predicted(network, image)
    own = f"{cifar10.name(image)}: " if uploaded_images.is_number(image) else ""
    if network is None or seen is None or is_right(network, image, seen):
        return own + cifar10.label_name(image)
    return f"{own}{cifar10.label_name(image)}, {said(network, seen)}"


@lru_cache(maxsize=128)
def matching(network: str, label: str, prediction: str) -> tuple[int, ...]:
    """The bundled images of a label ("any": all) that the network classifies right or wrong ("any": both)."""
    of_label = [image for image in cifar10.bundled() if label in ("any", cifar10.label_name(image))]
    return _predicted_so(_of(network), of_label, prediction)


def uploaded(network: str, prediction: str) -> tuple[int, ...]:
    """Uploaded images, newest first. Right and wrong include only those with a label and a prediction."""
    return _predicted_so(_of(network), uploaded_images.known(), prediction)


def _predicted_so(network: Network | None, images: Sequence[int], prediction: str) -> tuple[int, ...]:
    if prediction == "any":
        return tuple(images)
    wanted = prediction == "right"
    return tuple(image for image in images if is_right(network, image, predicted(network, image)) is wanted)


def first_of_each_label() -> tuple[int, ...]:
    """The ten images whose spectra ship: the first bundled one of every label."""
    first: dict[int, int] = {}
    for image in cifar10.bundled():
        first.setdefault(cifar10.label(image), image)
    return tuple(first[label] for label in sorted(first))


def choose(network: str, default: Sequence[int], side: str = "", at_most: int = controls.MAX_IMAGES) -> tuple[int, ...]:
    """Up to eight images: a button that opens the gallery. ``strip`` draws the chosen ones.

    side: a prefix of the choices' names, such as ``a.``, that keeps them apart from the other pages' choices.
    """
    st.html(LOOK)
    name = f"{side}images"
    chosen = controls.images(default, name, at_most)
    button = (
        f"Images: {len(chosen)} of {at_most}"
        if at_most > 1
        else f"Image {controls.escape_markdown(cifar10.name(chosen[0]))}"
    )
    with st.popover(button, icon=":material/photo_library:"):
        left, right, last = st.columns([3, 4, 3], vertical_alignment="bottom")
        with left:
            labels = {"any": "All labels"} | {label: label for label in cifar10.LABELS}
            if uploaded_images.known():
                labels[OWN] = "Uploaded images"
            label = controls.select("Label", f"{side}show", labels, "any", draw=st.selectbox)
        with right:
            prediction = controls.select("Prediction", f"{side}seen", PREDICTIONS, "any")
        matches = uploaded(network, prediction) if label == OWN else matching(network, label, prediction)
        if choices.changed(f"{side}gallery", (network, label, prediction)):
            choices.forget(f"{side}page")
        pages = max(-(-len(matches) // PER_PAGE), 1)
        with last:
            page = controls.select(f"Page, of {pages}", f"{side}page", list(range(1, pages + 1)), 1, draw=st.selectbox)
        _thumbnails(network, matches[(page - 1) * PER_PAGE : page * PER_PAGE], chosen, name, at_most)
        all_of_them = "uploaded images" if label == OWN else f"{len(cifar10.bundled()):,} shipped images"
        st.caption(f"{len(matches):,} of the {all_of_them}. Click to choose; click again to remove.")
    return chosen


def _thumbnails(network: str, shown: Sequence[int], chosen: tuple[int, ...], name: str, at_most: int) -> None:
    if not shown:
        st.info("No image matches this filter.", icon=":material/filter_alt_off:")
        return

    asked = _of(network)

    def title(image: int) -> str:
        seen, label = predicted(asked, image), cifar10.label(image)
        text = (
            ""
            if asked is None or seen is None
            else "✓"
            if is_right(asked, image, seen)
            else f"→ {class_name(asked, seen)}"
        )
        name = cifar10.name(image) if label is None else f"{cifar10.name(image)} {cifar10.label_name(image)}"
        return f"![{controls.escape_markdown(caption(asked, image))}]({thumbnail(image)}) {controls.escape_markdown(name)} {text}"

    def changed() -> None:
        here = st.session_state[key]
        kept = [image for image in chosen if image not in shown or image in here]
        new = [image for image in here if image not in chosen]
        wanted = (kept + new)[-at_most:]
        if wanted:
            choices.choose(name, ",".join(map(str, wanted)))

    key = "thumbnails" if name == "images" else f"thumbnails-{name}"
    st.session_state[key] = [image for image in shown if image in chosen]
    st.pills(
        "Images", list(shown), selection_mode="multi", format_func=title, key=key, on_change=changed,
        label_visibility="collapsed", width="stretch",
    )  # fmt: skip


def strip(network: str, images: Sequence[int], colours: dict[int, str]) -> None:
    """The chosen images in the colours of their spectra, with the network's predictions."""
    cards, asked = [], ask.find_network(network)
    for image in images:
        seen = predicted(asked, image)
        wrong = ' class="wrong"' if is_right(asked, image, seen) is False else ""
        prediction = escape(said(asked, seen))
        alt, name = escape(caption(asked, image)), escape(cifar10.name(image))
        cards.append(
            f'<figure style="border-color:{colours[image]}"><img src="{thumbnail(image)}" alt="{alt}">'
            f"<figcaption><b>{cifar10.label_name(image)}</b> {name}<br><span{wrong}>{prediction}</span></figcaption></figure>"
        )
    st.html(f'<div class="chosen">{"".join(cards)}</div>', width="content")
