"""Rows of different levels in one table: what some of them lack, and the command that computes it."""

import pandas as pd
import streamlit as st

from pages.shared.state import ask
from stiffcore.commands import sweep as sweep_command
from stiffcore.conventions import Convention
from stiffcore.images import cifar10
from stiffcore.metrics import definitions
from stiffcore.metrics.metric import Group
from stiffcore.sweeps import tasks as sweep_tasks

SYMBOLS = ", ".join(metric.symbol for metric in definitions.of_group(Group.GROWTH))


def about(found: pd.DataFrame, network: str, convention: Convention) -> None:
    """Draws nothing where every row has all metrics of its convention. found: rows of one network and convention."""
    if not convention.has_matrix or "quantity" not in found:
        return
    without = found[~sweep_tasks.with_norms(found)]
    alone = found[found["quantity"] == "norms"]
    if without.empty and alone.empty:
        return
    with st.expander("Some metrics are computed at fewer images", icon=":material/pending:"):
        _offer(without, f"{SYMBOLS} are not computed", "norms", network, convention)
        _offer(alone, f"only {SYMBOLS} are computed", "counts", network, convention)


def _offer(rows: pd.DataFrame, what: str, quantity: str, network: str, convention: Convention) -> None:
    if rows.empty:
        return
    numbers = sorted(set(rows["image"]))
    images = f"{len(numbers):,} {'image' if len(numbers) == 1 else 'images'}"
    st.caption(f"At {images}, {what}. This command computes the rest; it can be stopped and resumed:")
    blocks = ",".join(str(block) for block in sorted(set(rows["block"])))
    command = sweep_command.sweep_command(ask.find_network(network), convention, blocks, cifar10.as_list(numbers))
    st.code(f"{command} --quantity {quantity}", language="bash", wrap_lines=True)


def is_known(rows: pd.DataFrame, metric: str) -> pd.Series:
    """Which rows have been computed at the level that a metric needs. Index as in rows."""
    if needed(metric) == "norms":
        return sweep_tasks.with_norms(rows)
    return rows["quantity"] != "norms" if "quantity" in rows else pd.Series(True, index=rows.index)


def needed(metric: str) -> str:
    """The level that computes a metric."""
    return "norms" if definitions.named(metric).group is Group.GROWTH else "counts"
