"""Uploading a checkpoint: inspected on arrival, loaded and tested when a button is pressed, then available on every page."""

import datetime
import hashlib
from dataclasses import replace

import streamlit as st

from pages.shared.jobs import ode_jobs
from pages.shared.state import controls, service
from pages.shared.widgets import sides as compare_sides
from stiffcore.networks import catalogue, uploaded as uploaded_networks
from stiffcore.storage import uploads

LARGEST = 128  # MB, as checkpoints.sources.LARGEST_FILE, which is checked on the server
FIELD = "own-checkpoint"
SOON = 1  # priority of an inspection, which takes milliseconds; computations have 0
FORGETS = "The file is discarded when you leave this page."
WHAT = (
    f"safetensors or a PyTorch state dict of ResNet18, 34 or 50 for CIFAR-10, up to {LARGEST} MB. Parameter names of "
    "torchvision and of the usual CIFAR-10 repositories are understood, with prefixes such as `module.`"
)


def upload() -> None:
    """The upload field, what the file holds, the button that loads and tests it, and the outcome."""
    file = st.file_uploader("Checkpoint", key=FIELD, max_upload_size=LARGEST, on_change=_inspect)
    st.caption(WHAT)
    if file is None:
        return
    job = service.job_service().find(_key("inspect", file))
    if job and job.active:
        if job.status == "queued":
            st.caption(
                "Inspection takes less than a second, but a computation is running. The file is next in the queue."
            )
        ode_jobs.progress(job.key)
    elif job and job.status == "failed":
        ode_jobs.ended(job)
    elif job and job.status == "done":
        st.markdown(
            f":material/task: {controls.escape_markdown(uploads.clean_name(file.name))}: {controls.escape_markdown(job.result.sentence)}"
        )
        _register(file, job.result.network)
    else:
        st.button("Inspect file", key="inspect", icon=":material/search:", on_click=_inspect)
    ode_jobs.refusal(_key("inspect", file))


def _key(what: str, file) -> str:
    """The key of the work on a file, the same for everybody with the same file; its hash is computed once."""
    known: dict[str, str] = st.session_state.setdefault("hash of a file", {})
    if file.file_id not in known:
        known.clear()
        known[file.file_id] = hashlib.sha256(file.getvalue()).hexdigest()
    return hashlib.sha256(f"{what} {known[file.file_id]}".encode()).hexdigest()


def _inspect() -> None:
    """A callback: a file has arrived."""
    file = st.session_state.get(FIELD)
    if file is None:
        return
    content, key = file.getvalue(), _key("inspect", file)

    def work(progress):
        progress(0, 0, "inspecting the file")
        from stiffcore.checkpoints import inspect as checkpoints  # torch, in the job's thread

        return checkpoints.inspect(content, progress)

    job = service.job_service().find(key)
    if not (job and job.status == "done"):
        ode_jobs.submit(key, work, "Inspecting a checkpoint", priority=SOON, allowed=uploads.check_uploads)


def load(content: bytes, name: str, progress):
    """In a job: what ``checkpoints.register`` gives."""
    uploads.check_uploads()
    from stiffcore.checkpoints import register  # torch, in the job's thread

    return register.register(content, name, progress)


def _register(file, architecture: str) -> None:
    """The button, then the self-test's result; the button again after the network was removed."""
    content, name = file.getvalue(), file.name

    def work(progress):
        return load(content, name, progress)

    key = _key(f"register {uploads.clean_name(name)} {st.session_state.get('removed networks', 0)}", file)
    sentence = f"**Not loaded yet.** The self-test classifies the 1,000 shipped images, in a few seconds. {FORGETS}"
    title = f"{controls.NETWORK_TITLES[architecture]}, uploaded file"
    registered = ode_jobs.offer(key, work, title, sentence, "Load and test")
    if registered is None:
        return
    own, title = registered.own, controls.escape_markdown(registered.own.title)
    percent = f"**{title}** classifies **{100 * own.accuracy_bundled:.1f} %** of the {len(own.images):,} shipped images correctly."
    if own.hint:
        st.warning(f"{percent} {own.hint}", icon=":material/troubleshoot:")
    else:
        st.success(percent, icon=":material/check_circle:")
    if registered.dropped:
        st.info(
            f"Only the {uploaded_networks.MOST} newest are kept. Removed: "
            f"{controls.escape_markdown(', '.join(registered.dropped))}.",
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
            accuracy = f"{100 * own.accuracy_bundled:.1f} % of the shipped images correct"
            st.markdown(
                f"**{controls.escape_markdown(controls.NETWORK_TITLES[own.network])}** · {accuracy}  \n"
                f":gray-badge[weights {own.sha256[:8]}] :gray-badge[{day}]"
            )
            with st.container(horizontal=True, vertical_alignment="center"):
                links(own.network)
                look = {"key": f"remove-{own.network}", "icon": ":material/delete:", "type": "tertiary"}
                st.button("Remove", on_click=_remove, args=(own.network,), **look)


def links(network: str) -> None:
    """Links to the pages that show it, at the block and convention of the previous page."""
    own = view(network)
    st.page_link("pages/1_Spectrum.py", label="Spectrum", icon=":material/scatter_plot:", query_params=spectrum(own))
    compared = comparison(replace(own, network=uploaded_networks.get(network).architecture), own)
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
