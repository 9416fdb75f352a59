"""One block's spectrum at one image, from checkpoint to checkpoint on locked axes."""

import math
from collections.abc import Sequence

import numpy as np
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages.shared.jobs import computing
from pages.shared.over_training import runs
from pages.shared.shell import scenes
from pages.shared.state import ask, choices, controls, service
from pages.shared.widgets import gallery, panels, plane, player
from stiffcore.analysis.requests import Request
from stiffcore.analysis.results import Result
from stiffcore.commands import sweep as sweep_command
from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.figures.spectra import played, spectrum_table, through_training
from stiffcore.figures.spectra.played import Look
from stiffcore.figures.spectra.through_training import Shown
from stiffcore.figures.theme import Style
from stiffcore.runs.run import Checkpoint, Run

SECONDS_A_STEP = 0.9  # while it plays
MOST_FRAMES = 30  # all of them are sent at once
CHART = "training-player"


def show(run: Run, convention: Convention, style: Style, above: DeltaGenerator | None) -> None:
    """Choose, compute, draw. above: where the figure is drawn, if not below the choices."""
    last = (runs.identity_blocks(run) or [len(run.blocks)])[-1]
    with panels.row():
        block = controls.select("Block", "played", runs.titles(run), last, st.selectbox, width=100)
        (number,) = gallery.choose(run.name, gallery.first_of_each_label()[3:4], at_most=1)
        look, _ = panels.looks(st.container(horizontal=True, vertical_alignment="bottom"), style)
        with look:
            axes, marks = plane.axes_and_marks(convention)
            fit = plane.fit(CHART, convention)
    checkpoints = _some(run.drawn)
    at = _at([checkpoint.step for checkpoint in checkpoints])
    controls.notes()
    with panels.error_boundary():
        image = ask.find_image(number)
        requests = [Request(run.network(one), image, block, convention, "spectrum") for one in checkpoints]
        title = f"{run.title} over training, block {block} at image {image.name} ({convention})"
        figure_first = above or st.container()
        with st.container():  # below the figure, which so stays on the first screen
            results = _results(run, requests, title)
        if not any(result is not None and played.is_plane(result) for result in results):
            _nothing(run, convention, block, number, results)
            return
        accuracy = _accuracies(run, convention, checkpoints)
        frames = [Shown(one.step, result, accuracy[one.step]) for one, result in zip(checkpoints, results, strict=True)]
        look_of_all = Look(fit, axes, marks, convention.default_regions)
        figure = through_training.figure(frames, run.unit, convention, style, look_of_all, at)
        labels = [str(one.step) for one in checkpoints]
        # Page Down and Page Up belong to the scenes where one is on.
        with figure_first:
            player.buttons(CHART, "Over training", labels, "step", SECONDS_A_STEP, scenes.is_on())
            panels.chart(figure, CHART, through_training.alt_text(frames, run.unit, title))
        _below(run, checkpoints, results, title, figure, convention)


def _some(checkpoints: Sequence[Checkpoint]) -> list[Checkpoint]:
    """All, or as many as one figure plays, evenly spread, with the first and the last."""
    places = np.linspace(0, len(checkpoints) - 1, min(MOST_FRAMES, len(checkpoints))).round().astype(int)
    return [checkpoints[place] for place in dict.fromkeys(places.tolist())]


def _at(steps: Sequence[int]) -> int:
    """The step that is shown first: from the figure's report or from a link."""

    def parse(text: str) -> int:
        if text not in map(str, steps):
            raise CannotCompute(f"Expected one of the steps {', '.join(map(str, steps))}, got {text[:80]!r}.")
        return int(text)

    return choices.current("step", steps[0], parse)


def _results(run: Run, requests: Sequence[Request], title: str) -> list[Result | None]:
    """The stored ones, in the requests' order; offers to compute the others where the weights are on this machine."""
    found = computing.results(requests, title) if run.can_compute else service.results(requests)
    by_request = {result.request: result for result in found if result is not None}
    return [by_request.get(request) for request in requests]


def _nothing(run: Run, convention: Convention, block: int, image: int, results: Sequence[Result | None]) -> None:
    if any(result is not None for result in results):
        st.info(
            f"Block {block} changes the shape: it has no eigenvalues. Choose another block.", icon=":material/info:"
        )
    elif run.can_compute:
        st.info("No checkpoint is stored yet: compute all of them, then play.", icon=":material/info:")
        if run.has_files:
            command = sweep_command.run_command(run, convention, str(block), str(image), "spectrum")
            st.code(command, language="bash", wrap_lines=True)
    else:
        blocks = " or ".join(map(str, runs.last_of_each_stage(run)))
        st.info(
            f"The weights of this run do not ship, and this spectrum does not either. Choose block {blocks} at image "
            f"{gallery.first_of_each_label()[3]}.",
            icon=":material/info:",
        )
    controls.copy_link()


def _accuracies(run: Run, convention: Convention, checkpoints: Sequence[Checkpoint]) -> dict[int, float]:
    """Step -> accuracy on the images that ship, else on those that were swept, else NaN."""
    rows = runs.rows(run, convention)
    swept = dict(zip(rows["weights"], rows["accuracy"], strict=True)) if len(rows) else {}
    return {
        one.step: swept.get(one.weights, math.nan) if math.isnan(one.accuracy_bundled) else one.accuracy_bundled
        for one in checkpoints
    }


def _below(
    run: Run,
    checkpoints: Sequence[Checkpoint],
    results: Sequence[Result | None],
    title: str,
    figure,
    convention: Convention,
) -> None:
    there = [result for result in results if result is not None]
    if len(checkpoints) < len(run.drawn):
        st.caption(f"{len(checkpoints)} of the {len(run.drawn)} checkpoints, evenly chosen.")
    lacking = [f"{one.step:,}" for one, result in zip(checkpoints, results, strict=True) if result is None]
    if lacking:
        st.caption(f"Not computed: {run.unit} {', '.join(lacking)}. Their frames say so; the axes fit the others.")
    runs.caveats(run)
    if run.can_compute:
        computing.badge(there, title)
    request = there[0].request
    python = (
        "import stiffcore as sc\nfrom stiffcore.runs import kept\n\n"
        f'run = kept.get("{run.name}")\n'
        f"for one in run.drawn:\n"
        f'    result = sc.analyse(run.network(one), {request.image.in_rows}, {request.block}, "{convention}", "spectrum")\n'
        f'    print(one.step, result.metrics["stiffness_index"], result.metrics["percent_negative"])\n'
    )
    name = f"training-{run.name}-block-{request.block}-{convention}"
    panels.downloads(figure, lambda: spectrum_table.points(there), name, title, python)
    panels.equivalent_table(spectrum_table.metrics(there), "Every metric of every checkpoint that is stored.")
