"""The numbers beside the Labels page's figure: labels against blocks, the table by label, and why there may be none."""

import math

import pandas as pd
import streamlit as st

from pages.shared.widgets import grid, statistics
from stiffcore.figures import wording
from stiffcore.figures.theme import Style
from stiffcore.metrics.missing import NOT_SQUARE
from stiffcore.networks import catalogue
from stiffcore.paper import evidence, published
from stiffcore.statistics import label_spread, tables
from stiffcore.statistics.row_values import convention_of, main_reason

FEW_IMAGES = 30  # three of each label; below, "all" opens on the last block instead


def opens_on(rows: pd.DataFrame, network: str, metric: str) -> int | str:
    """All blocks, as in the paper's tables; the last block if "all" would cover few images or only some blocks."""
    last = len(catalogue.blocks(network))
    if rows.empty:
        return tables.ALL if len(published.blocks(catalogue.paper(network))) > 1 else last
    pool = tables.pool(rows, metric)
    return last if pool.partial or len(pool.images) < FEW_IMAGES else tables.ALL


def published_labels(network: str, metric: str, block: int | str) -> pd.DataFrame:
    """The paper's means by label, if the paper has them for this choice: all blocks, or for ResNet50 the last one."""
    paper = catalogue.paper(network)
    wanted = published.blocks(paper)
    fits = block == tables.ALL if len(wanted) > 1 else block in wanted
    table = published.table(paper, "by_label")
    return table[(table["metric"] == metric) & fits]


def spread(network: str, rows: pd.DataFrame, metric: str, block: int | str) -> None:
    """The paper's question as a number: the variance between labels against that between blocks."""
    paper = catalogue.paper(network)
    ratio = evidence.of_paper(paper).label_ratio(metric).value if paper else math.nan
    theirs = "" if math.isnan(ratio) else f"The paper's tables give {100 * ratio:.3g} %."
    if rows.empty:
        if paper:
            st.caption(f"The diamonds are the paper's means. {theirs}")
        return
    if block == tables.ALL:
        statistics.pooled(rows, metric)
    measured = label_spread.spread(rows, metric, block)
    st.metric(
        "Variance, labels / blocks",
        "–" if math.isnan(measured.ratio) else f"{100 * measured.ratio:.3g} %",
        help="Variance of the labels' means / variance of the blocks' means. Small: labels differ little compared with blocks.",
    )
    st.caption(theirs)
    if math.isnan(measured.ratio):
        st.caption("The ratio needs values at two labels and two blocks.")
    if measured.reason:
        st.caption(f"Share of the images' variance that the label explains: {measured.reason}.")
    else:
        p = "p < 0.001" if measured.p < 0.001 else f"p = {measured.p:.3f}"
        st.caption(
            f"The label explains {100 * measured.label_share:.1f} % of the variance over {measured.n:,} images "
            f"(one-way analysis of variance: F = {measured.F:.1f}, {p})."
        )


def table(rows: pd.DataFrame, paper: pd.DataFrame, metric: str, block: int | str, style: Style, name: str) -> None:
    """The figure's equivalent: statistics per label beside the paper's."""
    if rows.empty:
        return
    by_label = tables.by_label(rows, (metric,), block)
    theirs = paper.set_index("label")["published"]
    factor = wording.factor(metric)
    body = [
        (
            row["name"],
            [
                *(grid.number(factor * row[name]) for name in ("mean", "median", "std")),
                grid.number(theirs.get(row["label"])),
                *(grid.number(row[name], 0) for name in ("n", "n_undefined", "n_not_computed")),
            ],
        )
        for row in by_label.to_dict("records")
    ]
    columns = ["mean", "median", "standard deviation", "the paper's mean", "images", "undefined", "not computed"]
    grid.draw(body, columns, style, wording.title(metric))
    what = "the image's average over the blocks" if block == tables.ALL else f"the value at block {block}"
    st.caption(
        f"Mean, median and standard deviation are taken over the images of a label; the value is {what}. Images: those with a "
        "value; for the others it is undefined or not computed."
    )
    network, convention = rows["network"].iloc[0], convention_of(rows)
    grid.download(statistics.named(by_label, network, convention, block=block), f"{name}-table")


def no_value(rows: pd.DataFrame, metric: str, block: int | str) -> None:
    """No image has a value: says whether it is undefined or not computed, and why."""
    kept = rows if block == tables.ALL else rows[rows["block"] == block]
    where = "at this block" if block != tables.ALL else "at any block"
    is_definable = block == tables.ALL or block in tables.definable_in(rows, metric)
    reason = main_reason(kept, metric) if is_definable else NOT_SQUARE
    st.info(f"{wording.title(metric)} has no value {where} ({reason}).", icon=":material/block:")
