"""The README's table of metrics, written from the list of metrics."""

import re
from pathlib import Path

from stiffcore.metrics import definitions
from stiffcore.metrics.metric import EVERY, Group, Metric

README = Path(__file__).resolve().parents[1] / "README.md"
BETWEEN = re.compile(r"(?<=<!-- metrics -->\n).*(?=<!-- /metrics -->)", re.DOTALL)


def table() -> str:
    """A row per metric in the order of tables: name, symbol, what it is, where it is defined."""
    rows = [("name", "shown as", "what it is", "defined under"), ("---",) * 4]
    rows += [_row(metric) for metric in definitions.in_table_order()]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _row(metric: Metric) -> tuple[str, str, str, str]:
    where = "all" if {*metric.conventions} == {*EVERY} else ", ".join(f"`{name}`" for name in metric.conventions)
    if metric.group is Group.SINGULAR:
        where += ", blocks that are not square"
    if metric.derived is not None:
        where += ", in tables of rows"
    what = f"{metric.title} ({metric.source})" if metric.source else metric.title
    return f"`{metric.name}`", _cell(metric.heading), _cell(what), where


def _cell(text: str) -> str:
    """Bars inside a cell would end it."""
    return text.replace("|", "\\|")


def with_table(text: str) -> str:
    """A README with the table as it is now between its two markers. Raises ValueError without them."""
    if not BETWEEN.search(text):
        raise ValueError("Expected the markers <!-- metrics --> and <!-- /metrics --> on lines of their own, got none.")
    return BETWEEN.sub(lambda _: table(), text)


def rewrite(path: Path = README) -> None:
    """Put the table as it is now into a README."""
    path.write_text(with_table(path.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    rewrite()
