"""The Stiff ODEs page's answer: what sets the largest stable step of real blocks, and whether they are stiff."""

from collections.abc import Sequence

import streamlit as st

from pages.shared.state import ask, controls
from pages.shared.widgets import gallery, ode_table, stability_overlay
from stiffcore.analysis import compute as analysis
from stiffcore.analysis.results import Result
from stiffcore.conventions import Convention
from stiffcore.networks import catalogue
from stiffcore.odes import block_flow, step_limits
from stiffcore.odes.step_limits import StepLimits
from stiffcore.storage import cache as result_cache

NETWORKS_STEP = 1.0  # x + F(x)
OSCILLATION = "an oscillation that hardly decays"


def limits_of(result: Result, method: str, step: float) -> StepLimits:
    """step_limits.of_eigenvalues of a stored spectrum."""
    zeros, ones = result.structural
    values, tolerance = result.arrays["eigenvalues"], float(result.health.get("tolerance", 0.0))
    return step_limits.of_eigenvalues(values, len(values) + zeros + ones, tolerance, step, method)


def what_sets_it(limits: Sequence[StepLimits]) -> str:
    """Decay or oscillation, at how many of the images, and what the fastest decay alone would allow."""
    bounded = [limit for limit in limits if limit.kind != "none"]
    if not bounded:
        return "Nothing bounds the step: no eigenvalue decays."
    oscillating = sum(limit.kind == "oscillation" for limit in bounded)
    if oscillating == len(bounded):
        what = f"The largest stable step is set by {OSCILLATION}, not by a fast decay"
    elif oscillating:
        what = f"The largest stable step is set by {OSCILLATION} at {oscillating} of {len(bounded)} images, by a decay at the others"
    else:
        what = "The largest stable step is set by a decay"
    tightest = min(bounded, key=lambda limit: limit.decay_limit)
    side = "longer than" if tightest.decay_limit >= NETWORKS_STEP else "shorter than"
    return (
        f"{what}. The fastest decay, Re λ = {ode_table.number(-tightest.fastest_decay)}, alone would allow "
        f"h = {ode_table.number(tightest.decay_limit)}: {side} the network's 1."
    )


def show() -> None:
    """Are these ResNets stiff? From every shipped spectrum of the last stages."""
    limits = _shipped(str(result_cache.shipped().folder))
    if limits:
        with st.container(border=True):
            st.markdown(f"**What you just saw: are these ResNets stiff?** {in_words(*limits)}")
            names = ", ".join(controls.NETWORK_TITLES[name] for name in catalogue.PAPER)
            st.caption(
                f"Over {len(limits[0])} spectra: the identity blocks in the last stages of {names}, with the shipped weights "
                "and images. Choose another block above to compare."
            )


@st.cache_resource(show_spinner=False, max_entries=2)
def _shipped(_folder: str) -> tuple[list[StepLimits], list[StepLimits]] | None:
    """Limits under forward Euler and RK4 at h = 1; None if no spectrum ships. Takes 0.2 s, once per folder."""
    results = [
        result
        for network in catalogue.PAPER
        for block in block_flow.last_stage_blocks(ask.find_network(network))
        for image in gallery.first_of_each_label()
        if (result := analysis.stored(ask.request(network, image, block, Convention.BRANCH))) is not None
    ]
    if not results:
        return None
    euler, rk4 = ([limits_of(result, name, NETWORKS_STEP) for result in results] for name in ("forward-euler", "rk4"))
    return euler, rk4


def in_words(euler: Sequence[StepLimits], rk4: Sequence[StepLimits]) -> str:
    """The answer from the limits of forward Euler and RK4, spectrum by spectrum."""
    fast = [limit for limit in euler if limit.decay_limit < NETWORKS_STEP]
    tightest = min(euler, key=lambda limit: limit.decay_limit)
    fastest = (
        f"The fastest decay, Re λ = {ode_table.number(-tightest.fastest_decay)}, alone allows forward Euler a step of "
        f"{ode_table.number(tightest.decay_limit)}; the network's step is 1."
    )
    answer = f"**Yes, in {len(fast)} of {len(euler)} spectra.** " if fast else "**Not in the textbook sense.** "
    answer += fastest
    short = [limit for limit in euler if limit.largest_step < NETWORKS_STEP]
    if short:
        oscillating = sum(limit.kind == "oscillation" for limit in short)
        how_many = "in each" if oscillating == len(short) else f"in {oscillating} of these"
        outside = stability_overlay.per_cent(max(limit.decaying_outside for limit in euler))
        answer += (
            f" Forward Euler's largest stable step is below 1 in {len(short)} of {len(euler)} spectra, "
            f"{how_many} because of {OSCILLATION}: weak damping, in at most {outside} of the eigenvalues. Runge–Kutta 4 would be "
            f"stable in all {len(rk4)} up to h = {ode_table.number(min(limit.largest_step for limit in rk4))}."
        )
    return answer
