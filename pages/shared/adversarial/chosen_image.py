"""The chosen point: the image before and after the smallest whole step, what the network sees, and its spectra at both."""

from html import escape

import numpy as np
import pandas as pd
import streamlit as st

from pages.shared.state import ask, choices
from pages.shared.widgets import gallery, selection, sides
from stiffcore.adversarial import rows as robustness_rows
from stiffcore.adversarial.relation import NETWORK, Measure
from stiffcore.analysis import perturbation
from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.figures.spectra import compare
from stiffcore.figures.theme import Style


def show(event, robust: pd.DataFrame, network: str, measure: Measure, block: int | str, style: Style) -> None:
    """The image of a clicked point, else of the link; else one whose smallest perturbation is the median one."""
    attacked = robust[robust["pgd_radius"].notna()].sort_values("pgd_radius", kind="stable")
    if attacked.empty:
        return
    known = set(attacked["image"])
    picked = selection.chosen(event, known)
    if picked is not None and st.session_state.get("attacked point") != picked[0]:
        choices.follow("point", str(picked[0]))
    st.session_state["attacked point"] = None if picked is None else picked[0]
    middle = int(attacked["image"].iloc[len(attacked) // 2])

    def parse(text: str) -> int:
        number = int(text)
        if number not in known:
            raise CannotCompute(f"Expected an image with a smallest perturbation, got {text[:80]!r}.")
        return number

    _card(
        attacked[attacked["image"] == choices.current("point", middle, parse)].iloc[0],
        network,
        measure,
        block,
        style,
        has_figure=event is not None,
    )


def _card(row: pd.Series, network: str, measure: Measure, block: int | str, style: Style, has_figure: bool) -> None:
    image, asked = ask.find_image(int(row["image"])), ask.find_network(network)
    looks, seen = compare.looks(style), gallery.class_name(asked, int(row["predicted"]))
    pictures = [
        sides.picture(
            image.pixels, seen, looks["A"].colour, f"A, image {image.name}", f"seen as {escape(seen)}",
            f"margin {row['margin']:.2f}",
        ),
    ]  # fmt: skip
    if np.isfinite(row["fgsm_whole"]):
        after, step = robustness_rows.perturbed(image, row), int(row["fgsm_whole"])
        then = gallery.class_name(asked, int(row["fgsm_seen"]))
        head = f"B, FGSM of {step}"
        pictures.append(
            sides.picture(
                after, then, looks["B"].colour, head, f'<span class="wrong">seen as {escape(then)}</span>', _sizes(row)
            )
        )
    with st.container(border=True):
        st.html(f'{sides.IMAGE_LOOK}<div class="sides">{"".join(pictures)}</div>')
        with st.container(horizontal=True, gap="small", vertical_alignment="center"):
            if np.isfinite(row["fgsm_whole"]):
                link = _link(row, network, measure, block)
                label = f"Both spectra, block {link['a.block']}"
                st.page_link("pages/5_Compare.py", label=label, icon=":material/compare:", query_params=link)
            if has_figure:
                st.caption(":material/touch_app: Click a point for its image.", width="content")


def _sizes(row: pd.Series) -> str:
    pgd = f"{row['pgd_radius']:g}" if np.isfinite(row["pgd_radius"]) else "none"
    said = f"smallest: FGSM {row['fgsm_step']:g}, PGD {pgd}"
    if row["fgsm_whole"] == row["fgsm_step"]:
        return said
    rounded = row["fgsm_whole"] == np.ceil(row["fgsm_step"])  # a step may fail although a smaller one succeeds
    how = "rounded up to a whole grey level" if rounded else "the smallest whole grey level that changes it"
    return f"{said}; B: {how}"


def _link(row: pd.Series, network: str, measure: Measure, block: int | str) -> dict[str, str]:
    """The Compare page's choices: the image, and the same after the step. Where the measure has no spectrum: branch, or slices
    where the block is not square."""
    there = {one.block: one for one in ask.find_network(network).blocks}
    of = there[len(there) if block == NETWORK else int(block)]
    reading = measure.convention or Convention.BRANCH
    if not of.n_eigenvalues(reading):
        reading = Convention.SLICES
    strength = str(min(int(row["fgsm_whole"]), perturbation.STRONGEST))
    link = {"compare": "perturbation", "perturb": "fgsm", "strength": strength}
    texts = {"network": network, "images": str(int(row["image"])), "block": str(of.block), "convention": reading.value}
    return link | {f"a.{name}": text for name, text in texts.items()}
