"""The figures in the READMEs that follow from what ships, between markers ``<!-- name -->`` and ``<!-- /name -->``."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from stiffcore.benchmarks import card_text
from stiffcore.conventions import Convention
from stiffcore.files import write_replaced
from stiffcore.metrics import readme as markers
from stiffcore.networks import catalogue, manifest, registry as networks
from stiffcore.paper import answer, earlier, published
from stiffcore.rebuild.target import Need, Target, Workers
from stiffcore.statistics import tables
from stiffcore.sweeps import shipping

PATH = Path(__file__).resolve().parents[2] / "README.md"
BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks" / "README.md"
S, P = "stiffness_index", "percent_negative"
SECONDS = 10.0  # of one core
DECAYED = {"weights": "weights", "all": "every parameter", "every parameter": "every parameter"}


def answer_in_short() -> str:
    """The home page's three sentences, from the rows that ship."""
    branch, untrained, slices = (
        {name: shipping.rows(networks.find(f"{name}{of}"), convention) for name in catalogue.PAPER}
        for of, convention in (("", Convention.BRANCH), ("-untrained", Convention.BRANCH), ("", Convention.SLICES))
    )
    said = answer.sentences(branch, untrained, slices, {name: networks.title(name) for name in catalogue.PAPER})
    return "".join(f"- {sentence}\n" for sentence in said)


def table_2() -> str:
    """The paper's Table 2, ResNet18 under ``slices``, beside ours with the two baselines of S and P."""
    network = networks.find("resnet18")
    names = (S, "stiffness_index_without_skip", P, "expected_percent_negative")
    means = tables.by_block(shipping.rows(network, Convention.SLICES), names).pivot(
        index="block", columns="metric", values="mean"
    )
    theirs = published.table("resnet18", "by_block").pivot(index="block", columns="metric", values="published")
    columns = [
        ("block", None), ("S, published", theirs[S]), ("S, computed", means[S]), ("S without the skip's slices", means[names[1]]),
        ("P, published, %", theirs[P]), ("P, computed, %", means[P]), ("P of random entries, %", means[names[3]]),
    ]  # fmt: skip
    rows = [[str(block), *(number(column.get(block, np.nan)) for _, column in columns[1:])] for block in means.index]
    return table([name for name, _ in columns], rows)


def weights() -> str:
    """The recipes and accuracies of the weights that ship, from their files' metadata."""
    names = (
        "network",
        "epochs",
        "batch",
        "peak rate",
        "warm-up",
        "weight decay",
        "of",
        "padded in",
        "trained on",
        "test accuracy",
    )
    rows = []
    for name in catalogue.SHIPPED:
        entry = manifest.entry(name)
        noted = entry.recipe["recipe"]  # in an old manifest as JSON
        recipe = json.loads(noted) if isinstance(noted, str) else noted
        padded = recipe.get("padded", "black" if recipe.get("padding") == "black" else "reflection")
        made_on = entry.recipe.get("device", "")
        rows.append(
            [
                networks.title(name),
                f"{recipe.get('epochs', '?')}{', from other weights' if recipe.get('start_from') else ''}",
                *(f"{recipe[field]:g}" for field in ("batch_size", "peak_learning_rate")),
                f"{100 * recipe['warmup']:.0f} %",
                f"{recipe['weight_decay']:g}",
                DECAYED[str(recipe.get("decayed", "weights"))],
                str(padded),
                f"{made_on}, {entry.recipe['seconds']} s" if made_on else "–",
                "not measured" if entry.accuracy is None else f"{100 * entry.accuracy:.2f} %",
            ]
        )
    return table(names, rows)


def recipe() -> str:
    """What the recipe changes: nothing while the first weights ship."""
    found = {network: shipping.rows(network, Convention.SLICES) for network in map(networks.find, catalogue.PAPER)}
    rows = {network: frame for network, frame in found.items() if earlier.is_superseded(network) and len(frame)}
    if not rows:
        return ""
    parts = [
        "Table 2 (ResNet18) and the distances of all three from the paper's block means, with the first weights and with these:\n\n"
    ]
    compared = {network: earlier.side_by_side(network, frame) for network, frame in rows.items()}
    parts += [_blocks(side) + "\n" for network, side in compared.items() if network.name == "resnet18"]
    parts.append(_distances(rows, compared) + "\nWhat of the paper comes back, and what does not:\n\n")
    verdicts = earlier.verdicts(rows)
    lines = [
        [f"{one.claim} ({one.where})", _of(one.network), one.paper, one.earlier, one.ours]
        for one in verdicts.itertuples()
    ]
    return "".join(parts) + table(["claim", "network", "paper's tables", "first weights", "these weights"], lines)


def _of(network: str) -> str:
    return "all" if network == tables.ALL else networks.title(network)


def _blocks(side: pd.DataFrame) -> str:
    wide = side.pivot(index="block", columns="metric")
    heads = ["block", *(f"{symbol}, {who}" for symbol in ("S", "P") for who in ("published", "first weights", "these"))]
    columns = [wide[who, metric] for metric in (S, P) for who in ("published", "earlier", "ours")]
    return table(heads, [[str(block), *(number(column[block]) for column in columns)] for block in wide.index])


def _distances(rows: dict, compared: dict) -> str:
    numbers = (f"{what}, {who}" for what in ("accuracy", "log |S|", "log P") for who in ("first weights", "these"))
    heads = ["network", *numbers, "images", "blocks"]
    lines = []
    for network, side in compared.items():
        far = earlier.distances(side).set_index("metric")
        known, entry = earlier.earlier()[network.name], manifest.entry(network.name)
        lines.append(
            [
                network.title,
                f"{100 * known['accuracy']:.2f} %",
                f"{100 * (entry.accuracy or np.nan):.2f} %",
                *(number(far.loc[metric, who]) for metric in (S, P) for who in earlier.SIDES),
                f"{rows[network]['image'].nunique():,}",
                f"{far.loc[S, 'n']:.0f}",
            ]
        )
    return table(heads, lines)


def number(value: float) -> str:
    """Two decimals and a true minus sign; a dash for what is not there."""
    return "–" if not np.isfinite(value) else f"{value:.2f}".replace("-", "−")


def table(heads: list[str] | tuple[str, ...], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    lines = [" | ".join(cell.replace("|", "\\|") for cell in line) for line in (heads, *rows)]
    return "".join(
        f"{line}\n" for line in [f"| {lines[0]} |", f"|{'---|' * len(heads)}", *(f"| {one} |" for one in lines[1:])]
    )


SECTIONS: dict[str, Callable[[], str]] = {
    "answer": answer_in_short,
    "table-2": table_2,
    "weights": weights,
    "recipe": recipe,
}
OF_BENCHMARKS: dict[str, Callable[[], str]] = {"gpu": card_text.kept}


def current(text: str, sections: dict[str, Callable[[], str]] = SECTIONS) -> str:
    """The text with current sections. Raises ValueError where a marker is missing."""
    for name, content in sections.items():
        text = markers.between(text, name, content())
    return text


@dataclass(frozen=True)
class Readme(Target):
    path: Path = PATH
    benchmarks: Path = BENCHMARKS

    @property
    def networks(self) -> tuple[str, ...]:
        return catalogue.PAPER

    @property
    def files(self) -> tuple[tuple[Path, dict[str, Callable[[], str]]], ...]:
        """Each README with its sections."""
        return (self.path, SECTIONS), (self.benchmarks, OF_BENCHMARKS)

    def need(self) -> Need:
        if any(shipping.rows(networks.find(name), Convention.SLICES).empty for name in catalogue.PAPER):
            return self._lacking(("rows under slices are missing",))
        old = []
        for path, sections in self.files:
            text = path.read_text("utf-8")
            old += [name for name, content in sections.items() if markers.between(text, name, content()) != text]
        return Need((f"not current: {', '.join(old)}",), len(old), SECONDS) if old else Need()

    def everything(self) -> Need:
        return self._lacking(("",))

    def _lacking(self, reasons: tuple[str, ...]) -> Need:
        return Need(reasons, len(SECTIONS) + len(OF_BENCHMARKS), SECONDS)

    def make(self, workers: Workers) -> None:
        workers.step(0, 1, self.name)
        for path, sections in self.files:
            write_replaced(path, current(path.read_text("utf-8"), sections).encode())
