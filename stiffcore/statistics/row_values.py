"""A row's value of a metric, or why it has none. Needs no torch.

A value that is missing is either undefined ("undefined: no eigenvalue has a negative real part") or not computed;
``reasons``, a JSON object in each row, says which.
"""

import json

import numpy as np
import pandas as pd

from stiffcore.conventions import Convention

ROW_IS = ["network", "weights", "convention", "image", "block"]  # what makes a row unique
BEYOND_GEOMETRY = "percent_negative_beyond_geometry"


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
    """Why a row has no value of a metric; an empty string where it has one. Index as in rows."""
    if metric == "absolute_stiffness_index":
        metric = "stiffness_index"
    if metric == BEYOND_GEOMETRY:
        return _reasons_beyond_geometry(rows)
    values = pd.Series("", index=rows.index, dtype=object)
    missing = ~np.isfinite(column(rows, metric))
    if not missing.any():
        return values
    if "reasons" not in rows:
        values[missing] = "not computed"
        return values
    parsed = {text: json.loads(text or "{}") for text in rows.loc[missing, "reasons"].unique()}
    values[missing] = [parsed[text].get(metric, "not computed") for text in rows.loc[missing, "reasons"]]
    return values


def _reasons_beyond_geometry(rows: pd.DataFrame) -> pd.Series:
    of_p, missing = reasons(rows, "percent_negative"), ~np.isfinite(column(rows, BEYOND_GEOMETRY))
    has_baselines = [Convention(name).has_baselines for name in rows["convention"]]
    elsewhere = np.where(has_baselines, "not computed", "undefined: geometry's P belongs to slices")
    return of_p.where((of_p != "") | ~missing, pd.Series(elsewhere, index=rows.index))


def main_reason(rows: pd.DataFrame, metric: str) -> str:
    """Why rows have no value: the most frequent "undefined: ...", else "not computed"; "" where every row has one."""
    if rows.empty:
        return "not computed"
    found = reasons(rows, metric)
    undefined = found[found.str.startswith("undefined")]
    found = undefined if len(undefined) else found[found != ""]
    return found.mode().iloc[0] if len(found) else ""


def column(rows: pd.DataFrame, metric: str) -> pd.Series:
    """A metric as float64, NaN where there is none. Also ``absolute_stiffness_index`` |S| and
    ``percent_negative_beyond_geometry``, P minus what random entries on the same receptive field give."""
    if metric == "absolute_stiffness_index":
        return column(rows, "stiffness_index").abs()
    if metric == BEYOND_GEOMETRY:
        return column(rows, "percent_negative") - column(rows, "expected_percent_negative")
    if metric not in rows:
        return pd.Series(np.nan, index=rows.index)
    return rows[metric].astype(float)
