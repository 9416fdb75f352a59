"""Part 2 of the Stiff ODEs page: stability regions, exact from the stability functions."""

import numpy as np
import pandas as pd
import streamlit as st

from pages.shared.state import controls
from pages.shared.widgets import ode_table, panels
from stiffcore.figures.odes import stability_plane
from stiffcore.figures.odes.stability_plane import Cloud, View
from stiffcore.figures.theme import Style
from stiffcore.odes import stability

METHODS = {name: method.title for name, method in stability.METHODS.items()}
VIEW = View(-4.6, 3.0, 3.4)


def show(style: Style) -> None:
    """Choose methods and a point z = hλ; see where |R(z)| <= 1, and whether each method is stable at the point."""
    st.markdown(
        "On y′ = λy, a step of size h multiplies y by a number that depends on **z = hλ** alone: the stability function "
        "R(z). Errors die out where |R(z)| < 1, and do not grow where |R(z)| ≤ 1, the region drawn here. Halving the step moves every point hλ halfway to 0. "
        "Explicit methods have bounded regions, so a fast decay (z far to the left) forces small steps; backward Euler and "
        "the trapezoidal rule cover the whole left half-plane. Move the point:"
    )
    methods = controls.several_of("Methods", "regions", METHODS, ("forward-euler", "rk2", "rk4"))
    left, right = st.columns(2)
    with left:
        real = controls.number("Re hλ", "re", -4.0, 1.0, -1.5, 0.1)
    with right:
        imaginary = controls.number("Im hλ", "im", 0.0, 3.0, 1.2, 0.1)
    z = complex(real, imaginary)
    points = np.array([z, z.conjugate()]) if imaginary else np.array([z])
    point = Cloud(f"hλ = {_in_words(z)}", points, style.ink, "diamond", size=13, opacity=1)
    figure = stability_plane.figure([point], methods, style, VIEW, kept_zoom="regions", height=520)
    picture, numbers = panels.responsive_columns([1.15, 1])
    with picture:
        panels.chart(figure, "regions", _alt(methods, z))
    with numbers:
        _judged(z, style)
    ode_table.lesson(
        "A method is a region; an eigenvalue and a step are a point in its plane. A change that dies out in the equation dies out "
        "in the numerical solution only if the point is inside the region. A smaller step moves the point towards 0; another "
        "method moves the boundary."
    )
    python = (
        "from stiffcore.odes import stability\n"
        f"print(stability.amplification('rk4', {z}), stability.real_stability_interval('rk4'))\n"
        "contour = stability.boundary('rk4')  # complex, |R| = 1"
    )
    panels.downloads(figure, boundaries(methods), "stability-regions", "Stability regions", python)
    panels.equivalent_table(boundaries(methods), "Points of the contours |R(z)| = 1.")


def _judged(z: complex, style: Style) -> None:
    """Each method's |R| at the point, and how far its region reaches along the axes."""
    heads = ("Method, R(z)", "|R(hλ)|", "Point is", "Real interval", "Imaginary")
    ode_table.show(heads, [_row(name, z) for name in stability.METHODS], style)
    st.caption(
        "Intervals: the longest [−r, 0] and [−ir, ir] with |R| ≤ 1. Complex eigenvalues come in conjugate pairs. If the point is "
        "left of the imaginary axis but outside a region, the equation decays and the method does not."
    )


def _in_words(z: complex) -> str:
    return f"{z.real:g} ± {z.imag:g} i".replace("-", "−") if z.imag else f"{z.real:g}".replace("-", "−")


def _row(name: str, z: complex) -> tuple[str, ...]:
    method = stability.method(name)
    size = float(np.abs(stability.amplification(name, np.array(z))))
    where = "outside" if bool(stability.is_outside(name, np.array(z))) else "inside"
    real, imaginary = stability.real_stability_interval(name), stability.imaginary_stability_interval(name)
    height = {0: "0 only", np.inf: "whole axis"}.get(imaginary, f"±{ode_table.number(imaginary, 4)} i")
    return (
        f"{method.title}\n{method.formula}",
        ode_table.number(size),
        where,
        "(−∞, 0]" if np.isinf(real) else f"[−{ode_table.number(real, 4)}, 0]",
        height,
    )


def boundaries(methods) -> pd.DataFrame:
    """Points of each method's contour |R(z)| = 1: method, re, im."""
    return pd.concat(
        pd.DataFrame({"method": name, "re": curve.real, "im": curve.imag})
        for name in methods
        for curve in (stability.boundary(name),)
    )


def _alt(methods, z: complex) -> str:
    inside = [METHODS[name] for name in methods if not bool(stability.is_outside(name, np.array(z)))]
    return (
        f"Stability regions of {', '.join(METHODS[name] for name in methods)} in the plane of hλ; the point "
        f"{_in_words(z)} is inside {', '.join(inside) if inside else 'none of them'}."
    )
