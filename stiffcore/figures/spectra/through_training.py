"""One block of a run at one image in one plane: a frame per checkpoint, and a slider."""

from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from stiffcore.analysis.results import Result
from stiffcore.conventions import Convention
from stiffcore.figures import wording
from stiffcore.figures.spectra import played
from stiffcore.figures.spectra.played import Frame, Look
from stiffcore.figures.theme import Style

HEIGHT = 415  # pixels, slider included: whole on the first screen below the page's controls


@dataclass(frozen=True)
class Shown:
    """A checkpoint: its result, None if it is not computed; accuracy: from 0 to 1, NaN if unknown."""

    step: int
    result: Result | None
    accuracy: float


def figure(
    checkpoints: Sequence[Shown], unit: str, convention: Convention, style: Style, look: Look, at: int
) -> go.Figure:
    """unit: of a step; at: the step that is shown first. At least one result needs eigenvalues or a density."""
    frames = [Frame(str(one.step), one.result, _words(one, unit)) for one in checkpoints]
    return played.figure(
        frames, convention, style, look, str(at), f"{unit.capitalize()} ", HEIGHT - (20 if style.talk else 0)
    )


def _words(one: Shown, unit: str) -> tuple[str, ...]:
    step = f"<b>{unit.capitalize()} {one.step:,}</b>"
    return (step, wording.accuracy(one.accuracy)) if one.accuracy == one.accuracy else (step,)


def alt_text(checkpoints: Sequence[Shown], unit: str, title: str) -> str:
    """One sentence for screen readers. title: of the run, the block and the image."""
    steps = [one.step for one in checkpoints if one.result is not None]
    return (
        f"Eigenvalues in the complex plane, a frame per checkpoint on locked axes: {title}, {unit} {steps[0]:,} to "
        f"{steps[-1]:,}. The table has the numbers."
    )
