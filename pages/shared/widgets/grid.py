"""A table with words, marks and colours in its cells, which st.dataframe cannot show: plain HTML that screen readers read."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import accumulate
from typing import TYPE_CHECKING

import streamlit as st

from stiffcore.figures.theme import Style

if TYPE_CHECKING:  # pandas would delay the first paint
    import pandas as pd

LOOK = """
<style>
  .grid {overflow-x: auto; max-width: 100%;}
  .grid table {border-collapse: separate; border-spacing: 0; font-size: 0.88rem; font-variant-numeric: tabular-nums;}
  .grid th, .grid td {padding: 0.22rem 0.65rem; text-align: right; white-space: nowrap;
    box-shadow: inset 0 -1px color-mix(in srgb, currentColor 14%, transparent);}
  .grid thead th {font-weight: 600; vertical-align: bottom;}
  .grid thead tr:first-child th[colspan] {text-align: center;
    box-shadow: inset 0 -2px color-mix(in srgb, currentColor 14%, transparent);}
  .grid thead tr:last-child th:first-child {text-align: left;}
  .grid tbody th {text-align: left; font-weight: 400; position: sticky; left: 0; background: var(--grid-paper);}
  .grid tbody th.wide {white-space: normal; min-width: 15rem; max-width: 26rem;}
  .grid table.wide th, .grid table.wide td {padding: 0.22rem 0.5rem; font-size: 0.84rem;}
  .grid table.wide thead th {white-space: normal; max-width: 7.5rem;}
  .grid table.wide td {white-space: normal;}
  .grid table.dense th, .grid table.dense td {padding: 0.22rem 0.3rem; font-size: 0.82rem;}
  .grid table.dense thead tr:last-child th {white-space: normal; max-width: 4.5rem;}
  .grid table.close {width: 100%;}
  .grid table.close th, .grid table.close td {padding: 0.16rem 0.5rem; font-size: 0.86rem;}
  .grid table th.first, .grid table td.first {padding-left: 1.1rem;}
  .grid td small {font-weight: 400;}
  .grid td.word {opacity: 0.7; font-style: italic;}
  .grid td.strong, .grid tr.chosen > * {font-weight: 700;}
  .grid td[title], .grid th[title] {cursor: help;}
  .grid sup {opacity: 0.8; margin-left: 0.1rem;}
  .grid i.dot {display: inline-block; width: 0.65rem; height: 0.65rem; border-radius: 50%; margin-right: 0.3rem;}
</style>
"""


@dataclass(frozen=True)
class Cell:
    """text: as shown; small: a second line below it; mark: a raised number that a note below explains; title: on hover;
    colour: behind the text; dot: a colour before it."""

    text: str
    strong: bool = False
    word: bool = False
    mark: str = ""
    title: str = ""
    colour: str = ""
    small: str = ""
    dot: str = ""


def number(value: float | None, digits: int = 2, missing: str = "–", **look) -> Cell:
    """A number with a true minus sign, or a word if it is missing."""
    if value is None or value != value:
        return Cell(missing, word=True, **look)
    rounded = round(value, digits) + 0.0  # no minus sign on a zero
    return Cell(f"{rounded:,.{digits}f}".replace("-", "−"), **look)


def p_value(p: float | None, missing: str = "–", **look) -> Cell:
    """Three decimals, or "< 0.001"; the word ``missing`` where there is none."""
    if p is not None and p < 0.001:
        return Cell("< 0.001", **look)
    return number(p, 3, missing, **look)


def draw(
    body: Sequence[tuple[str | Cell, Sequence[str | Cell]]],
    columns: Sequence[str | Cell],
    style: Style,
    first: str,
    groups: Sequence[tuple[str, int]] = (),
    look: str = "",
    chosen: int | None = None,
) -> None:
    """body: (row's name, cells); columns: their names; first: heading of the column of names; groups: (name, number of columns) above.

    look: "wide" for rows named by sentences, "dense" for many columns, "close" for a few columns that fill the width.
    chosen: a row in bold.
    """
    top, starts = "", set(accumulate(span for _, span in groups[:-1]))  # where a group follows another
    if groups:
        top = f"<tr><th></th>{''.join(f'<th colspan={span}>{escape(name)}</th>' for name, span in groups)}</tr>"
    heads = "".join(
        _element("th", name, 'scope="col"', "first" if at - 1 in starts else "")
        for at, name in enumerate((first, *columns))
    )
    lines = "".join(
        f"<tr{' class=chosen' if at == chosen else ''}>"
        + _element("th", name, 'scope="row"', "wide" if look == "wide" else "")
        + "".join(_element("td", cell, "", "first" if column in starts else "") for column, cell in enumerate(cells))
        + "</tr>"
        for at, (name, cells) in enumerate(body)
    )
    st.html(
        f'{LOOK}<div class="grid" style="--grid-paper:{style.paper}"><table class="{look}"><thead>{top}<tr>{heads}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div>"
    )


def _element(tag: str, cell: str | Cell, scope: str, place: str) -> str:
    """A cell as HTML. place: "first" of a group of columns, set apart from the one before it; "wide" for a sentence."""
    cell = Cell(cell) if isinstance(cell, str) else cell
    names = " ".join(name for name, on in (("strong", cell.strong), ("word", cell.word), (place, place)) if on)
    attributes = [scope, f'class="{names}"' if names else ""]
    if cell.colour:
        attributes.append(f'style="background:color-mix(in srgb, {cell.colour} 22%, transparent)"')
    if cell.title:
        attributes.append(f'title="{escape(cell.title)}"')
    dot = f'<i class="dot" style="background:{cell.dot}"></i>' if cell.dot else ""
    mark = f"<sup>{escape(cell.mark)}</sup>" if cell.mark else ""
    small = f"<br><small>{escape(cell.small)}</small>" if cell.small else ""
    return f"<{' '.join(filter(None, [tag, *attributes]))}>{dot}{escape(cell.text)}{mark}{small}</{tag}>"


def download(frame: "pd.DataFrame", name: str) -> None:
    """The table's numbers as CSV, made when asked for."""
    st.download_button(
        "Table (CSV)", lambda: frame.to_csv(index=False).encode(), f"{name}.csv", "text/csv",
        icon=":material/download:", on_click="ignore", key=f"download-{name}",
    )  # fmt: skip
