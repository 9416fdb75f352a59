"""A published table beside ours, cell by cell: values, difference, agreement by colour and word, slips by number."""

import numpy as np
import pandas as pd
import streamlit as st

from pages.shared import controls, grid
from stiffcore import catalogue, comparison, correlation, published
from stiffcore.figures.theme import Style
from stiffcore.tables import SHOWN

GROUPS = {"stiffness_index": "S: stiffness index", "percent_negative": "P: percentage negative"}
RAISED = str.maketrans("0123456789,", "⁰¹²³⁴⁵⁶⁷⁸⁹˒")
SIGNS = {
    "equal": "=",
    "close": "≈",
    "comparable": "~",
    "apart": "≠",
    "uncertain": "?",
}  # beside the colour, never colour alone


def colour(agreement: str, style: Style) -> str:
    return {"equal": style.good, "close": style.good, "comparable": style.muted, "apart": style.bad}.get(agreement, "")


def _ours(cell: dict, style: Style, text: str, title: str = "") -> grid.Cell:
    """Our value with its agreement, or the word that stands for its absence."""
    agreement = cell["agreement"]
    if pd.isna(cell["ours"]):
        return grid.Cell("undefined" if agreement == "undefined" else "not computed", word=True, title=title)
    return grid.Cell(f"{SIGNS.get(agreement, '')} {text}".strip(), colour=colour(agreement, style), title=title)


def _marks(table: int | None, **cell) -> str:
    """The numbers of the slips about one cell; those about a whole column stand at its head."""
    found = enumerate(published.slips(table) if table else (), 1)
    return ",".join(str(at) for at, slip in found if slip.block is not None and slip.concerns(table, **cell))


def _head(table: int | None, title: str, **column) -> str:
    """A column's title with the numbers of the slips about all of it, raised."""
    found = enumerate(published.slips(table) if table else (), 1)
    numbers = [str(at) for at, slip in found if slip.block is None and slip.concerns(table, **column)]
    return f"{title} {','.join(numbers).translate(RAISED)}"


def _text(value: float, digits: int = 2) -> str:
    return grid.number(value, digits).text


def means(table: pd.DataFrame, number: int | None, style: Style) -> None:
    """By block or by label: theirs, ours and the difference of S and P, and our number of images."""
    of = "block" if "block" in table else "label"
    cells = {(cell[of], cell["metric"]): cell for cell in table.to_dict("records")}
    body = []
    for name in table[of].drop_duplicates():
        line, counts = [], []
        for metric in SHOWN:
            cell = cells[name, metric]
            place = {"measure": metric} | ({"block": name} if of == "block" else {})
            line.append(grid.number(cell["published"], mark=_marks(number, **place)))
            line += [_ours(cell, style, _text(cell["ours"])), grid.number(cell["difference"])]
            counts.append(cell)
        n, undefined = (max(c[key] if pd.notna(c[key]) else 0 for c in counts) for key in ("n", "n_undefined"))
        line += [grid.number(n, 0), grid.number(undefined, 0)]
        body.append((catalogue.LABELS[name] if of == "label" else str(name), line))
    columns = ["theirs", "ours", "difference"] * 2 + ["images", "undefined"]
    grid.draw(
        body, columns, style, of.capitalize(), [*((_head(number, GROUPS[m], measure=m), 3) for m in SHOWN), ("ours", 2)]
    )


def correlations(table: pd.DataFrame, number: int | None, style: Style) -> None:
    """r theirs and ours for S and P with accuracy and loss; our interval, p and n on hover."""
    cells = {(cell["block"], cell["measure"], cell["outcome"]): cell for cell in table.to_dict("records")}
    pairs = [(measure, outcome) for measure in SHOWN for outcome in correlation.OUTCOMES]
    body = []
    for block in table["block"].drop_duplicates():
        line, n = [], 0
        for measure, outcome in pairs:
            cell = cells[block, measure, outcome]
            n = max(n, cell["n"] if pd.notna(cell["n"]) else 0)
            mark = _marks(number, block=block, measure=measure, outcome=outcome)
            p = cell["published_p"]
            line.append(grid.number(cell["published"], mark=mark, title=f"p = {p:.2f}" if pd.notna(p) else ""))
            line.append(_ours(cell, style, _text(cell["ours"]), _how_sure(cell)))
        body.append((str(block), [*line, grid.number(n, 0)]))
    groups = [*((_head(number, f"{GROUPS[m][0]} with {o}", measure=m, outcome=o), 2) for m, o in pairs), ("ours", 1)]
    grid.draw(body, ["theirs", "ours"] * len(pairs) + ["n"], style, "Block", groups)


def _how_sure(cell: dict) -> str:
    if pd.isna(cell["ours"]):
        return cell["reason"] if isinstance(cell["reason"], str) else ""
    interval = "" if np.isnan(cell["low"]) else f"95 % interval {cell['low']:+.2f} to {cell['high']:+.2f}, "
    return f"{interval}p = {cell['p']:.2g}, adjusted {cell['p_adjusted']:.2g}, n = {cell['n']:,.0f}"


def sizes(table: pd.DataFrame, number: int | None, style: Style) -> None:
    """Elements of the Jacobian and eigenvalues, theirs and ours, and the n that a matrix of this size has."""
    body = []
    for cell in table.to_dict("records"):
        line = [grid.number(cell["n_out"], 0), grid.number(cell["n_in"], 0)]
        for name in ("jacobian_elements", "eigenvalues"):
            line.append(grid.number(cell[f"published_{name}"], 0))
            shown = cell | {"ours": cell[name]}
            line.append(_ours(shown, style, _text(cell[name], 0)))
        matrix = cell["eigenvalues_of_the_matrix"]
        line.append(grid.number(matrix, 0) if matrix else grid.Cell("not square", word=True))
        body.append((str(cell["block"]), line))
    columns = ["n out", "n in", *["theirs", "ours"] * 2, "eigenvalues"]
    groups = [
        ("Block", 2),
        ("Elements of the Jacobian", 2),
        (_head(number, "Eigenvalues of its slices"), 2),
        ("n × n matrix", 1),
    ]
    grid.draw(body, columns, style, "Block", groups)


DRAWN = {"by_block": means, "by_label": means, "correlation": correlations, "sizes": sizes}


def legend(table: pd.DataFrame, style: Style) -> None:
    """What the signs and colours in this table mean."""
    there = [name for name in comparison.AGREEMENTS if name in set(table["agreement"])]
    st.caption(" · ".join(f"{SIGNS.get(name, '')} **{name}**: {comparison.AGREEMENTS[name]}".strip() for name in there))


def slips(number: int | None) -> None:
    """What does not fit in the paper, under the numbers that stand in the table. Nothing is corrected."""
    found = published.slips(number) if number else ()
    if found:
        st.markdown("\n".join(f"{at}. {slip.text} *({slip.where})*" for at, slip in enumerate(found, 1)))


def other_slips() -> None:
    with st.expander("Slips of the paper outside its tables", icon=":material/rule:"):
        st.markdown("\n".join(f"- {slip.text} *({slip.where})*" for slip in published.slips()))


def download(table: pd.DataFrame, name: str) -> None:
    with st.container(horizontal=True, gap="small"):
        grid.download(table, name)
        controls.copy_link()
