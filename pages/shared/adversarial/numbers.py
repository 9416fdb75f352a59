"""The numbers of the page Adversarial examples: rows, correlations, the verdict, and the table of all measures and blocks."""

import numpy as np
import pandas as pd
import streamlit as st

from pages.shared.state import ask, choices, controls
from pages.shared.widgets import grid, statistics
from stiffcore import files
from stiffcore.adversarial import collect, relation, verdict
from stiffcore.adversarial.relation import MEASURES, NETWORK, Material, Measure
from stiffcore.conventions import Convention
from stiffcore.figures.theme import Style
from stiffcore.networks import catalogue
from stiffcore.statistics.correlation import SIGNIFICANT

OPENS_ON = "percent_negative.slices"


def _stamp(network: str) -> tuple:
    """A value that changes when rows may have changed."""
    of_rows = tuple(statistics.stamp(network, convention) for convention in Convention)
    own = [statistics.changed(files.SHIPPED / f"{kind}-{network}.parquet") for kind in ("robustness", "growth")]
    return (network, str(files.SHIPPED), *own, *of_rows)


def material(network: str) -> Material:
    """Everything that ships or is stored; do not write to it."""
    return _material(_stamp(network))


@st.cache_resource(max_entries=8, show_spinner="Reading computed rows …")
def _material(stamp: tuple) -> Material:
    return collect.material(ask.find_network(stamp[0]), ask.bundled(), stored=statistics.stored_rows())


def table(network: str, outcome: str) -> pd.DataFrame:
    """relation.table, cached."""
    return _table(_stamp(network), outcome)


@st.cache_resource(max_entries=8, show_spinner="Correlating …")
def _table(stamp: tuple, outcome: str) -> pd.DataFrame:
    return relation.table(_material(stamp), outcome)


def measures() -> dict[str, str]:
    return {name: f"{measure.title[:1].upper()}{measure.title[1:]}" if measure.convention is None else measure.title
            for name, measure in MEASURES.items()}  # fmt: skip


def one_block(network: str, cells: pd.DataFrame) -> int | str:
    """A block's number; opens on the block with the largest raw r. The whole network where the measure has no blocks."""
    known = cells[cells["r"].notna() & (cells["n"] >= relation.FEWEST)]
    if set(cells["block"]) == {NETWORK}:
        return NETWORK
    strongest = str(known.loc[known["r"].abs().idxmax(), "block"]) if len(known) else "1"
    titles = {str(block.block): f"Block {block.block}" for block in catalogue.blocks(network)}
    if st.session_state.get("chosen", {}).get("of", strongest) not in titles:
        choices.forget("of")
    return int(controls.select("Block", "of", titles, strongest, st.selectbox, width=120))


def say(table: pd.DataFrame, outcome: str, style: Style) -> None:
    """The verdict and what decides it; its rule on hover, and in talk mode the numbers, too."""
    said = verdict.of(table, outcome)
    shown, hidden = (said.answer, f"{said.numbers} {verdict.RULE}") if style.talk else (said.sentence, verdict.RULE)
    st.markdown(f"**{said.head}** {controls.escape_markdown(shown)}", help=controls.escape_markdown(hidden))


def about(found: Material, network: str, measure: Measure) -> None:
    """What the numbers are based on."""
    robust = found.robust
    right, beyond = int(robust["pgd_radius"].notna().sum()), int(np.isinf(robust["pgd_radius"].astype(float)).sum())
    parts = [
        f"{len(robust):,} images, {right:,} predicted right",
        controls.escape_markdown(controls.NETWORK_TITLES[network]),
        f"weights {robust['weights'].iloc[0][:8]}",
        "cpu",
        "float32, confirmed in float64",
        *([f"{beyond} not changed up to 32 grey levels"] if beyond else []),
    ]
    st.markdown(":green-badge[stored] " + " ".join(f":gray-badge[{part}]" for part in parts))
    controls.doubts([ask.find_network(network)])
    zeros = ["share of eigenvalues that masks do not make zero"] if measure.counts_zeros else []
    constant = verdict.listed([*measure.given, *zeros])
    st.caption(
        "Sizes: the largest change of any pixel value, in grey levels of 255, on a grid of 1/8. Images that are predicted wrongly "
        "at once have none. r is Spearman's, because sizes have heavy tails; the partial r holds "
        f"{constant} constant. Shaded: |r| below {verdict.EXPLAINS}."
    )


def section(cells: pd.DataFrame, network: str, outcome: str, style: Style) -> None:
    """Every measure and block: raw and partial r, in bold where the adjusted p is below 0.05; and what is not computed."""
    st.subheader("All blocks")
    st.caption(
        f"Spearman's r with the smallest {relation.OUTCOMES[outcome]}, raw and given live fraction, label and margin; bold: adjusted p "
        f"(Benjamini–Hochberg, over the whole table) below {SIGNIFICANT}. The margin is given the label only. Fewer than {relation.FEWEST} images show nothing: "
        "their numbers stand in the download only."
    )
    there = [name for name in MEASURES if cells.loc[cells["measure"] == name, "n"].max() > 0]
    by_place = {(cell.measure, cell.block): cell for cell in cells.itertuples()}
    blocks = [*range(1, len(catalogue.blocks(network)) + 1), NETWORK]
    body = [
        (str(block), [one for name in there for one in _cells(by_place.get((name, block)))])
        for block in blocks
        if any((name, block) in by_place for name in there)
    ]
    grid.draw(body, ["raw", "partial"] * len(there), style, "Block", [(measures()[name], 2) for name in there], "dense")
    grid.download(as_texts(cells).assign(network=network, outcome=outcome), f"robustness-{outcome}-{network}")
    for name in MEASURES:
        if name not in there:
            reason = cells.loc[cells["measure"] == name, "reason"].iloc[0]
            st.caption(f"{measures()[name]}: {controls.escape_markdown(str(reason))}")


def _cells(cell) -> list[grid.Cell]:
    """Raw and partial r of a block, with interval, p and n on hover."""
    if cell is None:
        return [grid.Cell("–", word=True)] * 2
    shown = []
    if said := relation.too_few(cell.n):
        return [grid.Cell("too few:", word=True, title=said, small=f"n = {cell.n:,}")] * 2
    for prefix in ("", "partial_"):
        r, low, high, p = (getattr(cell, f"{prefix}{name}") for name in ("r", "low", "high", "p_adjusted"))
        if np.isnan(r):
            shown.append(grid.Cell("undefined", word=True, title=str(cell.reason)))
            continue
        title = f"{verdict.signed(low)} to {verdict.signed(high)}, adjusted p {p:.3f}, n = {cell.n:,}"
        shown.append(grid.number(r, strong=bool(p < SIGNIFICANT), title=title))
    return shown


def as_texts(cells: pd.DataFrame) -> pd.DataFrame:
    return cells.assign(reason=["" if reason is None else str(reason) for reason in cells["reason"]])
