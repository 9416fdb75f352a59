"""Rows for the pages about many images: shipped and computed on this machine, and what to do if rows are missing."""

import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import streamlit as st

from pages.shared.state import ask, choices, controls
from pages.shared.widgets import gallery, levels
from stiffcore.analysis.requests import Request
from stiffcore.analysis.results import Result
from stiffcore.commands import sweep as sweep_command
from stiffcore.conventions import Convention
from stiffcore.images import cifar10
from stiffcore.metrics import definitions
from stiffcore.networks import catalogue, manifest
from stiffcore.paper import claims, evidence, published, resampled, tables_text
from stiffcore.statistics import correlation, tables
from stiffcore.statistics.row_values import as_texts
from stiffcore.storage import cache as result_cache
from stiffcore.sweeps import shipping, tasks as sweep_tasks
from stiffcore.sweeps.stored_rows import StoredRows

READINGS = {  # title -> (convention, baseline): a claim is judged under these and by the paper's own tables
    **{convention.title: (convention, "") for convention in Convention},
    "Slices, untrained": (Convention.SLICES, "-untrained"),
    "Slices, shuffled": (Convention.SLICES, "-shuffled"),
}
PAPER = "The paper's tables"


def changed(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


def stamp(network: str, convention: Convention) -> tuple:
    """A value that changes when rows may have changed: shipped rows, weights, and the cache's contents."""
    health = result_cache.default().health()
    files = (
        shipping.rows_path(network, convention),
        shipping.FOLDER / "manifest.json",
        manifest.FOLDER / "manifest.json",
    )
    return (
        network,
        convention,
        str(shipping.FOLDER),
        *map(changed, files),
        health["folder"],
        health["entries"],
        health["bytes"],
    )


def rows(network: str, convention: Convention) -> pd.DataFrame:
    """Shipped and cached rows of the shipped weights; do not write to them. An empty table if there are none."""
    return _rows(stamp(network, convention))


@st.cache_resource(max_entries=16, show_spinner="Reading computed rows …")
def _rows(key: tuple) -> pd.DataFrame:
    network, convention = key[:2]
    return shipping.merged(
        shipped(network, convention), stored_rows().rows(ask.find_network(network), convention, ask.bundled())
    )


@st.cache_resource(show_spinner=False)
def stored_rows() -> StoredRows:
    """One for the whole server, so that every result is read once."""
    return StoredRows()


def shipped(network: str, convention: Convention) -> pd.DataFrame:
    """The rows that ship alone: they do not change while something is computed."""
    path = shipping.rows_path(network, convention)
    return _shipped(network, convention, str(path), changed(path))


@st.cache_resource(max_entries=16, show_spinner=False)
def _shipped(network: str, convention: str, path: str, changed: int) -> pd.DataFrame:
    return shipping.rows(ask.find_network(network), convention)


def correlations(network: str, convention: Convention) -> pd.DataFrame:
    """correlation.table of the rows, cached."""
    return _correlations(stamp(network, convention))


@st.cache_resource(max_entries=16, show_spinner="Correlating …")
def _correlations(key: tuple) -> pd.DataFrame:
    computed = _rows(key)
    return correlation.table(computed) if len(computed) else pd.DataFrame()


def verdicts() -> pd.DataFrame:
    """Every claim of the paper under every reading."""
    stamps = {
        title: {network: stamp(network + baseline, convention) for network in published.NETWORKS}
        for title, (convention, baseline) in READINGS.items()
    }
    return _verdicts(tuple((title, tuple(by_network.items())) for title, by_network in stamps.items()))


@st.cache_resource(max_entries=4, show_spinner="Checking the paper's claims …")
def _verdicts(stamps: tuple) -> pd.DataFrame:
    by_reading = {PAPER: {network: evidence.of_paper(network) for network in published.NETWORKS}}
    for title, by_network in stamps:
        by_reading[title] = {
            network: resampled.of_rows(_rows(key), ask.find_network(key[0]), key[1]) for network, key in by_network
        }
    return claims.verdicts(by_reading)


def of_images(
    network: str, convention: Convention, images: Sequence[int], results: Sequence[Result] = ()
) -> pd.DataFrame:
    """The rows of some images: shipped, stored, and of fresh results."""
    known = rows(network, convention)
    kept = known[known["image"].isin(list(images))] if len(known) else known
    fresh = [
        sweep_tasks.row(r) for r in results if (r.request.network.name, r.request.convention) == (network, convention)
    ]
    return shipping.merged(kept, pd.DataFrame(fresh))


def not_shipped(network: str, convention: Convention, images: Sequence[int], metric: str) -> list[Request]:
    """The requests of images whose rows do not ship with a metric, for every block that can have it; of the level that
    computes it."""
    rows_that_ship = shipped(network, convention)
    rows_that_ship = rows_that_ship[rows_that_ship["image"].isin(list(images))]
    quantity = levels.needed(metric) if convention.has_matrix else "counts"
    if convention.has_matrix:
        rows_that_ship = rows_that_ship[levels.is_known(rows_that_ship, metric)]
    known = set(zip(rows_that_ship["image"], rows_that_ship["block"]))
    return [
        ask.request(network, image, block, convention, quantity)
        for image in images
        for block in tables.definable(catalogue.blocks(network), convention, metric)
        if (image, block) not in known
    ]


def about(found: pd.DataFrame, network: str, convention: Convention, paper: bool = True) -> None:
    """A line of badges on what the numbers are based on; if rows are missing, which, and the command that computes them."""
    if found.empty:
        nothing(network, convention)
        if paper:
            to = {"network": network, "convention": convention}
            st.page_link(
                "pages/6_Published_tables.py",
                label="What the paper published",
                icon=":material/arrow_forward:",
                query_params=to,
            )
        return
    images, share = found["image"].nunique(), found["correct"].astype(float).groupby(found["image"]).first().mean()
    parts = [
        f"{images:,} {'image' if images == 1 else 'images'}"
        + ("" if math.isnan(share) else f", {100 * share:.1f} % right"),
        controls.escape_markdown(controls.NETWORK_TITLES[network]),
        convention.title,
        f"weights {found['weights'].iloc[0][:8]}",
        " / ".join(sorted(found["device"].unique())),
        " / ".join(sorted(found["precision"].unique())),
    ]
    st.markdown(":green-badge[stored] " + " ".join(f":gray-badge[{part}]" for part in parts))
    controls.doubts([ask.find_network(network)])
    if said := tables_text.undetermined(found):
        st.caption(said)
    _lacking(found, network, convention)
    levels.about(found, network, convention)


def _lacking(found: pd.DataFrame, network: str, convention: Convention) -> None:
    """The blocks that have eigenvalues but fewer images than others, and the command that computes the missing ones."""
    images = {int(block): set(part) for block, part in found.groupby("block")["image"]}
    most = max(images.values(), key=len)
    lacking = [
        block
        for block in tables.definable(ask.find_network(network).blocks, convention)
        if len(images.get(block, ())) < len(most)
    ]
    if not lacking:
        return
    fewer = ", ".join(f"{block} ({len(images.get(block, ()))})" for block in lacking)
    with st.expander(f"Some blocks are computed at fewer than {len(most):,} images", icon=":material/pending:"):
        st.caption(
            f"Blocks with fewer images: {fewer}. This command computes what is missing; it can be stopped and resumed:"
        )
        blocks = ",".join(map(str, lacking))
        command = sweep_command.sweep_command(ask.find_network(network), convention, blocks, cifar10.as_list(most))
        st.code(command, language="bash", wrap_lines=True)


def pooled(found: pd.DataFrame, metric: str) -> None:
    """What "all blocks" stands for, and a badge if some blocks are not in it."""
    pool = tables.pool(found, metric)
    sign = ":orange-badge[partial] " if pool.partial else ""
    st.caption(f"{sign}“All blocks”: {pool.in_words()}.")


def nothing(network: str, convention: Convention) -> None:
    """Without rows: says so, and gives the command that computes them."""
    title = f"{controls.escape_markdown(controls.NETWORK_TITLES[network])} under {convention.title}"
    # Whole spectra take long: one image of each label to begin with.
    images = cifar10.as_list(gallery.first_of_each_label()) if convention.has_matrix else "bundled"
    with st.container(border=True):
        st.markdown(
            f":material/pending: **{title}: not computed.** This command computes it in a terminal; it can be stopped and "
            "resumed:"
        )
        st.code(
            sweep_command.sweep_command(ask.find_network(network), convention, images=images),
            language="bash",
            wrap_lines=True,
        )


def view_title(title: str, network: str, convention: Convention, block: int | str | None = None) -> str:
    """A figure's title with its network, its convention and its block."""
    of_block = [] if block is None else ["all blocks" if block == tables.ALL else f"block {block}"]
    return " · ".join([title, controls.NETWORK_TITLES[network], convention.title, *of_block])


def named(frame: pd.DataFrame, network: str, convention: Convention, **more: object) -> pd.DataFrame:
    """A table for export: with the network and the convention of its numbers in front."""
    front, frame = (
        pd.DataFrame({"network": network, "convention": convention, **more}, index=frame.index),
        as_texts(frame),
    )
    return pd.concat([front, frame.drop(columns=list(front), errors="ignore")], axis=1)


def python(network: str, convention: Convention, lines: str, imports: str = "") -> str:
    """Python that reproduces a page's numbers. lines: use ``sc``, ``rows`` and the imports."""
    return f'import stiffcore as sc\n{imports}\nrows = sc.rows("{network}", "{convention}")\n{lines}\n'


def metric_titles(convention: Convention | None = None) -> dict[str, str]:
    """Metrics to choose from, of one convention or of all."""
    chosen = [metric for metric in definitions.METRICS if metric.is_chosen]
    usable = [metric for metric in chosen if convention is None or metric.is_of(convention)]
    return {metric.name: f"{metric.heading}: {metric.title}" for metric in usable}


def caveat(metric: str) -> None:
    """The sentence that stands wherever this metric does, if it has one."""
    if said := definitions.named(metric).caveat:
        st.caption(f":material/warning: {definitions.named(metric).symbol}: {said}")


def networks_before() -> tuple[str, ...]:
    """The network that the visitor looked at on another page."""
    network = st.session_state.get("chosen", {}).get("network", "")
    return (network if network in controls.NETWORK_TITLES else "resnet18",)


def one_block(network: str, default: int | str) -> int | str:
    """A block's number, or ``all``; a block that the network does not have is reset without a note."""
    default = str(default)  # the choices' texts; a number would show the first of them
    numbered = {str(block.block): f"Block {block.block}" for block in catalogue.blocks(network)}
    titles = numbered | {tables.ALL: "All blocks"}
    if st.session_state.get("chosen", {}).get("of", default) not in titles:
        choices.forget("of")
    chosen = controls.select("Block", "of", titles, default, st.selectbox, width=140)
    return chosen if chosen == tables.ALL else int(chosen)
