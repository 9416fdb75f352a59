"""An image and its perturbed twin: the network's predictions, and the same block's spectrum at both; metrics against ε."""

from collections.abc import Callable
from html import escape

import pandas as pd
import streamlit as st

from pages.shared.compare import spectra as compare_spectra
from pages.shared.jobs import job_badge, ode_jobs
from pages.shared.state import ask, controls, service
from pages.shared.widgets import gallery, panels, sides as compare_sides
from pages.shared.widgets.sides import Side
from stiffcore.analysis import perturbation
from stiffcore.analysis.perturbation import PerturbationRequest, Perturbed
from stiffcore.analysis.requests import PRECISION
from stiffcore.figures import wording
from stiffcore.figures.spectra import compare, perturbation as figures
from stiffcore.figures.theme import Style
from stiffcore.images import uploaded as uploaded_images
from stiffcore.storage import cache as result_cache

STRONGEST = 32  # grey levels on the slider; stiffcore allows more, but then the image is hard to recognise
SECONDS = 4  # of a perturbation: loading a network, a backward pass, two forward passes


def show(style: Style) -> None:
    """The part "Perturbation" of the page: A is the clean image, B the perturbed one."""
    st.markdown(
        "The paper suggests stiffness as a cause of **adversarial examples**: images with a change too small for people to see "
        "that still changes the network's answer. Compare the same block at the clean image (A) and at the perturbed one (B)."
    )
    left, right = st.columns(2)
    with left:
        side = compare_sides.choose("a", compare_sides.defaults()["a"], style, "A, clean")
    with right:
        request = _choose(side)
    controls.notes()
    with panels.error_boundary():
        perturbed = perturbation.stored(request) or _made(request)
        _pictures(request, perturbed, style)
        if perturbed is None:
            controls.copy_link()
            return
        _badge(perturbed)
        panels.notices([perturbed.notice, uploaded_images.notice() or ""])
        twin = Side(side.network, perturbed.image.in_rows, side.block, side.convention)
        st.subheader(f"Block {side.block} at both images")
        compare_spectra.view({"A": side, "B": twin}, style, twin=f"twin = perturbation.compute({_python(request)})\n")
        _sweep(request, side, style)


def _badge(perturbed: Perturbed) -> None:
    """How the perturbed image was made."""
    request = perturbed.request
    about = job_badge.parts(
        "cpu", PRECISION, perturbed.seconds, request.network.weights_sha256, perturbation.KINDS[request.kind]
    )

    def again(progress) -> Perturbed:
        return perturbation.compute(request, progress, again=True)

    def numbers(made: Perturbed) -> dict[str, float]:
        return {"the loss": made.loss[1], "the sum of all pixels": float(made.pixels.sum())}

    title = f"{request.network.title}: {perturbation.name_of(request)}"
    job_badge.show(perturbation.key(request), again, perturbed, numbers, title, about)


def _choose(side: Side) -> PerturbationRequest:
    with st.container(border=True):
        st.html("<b>B, perturbed</b>")
        kind = controls.select("Perturbation", "perturb", perturbation.KINDS, "fgsm")
        strength = controls.number(
            "Strength: grey levels of 255", "strength", 1, STRONGEST, 4, 1, help="ε = strength / 255. FGSM changes "
            "each value by at most ε; the noise has standard deviation ε. Both changes are equally long.",
        )  # fmt: skip
        seed = 0
        if kind == "noise":
            seed = controls.number("Seed of the noise", "seed", 0, perturbation.SEEDS - 1, 0, 1)
    return ask.perturbation(side.network, side.image, kind, strength, seed)


def _made(request: PerturbationRequest) -> Perturbed | None:
    """From a job; None until it is done."""

    def work(progress) -> Perturbed:
        return perturbation.compute(request, progress)

    title = f"{request.network.title}: {perturbation.name_of(request)}"
    sentence = f"**The perturbed image is not computed yet**: about {SECONDS} s, including the network's prediction."
    return ode_jobs.offer(perturbation.key(request), work, title, sentence, "Perturb")


def _pictures(request: PerturbationRequest, perturbed: Perturbed | None, style: Style) -> None:
    """The clean image, the enlarged difference, the perturbed image; with the network's predictions and losses."""
    looks = compare.looks(style)
    before, after = (None, None) if perturbed is None else zip(perturbed.seen, perturbed.loss, strict=True)
    cards = [
        compare_sides.card("A, clean", request.network.name, request.image.in_rows, looks["A"].colour, *(before or ()))
    ]
    pixels = perturbed.pixels if perturbed else None
    if perturbed is None and request.kind == "noise":  # noise needs no network
        pixels = perturbation.noise(request.image, request.strength, request.seed)
    if pixels is not None:
        cards.append(compare_sides.difference(request.image.pixels, pixels, style))
        network = request.network
        said = (
            ("no prediction",) if after is None else (escape(gallery.said(network, after[0])), f"loss {after[1]:.3g}")
        )
        label = network.label_of(request.image)  # without a label, no prediction is wrong
        wrong = ' class="wrong"' if after and label is not None and after[0] != label else ""
        name = escape(perturbation.name_of(request))
        seen = f"<span{wrong}>{said[0]}</span>{', '.join(('', *said[1:]))}"
        cards.append(compare_sides.picture(pixels, "perturbed", looks["B"].colour, "B, perturbed", name, seen))
    st.html(f'{compare_sides.IMAGE_LOOK}<div class="sides">{"".join(cards)}</div>')


def _sweep(request: PerturbationRequest, side: Side, style: Style) -> None:
    """Loss and metrics of the block at growing ε."""
    st.subheader("Against the strength")
    table = perturbation.stored_sweep(request, side.block, side.convention)
    if table is None:
        table = _swept(request, side)
    if table is None:
        return
    figure = figures.figure(table, style)
    panels.chart(figure, "perturbation", figures.alt_text(table))
    for why in dict.fromkeys(f"{wording.title(name)}: {why}" for row in table["reasons"] for name, why in row.items()):
        st.caption(why)
    flat = table.drop(columns="reasons")
    asked = f"{_python(request)}, {side.block}, Convention({side.convention!r})"
    python = (
        "import stiffcore as sc\nfrom stiffcore.analysis import perturbation\nfrom stiffcore.conventions import Convention\n\n"
        f"print(perturbation.sweep({asked}))\n"
    )
    _sweep_badge(table, request, side)
    panels.downloads(figure, flat, f"perturbation-{request.network.name}-{side.block}", "Against the strength", python)
    panels.equivalent_table(flat, "A row per strength; correct: whether the network still predicts the label.")


def _sweep_badge(table: pd.DataFrame, request: PerturbationRequest, side: Side) -> None:
    spectra = perturbation.sweep_made(request, side.block, side.convention)
    device = " / ".join(dict.fromkeys(spectrum["device"] for spectrum in spectra))
    kinds = side.convention.title, perturbation.KINDS[request.kind]
    seconds = sum(spectrum.get("seconds") or 0 for spectrum in spectra) if spectra else None
    about = job_badge.parts(device, PRECISION, seconds, request.network.weights_sha256, *kinds)
    again = _sweeping(request, side, again=True)

    def numbers(swept: pd.DataFrame) -> dict[str, float]:
        return {
            f"{name} at {row['strength']}/255": row[name]
            for row in swept.to_dict("records")
            for name in ("loss", *perturbation.SWEPT)
        }

    job_badge.show(
        _sweep_key(request, side), again, table, numbers, _sweep_title(request, side), about, service.queue()
    )


def _sweeping(request: PerturbationRequest, side: Side, again: bool = False) -> Callable:
    """The job that sweeps, its spectra on the device that this visitor chose: progress -> the table."""
    where = service.device_chosen()

    def work(progress) -> pd.DataFrame:
        there = service.still_there(where)
        return perturbation.sweep(request, side.block, side.convention, progress, again, there)

    return work


def _sweep_key(request: PerturbationRequest, side: Side) -> str:
    requests = perturbation.sweep_requests(request)
    return result_cache.key({"sweep": [perturbation.key(one) for one in requests], "of": [side.block, side.convention]})


def _sweep_title(request: PerturbationRequest, side: Side) -> str:
    return f"{request.network.title}, block {side.block}: ε from 0 to {perturbation.SWEEP[-1]}/255"


def _swept(request: PerturbationRequest, side: Side) -> pd.DataFrame | None:
    levels = ", ".join(map(str, perturbation.SWEEP))
    sentence = (
        f"Loss, S, P and max Re λ of block {side.block} at {levels} grey levels: **each takes about as long as one spectrum "
        "of this block.**"
    )

    key, title = _sweep_key(request, side), _sweep_title(request, side)
    return ode_jobs.offer(key, _sweeping(request, side), title, sentence, "Sweep ε", service.queue())


def _python(request: PerturbationRequest) -> str:
    what = f"{request.kind!r}, {request.strength}, {request.seed}"
    of = f"sc.network({request.network.name!r}), sc.image({request.image.in_rows})"
    return f"perturbation.PerturbationRequest({of}, {what})"
