"""Our tables beside the published ones, cell by cell. Needs no torch."""

import numpy as np
import pandas as pd

from stiffcore import catalogue, correlation, published, tables
from stiffcore.tables import ALL, SHOWN

CLOSE, COMPARABLE = 1.25, 2.0  # factors between two means that count as close, as comparable
WIDEST_INTERVAL = 0.3  # of r; about 170 images where r is near 0
SPREAD = (0.05, 0.95)  # quantiles over the images that a spread shows
AGREEMENTS = {
    "equal": "the same number",
    "close": "means within a factor of 1.25; a published r inside our 95 % interval",
    "comparable": "means within a factor of 2; a correlation of the same sign",
    "apart": "further apart, or of the other sign",
    "uncertain": "too few images to say: our 95 % interval of r is wider than 0.3",
    "partial": "not all blocks of this average are computed yet",
    "undefined": "ours is undefined",
    "not computed": "ours is not computed",
    "not published": "the paper has no value",
}


def side_by_side(network: str, kind: str, rows: pd.DataFrame | None) -> pd.DataFrame:
    """The paper's table beside the same from our rows (None or empty: nothing computed), one row per cell.

    Columns: the cell's name (block or label, metric or measure, outcome), published, ours, difference (ours −
    published), agreement, n, n_undefined and, for correlations, published_p, p, p_adjusted, low, high, reason.
    Cells that only we have are kept, published NaN. A baseline stands beside the network that it is made from. Labels average the blocks that the paper's table rests on.
    """
    paper = catalogue.architecture(network)
    theirs = published.table(paper, kind)
    if kind == "sizes":
        return _sizes_side_by_side(network, theirs)
    ours = _ours(network, kind, rows)
    cells = _cells(network, kind)
    both = cells.merge(theirs, how="left", on=list(cells)).merge(ours, how="left", on=list(cells))
    both = both[both["published"].notna() | both["n"].notna()].reset_index(drop=True)
    both["difference"] = both["ours"] - both["published"]
    needed = len(published.blocks(paper))
    judge = _agreement_of_r if kind == "correlation" else _agreement_of_means
    both["agreement"] = [judge(cell, needed) for cell in both.to_dict("records")]
    return both


def _cells(network: str, kind: str) -> pd.DataFrame:
    """The names of all cells that such a table can have, in its order."""
    blocks = [block.block for block in catalogue.blocks(network)] + [ALL]
    if kind == "by_label":
        return pd.DataFrame([(label, m) for m in SHOWN for label in range(10)], columns=["label", "metric"])
    if kind == "by_block":
        return pd.DataFrame([(b, m) for m in SHOWN for b in blocks], columns=["block", "metric"])
    names = [(b, m, o) for m in SHOWN for o in correlation.OUTCOMES for b in blocks]
    return pd.DataFrame(names, columns=["block", "measure", "outcome"])


def _ours(network: str, kind: str, rows: pd.DataFrame | None) -> pd.DataFrame:
    kept = {
        "by_block": ["block", "metric", "ours", "n", "n_undefined", "n_not_computed", "n_blocks"],
        "by_label": ["label", "metric", "ours", "n", "n_undefined", "n_not_computed", "n_blocks"],
        "correlation": ["block", "measure", "outcome", "ours", "p", "p_adjusted", "low", "high", "n", "reason"],
    }[kind]
    if rows is None or rows.empty:
        return pd.DataFrame({name: pd.Series(dtype=object if name in kept[:2] else float) for name in kept})
    if kind == "correlation":
        return correlation.table(rows, SHOWN).rename(columns={"r": "ours"})[kept]
    if kind == "by_label":
        made = tables.by_label(rows[rows["block"].isin(published.blocks(catalogue.architecture(network)))])
    else:
        made = tables.by_block(rows)
    return made.rename(columns={"mean": "ours"})[kept]


def _sizes_side_by_side(network: str, theirs: pd.DataFrame) -> pd.DataFrame:
    ours = tables.sizes(network)
    theirs = theirs.rename(columns=lambda name: name if name == "block" else f"published_{name}")
    both = ours.merge(theirs, on="block", how="left")
    same = [both[name] == both[f"published_{name}"] for name in ("jacobian_elements", "eigenvalues")]
    found = np.where(same[0] & same[1], "equal", "apart")
    both["agreement"] = np.where(both["published_eigenvalues"].isna(), "not published", found)
    return both


def _missing(cell: dict, undefined: bool) -> str | None:
    if pd.isna(cell["published"]):
        return "not published"
    if pd.isna(cell["ours"]):
        return "undefined" if undefined else "not computed"
    return None


def _agreement_of_means(cell: dict, needed: int) -> str:
    """By the factor between the two; ``partial`` where an average lacks some of the needed blocks."""
    missing = _missing(cell, (cell["n_undefined"] or 0) > 0)
    if missing:
        return missing
    if (cell.get("block", ALL) == ALL) and cell["n_blocks"] < needed:
        return "partial"
    if cell["ours"] * cell["published"] <= 0:
        return "apart"
    factor = max(cell["ours"] / cell["published"], cell["published"] / cell["ours"])
    return "close" if factor <= CLOSE else "comparable" if factor <= COMPARABLE else "apart"


def _agreement_of_r(cell: dict, _needed: int) -> str:
    missing = _missing(cell, isinstance(cell["reason"], str) and cell["reason"] != "")
    if missing:
        return missing
    if not cell["high"] - cell["low"] <= WIDEST_INTERVAL:  # or there is none
        return "uncertain"
    if cell["low"] - 0.005 <= cell["published"] <= cell["high"] + 0.005:
        return "close"
    return "comparable" if cell["ours"] * cell["published"] > 0 else "apart"


def wide(table: pd.DataFrame) -> pd.DataFrame:
    """A ``side_by_side`` as the paper prints it: a line per block or label, S and P across; sizes as they are."""
    names = [name for name in ("metric", "measure") if name in table]
    if not names:
        return table
    of, across = ("block" if "block" in table else "label"), [*names, *(["outcome"] if "outcome" in table else [])]
    made = pd.DataFrame({of: table[of].drop_duplicates().to_list()})
    for key, part in table.groupby(across, sort=False):
        title = " with ".join([tables.SYMBOLS[key[0]], *key[1:]])
        part = part.set_index(of).reindex(made[of])
        columns = {"published": "theirs", "ours": "ours", "difference": "difference"}
        for name, shown in list(columns.items())[: 2 if "outcome" in table else 3]:
            made[f"{title}, {shown}"] = part[name].to_numpy()
        made["n"], made["undefined"] = (
            part["n"].to_numpy(),
            part.get("n_undefined", pd.Series(np.nan, part.index)).to_numpy(),
        )
    if of == "label":
        made["label"] = [catalogue.LABELS[label] for label in made["label"]]
    made = made.drop(columns="undefined" if made["undefined"].isna().all() else [])
    return made[
        [name for name in made if name not in ("n", "undefined")] + [n for n in ("n", "undefined") if n in made]
    ]


def along_depth(network: str, rows: pd.DataFrame | None, metric: str) -> pd.DataFrame:
    """A metric block by block, one row for every block of the network, whether it is computed or not.

    Columns: block, keeps_shape, mean, median, low, high (5 and 95 % of the images), n, n_undefined, state ("", "undefined",
    "not computed"), published, baseline (under ``slices``: P if random, S without skip) and live_fraction, means.
    """
    empty = rows is None or rows.empty
    published_values = published.table(catalogue.architecture(network), "by_block").set_index(["block", "metric"])[
        "published"
    ]
    made = []
    for block in catalogue.blocks(network):
        part = pd.DataFrame() if empty else rows[rows["block"] == block.block]
        found = {"mean": np.nan, "median": np.nan, "n": 0, "n_undefined": 0}
        if len(part):
            found = {name: value for name, value in tables.describe(part, metric).items() if name in found}
        values = tables.column(part, metric).dropna() if len(part) else pd.Series(dtype=float)
        low, high = np.quantile(values, SPREAD) if len(values) else (np.nan, np.nan)
        state = "" if found["n"] else "undefined" if found["n_undefined"] else "not computed"
        made.append(
            {"block": block.block, "keeps_shape": block.is_identity, **found, "low": low, "high": high, "state": state}
            | {"published": published_values.get((block.block, metric), np.nan)}
            | {"baseline": _mean(part, tables.BASELINES.get(metric)), "live_fraction": _mean(part, "live_fraction")}
        )
    return pd.DataFrame(made)


def _mean(part: pd.DataFrame, metric: str | None) -> float:
    if metric is None or not len(part):
        return np.nan
    return tables.describe(part, metric)["mean"]
