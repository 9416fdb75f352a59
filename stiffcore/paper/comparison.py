"""Our tables beside the published ones, cell by cell. Needs no torch."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from stiffcore.conventions import Convention
from stiffcore.metrics.missing import NOT_COMPUTED, NOT_SQUARE, Missing
from stiffcore.networks.network import Network
from stiffcore.paper import published
from stiffcore.statistics import correlation, tables
from stiffcore.statistics.row_values import convention_of, main_reason
from stiffcore.statistics.tables import ALL, SHOWN

CLOSE, COMPARABLE = 1.25, 2.0  # largest factor between two means that are called close, or comparable
WIDEST_INTERVAL = 0.3  # of r; about 170 images where r is near 0
AGREEMENTS = {
    "equal": "the same number",
    "close": "means within a factor of 1.25; a published r inside our 95 % interval",
    "comparable": "means within a factor of 2; an r outside our interval, of the same sign",
    "apart": "further apart; an r outside our interval, of the other sign",
    "uncertain": "too few images to decide: the published r is inside our 95 % interval, which is wider than 0.3",
    "partial": "our average is over some of the blocks: ours is undefined, or not computed, at the others",
    "other reading": "the published numbers are for “as published (slices)”: any agreement here is a coincidence",
    "undefined": "ours is undefined",
    "not computed": "ours is not computed",
    "not published": "the paper has no value",
}


def side_by_side(
    network: Network, kind: str, rows: pd.DataFrame | None, convention: Convention = published.CONVENTION
) -> pd.DataFrame:
    """The paper's table beside the same from our rows (None or empty: nothing computed), one row per cell.

    Columns: the cell's name (block or label, metric or measure, outcome), published, ours, difference (ours −
    published), agreement, state ("", "undefined" or "not computed") and its reason (a Missing or None), n, n_blocks,
    of_blocks, n_undefined or, for correlations, n_left_out, n_images, published_p, p, p_adjusted, low, high and those of
    ``correlation.PARTIAL``.
    convention: used where there are no rows. Cells that only we have are kept, with published NaN. A baseline is
    compared with the network that it is made from. Labels average the blocks that the paper's table uses.
    """
    theirs = published.table(network.architecture, kind)
    if kind == "sizes":
        return _sizes_side_by_side(network, theirs)
    if rows is not None and len(rows):
        convention = convention_of(rows)
    ours = _ours(network, kind, rows)
    cells = _cells(network, kind)
    both = cells.merge(theirs, how="left", on=list(cells)).merge(ours, how="left", on=list(cells))
    both = both[both["published"].notna() | both["n"].notna()].reset_index(drop=True)
    both["difference"] = both["ours"] - both["published"]
    square = tables.definable(network.blocks, convention)
    both["reason"] = [_reason(cell, square) for cell in both.to_dict("records")]
    both["state"] = [_word(reason) for reason in both["reason"]]
    judge = _agreement_of_r if kind == "correlation" else _agreement_of_means
    both["agreement"] = [_agreement(cell, convention, judge) for cell in both.to_dict("records")]
    return both


def _reason(cell: dict, definable: tuple[int, ...]) -> Missing | None:
    """Why ours has no value, None where it has one."""
    if pd.notna(cell["ours"]):
        return None
    if cell.get("block", ALL) not in (ALL, *definable):
        return NOT_SQUARE
    return cell["reason"] if isinstance(cell["reason"], Missing) else NOT_COMPUTED


def _word(reason: Missing | None) -> str:
    """The word shown in place of the number, "" where there is a number."""
    return "" if reason is None else reason.word


def _cells(network: Network, kind: str) -> pd.DataFrame:
    """The names of all cells that such a table can have, in the table's order."""
    blocks = [block.block for block in network.blocks] + [ALL]
    if kind == "by_label":
        return pd.DataFrame([(label, m) for m in SHOWN for label in range(10)], columns=["label", "metric"])
    if kind == "by_block":
        return pd.DataFrame([(b, m) for m in SHOWN for b in blocks], columns=["block", "metric"])
    names = [(b, m, o) for m in SHOWN for o in correlation.OUTCOMES for b in blocks]
    return pd.DataFrame(names, columns=["block", "measure", "outcome"])


def _ours(network: Network, kind: str, rows: pd.DataFrame | None) -> pd.DataFrame:
    counts = ["ours", "n", "n_undefined", *tables.BLOCKS, "reason"]
    of_r = ["ours", "n", "n_left_out", "n_images", *tables.BLOCKS, "reason", "p", "p_adjusted", "low", "high"]
    of_r += [*correlation.PARTIAL, "partial_p_adjusted"]
    kept = {
        "by_block": ["block", "metric", *counts],
        "by_label": ["label", "metric", *counts],
        "correlation": ["block", "measure", "outcome", *of_r],
    }[kind]
    if rows is None or rows.empty:
        return pd.DataFrame({name: pd.Series(dtype=object if name in kept[:2] else float) for name in kept})
    if kind == "correlation":
        return correlation.table(rows, SHOWN).rename(columns={"r": "ours"})[kept]
    if kind == "by_label":
        rows = rows[rows["block"].isin(_blocks_of_paper(network))]
        ours = tables.by_label(rows)
        ours["of_blocks"] = _blocks_of_labels(network, rows)
    else:
        ours = tables.by_block(rows)
    ours["reason"] = [
        main_reason(rows[(rows[kept[0]] == cell[kept[0]]) | (cell[kept[0]] == ALL)], cell["metric"])
        for cell in ours.to_dict("records")
    ]
    return ours.rename(columns={"mean": "ours"})[kept]


def _blocks_of_labels(network: Network, rows: pd.DataFrame) -> int:
    """The number of blocks in the paper's table of labels that can have a value."""
    definable = tables.definable(network.blocks, convention_of(rows)) if len(rows) else ()
    return len({*_blocks_of_paper(network)} & {*definable})


def _blocks_of_paper(network: Network) -> tuple[int, ...]:
    """The blocks that the paper's tables of labels use; all blocks of a network that the paper does not have."""
    return published.blocks(network.architecture) or tuple(block.block for block in network.blocks)


def _sizes_side_by_side(network: Network, theirs: pd.DataFrame) -> pd.DataFrame:
    ours = tables.sizes(network.blocks)
    theirs = theirs.rename(columns=lambda name: name if name == "block" else f"published_{name}")
    both = ours.merge(theirs, on="block", how="left")
    same = [both[name] == both[f"published_{name}"] for name in ("jacobian_elements", "eigenvalues")]
    agreement = np.where(same[0] & same[1], "equal", "apart")
    both["agreement"] = np.where(both["published_eigenvalues"].isna(), "not published", agreement)
    return both


def _agreement(cell: dict, convention: Convention, judge: Callable[[dict], str]) -> str:
    if pd.isna(cell["published"]):
        return "not published"
    if cell["state"]:
        return str(cell["state"])
    if cell["n_blocks"] < cell["of_blocks"]:
        return "partial"
    return judge(cell) if convention == published.CONVENTION else "other reading"


def _agreement_of_means(cell: dict) -> str:
    """By the factor between the two."""
    if cell["ours"] * cell["published"] <= 0:
        return "apart"
    factor = max(cell["ours"] / cell["published"], cell["published"] / cell["ours"])
    return "close" if factor <= CLOSE else "comparable" if factor <= COMPARABLE else "apart"


def _agreement_of_r(cell: dict) -> str:
    """By our interval. A published r outside it contradicts ours, however wide the interval is."""
    if np.isnan(cell["high"] - cell["low"]):  # no interval: too few resamples have a correlation
        return "uncertain"
    if cell["low"] - 0.005 <= cell["published"] <= cell["high"] + 0.005:
        return "close" if cell["high"] - cell["low"] <= WIDEST_INTERVAL else "uncertain"
    return "comparable" if cell["ours"] * cell["published"] > 0 else "apart"


def along_depth(
    network: Network, rows: pd.DataFrame | None, metric: str, convention: Convention = published.CONVENTION
) -> pd.DataFrame:
    """A metric block by block, one row for every block of the network, whether it is computed or not.

    Columns: block, keeps_shape, mean, median, low, high (5 and 95 % of the images), n, n_undefined, state ("",
    "undefined", "not computed") and its reason (a Missing or None), published, and the means of baseline (under
    ``slices``: P if random, S without skip) and live_fraction. convention: used where there are no rows.
    """
    rows = pd.DataFrame() if rows is None else rows
    convention = convention_of(rows) if len(rows) else convention
    theirs = published.table(network.architecture, "by_block").set_index(["block", "metric"])["published"]
    definable, baseline = tables.definable(network.blocks, convention, metric), tables.with_baselines().get(metric)
    lines = []
    for block in network.blocks:
        part = rows[rows["block"] == block.block] if len(rows) else rows
        lines.append(
            {"block": block.block, "keeps_shape": block.is_identity}
            | _along_one(part, metric, block.block in definable)
            | {"published": theirs.get((block.block, metric), np.nan)}
            | {"baseline": _mean(part, baseline), "live_fraction": _mean(part, "live_fraction")}
        )
    return pd.DataFrame(lines)


def _along_one(part: pd.DataFrame, metric: str, definable: bool) -> dict:
    """One block's mean, median, low, high, n, n_undefined, state and reason."""
    statistics: dict[str, float] = {"mean": np.nan, "median": np.nan, "n": 0, "n_undefined": 0}
    if len(part):
        statistics = {name: value for name, value in tables.describe(part, metric).items() if name in statistics}
    values = tables.column(part, metric).dropna() if len(part) else pd.Series(dtype=float)
    low, high = np.quantile(values, tables.SPREAD) if len(values) else (np.nan, np.nan)
    reason = None if statistics["n"] else main_reason(part, metric) if definable else NOT_SQUARE
    return statistics | {"low": low, "high": high, "state": _word(reason), "reason": reason}


def _mean(part: pd.DataFrame, metric: str | None) -> float:
    if metric is None or not len(part):
        return np.nan
    return tables.describe(part, metric)["mean"]
