"""Our tables beside the published ones as text, in the paper's form. Needs no torch."""

import numpy as np
import pandas as pd

from stiffcore.images.labels import LABELS
from stiffcore.metrics import definitions
from stiffcore.metrics.metric import Group
from stiffcore.statistics import tables
from stiffcore.statistics.row_values import convention_of

COLUMNS = {"published": "theirs", "ours": "ours", "difference": "difference"}
CORRELATIONS = {
    "published": "theirs",
    "published_p": "p theirs",
    "ours": "ours",
    "p": "p ours",
    "p_adjusted": "p adjusted",
    "partial_r": "partial",
    "partial_p": "p partial",
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
PARTIAL = "Partial: r given live fraction and label, regressed in each block; p of “all” permutes the images."
NOTHING = "–"  # for a difference of which one side is missing


def wide(table: pd.DataFrame) -> pd.DataFrame:
    """A ``comparison.side_by_side`` with a line per block or label and columns for S and P: numbers, or words.

    Columns: block or label, "S, theirs", "S, ours", "S, difference", "S, n", "S, undefined" and the same for P; for
    correlations "S with accuracy, theirs" and so on with p, and "S, n".
    """
    if "n_out" in table:
        return _sizes(table)
    of, metric = ("block" if "block" in table else "label"), ("metric" if "metric" in table else "measure")
    names = table[of].drop_duplicates().to_list()
    shown = pd.DataFrame({of: [LABELS[name] for name in names] if of == "label" else names})
    for key, of_metric in table.groupby(metric, sort=False):
        symbol = definitions.named(key).symbol
        parts = of_metric.groupby("outcome", sort=False) if "outcome" in table else [(None, of_metric)]
        for outcome, part in parts:
            cells = part.set_index(of).reindex(names).to_dict("records")
            title = f"{symbol} with {outcome}" if outcome else symbol
            for name, heading in (CORRELATIONS if outcome else COLUMNS).items():
                shown[f"{title}, {heading}"] = [_word_or_number(cell, name) for cell in cells]
        for name, heading in {"n": "n", "n_undefined": "undefined"}.items() if metric == "metric" else [("n", "n")]:
            shown[f"{symbol}, {heading}"] = [0 if np.isnan(cell[name]) else int(cell[name]) for cell in cells]
    return shown


def _word_or_number(cell: dict, name: str) -> float | str:
    value: float = cell[name]
    if name == "ours" and cell["state"]:
        return str(cell["state"])
    if name == "ours" and cell["agreement"] == "partial":
        return f"{_decimals(value)} (partial: {cell['n_blocks']:.0f} of {cell['of_blocks']:.0f} blocks)"
    if pd.isna(value):
        return "not published" if name == "published" else NOTHING
    return value


def _sizes(table: pd.DataFrame) -> pd.DataFrame:
    shown = table[list(SIZES)].astype(object)
    matrix = shown["eigenvalues_of_the_matrix"]
    shown["eigenvalues_of_the_matrix"] = matrix.where(matrix != 0, "not square")
    for name in ("published_jacobian_elements", "published_eigenvalues"):
        shown[name] = shown[name].where(shown[name].notna(), "not published")
    return shown.rename(columns=SIZES)


def _decimals(value: float) -> str:
    return f"{round(value, 2) + 0.0:.2f}"  # no minus sign on a zero


def in_words(table: pd.DataFrame) -> pd.DataFrame:
    """A ``wide`` table's cells as text: two decimals, three for a p, whole counts, and words unchanged."""

    def cell(name: str, value: float | str | None) -> str:
        if isinstance(value, str):
            return value
        if value is None or np.isnan(value):
            return NOTHING
        kind = name.rpartition(", ")[2]
        if kind.startswith("p "):
            return "<0.001" if value < 0.001 else f"{value:.3f}"
        if kind in (*COLUMNS.values(), "partial") and name[0] in "SP":  # not of the sizes
            return _decimals(value)
        return f"{int(value):,}"

    return pd.DataFrame({name: [cell(name, value) for value in table[name]] for name in table})


def text(table: pd.DataFrame) -> str:
    """A ``side_by_side`` for a terminal, with groups of columns above their names; for correlations S, then P."""
    shown = in_words(wide(table))
    if "n_out" in table:
        sizes: str = shown.to_string(index=False)
        return sizes
    parts = [shown]
    if "outcome" in table:
        parts = [shown[[shown.columns[0], *(n for n in shown if n.startswith(s))]] for s in ("S", "P")]
    for part in parts:
        part.columns = pd.MultiIndex.from_tuples([name.rpartition(", ")[::2] for name in part])
    return "\n\n".join([*(part.to_string(index=False) for part in parts), *pooled(table)])


def pooled(table: pd.DataFrame) -> list[str]:
    """What the row "all" of correlations is computed from: one sentence where it is the same for S and P, else one
    each; and what the partial r is. None for other tables."""
    if "outcome" not in table:
        return []
    rows = table[(table["block"] == tables.ALL) & (table["n"] > 0)].drop_duplicates("measure")
    symbols_by_pool: dict[str, list[str]] = {}
    for row in rows.itertuples():
        images = f"the {row.n_images:,.0f} images that have a value at {row.n_blocks:.0f} of {row.of_blocks:.0f} blocks"
        symbols_by_pool.setdefault(f"{row.n:,.0f} pairs, of {images}.", []).append(
            definitions.named(row.measure).symbol
        )
    said = [f"All, {' and '.join(symbols)}: {pool}" for pool, symbols in symbols_by_pool.items()]
    return [*said, PARTIAL] if said else []


def markdown(table: pd.DataFrame) -> str:
    return as_markdown(in_words(wide(table)))


def as_markdown(shown: pd.DataFrame) -> str:
    """A table of texts."""
    lines = [list(shown), ["---"] * shown.shape[1], *shown.to_numpy().tolist()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def norms(rows: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Means over images of s, m, M and the norm of a whole Jacobian, a line per block or per label (over the blocks of the pool).

    kind: ``by_block`` or ``by_label``. Columns: block or label, a column for each metric, and n, the images with a value.
    Empty where none of them is defined or computed.
    """
    names = tuple(m.name for m in definitions.of_group(Group.GROWTH) if len(rows) and m.is_of(convention_of(rows)))
    means = (tables.by_block if kind == "by_block" else tables.by_label)(rows, names) if names else pd.DataFrame()
    if means.empty or not means["n"].any():
        return pd.DataFrame()
    of = "block" if kind == "by_block" else "name"
    order = list(dict.fromkeys(means[of]))
    wide = means.pivot(index=of, columns="metric", values="mean").reindex(order)[list(names)]
    images = means.groupby(of)["n"].max().reindex(order)
    return wide.assign(n=images).rename_axis("block" if kind == "by_block" else "label").reset_index()


def norms_in_words(table: pd.DataFrame) -> pd.DataFrame:
    """A ``norms`` table's cells as text: two decimals, or a dash; metrics by their symbols."""
    cells = {
        definitions.named(name).symbol: [
            f"{value:,}"
            if name == "n"
            else str(value)
            if isinstance(value, str | int)
            else NOTHING
            if np.isnan(value)
            else _decimals(value)
            for value in table[name]
        ]
        for name in table
    }
    return pd.DataFrame(cells)


def undetermined(rows: pd.DataFrame) -> str:
    """A sentence about the means of P that include intervals; "" where there are none."""
    intervals = tables.undetermined(rows)
    if intervals.empty:
        return ""
    blocks = ", ".join(
        f"block {row.block} ({row.n:,} {'image' if row.n == 1 else 'images'}; "
        f"P {row.percent_negative:.4g} to {row.percent_negative_at_most:.4g} %)"
        for row in intervals.itertuples()
    )
    return (
        "Some eigenvalues lie so close to the imaginary axis that rounding decides their sign. P of these images is an "
        f"interval, and means of P use its lower end: {blocks}."
    )
