"""Below a spectrum: the mode of the eigenvalue that was clicked, as maps over the block's pixels."""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
import streamlit as st

from pages.shared.jobs import job_badge, ode_jobs
from pages.shared.state import choices, controls
from pages.shared.widgets import gallery, ode_table, panels
from stiffcore.analysis import modes
from stiffcore.analysis.requests import PRECISION
from stiffcore.analysis.results import Result
from stiffcore.errors import CannotCompute
from stiffcore.figures.spectra import eigenvalue_cloud, mode as figures, spectrum_table
from stiffcore.figures.theme import Style
from stiffcore.figures.wording import capital

NONE = "none"
EXTREMES = {  # a list offers these, for visitors without a mouse
    "rightmost": lambda values: np.argmax(values.real),
    "leftmost": lambda values: np.argmin(values.real),
    "largest |λ|": lambda values: np.argmax(np.abs(values)),
}
OF_NETWORKS = (
    "Maps: norm of the eigenvector over the channels at each pixel, mapped back from the core: x = W y to the outputs, w = Vᵀ z "
    "to the inputs, J = W V (stiffcore/analysis/modes.py)."
)
Choice = tuple[int, int, int] | None  # block, image, position among the core's eigenvalues


def choice() -> Choice:
    """The eigenvalue that was clicked, or that a link names."""

    def parse(text: str) -> Choice:
        if text == NONE:
            return None
        if not (match := re.fullmatch(r"(\d{1,2})\.(\d{1,12})\.(\d{1,6})", text)):
            raise CannotCompute(f"Expected an eigenvalue as block.image.position, got {text[:80]!r}.")
        return tuple(map(int, match.groups()))

    return choices.current("eigenvalue", None, parse, lambda value: ".".join(map(str, value)) if value else NONE)


def has_modes(result: Result) -> bool:
    return 0 < len(result.arrays.get("eigenvalues", ())) <= modes.LARGEST_CORE


def clicked(results: Sequence[Result], axes: str, chart: str) -> None:
    """The chart's callback: chooses what was clicked and computes its mode. For a link's eigenvalue a button does that."""
    for point in (st.session_state.get(chart) or {}).get("selection", {}).get("points", []):
        nearest = _of_point(results, point, axes)
        if nearest is None or not has_modes(nearest[0]):
            continue
        _take(*nearest)
        return


def _take(result: Result, position: int) -> None:
    """For callbacks: chooses an eigenvalue, and computes its mode if it is not stored."""
    choices.choose("eigenvalue", _text(result, position))
    if modes.stored(result.request, _value(result, position)) is None:
        ode_jobs.submit(*_job(result, position))


def _text(result: Result, position: int) -> str:
    return f"{result.request.block}.{_image(result)}.{position}"


def _image(result: Result) -> int:
    """The image's number in a choice; 0 for a matrix."""
    return int(result.request.image.in_rows) if result.request.network.takes_images else 0


def _of_point(results: Sequence[Result], point: dict, axes: str) -> tuple[Result, int] | None:
    """What the browser sends is checked like a URL. Plotly's point index is wrong with several traces; x and y are right."""
    data, x, y = point.get("customdata"), point.get("x"), point.get("y")
    if isinstance(data, (list, tuple)):
        data = data[0] if data else None
    if not all(isinstance(number, (int, float)) and np.isfinite(number) for number in (data, x, y)):
        return None
    return eigenvalue_cloud.nearest(results, int(data), float(x), float(y), axes)


def _value(result: Result, position: int) -> complex:
    return complex(result.arrays["eigenvalues"][position])


def chosen_of(results: Sequence[Result], chosen: Choice) -> tuple[Result, int] | None:
    """The result and position of a choice, if it is in view."""
    for result in results if chosen else ():
        block, image, position = chosen
        if (result.request.block, _image(result)) == (block, image) and has_modes(result):
            return (result, position) if position < len(result.arrays["eigenvalues"]) else None
    return None


def check(results: Sequence[Result], chosen: Choice) -> None:
    """Refuses a link's eigenvalue that a spectrum in view does not have. A choice that is not in view is kept."""
    for result in results if chosen else ():
        count = len(result.arrays.get("eigenvalues", ()))
        if (result.request.block, _image(result)) == chosen[:2] and chosen[2] >= count:
            note = f"Expected one of the {count:,} eigenvalues of {result.request.network.noun} {chosen[0]}'s core, numbered from 0, got {chosen[2]}."
            choices.refuse("eigenvalue", NONE, note)


def by_name(results: Sequence[Result]) -> dict[tuple[int, int], str]:
    """(position in results, position of an eigenvalue) -> how a list names it: the extremes of every spectrum with modes."""
    names: dict[tuple[int, int], str] = {}
    for at, result in enumerate(results):
        if not has_modes(result):
            continue
        values = result.arrays["eigenvalues"]
        for name, position in EXTREMES.items():
            extreme = int(position(values))
            title = f"{capital(result.request.where)}: {name}, λ = {figures.in_words(complex(values[extreme]))}"
            names.setdefault((at, extreme), title)
    return names


def _list(results: Sequence[Result], found: tuple[Result, int] | None) -> None:
    """The extremes, to choose from without a mouse; a clicked or linked eigenvalue is in the list, too."""
    key, extremes = "choice-eigenvalue", by_name(results)
    names = {_text(results[at], position): name for (at, position), name in extremes.items()}
    if found is not None and _text(*found) not in names:
        result, position = found
        names[_text(*found)] = (
            f"{capital(result.request.where)}: chosen, λ = {figures.in_words(_value(result, position))}"
        )
    of = {_text(results[at], position): (results[at], position) for at, position in extremes}
    st.session_state[key] = _text(*found) if found else None

    def picked() -> None:
        if (one := of.get(st.session_state[key])) is not None:
            _take(*one)
        elif st.session_state[key] is None:
            choices.choose("eigenvalue", NONE)

    st.selectbox(
        "Eigenvalue", list(names), index=None, format_func=names.get, key=key, on_change=picked, width=520,
        placeholder="Click one in the figure, or choose an extreme",
    )  # fmt: skip


def show(results: Sequence[Result], chosen: Choice, style: Style) -> None:
    """The chosen eigenvalue's maps and numbers, or how to choose one."""
    st.subheader("The mode of an eigenvalue")
    found = chosen_of(results, chosen)
    _list(results, found)
    if found is None:
        st.caption(
            ":material/touch_app: Click an eigenvalue in the figure, or choose an extreme here, to see its mode"
            + (" over the block's pixels." if results[0].request.network.takes_images else ".")
        )
        return
    result, position = found
    value = _value(result, position)
    mode = modes.stored(result.request, value)
    if mode is None:
        sentence = f"**λ = {figures.in_words(value)}.** Its mode is not stored yet: about a second."
        mode = ode_jobs.offer(*_job(result, position), sentence, "Compute its mode")
    if mode is not None:
        _draw(mode, result, style)


def _job(result: Result, position: int) -> tuple:
    """key, work, title"""
    request, value = result.request, _value(result, position)
    title = f"{request.network.title}, {request.part}: a mode"
    return modes.key(request, value), lambda progress: modes.compute(request, value, progress), title


def _draw(mode: modes.Mode, result: Result, style: Style) -> None:
    request = mode.request
    takes_images = request.network.takes_images
    picture = gallery.thumbnail(request.image.in_rows) if takes_images else ""
    figure = figures.figure(mode, result.arrays["eigenvalues"], style, picture)
    panels.chart(figure, "mode", figures.alt_text(mode))
    parts, right, left = "Channels", mode.right_channels, mode.left_channels
    if not takes_images:
        parts, right, left = "Components", mode.right_map[0], mode.left_map[0]
    ode_table.metrics(
        [
            ("Residual ‖Jx − λx‖ / ‖x‖", ode_table.number(mode.residual, 2)),
            ("Condition number of λ", ode_table.number(mode.condition)),
            (f"{parts} with half of it, right", f"{_half(right)} of {len(right)}"),
            (f"{parts} with half of it, left", f"{_half(left)} of {len(left)}"),
        ]
    )
    shown = OF_NETWORKS if takes_images else "Curves: |xₖ| and |wₖ| of the right and the left eigenvector, of norm 1."
    st.caption(
        f"{controls.escape_markdown(capital(request.where))}, {request.convention}. {shown} Residual: of the true Jacobian, in "
        "float64. Condition number ‖w‖‖x‖ / |wᵀx|: how far λ moves for a change of J; 1 if J is normal."
    )
    _badge(mode)
    panels.notices([mode.notice])
    frame = _frame(mode)
    python = (
        "import stiffcore as sc\nfrom stiffcore.analysis import modes\n\n"
        f"request = sc.request({spectrum_table.arguments_in_python(request)}, "
        f'"spectrum")\nprint(modes.compute(request, {mode.eigenvalue!r}))\n'
    )
    title = f"{request.network.title}, {request.part}, λ = {figures.in_words(mode.eigenvalue)}"
    panels.downloads(figure, frame, f"mode-{request.network.name}-{request.block}", title, python, link=False)
    what = "Norm over the channels, per pixel," if takes_images else "Absolute value, per component,"
    panels.equivalent_table(frame, f"{what} of the right and the left eigenvector.")


def _badge(mode: modes.Mode) -> None:
    request, value = mode.request, mode.eigenvalue
    about = job_badge.parts("cpu", PRECISION, mode.seconds, request.network.weights_sha256, request.convention_title)
    job_badge.show(
        modes.key(request, value), lambda progress: modes.compute(request, value, progress, again=True), mode,
        lambda made: {"the condition number": made.condition}, f"{request.geometry.title}: a mode", about,
    )  # fmt: skip


def _half(channels: np.ndarray) -> int:
    """How many of the largest channels hold half of a vector's squared norm."""
    return int(np.searchsorted(np.cumsum(np.sort(channels**2)[::-1]), 0.5 * (channels**2).sum()) + 1)


def _frame(mode: modes.Mode) -> pd.DataFrame:
    rows, columns = (index.ravel() for index in np.indices(mode.right_map.shape))
    return pd.DataFrame(
        {"row": rows, "column": columns, "right": mode.right_map.ravel(), "left": mode.left_map.ravel()}
    )
