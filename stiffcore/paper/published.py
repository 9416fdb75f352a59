"""The paper's Tables 1 to 11, and its errata with the cells that they concern. Needs no torch.

Source: "Block-Level Stiffness Analysis of Residual Networks" (anonymous). Nothing published is corrected here.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pandas as pd

from stiffcore.conventions import Convention
from stiffcore.networks.network import Network
from stiffcore.statistics.correlation import OUTCOMES
from stiffcore.statistics.tables import SHOWN

NETWORKS = ("resnet18", "resnet34", "resnet50")  # those of the paper; the catalogue may have others
KINDS = {  # kind -> what the tables of this kind hold
    "correlation": "Correlation of stiffness with accuracy and loss",
    "by_block": "Stiffness by block",
    "by_label": "Stiffness by label",
    "sizes": "Sizes of the Jacobian and numbers of eigenvalues",
}
CONVENTION = Convention.SLICES  # of every published number, as the counts in Tables 10 and 11 show


@dataclass(frozen=True)
class Erratum:
    """Something in the paper that contradicts its own text, tables or equations.

    tables: the numbers of the tables that it concerns; block, label, measure, outcome: the cells in them, None for all.
    """

    text: str
    where: str
    tables: tuple[int, ...] = ()
    block: int | None = None
    measure: str | None = None
    outcome: str | None = None

    def concerns(self, table: int, **cell: object) -> bool:
        """Whether it concerns this cell, named by block, measure and outcome."""
        if table not in self.tables:
            return False
        return all(getattr(self, name) in (None, value) for name, value in cell.items())


@cache
def _paper() -> dict:
    paper: dict = json.loads((Path(__file__).parents[1] / "data" / "paper_tables.json").read_text(encoding="utf-8"))
    return paper


def source() -> str:
    return str(_paper()["source"])


def _tables_of(network: str) -> dict:
    """The paper's tables of a network; empty for a network that is not in the paper."""
    return _paper()[network] if network in NETWORKS else {}


def number(network: str, kind: str) -> int | None:
    """The number of the paper's table, None where it has none (the sizes of ResNet50)."""
    numbers: dict[str, int] = _tables_of(network).get("tables", {})
    return numbers.get(kind)


def blocks(network: str) -> tuple[int, ...]:
    """The blocks in the paper's tables of a network: all, except that ResNet50 has only the last."""
    return tuple(row["block"] for row in _tables_of(network).get("by_block", []) if row["block"] != "all")


def title(network: Network, kind: str) -> str:
    """The title of a table. A baseline is compared with the network that it is made from."""
    table = number(network.architecture, kind)
    return f"{f'Table {table}' if table else 'Not in the paper'}: {KINDS[kind][0].lower()}{KINDS[kind][1:]}, {network.title}"


def network_title(network: str) -> str:
    """``resnet18-shuffled`` -> ``ResNet18, shuffled``."""
    return network.replace("resnet", "ResNet").replace("-", ", ")


def table(network: str, kind: str) -> pd.DataFrame:
    """A table of the paper, one row per cell.

    by_block: block, metric, published. by_label: label, metric, published. correlation: block, measure, outcome,
    published (r), published_p. sizes: block, jacobian_elements, eigenvalues. Empty where the paper has no such table.
    """
    entries = _tables_of(network).get(kind, [])
    if kind == "sizes":
        return pd.DataFrame(entries, columns=["block", "jacobian_elements", "eigenvalues"])
    if kind == "correlation":
        cells = [
            {"block": row["block"], "measure": m, "outcome": o, "published": cell["r"], "published_p": cell["p"]}
            for row in entries
            for m in SHOWN
            for o in OUTCOMES
            for cell in [row[f"{o}_{m}"]]
        ]
        return pd.DataFrame(cells, columns=["block", "measure", "outcome", "published", "published_p"])
    of = "block" if kind == "by_block" else "label"
    cells = [{of: row[of], "metric": m, "published": row[m]} for m in SHOWN for row in entries]
    return pd.DataFrame(cells, columns=[of, "metric", "published"])


def implied_images(network: str) -> tuple[int, int] | None:
    """The fewest and the most images that are consistent with every rounded (r, p) pair of the blocks.

    From t = r sqrt((n − 2) / (1 − r²)), so n = 2 + z² (1 − r²) / r², with z of the two-sided p (at such n, t is
    normal); r and p are each within half a unit of their second decimal. None where the pairs give no upper bound.
    """

    def images(r: float, p: float) -> float:
        return 2 + NormalDist().inv_cdf(1 - p / 2) ** 2 * (1 - r * r) / (r * r)

    fewest, most = 3.0, np.inf
    for cell in table(network, "correlation").query("block != 'all'").itertuples():
        r, p = abs(cell.published), cell.published_p
        fewest = max(fewest, images(r + 0.005, min(p + 0.005, 1.0)))
        if r > 0.005 and p > 0.005:
            most = min(most, images(r - 0.005, p - 0.005))
    return None if np.isinf(most) else (int(np.ceil(fewest)), int(most))


def implied_images_sentence(network: str) -> str:
    bounds = implied_images(network)
    if bounds is None:
        return (
            f"The paper does not say how many images {network_title(network)}'s tables use; "
            "the (r, p) pairs do not determine it."
        )
    return (
        f"The paper does not say how many images {network_title(network)}'s tables use; "
        f"its rounded (r, p) pairs are consistent with {bounds[0]:,} to {bounds[1]:,}."
    )


_ALL_S = (2, 3, 5, 6, 8, 9)
_CORRELATIONS = (1, 4, 7)
ERRATA = (
    Erratum(
        "Equation 11 counts Re λ > 0, where the text and the tables mean Re λ < 0.",
        "Eq. 11",
        _ALL_S,
        measure="percent_negative",
    ),
    Erratum(
        "Equation 10, max Re λ / min Re λ, is not the textbook ratio and inverts it in the textbook's example: λ = −1 and "
        "−1000 give S = 0.001, and Equation 8 alone gives 1.",
        "Eq. 10",
        _ALL_S,
        measure="stiffness_index",
    ),
    Erratum(
        "S is signed: a negative correlation with accuracy means that more negative S goes with higher accuracy. "
        "The text states the opposite.",
        "text on Tables 1, 4, 7",
        _CORRELATIONS,
        measure="stiffness_index",
    ),
    Erratum("§5.3 prints 35.32 without its sign.", "§5.3", (8,), 16, "stiffness_index"),
    Erratum(
        "The introduction attributes −0.36 to S; this table has it under P.",
        "introduction",
        (1,),
        8,
        "percent_negative",
        "accuracy",
    ),
    Erratum("§5.1 attributes 0.34 to S; this table has it under P.", "§5.1", (1,), 8, "percent_negative", "loss"),
    Erratum(
        "The introduction gives 0.25 for P with loss; this table has 0.25 under S and −0.15 under P.",
        "introduction",
        (7,),
        16,
        outcome="loss",
    ),
    Erratum(
        "ResNet50's P correlates with the opposite sign to the other networks'.",
        "Table 7",
        (7,),
        16,
        "percent_negative",
    ),
    Erratum("“Spikes in the last three blocks”: block 7's S is −1.28.", "§5.1", (2,), 7, "stiffness_index"),
    Erratum(
        "§4.1 calls all block Jacobians square; those of the downsampling blocks are not. The number of eigenvalues is that of the "
        "trailing height × width slices of the Jacobian tensor, n_out · C_in · H_in, not of the n × n matrix.",
        "§4.1",
        (10, 11),
    ),
    Erratum(
        "§4.1 calls step 0.0015 unstable for Equation 8; forward Euler's factor there is −0.5, so the error oscillates and "
        "decays; the limit is 0.002.",
        "§4.1",
    ),
    Erratum("Equation 9's coefficients are rounded; exact: y = 3 − (997/999) e^(−1000t) − (2000/999) e^(−t).", "Eq. 9"),
    Erratum("Q⁻¹ = Qᵀ holds for real symmetric matrices, not for every diagonalisable one.", "text"),
)


def errata(table_number: int | None = None) -> tuple[Erratum, ...]:
    """The errata of one table; without a number, those that concern no table."""
    if table_number is None:
        return tuple(erratum for erratum in ERRATA if not erratum.tables)
    return tuple(erratum for erratum in ERRATA if table_number in erratum.tables)
