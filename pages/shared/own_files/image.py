"""Uploading images: shown as the networks see them, kept when a button is pressed, then available on every page."""

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
from stiffcore.images import cifar10, decode, forms, uploaded as uploaded_images
from stiffcore.images.decode import Picture
from stiffcore.networks import catalogue, manifest
from stiffcore.storage import uploads

FIELD = "own-image"
AT_ONCE = 24  # files that are read together
NAMED = 5  # files that are not read whose names are shown
SHOWN = 12  # of the uploaded images on this page; all are in the gallery
LOOK = """
<style>
  .views {display: flex; flex-wrap: wrap; gap: 1.2rem; margin: 0;}
  .views figure {margin: 0;}
  .views img {width: 192px; height: 192px; border-radius: 0.4rem; display: block; object-fit: fill;}
  .views img.seen {image-rendering: pixelated;}
  .views figcaption {font: 400 0.85rem/1.4 "Source Sans", sans-serif; margin-top: 0.3rem;}
  .views.several {gap: 0.85rem;}
  .views.several img {width: 72px; height: 72px; display: inline-block; margin-right: 4px;}
  .views.several figcaption {width: 148px; font-size: 0.8rem; line-height: 1.25; margin-top: 0.15rem; overflow-wrap: anywhere;}
  .own-image {display: flex; gap: 0.6rem; align-items: center;}
  .own-image img {width: 48px; height: 48px; image-rendering: pixelated; border-radius: 0.3rem;}
  .own-image span {font: 400 0.88rem/1.35 "Source Sans", sans-serif; overflow-wrap: anywhere;}
  .own-image small {opacity: 0.7;}
</style>
"""
Read = dict[int, tuple[str, Picture]]  # number -> the file's name, safe to display, and its picture


def upload() -> None:
    """The upload field, the pictures as the networks see them, their label, and the networks' predictions."""
    files = st.file_uploader(
        "Pictures", key=FIELD, accept_multiple_files=True, max_upload_size=forms.LARGEST_FILE >> 20
    )
    st.caption(
        f"{forms.NAMES}, one or several. The centre is cropped to a square and scaled to 32 × 32. Photos of the ten classes "
        "work best."
    )
    views = st.container()
    below = st.container(horizontal=True, vertical_alignment="bottom")
    label = _label(below, "Label of all" if len(files) > 1 else "Label")
    with views:
        read = _read_all(files)
        if read:
            st.html(LOOK + _views(read))
        for name, picture in read.values():
            for note in picture.notes:
                st.warning(controls.escape_markdown(f"{name}: {note}"), icon=":material/contrast:")
    if not read:
        return
    kept = {number: uploaded_images.default().find(number) for number in read}
    all_kept = all(kept.values())
    below.button(
        "Keep the label" if all_kept else "Use this image" if len(read) == 1 else f"Use these {len(read)} images",
        key="use-image", type="primary", icon=":material/check:", on_click=_keep,
        disabled=all(image is not None and image.label == label for image in kept.values()),
        args=([(picture.pixels, {"name": name, "kind": "upload", "label": label}) for name, picture in read.values()],),
    )  # fmt: skip
    if notice := uploaded_images.notice():
        st.warning(controls.escape_markdown(notice), icon=":material/save:")
    if all_kept:
        links(tuple(read))
        _ask_the_networks(tuple(read))
    else:
        st.caption(uploaded_checkpoint.FORGETS)


def _label(place, title: str) -> int | None:
    """The label that the visitor gives the image, or None. Drawn even without a file, so that a link's value is checked."""
    titles = {"none": "No label"} | {label: label for label in cifar10.LABELS}
    with place:
        label = controls.select(title, "own-label", titles, "none", draw=st.selectbox, width=150)
    return None if label == "none" else cifar10.LABELS.index(label)


def _read_all(files: list) -> Read:
    """The pictures in the files, each once. Says by name which are refused, equal to another, or too many."""
    if len(files) > AT_ONCE:
        left = ", ".join(uploads.clean_name(file.name) for file in files[AT_ONCE : AT_ONCE + NAMED])
        more = f" and {len(files) - AT_ONCE - NAMED:,} more" if len(files) > AT_ONCE + NAMED else ""
        sentence = f"{AT_ONCE} files are read at once. Not read: {left}{more}. Remove some of the others, then add these again."
        st.warning(controls.escape_markdown(sentence), icon=":material/stacks:")
    read: Read = {}
    before = st.session_state.get("pictures of files", {})
    now = st.session_state["pictures of files"] = {file.file_id: before.get(file.file_id) for file in files[:AT_ONCE]}
    for file in files[:AT_ONCE]:
        uploads.check_uploads()
        picture = now[file.file_id] = now[file.file_id] or _read(file)
        name = uploads.clean_name(file.name)
        if isinstance(picture, CannotCompute):
            st.error(controls.escape_markdown(f"{name}: {picture}"), icon=":material/block:")
            continue
        number = uploaded_images.number_of(picture.pixels)
        if number in read:
            same = f"{name} has the same 32 × 32 pixels as {read[number][0]}: they are one image."
            st.info(controls.escape_markdown(same), icon=":material/content_copy:")
        read.setdefault(number, (name, picture))
    return read


def _read(file) -> Picture | CannotCompute:
    """The picture in a file, or why it is refused; kept for the next run."""
    try:
        return decode.picture(file.getvalue())
    except CannotCompute as error:
        return error


def _views(read: Read) -> str:
    """Each picture cropped, and as the networks see it; smaller if there are several."""
    if len(read) == 1:
        ((_, picture),) = read.values()
        size = f"{picture.form}, {picture.width:,} × {picture.height:,}"
        return (
            '<div class="views">'
            f'<figure><img src="{gallery.data_uri(picture.cut)}" alt="The uploaded picture, cropped to a square">'
            f"<figcaption>Cropped ({size})</figcaption></figure>"
            f'<figure><img class="seen" src="{gallery.data_uri(picture.pixels)}" alt="The same picture in 32 by 32 pixels">'
            "<figcaption>As the network sees it: 32 × 32</figcaption></figure></div>"
        )
    cards = []
    for name, picture in read.values():
        shown = escape(name)
        cards.append(
            f'<figure><img src="{gallery.data_uri(picture.cut)}" alt="{shown}, cropped to a square"><img class="seen" '
            f'src="{gallery.data_uri(picture.pixels)}" alt="{shown} in 32 by 32 pixels">'
            f"<figcaption>{shown}<br>{picture.form}, {picture.width:,} × {picture.height:,}</figcaption></figure>"
        )
    return f'<div class="views several">{"".join(cards)}</div>'


def _keep(pictures: list[tuple[np.ndarray, dict]]) -> None:
    """The button's callback."""
    if uploads.uploads_are_on():
        for pixels, about in pictures:
            uploaded_images.register(pixels, about)


def links(numbers: tuple[int, ...]) -> None:
    """Links to the pages that show the images, at the network, block and convention of the previous page."""
    sides = compare_sides.defaults()
    own, some = replace(sides["a"], image=numbers[0]), numbers[: controls.MAX_IMAGES]
    label = "Its spectrum" if len(numbers) == 1 else "Their spectra"
    if len(some) < len(numbers):
        label = f"Spectra of the first {len(some)}"
    with st.container(horizontal=True):
        query = own.link | {"images": ",".join(map(str, some))}
        st.page_link("pages/1_Spectrum.py", label=label, icon=":material/scatter_plot:", query_params=query)
        other = replace(own, image=numbers[1]) if len(numbers) > 1 else sides["b"]
        compared = uploaded_checkpoint.comparison(own, other)
        st.page_link("pages/5_Compare.py", label="Compare", icon=":material/compare:", query_params=compared)


def _ask_the_networks(numbers: tuple[int, ...]) -> None:
    """What each of the three networks predicts, with its probabilities."""
    networks = catalogue.SHIPPED
    asked = [(network, number) for network in networks for number in numbers]
    named = "".join(manifest.entry(network).sha256 for network in networks)
    named += "".join(uploaded_images.get(number).sha256 for number in numbers)
    key = hashlib.sha256(f"predictions {named}".encode()).hexdigest()

    def work(progress) -> dict[tuple[str, int], list[float]]:
        losses = {}
        for done, (network, number) in enumerate(asked):
            progress(done, len(asked), controls.NETWORK_TITLES[network])
            losses[network, number] = analysis.all_losses(ask.find_network(network), ask.find_image(number)).tolist()
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
    if len(numbers) == 1:
        lines = ["| Network | Prediction | Second | Third |", "|---|---|---|---|"]
        for network in networks:
            first, *others = _best(losses[network, numbers[0]], 3)
            lines.append(f"| {controls.NETWORK_TITLES[network]} | **{first}** | {' | '.join(others)} |")
    else:
        lines = [
            f"| Image | {' | '.join(controls.NETWORK_TITLES[network] for network in networks)} |",
            "|---|---|---|---|",
        ]
        for number in numbers:
            seen = " | ".join(_best(losses[network, number], 1)[0] for network in networks)
            lines.append(f"| {controls.escape_markdown(cifar10.name(number))} | {seen} |")
    st.markdown("\n".join(lines))


def _best(losses: list[float], count: int) -> list[str]:
    """The most probable labels with their probabilities."""
    best = sorted(range(len(losses)), key=losses.__getitem__)[:count]
    return [f"{cifar10.LABELS[label]} {100 * math.exp(-losses[label]):.1f} %" for label in best]


def show_uploaded() -> None:
    """The uploaded images, newest first, with links to their spectra and buttons to remove them."""
    known = uploaded_images.known()
    if not known:
        return
    st.markdown(f"**Uploaded and perturbed images: {len(known):,} of {uploaded_images.MOST}**")
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
