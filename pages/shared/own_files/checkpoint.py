"""Uploading checkpoints: inspected on arrival, read rightly, loaded and tested when a button is pressed, then available on every page."""

import datetime
import hashlib
from dataclasses import replace

import streamlit as st

from pages.shared.jobs import ode_jobs
from pages.shared.state import controls, service
from pages.shared.widgets import sides as compare_sides
from stiffcore.checkpoints.reading.normalisations import NORMALISATIONS
from stiffcore.networks import catalogue, uploaded as uploaded_networks
from stiffcore.storage import uploads

LARGEST = 128  # MB, as checkpoints.sources.LARGEST_FILE, which is checked on the server
MOST_FILES = 8  # at once
FIELD = "own-checkpoint"
SOON = 1  # priority of an inspection, which takes milliseconds; computations have 0
FORGETS = "The file is discarded when you leave this page."
WHAT = (
    f"safetensors or a PyTorch file of a residual network, up to {LARGEST} MB each: ResNet18 to 152 with or without max-pool, ResNet20 "
    "to 110, pre-activation and wide networks, under the names of torchvision, timm, transformers and the usual CIFAR repositories. "
    "A larger file: `python -m stiffcore analyse --weights FILE`"
)
MEASURED = "measured"  # as it fits the images that ship best
STEMS = {MEASURED: "As measured", "pool": "With max-pool", "none": "Without max-pool"}
NORMALISATION_TITLES = {MEASURED: "As measured"} | {
    name: f"{normalisation.title[0].upper()}{normalisation.title[1:]}" for name, normalisation in NORMALISATIONS.items()
}


def upload() -> None:
    """The upload field, how files are read, and for each file what it holds, the button that loads and tests it, and the outcome."""
    files = st.file_uploader(
        "Checkpoints", key=FIELD, max_upload_size=LARGEST, on_change=_inspect_all, accept_multiple_files=True
    )
    st.caption(WHAT)
    with st.container(horizontal=True):
        look = {"help": "No file says it. By default all ways are tried on the shipped images, and the best is taken."}
        stem = controls.select("Max-pool", "own-stem", STEMS, MEASURED, st.selectbox, **look)
        normalisation = controls.select(
            "Normalisation", "own-normalisation", NORMALISATION_TITLES, MEASURED, st.selectbox, **look
        )
    for file in files[:MOST_FILES]:
        _one(file, stem, normalisation)
    if len(files) > MOST_FILES:
        st.info(f"Only the first {MOST_FILES} of {len(files)} files are looked into.", icon=":material/info:")


def _one(file, stem: str, normalisation: str) -> None:
    key = _key("inspect", file)
    job = service.job_service().find(key)
    if job and job.active:
        if job.status == "queued":
            st.caption(
                "Inspection takes less than a second, but a computation is running. The file is next in the queue."
            )
        ode_jobs.progress(job.key)
    elif job and job.status == "failed":
        ode_jobs.ended(job, failed="" if len(st.session_state[FIELD]) == 1 else f"({uploads.clean_name(file.name)})")
    elif job and job.status == "done":
        st.markdown(
            f":material/task: {controls.escape_markdown(uploads.clean_name(file.name))}: {controls.escape_markdown(job.result.sentence)}"
        )
        _register(file, job.result.architectures[0].title, stem, normalisation)
    else:
        st.button(
            "Inspect file", key=f"inspect-{key[:8]}", icon=":material/search:", on_click=_inspect, args=(file, key)
        )
    ode_jobs.refusal(key)


def _key(what: str, file) -> str:
    """The key of the work on a file, the same for everybody with the same file; its hash is computed once."""
    known: dict[str, str] = st.session_state.setdefault("hashes of files", {})
    if file.file_id not in known:
        there = {other.file_id for other in st.session_state.get(FIELD) or ()}
        for gone in known.keys() - there:
            del known[gone]
        known[file.file_id] = hashlib.sha256(file.getvalue()).hexdigest()
    return hashlib.sha256(f"{what} {known[file.file_id]}".encode()).hexdigest()


def _inspect_all() -> None:
    """A callback: files have arrived, or one was taken away."""
    for file in (st.session_state.get(FIELD) or ())[:MOST_FILES]:
        _inspect(file, _key("inspect", file))


def _inspect(file, key: str) -> None:
    """A callback: look into a file, unless that is done."""
    job = service.job_service().find(key)
    if job and (job.status == "done" or job.active):
        return
    content = file.getvalue()

    def work(progress):
        progress(0, 0, "inspecting the file")
        from stiffcore.checkpoints import inspect as checkpoints  # torch, in the job's thread

        return checkpoints.inspect(content, progress)

    ode_jobs.submit(key, work, "Inspecting a checkpoint", priority=SOON, allowed=uploads.check_uploads)


def load(content: bytes, name: str, progress, stem: str = "", normalisation: str = ""):
    """In a job: what ``checkpoints.register`` gives."""
    uploads.check_uploads()
    from stiffcore.checkpoints import register  # torch, in the job's thread

    return register.register(content, name, progress, stem, normalisation)


def _register(file, title: str, stem: str, normalisation: str) -> None:
    """The button, then the self-test's result; the button again after the network was removed."""
    content, name = file.getvalue(), file.name
    asked = tuple("" if choice == MEASURED else choice for choice in (stem, normalisation))

    def work(progress):
        return load(content, name, progress, *asked)

    again = st.session_state.get("removed networks", 0)
    key = _key(f"register {uploads.clean_name(name)} {' '.join(asked)} {again}", file)
    sentence = (
        f"**Not loaded yet.** The self-test classifies the 1,000 shipped images, in up to half a minute. {FORGETS}"
    )
    registered = ode_jobs.offer(key, work, f"{title}, uploaded file", sentence, "Load and test")
    if registered is None:
        return
    own = registered.own
    said = f"**{controls.escape_markdown(own.title)}** {controls.escape_markdown(own.reading)}"
    if own.doubt:
        st.warning(f"{said} **In doubt:** {controls.escape_markdown(own.doubt)}", icon=":material/troubleshoot:")
    else:
        st.success(said, icon=":material/check_circle:")
    if registered.dropped:
        st.info(
            f"Only the {uploaded_networks.MOST} newest are kept. Removed: "
            f"{controls.escape_markdown(', '.join(registered.dropped))}. Their files can be uploaded again, or named with "
            "`--weights` on the command line.",
            icon=":material/delete:",
        )


def show_uploaded() -> None:
    """The uploaded networks, newest first: what is known about each, links to pages that show it, and a button to remove it."""
    known = uploaded_networks.known()
    if known:
        st.markdown(f"**Uploaded networks: {len(known)} of {uploaded_networks.MOST}**")
    for own in known:
        with st.container(border=True, key=f"network-{own.network}"):
            day = datetime.datetime.fromtimestamp(own.registered, datetime.UTC).strftime("%Y-%m-%d")
            accuracy = own.accuracy_bundled
            right = "" if accuracy is None else f" · {100 * accuracy:.1f} % of the shipped images correct"
            doubt = " :orange-badge[in doubt]" if own.doubt else ""
            st.markdown(
                f"**{controls.escape_markdown(controls.NETWORK_TITLES[own.network])}**{right}  \n"
                f":gray-badge[weights {own.sha256[:8]}] :gray-badge[{day}]{doubt}"
            )
            for text in filter(None, (own.reading, own.doubt)):
                st.caption(controls.escape_markdown(text))
            with st.container(horizontal=True, vertical_alignment="center"):
                links(own.network)
                look = {"key": f"remove-{own.network}", "icon": ":material/delete:", "type": "tertiary"}
                st.button("Remove", on_click=_remove, args=(own.network,), **look)


def links(network: str) -> None:
    """Links to the pages that show it, at the block and convention of the previous page."""
    own = view(network)
    st.page_link("pages/1_Spectrum.py", label="Spectrum", icon=":material/scatter_plot:", query_params=spectrum(own))
    compared = comparison(replace(own, network=catalogue.architecture(network) or network), own)
    st.page_link("pages/5_Compare.py", label="Compare", icon=":material/compare:", query_params=compared)


def view(network: str) -> compare_sides.Side:
    """The view of the previous pages, with another network. The last block stays the last block."""
    before = compare_sides.defaults()["a"]
    last_before, last = len(catalogue.blocks(before.network)), len(catalogue.blocks(network))
    return replace(before, network=network, block=last if before.block == last_before else min(before.block, last))


def spectrum(side: compare_sides.Side) -> dict[str, str]:
    """The URL parameters of a spectrum on the page Spectrum, whichever mode was shown before."""
    return side.link | {"mode": "one"}


def comparison(a: compare_sides.Side, b: compare_sides.Side) -> dict[str, str]:
    """The URL parameters of two spectra on the page Compare, whichever part was shown before."""
    query = {"compare": "spectra"}
    for letter, side in {"a": a, "b": b}.items():
        texts = (side.network, str(side.image), str(side.block), side.convention.value)
        query |= {f"{letter}.{name}": text for name, text in zip(compare_sides.CHOICES, texts, strict=True)}
    return query


def _remove(network: str) -> None:
    uploaded_networks.remove(network)
    st.session_state["removed networks"] = st.session_state.get("removed networks", 0) + 1
