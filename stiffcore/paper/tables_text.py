"""Our tables beside the published ones as text, in the paper's form. Needs no torch."""

import numpy as np
import pandas as pd

from stiffcore.images.labels import LABELS
from stiffcore.metrics import definitions
from stiffcore.statistics import tables

COLUMNS = {"published": "theirs", "ours": "ours", "difference": "difference"}
CORRELATIONS = {
    "published": "theirs",
    "published_p": "p theirs",
    "ours": "ours",
    "p": "p ours",
    "p_adjusted": "p adjusted",
    "difference": "difference",
}
SIZES = {
    "block": "block",
    "n_in": "n in",
    "n_out": "n out",
    "published_jacobian_elements": "Jacobian, theirs",
    "jacobian_elements": "Jacobian, ours",
    "published_eigenvalues": "eigenvalues of its slices, theirs",
    "eigenvalues": "eigenvalues of its slices, ours",
    "eigenvalues_of_the_matrix": "eigenvalues of the matrix",
    "agreement": "agreement",
}
NOTHING = "–"  # of a difference that lacks a side


def wide(table: pd.DataFrame) -> pd.DataFrame:
    """A ``comparison.side_by_side`` with a line per block or label, S and P across: numbers, and words where there are none.

    Columns: block or label, "S, theirs", "S, ours", "S, difference", "S, n", "S, undefined" and the same for P; for
    correlations "S with accuracy, theirs" and so on with p, and "S, n".
    """
    if "n_out" in table:
        return _sizes(table)
    of, metric = ("block" if "block" in table else "label"), ("metric" if "metric" in table else "measure")
    names = table[of].drop_duplicates().to_list()
    made = pd.DataFrame({of: [LABELS[name] for name in names] if of == "label" else names})
    for key, of_metric in table.groupby(metric, sort=False):
        symbol = definitions.named(key).symbol
        parts = of_metric.groupby("outcome", sort=False) if "outcome" in table else [(None, of_metric)]
        for outcome, part in parts:
            cells = part.set_index(of).reindex(names).to_dict("records")
            title = f"{symbol} with {outcome}" if outcome else symbol
            for name, shown in (CORRELATIONS if outcome else COLUMNS).items():
                made[f"{title}, {shown}"] = [_word_or_number(cell, name) for cell in cells]
        for name, shown in {"n": "n", "n_undefined": "undefined"}.items() if metric == "metric" else [("n", "n")]:
            made[f"{symbol}, {shown}"] = [0 if np.isnan(cell[name]) else int(cell[name]) for cell in cells]
    return made


def _word_or_number(cell: dict, name: str) -> float | str:
    value = cell[name]
    if name == "ours" and cell["state"]:
        return cell["state"]
    if name == "ours" and cell["agreement"] == "partial":
        return f"{_decimals(value)} (partial: {cell['n_blocks']:.0f} of {cell['of_blocks']:.0f} blocks)"
    if pd.isna(value):
        return "not published" if name == "published" else NOTHING
    return value


def _sizes(table: pd.DataFrame) -> pd.DataFrame:
    made = table[list(SIZES)].astype(object)
    matrix = made["eigenvalues_of_the_matrix"]
    made["eigenvalues_of_the_matrix"] = matrix.where(matrix != 0, "not square")
    for name in ("published_jacobian_elements", "published_eigenvalues"):
        made[name] = made[name].where(made[name].notna(), "not published")
    return made.rename(columns=SIZES)


def _decimals(value: float) -> str:
    return f"{round(value, 2) + 0.0:.2f}"  # no minus sign on a zero


def in_words(table: pd.DataFrame) -> pd.DataFrame:
    """A ``wide`` table's cells as text: two decimals, three of a p, whole counts, the words as they are."""

    def cell(name: str, value: object) -> str:
        if isinstance(value, str):
            return value
        if value is None or np.isnan(value):
            return NOTHING
        kind = name.rpartition(", ")[2]
        if kind.startswith("p "):
            return "<0.001" if value < 0.001 else f"{value:.3f}"
        if kind in COLUMNS.values() and name[0] in "SP":  # not of the sizes
            return _decimals(value)
        return f"{int(value):,}"

    return pd.DataFrame({name: [cell(name, value) for value in table[name]] for name in table})


def text(table: pd.DataFrame) -> str:
    """A ``side_by_side`` for a terminal: the groups of columns over their names; of correlations, S below P's."""
    shown = in_words(wide(table))
    if "n_out" in table:
        return shown.to_string(index=False)
    parts = [shown]
    if "outcome" in table:
        parts = [shown[[shown.columns[0], *(n for n in shown if n.startswith(s))]] for s in ("S", "P")]
    for part in parts:
        part.columns = pd.MultiIndex.from_tuples([name.rpartition(", ")[::2] for name in part])
    return "\n\n".join([*(part.to_string(index=False) for part in parts), *pooled(table)])


def pooled(table: pd.DataFrame) -> list[str]:
    """What "all" of correlations rests on, in a sentence where S and P rest on the same; none for other tables."""
    if "outcome" not in table:
        return []
    rows = table[(table["block"] == tables.ALL) & (table["n"] > 0)].drop_duplicates("measure")
    said: dict[str, list[str]] = {}
    for row in rows.itertuples():
        images = f"the {row.n_images:,.0f} images that have a value at {row.n_blocks:.0f} of {row.of_blocks:.0f} blocks"
        said.setdefault(f"{row.n:,.0f} pairs, of {images}.", []).append(definitions.named(row.measure).symbol)
    return [f"All, {' and '.join(symbols)}: {rest}" for rest, symbols in said.items()]


def markdown(table: pd.DataFrame) -> str:
    shown = in_words(wide(table))
    lines = [list(shown), ["---"] * shown.shape[1], *shown.to_numpy().tolist()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def undetermined(rows: pd.DataFrame) -> str:
    """A sentence on the averages of P that rest on counts which are intervals; "" where there are none."""
    found = tables.undetermined(rows)
    if found.empty:
        return ""
    blocks = ", ".join(
        f"block {row.block} ({row.n:,} {'image' if row.n == 1 else 'images'}; P {row.percent_negative:.4g} to {row.percent_negative_at_most:.4g} %)"
        for row in found.itertuples()
    )
    return (
        "Some eigenvalues lie so near to the imaginary axis that rounding decides their sign, so P of these images is an "
        f"interval, and means of P take its lower end: {blocks}."
    )
