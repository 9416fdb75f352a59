"""The numbers beside the Labels page's figure: labels against blocks, the table by label, and why there may be none."""

import math

import pandas as pd
import streamlit as st

from pages.shared import grid
from stiffcore import catalogue, evidence, label_spread, published, tables
from stiffcore.figures import wording
from stiffcore.figures.theme import Style


def published_labels(network: str, metric: str, block: int | str) -> pd.DataFrame:
    """The paper's means by label, where they are of this choice: all blocks, for ResNet50 the last one alone."""
    paper = catalogue.architecture(network)
    wanted = published.blocks(paper)
    fits = block == (tables.ALL if len(wanted) > 1 else wanted[0])
    table = published.table(paper, "by_label")
    return table[(table["metric"] == metric) & fits]


def spread(network: str, rows: pd.DataFrame, metric: str, block: int | str) -> None:
    """The paper's question as a number: the variance between labels against that between blocks."""
    ratio = evidence.label_ratio(evidence.of_paper(catalogue.architecture(network)), metric)
    theirs = "" if ratio is None else f"The paper's own tables give {100 * ratio:.3g} %."
    if rows.empty:
        st.caption(f"The diamonds are the paper's means. {theirs}")
        return
    found = label_spread.spread(rows, metric, block)
    st.metric(
        "Variance between labels, of that between blocks",
        "–" if math.isnan(found.ratio) else f"{100 * found.ratio:.3g} %",
        help="Var of the labels' means / Var of the blocks' means. Small: labels differ little beside blocks.",
    )
    st.caption(theirs)
    if math.isnan(found.ratio):
        st.caption("It takes values at two labels and two blocks.")
    if found.reason:
        st.caption(f"Share of the images' variance that the label explains: {found.reason}.")
    else:
        p = "p < 0.001" if found.p < 0.001 else f"p = {found.p:.3f}"
        st.caption(
            f"The label explains {100 * found.label_share:.1f} % of the variance over {found.n:,} images "
            f"(one-way analysis of variance: F = {found.F:.1f}, {p})."
        )


def table(rows: pd.DataFrame, paper: pd.DataFrame, metric: str, block: int | str, style: Style, name: str) -> None:
    """The figure's equivalent: statistics per label beside the paper's."""
    if rows.empty:
        return
    made = tables.by_label(rows, (metric,), block)
    theirs = paper.set_index("label")["published"]
    factor = 100 if metric in wording.SHARES else 1
    body = [
        (
            row["name"],
            [
                *(grid.number(factor * row[name]) for name in ("mean", "median", "std")),
                grid.number(theirs.get(row["label"])),
                *(grid.number(row[name], 0) for name in ("n", "n_undefined", "n_not_computed")),
            ],
        )
        for row in made.to_dict("records")
    ]
    columns = ["mean", "median", "standard deviation", "the paper's mean", "images", "undefined", "not computed"]
    grid.draw(body, columns, style, wording.title(metric))
    grid.download(made, name)


def no_value(rows: pd.DataFrame, metric: str, block: int | str) -> None:
    """No image has a value: say whether it is undefined or not computed, and why."""
    kept = rows if block == tables.ALL else rows[rows["block"] == block]
    where = "at this block" if block != tables.ALL else "at any block"
    why = tables.reasons(kept, metric)
    reason = f" ({why.iloc[0]})" if len(why) else " (not computed)"
    st.info(f"{wording.title(metric)} has no value {where}{reason}.", icon=":material/block:")
