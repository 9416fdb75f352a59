"""Images whose smallest perturbation is not computed: a job for some, and the command for all."""

import pandas as pd
import streamlit as st

from pages.shared.jobs import ode_jobs
from pages.shared.state import ask, controls
from pages.shared.widgets import panels
from stiffcore.adversarial import compute
from stiffcore.adversarial.requests import HOW, check
from stiffcore.storage import cache as result_cache

AT_A_TIME = 60  # images of a job: enough for the verdict's rule; about a minute for ResNet18 on an idle core
SECONDS = {
    "resnet18": 0.55,
    "resnet34": 1.4,
    "resnet50": 2.5,
}  # an image on one core, measured over 272, 32 and 32 images


def offer(robust: pd.DataFrame, network: str) -> None:
    """Offers to compute the next images, as long as some are missing; says first if the network cannot be attacked."""
    asked, known = check(ask.find_network(network)), set(robust["image"])
    missing = [image for image in ask.bundled() if image.in_rows not in known]
    if not missing:
        return
    wanted = missing[:AT_A_TIME]
    key = result_cache.key({"robustness": [compute.key(asked, image) for image in wanted]})

    def work(progress) -> list[str]:
        return [one.notice for one in compute.compute_many(asked, wanted, progress)]

    seconds = len(wanted) * SECONDS.get(asked.architecture, SECONDS["resnet50"])
    have = (
        f"**{len(robust):,} of {len(robust) + len(missing):,} images are computed.**"
        if len(robust)
        else "**Not computed yet.**"
    )
    sentence = f"{have} The next {len(wanted)}: about {seconds:.0f} s on one core."
    title = f"{controls.NETWORK_TITLES[network]}: smallest perturbations"
    notices = ode_jobs.offer(key, work, title, sentence, "Compute")
    if isinstance(notices, list):  # the cache could not keep them
        panels.notices(notices)
        return
    st.caption("All of them, in a terminal; it can be stopped and resumed:")
    st.code(f"{HOW} {network} --images bundled", language="bash", wrap_lines=True)
