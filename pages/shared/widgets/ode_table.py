"""What the parts of the Stiff ODEs page share: small tables that screen readers can read, numbers in few digits, a last word."""

import math
from collections.abc import Sequence
from html import escape

import streamlit as st

from pages.shared.widgets.panels import TABLE_LOOK


def number(value: float, digits: int = 3) -> str:
    """Few digits, powers of ten as such, and words for what is no number."""
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


def show(heads: Sequence[str], rows: Sequence[Sequence[str]], paper: str, chosen: int | None = None) -> None:
    """A table whose first column names the rows, a second line of it in small type; chosen: a row in bold."""
    first, *others = heads
    top = f'<th scope="col" style="text-align:left">{escape(first)}</th>'
    top += "".join(f'<th scope="col">{escape(head)}</th>' for head in others)
    body = ""
    for position, (name, *cells) in enumerate(rows):
        bold = ' style="font-weight:600"' if position == chosen else ""
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
        name, _, small = name.partition("\n")
        name = escape(name) + (f"<br><small>{escape(small)}</small>" if small else "")
        body += f'<tr{bold}><th scope="row" style="font-weight:inherit;cursor:default">{name}</th>{cells}</tr>'
    st.html(
        f'{TABLE_LOOK}<div class="metrics" style="--metrics-paper:{paper}"><table><thead><tr>{top}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def metrics(pairs: Sequence[tuple[str, str]]) -> None:
    """A few large numbers side by side; they wrap on a narrow screen."""
    with st.container(horizontal=True, gap="medium"):
        for label, value in pairs:
            st.metric(label, value, width="content")


def lesson(text: str) -> None:
    """What a part has shown, at its end."""
    with st.container(border=True):
        st.markdown(f"**What you just saw.** {text}")
