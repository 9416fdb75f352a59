"""A row's value of a metric, or why it has none. Needs no torch.

A value that is missing is either undefined or not computed; ``reasons``, a JSON object of texts in each row, says which and
why. It is read here, and nowhere else.
"""

import json
from collections import Counter

import numpy as np
import pandas as pd

from stiffcore.conventions import Convention
from stiffcore.metrics import missing
from stiffcore.metrics.definitions import named
from stiffcore.metrics.missing import NOT_COMPUTED, Missing

ROW_IS = ["network", "weights", "convention", "image", "block"]  # what makes a row unique


def of_one_kind(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows, if they are of one network, one set of weights and one convention, each image and block once.

    Raises ValueError otherwise: a mean over such a mixture says nothing.
    """
    for name in ("network", "weights", "convention"):
        if rows[name].nunique() > 1:
            raise ValueError(f"Expected rows of one {name}, got {sorted(rows[name].unique())}.")
    if rows.duplicated(ROW_IS).any():
        raise ValueError("Expected each image and block once, got some of them twice.")
    return rows


def convention_of(rows: pd.DataFrame) -> Convention:
    """The convention of rows of one kind, at least one; a row itself holds the name."""
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
    """Why a derived metric has no value where that from which it is derived has one."""
    why = {convention: _under(metric, convention) for convention in rows["convention"].unique()}
    return rows["convention"].map(why).astype(object)


def _under(metric: str, convention: str) -> Missing:
    return NOT_COMPUTED if named(metric).is_of(convention) else named(metric).elsewhere or NOT_COMPUTED


def is_undefined(found: pd.Series) -> pd.Series:
    """Which of ``reasons`` say that there is no such number. Index as in found."""
    return found.map(lambda one: isinstance(one, Missing) and one.is_undefined).astype(bool)


def main_reason(rows: pd.DataFrame, metric: str) -> Missing | None:
    """Why rows have no value: what is most frequent among the undefined ones, else "not computed"; None where every row has one."""
    if rows.empty:
        return NOT_COMPUTED
    found = reasons(rows, metric).dropna()
    undefined = found[is_undefined(found)]
    counts = Counter(undefined if len(undefined) else found)
    return min(counts, key=lambda one: (-counts[one], str(one)), default=None)


def as_texts(frame: pd.DataFrame) -> pd.DataFrame:
    """A table for a file or a program: its ``reason`` as a text, empty where nothing is missing."""
    if "reason" not in frame:
        return frame
    return frame.assign(reason=["" if pd.isna(one) else str(one) for one in frame["reason"]])


def column(rows: pd.DataFrame, metric: str) -> pd.Series:
    """A metric as float64, NaN where there is none; derived ones are computed from the columns that they rest on."""
    derived = named(metric).derived
    if derived is not None:
        return derived.of(lambda name: column(rows, name))
    if metric not in rows:
        return pd.Series(np.nan, index=rows.index)
    return rows[metric].astype(float)
