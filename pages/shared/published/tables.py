"""A published table beside ours, cell by cell: values, difference, agreement by colour and sign, errata by number."""

import numpy as np
import pandas as pd
import streamlit as st

from pages.shared.state import controls
from pages.shared.widgets import correlation_words, grid, statistics
from stiffcore.conventions import Convention
from stiffcore.figures.theme import Style
from stiffcore.images import cifar10
from stiffcore.metrics import definitions
from stiffcore.paper import comparison, published, tables_text
from stiffcore.statistics import correlation
from stiffcore.statistics.tables import SHOWN

PARTIAL = 3  # of the style's colours: neither good nor bad
RAISED = str.maketrans("0123456789,", "⁰¹²³⁴⁵⁶⁷⁸⁹˒")
SIGNS = {
    "equal": "=",
    "close": "≈",
    "comparable": "~",
    "apart": "≠",
    "uncertain": "?",
    "partial": "◐",
}  # beside the colour; colour is never the only sign


def _group(metric: str) -> str:
    return f"{definitions.named(metric).symbol}: {definitions.named(metric).phrase}"


def colour(agreement: str, style: Style) -> str:
    colours = {"equal": style.good, "close": style.good, "comparable": style.muted, "apart": style.bad}
    return (colours | {"partial": style.colour(PARTIAL)}).get(agreement, "")


def _ours(cell: dict, style: Style, text: str, title: str = "") -> grid.Cell:
    """Our value with its agreement, or the word for why it is missing."""
    agreement, state = cell["agreement"], cell.get("state", "")
    if state:
        return grid.Cell(state, word=True, title=str(cell["reason"]))
    if agreement == "partial":
        title = f"{title} over {cell['n_blocks']:.0f} of {cell['of_blocks']:.0f} blocks".strip()
    return grid.Cell(f"{SIGNS.get(agreement, '')} {text}".strip(), colour=colour(agreement, style), title=title)


def _marks(table: int | None, **cell) -> str:
    """The numbers of the errata about one cell; those about a whole column are in its heading."""
    numbered = enumerate(published.errata(table) if table else (), 1)
    return ",".join(
        str(at) for at, erratum in numbered if erratum.block is not None and erratum.concerns(table, **cell)
    )


def _head(table: int | None, title: str, **column) -> str:
    """A column's title with the numbers of the errata about the whole column, raised."""
    numbered = enumerate(published.errata(table) if table else (), 1)
    numbers = [str(at) for at, erratum in numbered if erratum.block is None and erratum.concerns(table, **column)]
    return f"{title} {','.join(numbers).translate(RAISED)}"


def _unpublished(cell: dict) -> str:
    return "not published" if pd.isna(cell["published"]) else ""


def _text(value: float, digits: int = 2) -> str:
    return grid.number(value, digits).text


def means(table: pd.DataFrame, number: int | None, style: Style) -> None:
    """By block or by label: for S and P theirs, ours, the difference, the number of our images and how many are undefined."""
    of = "block" if "block" in table else "label"
    cells = {(cell[of], cell["metric"]): cell for cell in table.to_dict("records")}
    body = []
    for name in table[of].drop_duplicates():
        line = []
        for metric in SHOWN:
            cell = cells[name, metric]
            place = {"measure": metric} | ({"block": name} if of == "block" else {})
            line.append(grid.number(cell["published"], mark=_marks(number, **place), title=_unpublished(cell)))
            line += [_ours(cell, style, _text(cell["ours"])), grid.number(cell["difference"])]
            line += [grid.number(0 if pd.isna(cell[count]) else cell[count], 0) for count in ("n", "n_undefined")]
        body.append((cifar10.LABELS[name] if of == "label" else str(name), line))
    columns = ["theirs", "ours", "difference", "images", "undefined"]
    groups = [(_head(number, _group(metric), measure=metric), len(columns)) for metric in SHOWN]
    grid.draw(body, columns * len(SHOWN), style, of.capitalize(), groups, "dense")


def correlations(table: pd.DataFrame, number: int | None, style: Style) -> None:
    """A table per measure: r and p theirs and ours, and the difference, with accuracy and loss; our interval on hover."""
    cells = {(cell["block"], cell["measure"], cell["outcome"]): cell for cell in table.to_dict("records")}
    columns = ["theirs", "p", "ours", "p", "adjusted p", "partial r", "difference"]
    for measure in SHOWN:
        body = []
        for block in table["block"].drop_duplicates():
            of_block = [cells[block, measure, outcome] for outcome in correlation.OUTCOMES]
            n = max(0 if pd.isna(cell["n"]) else cell["n"] for cell in of_block)
            line = [part for cell in of_block for part in _correlation(cell, number, style)]
            body.append((str(block), [*line, grid.number(n, 0)]))
        groups = [
            (_head(number, f"{definitions.named(measure).symbol} with {o}", measure=measure, outcome=o), len(columns))
            for o in correlation.OUTCOMES
        ]
        grid.draw(body, [*columns * len(groups), "n"], style, "Block", [*groups, ("ours", 1)], "dense")
    for said in tables_text.pooled(table):
        st.caption(said)


def _correlation(cell: dict, number: int | None, style: Style) -> list[grid.Cell]:
    """theirs, their p, ours, our p, adjusted, ours given live fraction and label, difference."""
    mark = _marks(number, **{name: cell[name] for name in ("block", "measure", "outcome")})
    theirs = grid.number(cell["published"], mark=mark, title=_unpublished(cell))
    ours = _ours(cell, style, _text(cell["ours"]), _how_sure(cell))
    sure = [grid.p_value(cell["p"]), grid.p_value(cell["p_adjusted"])]
    partial = grid.number(cell["partial_r"], title=correlation_words.given(cell))
    return [theirs, grid.number(cell["published_p"]), ours, *sure, partial, grid.number(cell["difference"])]


def _how_sure(cell: dict) -> str:
    return "" if np.isnan(cell["low"]) else f"95 % interval {_text(cell['low'])} to {_text(cell['high'])}"


def sizes(table: pd.DataFrame, number: int | None, style: Style) -> None:
    """Elements of the Jacobian and eigenvalues, theirs and ours, and the n that a matrix of this size has."""
    body = []
    for cell in table.to_dict("records"):
        line = [grid.number(cell["n_out"], 0), grid.number(cell["n_in"], 0)]
        for name in ("jacobian_elements", "eigenvalues"):
            line.append(grid.number(cell[f"published_{name}"], 0, "not published"))
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


def errata(number: int | None) -> None:
    """The errata of a table, under the numbers that mark them in it. Nothing is corrected."""
    of_table = published.errata(number) if number else ()
    if of_table:
        st.markdown("\n".join(f"{at}. {erratum.text} *({erratum.where})*" for at, erratum in enumerate(of_table, 1)))


def other_errata() -> None:
    with st.expander("Errata of the paper outside its tables", icon=":material/rule:"):
        st.markdown("\n".join(f"- {erratum.text} *({erratum.where})*" for erratum in published.errata()))


def download(table: pd.DataFrame, network: str, convention: Convention, number: int | None) -> None:
    with st.container(horizontal=True, gap="small"):
        grid.download(statistics.named(table, network, convention), f"table-{number or 'sizes'}-{network}-{convention}")
        controls.copy_link()
