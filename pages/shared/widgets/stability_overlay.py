"""Stability regions over a spectrum: which of them, for which step h, and their numbers for each image's eigenvalues."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st

from pages.shared.state import ask, controls
from pages.shared.widgets import ode_table, panels
from stiffcore.analysis.results import Result
from stiffcore.conventions import Convention
from stiffcore.figures.odes import stability_regions
from stiffcore.figures.odes.stability_regions import UNIT_CIRCLE
from stiffcore.figures.panel import Series
from stiffcore.figures.theme import Style
from stiffcore.metrics import definitions
from stiffcore.odes import spectrum_stability

NOT_SQUARE = "No overlay for a block that changes the shape: it has no eigenvalues, only singular values."


@dataclass(frozen=True)
class Overlay:
    """The regions of stability_regions.TITLES that are drawn, and their step."""

    regions: tuple[str, ...]
    step: float


def choose(network: str, blocks: Sequence[int], convention: Convention) -> Overlay:
    """Regions and the step. Both stay visible if they do not apply, with the reason."""
    asked = ask.find_network(network)
    has_eigenvalues = any(asked.block(block).is_identity for block in blocks)
    usable = bool(convention.regions) and has_eigenvalues
    shown = convention if convention.regions else Convention.BRANCH  # does not apply, but stays visible
    titles = {name: stability_regions.TITLES[name] for name in shown.regions}
    has_step = shown.is_right_hand_side
    name, off = "stable" if has_step else "circle", not usable
    with panels.row():
        regions = controls.several_of(
            "Stability regions", name, titles, shown.default_regions, none="none", disabled=off
        )
        label = "Step h: the network's is 1" if asked.takes_images else "Step h"
        step = controls.number(label, "blockstep", 0.05, 2.0, 1.0, 0.05, width=300, disabled=off or not has_step)
    if about := stability_regions.about(asked, convention):
        st.caption(about)
    if convention.has_matrix and not all(asked.block(block).is_identity for block in blocks):
        st.caption(NOT_SQUARE)
    return Overlay(regions if usable else (), step if has_step else 1.0)


def of_result(result: Result, name: str, step: float) -> dict[str, float]:
    """spectrum_stability.of_method of a stored spectrum: share_outside, largest_stable_step, share_positive."""
    zeros, ones = result.structural
    tolerance = float(result.health.get("tolerance", 0.0))
    return spectrum_stability.of_method(result.arrays["eigenvalues"], zeros, ones, tolerance, step, name)


def per_cent(share: float) -> str:
    return f"{100 * share:.1f} %"


def step_in_words(limit: float) -> str:
    return "no limit" if np.isinf(limit) else ode_table.number(limit)


def numbers(results: Sequence[Result], series: Mapping[int, Series], overlay: Overlay, style: Style) -> None:
    """A row per spectrum: per region the share outside it, and the method's largest stable step."""
    shown = [result for result in results if "eigenvalues" in result.arrays]
    if not shown or not overlay.regions:
        return
    network = shown[0].request.network
    heads = ["Image" if network.takes_images else "Matrix"]
    for name in overlay.regions:
        title = stability_regions.TITLES[name]
        is_circle = name == UNIT_CIRCLE
        heads += ["Outside of |λ| = 1"] if is_circle else [f"Outside, {title}", f"Largest step, {title}"]
    several = len({result.request.block for result in shown}) > 1
    rows = [_row(result, series[result.request.image].name, overlay, several) for result in shown]
    ode_table.show(heads, rows, style)
    caption = "Shares are of all eigenvalues, including the structural ones."
    if set(overlay.regions) != {UNIT_CIRCLE}:
        caption = (
            f"At h = {overlay.step:g}. {caption} The largest stable step keeps every eigenvalue with Re λ < 0 inside the "
            f"region; those with Re λ > 0 grow in the ODE itself. {definitions.BESIDE_THE_AXIS}"
        )
    st.caption(caption)


def _row(result: Result, name: str, overlay: Overlay, several: bool) -> tuple[str, ...]:
    if result.request.network.takes_images:
        cells = [f"{name}\nblock {result.request.block}" if several else name]
    else:
        cells = [str(result.request.block)]
    for region in overlay.regions:
        if region == UNIT_CIRCLE:
            cells.append(per_cent(_outside_unit_circle(result)))
            continue
        shares = of_result(result, region, overlay.step)
        cells += [per_cent(shares["share_outside"]), step_in_words(shares["largest_stable_step"])]
    return tuple(cells)


def _outside_unit_circle(result: Result) -> float:
    """The share with |λ| > 1; structural ones lie on the circle, and so does what is within the tolerance of it."""
    values = result.arrays["eigenvalues"]
    total = len(values) + sum(result.structural)
    return float((np.abs(values) > 1 + result.health.get("tolerance", 0.0)).sum()) / total
