"""Below a spectrum: the mode of the eigenvalue that was clicked, as maps over the block's pixels."""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
import streamlit as st

from pages.shared import controls, gallery, ode_jobs, ode_table, panels
from stiffcore import analysis, cifar10, modes
from stiffcore.errors import CannotCompute
from stiffcore.figures import eigenvalue_cloud
from stiffcore.figures import mode as figures
from stiffcore.figures.theme import Style

NONE = "none"
Choice = tuple[int, int, int] | None  # block, image, position among the core's eigenvalues


def choice() -> Choice:
    """The eigenvalue that was clicked, or that a link names."""

    def parse(text: str) -> Choice:
        if text == NONE:
            return None
        if not (found := re.fullmatch(r"(\d{1,2})\.(\d{1,12})\.(\d{1,6})", text)):
            raise CannotCompute(f"Expected an eigenvalue as block.image.position, got {text[:80]!r}.")
        return tuple(map(int, found.groups()))

    return controls.current("eigenvalue", None, parse, lambda value: ".".join(map(str, value)) if value else NONE)


def has_modes(result: analysis.Result) -> bool:
    return 0 < len(result.arrays.get("eigenvalues", ())) <= modes.LARGEST_CORE


def clicked(results: Sequence[analysis.Result], axes: str, chart: str) -> None:
    """The chart's callback: what was clicked is chosen, and its mode computed, as by a button; a link's is only offered."""
    for point in (st.session_state.get(chart) or {}).get("selection", {}).get("points", []):
        found = _of_point(results, point, axes)
        if found is None or not has_modes(found[0]):
            continue
        result, position = found
        controls.choose("eigenvalue", f"{result.request.block}.{result.request.image}.{position}")
        if modes.stored(result.request, _value(result, position)) is None:
            ode_jobs.submit(*_job(result, position))
        return


def _of_point(results: Sequence[analysis.Result], point: dict, axes: str) -> tuple[analysis.Result, int] | None:
    """What the browser sends is checked like a URL. The position among several traces cannot be trusted: x and y can."""
    data, x, y = point.get("customdata"), point.get("x"), point.get("y")
    if isinstance(data, (list, tuple)):
        data = data[0] if data else None
    if not all(isinstance(number, (int, float)) and np.isfinite(number) for number in (data, x, y)):
        return None
    return eigenvalue_cloud.nearest(results, int(data), float(x), float(y), axes)


def _value(result: analysis.Result, position: int) -> complex:
    return complex(result.arrays["eigenvalues"][position])


def chosen_of(results: Sequence[analysis.Result], chosen: Choice) -> tuple[analysis.Result, int] | None:
    """The result and position of a choice, where it is in view."""
    for result in results if chosen else ():
        block, image, position = chosen
        if (result.request.block, result.request.image) == (block, image) and has_modes(result):
            return (result, position) if position < len(result.arrays["eigenvalues"]) else None
    return None


def show(results: Sequence[analysis.Result], chosen: Choice, style: Style) -> None:
    """The chosen eigenvalue's maps and numbers; how to choose one where there is none."""
    st.subheader("The mode of an eigenvalue")
    found = chosen_of(results, chosen)
    if found is None:
        st.caption(":material/touch_app: Click an eigenvalue in the figure to see its mode in the block's own space.")
        return
    result, position = found
    value = _value(result, position)
    mode = modes.stored(result.request, value)
    if mode is None:
        sentence = f"**λ = {figures.in_words(value)}.** Its mode is not stored yet: about a second."
        mode = ode_jobs.offer(*_job(result, position), sentence, "Compute its mode")
    if mode is not None:
        _draw(mode, result, style)


def _job(result: analysis.Result, position: int) -> tuple:
    """key, work, title"""
    request, value = result.request, _value(result, position)
    title = f"{controls.NETWORK_TITLES[request.network]}, block {request.block}: a mode"
    return modes.key(request, value), lambda progress: modes.compute(request, value, progress), title


def _draw(mode: modes.Mode, result: analysis.Result, style: Style) -> None:
    request = mode.request
    figure = figures.figure(mode, result.arrays["eigenvalues"], style, gallery.thumbnail(request.image))
    panels.chart(figure, "mode", figures.alt_text(mode))
    half = [_half(channels) for channels in (mode.right_channels, mode.left_channels)]
    ode_table.metrics(
        [
            ("Residual ‖Jx − λx‖ / ‖x‖", ode_table.number(mode.residual, 2)),
            ("Condition number of λ", ode_table.number(mode.condition)),
            ("Half of it in channels, right", f"{half[0]} of {len(mode.right_channels)}"),
            ("Half of it in channels, left", f"{half[1]} of {len(mode.left_channels)}"),
        ]
    )
    st.caption(
        f"Block {request.block} at image {controls.plain(cifar10.name(request.image))}, {request.convention}. Maps: norm of "
        "the eigenvector over the channels at each pixel, mapped back from the core: x = W y to the outputs, w = Vᵀ z to the "
        "inputs, J = W V (stiffcore/modes.py). Residual: of the true Jacobian, in float64. Condition number ‖w‖‖x‖ / |wᵀx|: "
        "how far λ moves for a change of J; 1 where J is normal."
    )
    frame = _frame(mode)
    python = (
        "from stiffcore import analysis, modes\n\n"
        f"request = analysis.Request({request.network!r}, {request.image}, {request.block}, {request.convention!r}, "
        f'"spectrum")\nprint(modes.compute(request, {mode.eigenvalue!r}))\n'
    )
    title = f"{request.network}, block {request.block}, λ = {figures.in_words(mode.eigenvalue)}"
    panels.downloads(figure, frame, f"mode-{request.network}-{request.block}", title, python, link=False)
    panels.equivalent_table(frame, "Norm over the channels, per pixel, of the right and the left eigenvector.")


def _half(channels: np.ndarray) -> int:
    """How many channels, the largest first, hold half of a vector's square."""
    return int(np.searchsorted(np.cumsum(np.sort(channels**2)[::-1]), 0.5 * (channels**2).sum()) + 1)


def _frame(mode: modes.Mode) -> pd.DataFrame:
    rows, columns = (index.ravel() for index in np.indices(mode.right_map.shape))
    return pd.DataFrame(
        {"row": rows, "column": columns, "right": mode.right_map.ravel(), "left": mode.left_map.ravel()}
    )
