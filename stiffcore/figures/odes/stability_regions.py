"""Stability regions behind the eigenvalues of a panel: {λ : |R(hλ)| ≤ 1}, the regions of `stability` divided by h.

The unit circle, |λ| ≤ 1, is the region of the block as a map, which has no step. Regions of one-step methods concern x'
= F(x), and therefore only the convention ``branch`` (``Convention.regions``): the outer ReLU projects, and
spec(J_block) is not 1 + spec(J_F). Without an outer ReLU it is, and the unit circle is forward Euler's disc moved by 1 (``moved``).
"""

from collections.abc import Sequence

import numpy as np

from stiffcore.analysis.results import Result
from stiffcore.conventions import Convention
from stiffcore.figures.axes import Axes
from stiffcore.figures.panel import Panel
from stiffcore.networks.geometry import BlockGeometry
from stiffcore.networks.network import Network
from stiffcore.odes import stability

UNIT_CIRCLE = "unit-circle"
TITLES = {
    name: stability.method(name).title if name != "rk4" else "RK4"
    for name in ("forward-euler", "rk4", "backward-euler")
} | {UNIT_CIRCLE: "Unit circle"}
# The equation of the line, with the step before λ. Dashes distinguish regions, since colours represent images.
EQUATIONS = {
    "forward-euler": "|1 + {h}λ| = 1, forward Euler",
    "rk4": "|R({h}λ)| = 1, RK4",
    "backward-euler": "|1 − {h}λ| = 1, backward Euler: outside of it",
    UNIT_CIRCLE: "|λ| = 1",
}
DASHES = {
    "forward-euler": ("dash", "dashed"),
    "rk4": ("dot", "dotted"),
    "backward-euler": ("dashdot", "dash-dotted"),
    UNIT_CIRCLE: ("solid", "solid"),
}
MOVED = "|λ| = 1: forward Euler’s disc of {F}, moved by 1"
DISCS = ("forward-euler", UNIT_CIRCLE)  # drawn as true circles where the axes are linear
CORNER, INSIDE = 0.99, 0.76  # of the panel's height: the names' upper end, outside of the outlines or inside of them
BEYOND = 100.0  # drawn units: an unbounded region ends so far out that panning reaches no edge
FINEST = 0.15  # largest distance between two points of an outline on arcsinh axes, in drawn units


def moved(results: Sequence[Result]) -> str:
    """The ODE's matrix, J_F or A, if J = I + it at every block, so that the unit circle is its disc moved by 1; else ""."""
    names = {_moved(result.request.network, result.request.convention, [result.request.geometry]) for result in results}
    return names.pop() if len(names) == 1 else ""


def _moved(network: Network, convention: Convention, blocks: Sequence[BlockGeometry]) -> str:
    if not (convention.has_matrix and convention.has_skip) or any(block.has_outer_relu for block in blocks):
        return ""
    return "J_F" if network.takes_images else "A"


def about_moved(network: Network, convention: Convention) -> str:
    """That the unit circle is forward Euler's disc moved by 1, where it is."""
    disc = "the unit circle is forward Euler’s disc of {}, moved by 1."
    return {
        "": "",
        "J_F": f"No outer ReLU, so J = I + J_F: {disc.format('J_F')}",
        "A": f"A step of 1 multiplies by I + A: {disc.format('A')}",
    }[_moved(network, convention, network.blocks)]


def about(network: Network, convention: Convention) -> str:
    """Why no other region applies under a convention; empty if all apply."""
    return about_moved(network, convention) or convention.about_regions


def outline(name: str, step: float = 1.0) -> np.ndarray:
    """The curve |R(hλ)| = 1 in the plane of λ, closed. complex128"""
    if name == UNIT_CIRCLE:
        disc: np.ndarray = np.exp(1j * np.linspace(0, 2 * np.pi, 361))
        return disc
    return stability.boundary(name) / step


def _refined(curve: np.ndarray, axes: Axes) -> np.ndarray:
    """The curve with more points where arcsinh axes draw neighbours far apart, as near either axis."""
    for _ in range(40):  # halvings
        far = np.abs(np.diff(axes(curve.real) + 1j * axes(curve.imag))) > FINEST
        if not far.any():
            break
        curve = np.insert(curve, np.flatnonzero(far) + 1, ((curve[:-1] + curve[1:]) / 2)[far])
    return curve


def svg_path(points: np.ndarray) -> str:
    """Complex points as a closed SVG path."""
    return "M " + " L ".join(f"{z.real:.4f},{z.imag:.4f}" for z in points) + " Z"


def extent(names: Sequence[str], step: float) -> tuple[float, float, float]:
    """The square (left, right, height) that shows the outlines with a margin."""
    curves = np.concatenate([outline(name, step) for name in names])
    left, right, height = curves.real.min(), curves.real.max(), np.abs(curves.imag).max()
    half, middle = 1.25 * max((right - left) / 2, height), (left + right) / 2
    return float(middle - half), float(middle + half), float(half)


def draw(panel: Panel, names: Sequence[str], step: float, moved: str = "") -> None:
    """Draw each region's inside, its outline on the panel's axes, and its name at the panel's upper left. moved: as of ``name``."""
    for each in names:
        _region(panel, each, step, len(names))
    name(panel, names, step, moved)


def name(panel: Panel, names: Sequence[str], step: float, moved: str = "") -> None:
    """Write the equation of each line at the panel's upper left. moved: the matrix whose disc the unit circle is, moved by 1."""
    if names:
        style = panel.style
        lines = [_in_words(each, step, len(names), moved) for each in names]
        panel.figure.add_annotation(
            x=0.01,
            y=CORNER if _is_whole(panel, names, step) else INSIDE,
            xref="x domain",
            yref="y domain",
            xanchor="left",
            yanchor="top",
            align="left",
            text="<br>".join(lines) if len(lines) > 1 else _wrapped(lines[0]),
            bgcolor=style.paper,
            borderpad=1,
            font={"color": style.region_line, "size": style.font_size - 2},
            **panel.place,
        )


def _is_whole(panel: Panel, names: Sequence[str], step: float) -> bool:
    """Whether the panel shows the left end of the outlines, so that its upper left corner is outside of them."""
    left = min(float(outline(each, step).real.min()) for each in names)
    shown = panel.figure.get_subplot(panel.row, panel.column).xaxis.range
    return shown is None or shown[0] <= panel.axes(left)


def _wrapped(line: str) -> str:
    """In two or three lines, since a panel may be narrower than the whole."""
    return line.replace(", ", "<br>").replace("1: ", "1:<br>")


def _in_words(name: str, step: float, of: int, moved: str) -> str:
    line = "dashed" if of == 1 else DASHES[name][1]
    equation = MOVED if moved and name == UNIT_CIRCLE else EQUATIONS[name]
    return f"{line}: " + equation.format(h="" if step == 1 else f"{step:g} ", F=moved)


def _region(panel: Panel, name: str, step: float, of: int) -> None:
    """Draw one of several regions; the more regions, the fainter the insides, since they overlap."""
    style, curve = panel.style, outline(name, step)
    dash = "dash" if of == 1 else DASHES[name][0]
    line = {"color": style.region_line, "width": style.line_width / 1.5, "dash": dash}
    if panel.axes.scale is None and name in DISCS:
        radius = np.ptp(curve.real) / 2
        ends = {"x0": curve.real.min(), "x1": curve.real.max(), "y0": -radius, "y1": radius}
        shape = {"type": "circle"} | {end: round(float(value), 9) for end, value in ends.items()}
        inside = shape
    else:
        curve = curve if panel.axes.scale is None else _refined(curve, panel.axes)
        path = svg_path(panel.axes(curve.real) + 1j * panel.axes(curve.imag))
        shape = inside = {"type": "path", "path": path}
        if name == "backward-euler":  # the outside of the outline
            far = np.array([-1 - 1j, 1 - 1j, 1 + 1j, -1 + 1j]) * BEYOND
            inside = {"type": "path", "path": svg_path(far) + path, "fillrule": "evenodd"}
    fill = {"fillcolor": style.region_fill, "layer": "below"}
    if of == 1 and inside is shape:
        panel.figure.add_shape(**shape, **fill, line=line, **panel.place)
        return
    panel.figure.add_shape(**inside, **fill, opacity=1 / of, line={"width": 0}, **panel.place)
    panel.figure.add_shape(**shape, fillcolor="rgba(0,0,0,0)", layer="below", line=line, **panel.place)
