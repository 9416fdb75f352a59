"""A row's value of a metric, or why it has none. Needs no torch.

A missing value is either undefined or not computed. Each row's ``reasons``, a JSON object of texts, says which and why.
Only this module reads it.
"""

import json
from collections import Counter
from collections.abc import Iterable

import numpy as np
import pandas as pd

from stiffcore.conventions import Convention
from stiffcore.metrics import missing
from stiffcore.metrics.definitions import named
from stiffcore.metrics.missing import NOT_COMPUTED, Missing

REASONS = ("reason", "partial_reason")  # columns of tables that hold a Missing or None
ROW_IS = ["network", "weights", "convention", "image", "block"]  # what makes a row unique


def of_one_kind(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows, if they are of one network, one set of weights and one convention, each image and block once.

    Raises ValueError otherwise: a mean over a mixture has no meaning.
    """
    for name in ("network", "weights", "convention"):
        if rows[name].nunique() > 1:
            raise ValueError(f"Expected rows of one {name}, got {sorted(rows[name].unique())}.")
    if rows.duplicated(ROW_IS).any():
        raise ValueError("Expected each image and block once, got some of them twice.")
    return rows


def convention_of(rows: pd.DataFrame) -> Convention:
    """The convention of rows of one kind, of which there is at least one; a row itself holds the name."""
    return Convention(rows["convention"].iloc[0])


def reasons(rows: pd.DataFrame, metric: str) -> pd.Series:
    """Why a row has no value of a metric: a Missing; None where it has one. Index as in rows."""
    values, derived = pd.Series([None] * len(rows), index=rows.index, dtype=object), named(metric).derived
    absent = ~np.isfinite(column(rows, metric))
    if not absent.any():
        return values
    if derived is not None:
        base = reasons(rows, derived.base)
        return base.where(base.notna() | ~absent, _elsewhere(rows, metric))
    texts = rows.loc[absent, "reasons"] if "reasons" in rows else pd.Series("", index=rows.index[absent])
    read = {text: missing.from_texts(json.loads(text or "{}")) for text in texts.unique()}
    values[absent] = [read[text].get(metric, NOT_COMPUTED) for text in texts]
    return values


def _elsewhere(rows: pd.DataFrame, metric: str) -> pd.Series:
    """Why a derived metric has no value where its base metric has one."""
    why = {name: _under(metric, Convention(name)) for name in rows["convention"].unique()}
    return rows["convention"].map(why).astype(object)


def _under(metric: str, convention: Convention) -> Missing:
    return NOT_COMPUTED if named(metric).is_of(convention) else named(metric).elsewhere or NOT_COMPUTED


def is_undefined(why: pd.Series) -> pd.Series:
    """Which of ``reasons`` say that there is no such number. Index as in why."""
    return why.map(lambda reason: isinstance(reason, Missing) and reason.is_undefined).astype(bool)


def main_reason(rows: pd.DataFrame, metric: str) -> Missing | None:
    """Why rows have no value: the most frequent reason among the undefined ones, else the most frequent of all; None
    where every row has a value."""
    if rows.empty:
        return NOT_COMPUTED
    why = reasons(rows, metric).dropna()
    undefined = why[is_undefined(why)]
    counts = Counter(undefined if len(undefined) else why)
    return min(counts, key=lambda reason: (-counts[reason], str(reason)), default=None)


def as_texts(frame: pd.DataFrame) -> pd.DataFrame:
    """A table for a file or a program: its reasons as texts, empty where nothing is missing."""
    texts = {
        name: ["" if pd.isna(reason) else str(reason) for reason in frame[name]] for name in REASONS if name in frame
    }
    return frame.assign(**texts)


def column(rows: pd.DataFrame, metric: str) -> pd.Series:
    """A metric as float64, NaN where there is none; derived metrics are computed from the columns that they need.

    A derived metric may depend on all rows of a block: take rows by ``filled`` before some of them are chosen.
    """
    if metric in rows:
        return rows[metric].astype(float)
    derived = named(metric).derived
    if derived is not None:
        return derived.of(lambda name: column(rows, name))
    return pd.Series(np.nan, index=rows.index)


def filled(rows: pd.DataFrame, metrics: Iterable[str]) -> pd.DataFrame:
    """The rows with a column for each derived metric among the metrics."""
    derived = [name for name in metrics if named(name).derived is not None and name not in rows]
    return rows.assign(**{name: column(rows, name) for name in derived}) if derived and len(rows) else rows
