"""Shared by the parts of the Stiff ODEs page: small tables that screen readers can read, short numbers, the closing box."""

import math
from collections.abc import Sequence

import streamlit as st

from pages.shared.widgets import grid
from stiffcore.figures.theme import Style


def number(value: float, digits: int = 3) -> str:
    """A number in few digits, with powers of ten; "undefined" for NaN."""
    if math.isnan(value):
        return "undefined"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = f"{value:.{digits}g}"
    if "e" in text:
        mantissa, power = text.split("e")
        text = f"{mantissa}·10{str(int(power)).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"
    return text.replace("-", "−")


def complex_number(value: complex, digits: int = 2) -> str:
    """An eigenvalue of a real matrix, with its conjugate where it has one: −3.4·10⁻⁵ ± 0.11 i."""
    real = number(value.real, digits)
    return f"{real} ± {number(abs(value.imag), digits)} i" if value.imag else real


def show(heads: Sequence[str], rows: Sequence[Sequence[str]], style: Style, chosen: int | None = None) -> None:
    """A table whose first column names the rows, a second line of it in small type; chosen: a row in bold."""
    first, *others = heads
    body = []
    for name, *cells in rows:
        name, _, small = name.partition("\n")
        body.append((grid.Cell(name, small=small), cells))
    grid.draw(body, others, style, first, look="close", chosen=chosen)


def metrics(pairs: Sequence[tuple[str, str]]) -> None:
    """A few large numbers side by side; they wrap on a narrow screen."""
    with st.container(horizontal=True, gap="medium"):
        for label, value in pairs:
            st.metric(label, value, width="content")


def lesson(text: str) -> None:
    """The box at the end of a part: what it has shown."""
    with st.container(border=True):
        st.markdown(f"**What you just saw.** {text}")
