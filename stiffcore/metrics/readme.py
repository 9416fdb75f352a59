"""Writes the README's table of metrics from the list of metrics; and whatever else stands between two markers in a README."""

import re
from pathlib import Path

from stiffcore.metrics import definitions
from stiffcore.metrics.metric import EVERY, Group, Metric

README = Path(__file__).resolve().parents[1] / "README.md"


def table() -> str:
    """The table in Markdown, a row per metric: name, symbol, what it is, where it is defined."""
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
    what += f". {metric.caveat.removesuffix('.')}" if metric.caveat else ""
    return f"`{metric.name}`", _cell(metric.heading), _cell(what), where


def _cell(text: str) -> str:
    """Escapes bars, which would end the cell."""
    return text.replace("|", "\\|")


def with_table(text: str) -> str:
    """The text of a README with the current table between its two markers. Raises ValueError without them."""
    return between(text, "metrics", table())


def between(text: str, name: str, content: str) -> str:
    """The text with other content between the lines ``<!-- name -->`` and ``<!-- /name -->``. Raises ValueError without them."""
    place = re.compile(rf"(?<=<!-- {re.escape(name)} -->\n).*(?=<!-- /{re.escape(name)} -->)", re.DOTALL)
    if not place.search(text):
        raise ValueError(f"Expected the markers <!-- {name} --> and <!-- /{name} --> on lines of their own, got none.")
    return place.sub(lambda _: content, text)


def rewrite(path: Path = README) -> None:
    """Replaces the table in a README by the current one."""
    path.write_text(with_table(path.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    rewrite()
