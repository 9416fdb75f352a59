"""Uploading an image: shown as the networks see it, kept when a button is pressed, then available on every page."""

import hashlib
import math
from dataclasses import replace
from html import escape

import numpy as np
import streamlit as st

from pages.shared.jobs import ode_jobs
from pages.shared.own_files import checkpoint as uploaded_checkpoint
from pages.shared.state import ask, controls
from pages.shared.widgets import gallery, sides as compare_sides
from stiffcore.analysis import compute as analysis
from stiffcore.errors import CannotCompute
from stiffcore.images import cifar10, decode as image_files, uploaded as uploaded_images
from stiffcore.images.decode import Picture
from stiffcore.networks import catalogue, manifest
from stiffcore.storage import uploads

FIELD = "own-image"
SHOWN = 12  # of the uploaded images on this page; all are in the gallery
LOOK = """
<style>
  .views {display: flex; flex-wrap: wrap; gap: 1.2rem; margin: 0;}
  .views figure {margin: 0;}
  .views img {width: 192px; height: 192px; border-radius: 0.4rem; display: block; object-fit: fill;}
  .views img.seen {image-rendering: pixelated;}
  .views figcaption {font: 400 0.85rem/1.4 "Source Sans", sans-serif; margin-top: 0.3rem;}
  .own-image {display: flex; gap: 0.6rem; align-items: center;}
  .own-image img {width: 48px; height: 48px; image-rendering: pixelated; border-radius: 0.3rem;}
  .own-image span {font: 400 0.88rem/1.35 "Source Sans", sans-serif; overflow-wrap: anywhere;}
  .own-image small {opacity: 0.7;}
</style>
"""


def upload() -> None:
    """The upload field, the picture as the networks see it, its label, and the networks' predictions."""
    file = st.file_uploader("Image", key=FIELD, max_upload_size=image_files.LARGEST_FILE >> 20)
    st.caption(
        "PNG or JPEG. The centre is cropped to a square and scaled to 32 × 32. Photos of the ten classes work best."
    )
    views = st.container()
    below = st.container(horizontal=True, vertical_alignment="bottom")
    label = _label(below)
    if file is None:
        return
    picture = _read(file)
    views.html(LOOK + _views(picture))
    number = uploaded_images.number_of(picture.pixels)
    kept = uploaded_images.default().find(number)
    is_as_said = kept is not None and kept.label == label
    below.button(
        "Keep the label" if kept and not is_as_said else "Use this image", key="use-image", type="primary",
        icon=":material/check:", on_click=_keep, disabled=is_as_said,
        args=(picture.pixels, {"name": file.name, "kind": "upload", "label": label}),
    )  # fmt: skip
    if notice := uploaded_images.notice():
        st.warning(controls.escape_markdown(notice), icon=":material/save:")
    if kept is None:
        st.caption(uploaded_checkpoint.FORGETS)
    else:
        links(number)
        _ask_the_networks(number)


def _label(place) -> int | None:
    """The label that the visitor gives the image, or None. Drawn even without a file, so that a link's value is checked."""
    titles = {"none": "No label"} | {label: label for label in cifar10.LABELS}
    with place:
        label = controls.select("Label", "own-label", titles, "none", draw=st.selectbox, width=150)
    return None if label == "none" else cifar10.LABELS.index(label)


def _read(file) -> Picture:
    """The picture in a file, read once. A refusal is raised again in every run."""
    known = st.session_state.get("picture of a file", (None, None))
    if known[0] != file.file_id:
        try:
            uploads.check_uploads()
            known = file.file_id, image_files.picture(file.getvalue())
        except CannotCompute as error:
            known = file.file_id, error
        st.session_state["picture of a file"] = known
    if isinstance(known[1], CannotCompute):
        raise known[1]
    return known[1]


def _views(picture: Picture) -> str:
    size = f"{picture.form}, {picture.width:,} × {picture.height:,}"
    seen, cut = gallery.data_uri(picture.pixels), gallery.data_uri(picture.cut)
    return (
        '<div class="views">'
        f'<figure><img src="{cut}" alt="The uploaded picture, cropped to a square"><figcaption>Cropped ({size})</figcaption></figure>'
        f'<figure><img class="seen" src="{seen}" alt="The same picture in 32 by 32 pixels"><figcaption>As the network sees it: 32 × 32'
        "</figcaption></figure></div>"
    )


def _keep(pixels: np.ndarray, about: dict) -> None:
    """The button's callback."""
    if uploads.uploads_are_on():
        uploaded_images.register(pixels, about)


def links(number: int) -> None:
    """Links to the pages that show the image, at the network, block and convention of the previous page."""
    sides = compare_sides.defaults()
    own = replace(sides["a"], image=number)
    with st.container(horizontal=True):
        st.page_link("pages/1_Spectrum.py", label="Its spectrum", icon=":material/scatter_plot:", query_params=own.link)
        compared = uploaded_checkpoint.comparison(own, sides["b"])
        st.page_link("pages/5_Compare.py", label="Compare", icon=":material/compare:", query_params=compared)


def _ask_the_networks(number: int) -> None:
    """What each of the three networks predicts, with its probabilities."""
    networks = catalogue.SHIPPED
    named = "".join(manifest.entry(network).sha256 for network in networks) + uploaded_images.get(number).sha256
    key = hashlib.sha256(f"predictions {named}".encode()).hexdigest()

    def work(progress) -> dict[str, list[float]]:
        losses = {}
        for done, network in enumerate(networks):
            progress(done, len(networks), controls.NETWORK_TITLES[network])
            losses[network] = analysis.all_losses(ask.find_network(network), ask.find_image(number)).tolist()
        return losses

    losses = ode_jobs.offer(
        key,
        work,
        "Predictions of the three networks",
        "**What do the three networks predict?** Takes seconds.",
        "Predict",
    )
    if losses is None:
        return
    lines = ["| Network | Prediction | Second | Third |", "|---|---|---|---|"]
    for network, of_labels in losses.items():
        best = sorted(range(10), key=of_labels.__getitem__)[:3]
        seen = " | ".join(f"{cifar10.LABELS[label]} {100 * math.exp(-of_labels[label]):.1f} %" for label in best)
        lines.append(f"| {controls.NETWORK_TITLES[network]} | **{seen.replace(' | ', '** | ', 1)} |")
    st.markdown("\n".join(lines))


def show_uploaded() -> None:
    """The uploaded images, newest first, with links to their spectra and buttons to remove them."""
    known = uploaded_images.known()
    if not known:
        return
    st.markdown(f"**Uploaded and perturbed images: {len(known):,}**")
    st.html(LOOK)
    before = compare_sides.defaults()["a"]
    for number in known[:SHOWN]:
        _one(uploaded_images.get(number), before)
    if len(known) > SHOWN:
        st.caption(f"The {SHOWN} newest of {len(known):,}. All are in the gallery, under the label “Uploaded images”.")


def _one(image: uploaded_images.UploadedImage, before: compare_sides.Side) -> None:
    label = "no label" if image.label is None else cifar10.LABELS[image.label]
    with st.container(border=True, key=f"image-{image.number}"):
        shown, actions = st.columns([1, 1], vertical_alignment="center")
        picture = f'<img src="{gallery.thumbnail(image.number)}" alt="{escape(image.name)}">'
        shown.html(
            f'<div class="own-image">{picture}<span>{escape(image.name)}<br><small>{label} · {escape(image.kind)} · '
            f"{image.number}</small></span></div>"
        )
        with actions.container(horizontal=True, vertical_alignment="center"):
            to = uploaded_checkpoint.spectrum(replace(before, image=image.number))
            st.page_link("pages/1_Spectrum.py", label="Spectrum", icon=":material/scatter_plot:", query_params=to)
            look = {"key": f"remove-{image.number}", "icon": ":material/delete:", "type": "tertiary"}
            st.button("Remove", on_click=uploaded_images.remove, args=(image.number,), **look)
