"""Rows of ``analyse`` as text: a short table on a terminal, every column by its full name elsewhere, and what explains them."""

import math
from collections.abc import Callable, Iterable, Mapping

from stiffcore.analysis import requests as analysis
from stiffcore.commands import terminal
from stiffcore.images import cifar10
from stiffcore.metrics import definitions
from stiffcore.metrics.metric import Group, Metric, Unit
from stiffcore.metrics.missing import NOT_COMPUTED, Missing, not_computed

Show = Callable[[analysis.Result], None]

# Before the metrics, and behind them; the convention stands above the table and in each JSON object.
WHICH = ("network", "weights", "image", "label", "predicted", "correct", "loss", "block", "n_in", "n_out")
HOW = ("seconds", "device", "precision", "stored")
WIDTHS = {"network": 18, "weights": 12, "label": 10, "predicted": 10, "loss": 12}
WIDTH = 12  # of a metric
# On a terminal: 106 characters under `block`, 119 under `branch`. Column -> its width, before the metrics and behind them.
SHORT_WHICH = {"image": 5, "label": 10, "predicted": 10, "block": 5}
SHORT_HOW = {"seconds": 7}
HAS_EIGENVALUES = not_computed("the block has eigenvalues")  # why it has no singular values


def columns() -> list[str]:
    """The order of text and JSON: which block, its counts, its other metrics, how they were computed."""
    metrics = [metric for metric in definitions.METRICS if metric.wide and metric.derived is None]
    metrics = [metric for metric in metrics if metric.group is not Group.SINGULAR]
    return [*WHICH, *(metric.name for metric in sorted(metrics, key=lambda one: one.unit is not Unit.COUNT)), *HOW]


def singular() -> list[str]:
    """The metrics of blocks that are not square."""
    return [metric.name for metric in definitions.of_group(Group.SINGULAR)]


def row(result: analysis.Result) -> dict[str, object]:
    """The columns in their order, then what else there is; NaN for a metric that is younger than a stored result."""
    row = analysis.row(result)
    return {name: row.get(name, math.nan) for name in columns()} | row


def _title(request: analysis.Request) -> str:
    return f"{request.convention.title}; level {request.quantity}"


def _cells(result: analysis.Result) -> tuple[dict[str, str], dict[str, Missing]]:
    """Every column as text; and why a metric has no value, of those that have none: singular values that were not asked for,
    of a square block, are not computed."""
    values = dict.fromkeys(singular(), math.nan) | row(result)
    absent = [metric.name for metric in definitions.METRICS if math.isnan(values.get(metric.name, 0))]
    why = dict.fromkeys(absent, NOT_COMPUTED) | dict.fromkeys(singular(), HAS_EIGENVALUES) | result.reasons
    missing = {name: why[name] for name in absent}
    values |= {
        name: "none" if values[name] is None else cifar10.LABELS[values[name]] for name in ("label", "predicted")
    }
    return {name: terminal.as_text(value, missing.get(name)) for name, value in values.items()}, missing


def wide(requests: list[analysis.Request]) -> Show:
    """All columns by their names, singular values too where a block is not square."""
    shown = [*columns(), *(singular() if any(map(_has_singular_values, requests)) else ())]
    widths = WIDTHS | dict.fromkeys((metric.name for metric in definitions.METRICS), WIDTH)
    table = terminal.Table(_title(requests[0]), {name: widths.get(name, 0) for name in shown})

    def show(result: analysis.Result) -> None:
        cells, _ = _cells(result)
        table.row({name: cells[name] for name in shown})

    return show


def _has_singular_values(request: analysis.Request) -> bool:
    return request.convention.has_matrix and not request.geometry.is_identity


def _short_metrics(convention: str) -> list[Metric]:
    """Those of the short table, without what is always undefined, or not computed at these levels."""
    there = (metric for metric in definitions.METRICS if metric.short is not None and metric.is_of(convention))
    return sorted((one for one in there if convention not in one.needs_spectrum), key=lambda one: one.short.place)


def short_columns(convention: str) -> dict[str, str]:
    """Name above the column -> what it holds."""
    metrics = {metric.short.name: metric.name for metric in _short_metrics(convention)}
    return {name: name for name in SHORT_WHICH} | metrics | {name: name for name in SHORT_HOW}


def short(requests: list[analysis.Request]) -> Show:
    """What fits a terminal: four digits, "stored" in place of the seconds, singular values in place of eigenvalues."""
    convention = requests[0].convention
    columns, metrics = short_columns(convention), _short_metrics(convention)
    meanings = ", ".join(f"{metric.short.name} {metric.name}" for metric in metrics if metric.short.explained)
    title = f"{_title(requests[0])}\n{meanings}; --wide: more"
    table = terminal.Table(title, SHORT_WHICH | {one.short.name: one.short.width for one in metrics} | SHORT_HOW)

    def show(result: analysis.Result) -> None:
        cells, missing = _cells(result)
        for name, value in row(result).items():
            if isinstance(value, float) and not math.isnan(value):
                cells[name] = f"{value:.4g}"
            elif name in missing and not missing[name].is_undefined:
                cells[name] = "–"  # the lines below the table say why
        if result.stored:
            cells["seconds"] = "stored"
        if not _has_singular_values(result.request):
            table.row({short: cells[name] for short, name in columns.items()})
            return
        kept = (*SHORT_WHICH, *SHORT_HOW)
        table.row({short: cells[short] for short in kept}, _singular_values(cells, missing))

    return show


def _singular_values(cells: dict[str, str], missing: Mapping[str, Missing]) -> str:
    """What stands in the place of what a block that is not square has not."""
    largest, smallest = cells["largest_singular_value"], missing.get("smallest_singular_value")
    if smallest is not None:
        return f"largest singular value {largest}, smallest {smallest.word}"
    condition = cells["condition_number"]
    return f"singular values {cells['smallest_singular_value']} to {largest}, condition number {condition}"


def _explained(results: list[analysis.Result], columns: Iterable[str]) -> list[str]:
    """One line for each reason why a metric of the table is undefined or was not computed, with the blocks and metrics."""
    shown, places = [*columns, *singular()], {}
    for result in results:
        for name in shown:
            if name in result.reasons:
                blocks, names = places.setdefault(result.reasons[name], (set(), {}))
                blocks.add(result.request.block)
                names[name] = None
    return [
        f"block {', '.join(map(str, sorted(blocks)))}: {', '.join(name for name in shown if name in names)} {reason}"
        for reason, (blocks, names) in places.items()
    ]


def _left_open(results: list[analysis.Result]) -> list[str]:
    """A line for each row whose counts are intervals."""
    rows = [analysis.row(result) for result in results]
    return [
        f"image {row['image']} block {row['block']}: {row['n_undetermined']:,.0f} eigenvalues are too near to the imaginary axis to "
        f"tell their sign, so that percent_negative is up to {100 * (row['n_negative'] + row['n_undetermined']) / row['n_eigenvalues']:.4g}"
        for row in rows
        if (row.get("n_undetermined") or 0) > 0
    ]


def _how(results: list[analysis.Result]) -> list[str]:
    """How what was computed now was computed."""
    made = [result.made for result in results if not result.stored]
    lines = [f"Computed on {m['device']}, {m['precision']}, {m['threads']} thread a matrix." for m in made]
    return list(dict.fromkeys(lines))


def _more_than_asked(results: list[analysis.Result]) -> list[str]:
    """A stored result of a richer level serves a poorer one, and shows all that it holds."""
    richer = [
        r for r in results if r.request.quantity == "extremes" and r.made.get("quantity", "extremes") != "extremes"
    ]
    if not richer:
        return []
    blocks = ", ".join(map(str, sorted({result.request.block for result in richer})))
    return [f"block {blocks}: more than level extremes was stored already, so that its counts are shown, too"]


def below(results: list[analysis.Result], columns: Iterable[str]) -> list[str]:
    """The lines below the table: what is missing and why, what is an interval, how it was computed."""
    return [*_explained(results, columns), *_left_open(results), *_how(results), *_more_than_asked(results)]
