"""Rows of ``analyse`` as text: a short table on a terminal, all columns by full name elsewhere, and the notes below."""

import math
from collections.abc import Callable, Iterable, Mapping

from stiffcore.analysis.requests import QUANTITIES, Request
from stiffcore.analysis.results import Result
from stiffcore.commands import terminal
from stiffcore.conventions import Convention
from stiffcore.metrics import definitions
from stiffcore.metrics.metric import Group, Short, Unit
from stiffcore.metrics.missing import NOT_COMPUTED, Missing, not_computed
from stiffcore.networks.network import Network

Show = Callable[[Result], None]

# The columns before and after the metrics; the convention is in the title and in each JSON object.
WHICH = ("network", "weights", "image", "label", "predicted", "correct", "loss", "block", "n_in", "n_out")
HOW = ("seconds", "device", "precision", "stored")
WIDTHS = {"network": 18, "weights": 12, "label": 10, "predicted": 10, "loss": 12}
WIDTH = 12  # of a metric
# On a terminal: 106 characters under `block`, 119 under `branch`. Column -> its width, before and after the metrics.
SHORT_WHICH = {"image": 5, "label": 10, "predicted": 10, "block": 5}
SHORT_HOW = {"seconds": 7}
HAS_EIGENVALUES = not_computed("the block has eigenvalues")  # why it has no singular values


def columns() -> list[str]:
    """The columns of text and JSON in order: the block, its counts, its other metrics, how they were computed."""
    metrics = [metric for metric in definitions.METRICS if metric.wide and metric.derived is None]
    metrics = [metric for metric in metrics if metric.group is not Group.SINGULAR]
    return [
        *WHICH,
        *(metric.name for metric in sorted(metrics, key=lambda metric: metric.unit is not Unit.COUNT)),
        *HOW,
    ]


def singular() -> list[str]:
    """The metrics of blocks that are not square."""
    return [metric.name for metric in definitions.of_group(Group.SINGULAR)]


def row(result: Result) -> dict[str, object]:
    """The columns in their order, then the other fields; NaN for a metric that is newer than a stored result."""
    row = result.row()
    return {name: row.get(name, math.nan) for name in columns()} | row


def _title(request: Request) -> str:
    return f"{request.convention.title}; level {request.quantity}"


def _cells(result: Result) -> tuple[dict[str, str], dict[str, Missing]]:
    """Every column as text, and the reason for each metric without a value. Singular values of a square block are not
    computed."""
    values: dict[str, object] = dict.fromkeys(singular(), math.nan) | row(result)
    absent = [metric.name for metric in definitions.METRICS if _is_nan(values.get(metric.name, 0.0))]
    why = dict.fromkeys(absent, NOT_COMPUTED) | dict.fromkeys(singular(), HAS_EIGENVALUES) | result.reasons
    missing = {name: why[name] for name in absent}
    values |= {name: _label(values[name], result.request.network) for name in ("label", "predicted")}
    return {name: terminal.as_text(value, missing.get(name)) for name, value in values.items()}, missing


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _label(number: object, network: Network) -> str:
    return network.class_name(number) if isinstance(number, int) else "none"


def wide(requests: list[Request]) -> Show:
    """All columns by their names, including the singular values if a block is not square."""
    shown = [*columns(), *(singular() if any(map(_has_singular_values, requests)) else ())]
    widths = WIDTHS | dict.fromkeys((metric.name for metric in definitions.METRICS), WIDTH)
    table = terminal.Table(_title(requests[0]), {name: widths.get(name, 0) for name in shown})

    def show(result: Result) -> None:
        cells, _ = _cells(result)
        table.row({name: cells[name] for name in shown})

    return show


def _has_singular_values(request: Request) -> bool:
    return request.convention.has_matrix and not request.geometry.is_identity


def _short_metrics(convention: Convention) -> dict[str, Short]:
    """Metric -> its column of the short table, without metrics that have no value at these levels."""
    columns = {
        metric.name: metric.short
        for metric in definitions.METRICS
        if metric.short is not None and metric.is_of(convention) and convention not in metric.needs_spectrum
    }
    return dict(sorted(columns.items(), key=lambda column: column[1].place))


def short_columns(convention: Convention) -> dict[str, str]:
    """Heading of a column -> the field that it shows."""
    metrics = {short.name: metric for metric, short in _short_metrics(convention).items()}
    return {name: name for name in SHORT_WHICH} | metrics | {name: name for name in SHORT_HOW}


def short(requests: list[Request]) -> Show:
    """A table for a terminal: four digits, "stored" in place of seconds, singular values in place of eigenvalues."""
    convention = requests[0].convention
    columns, metrics = short_columns(convention), _short_metrics(convention)
    meanings = ", ".join(f"{short.name} {metric}" for metric, short in metrics.items() if short.explained)
    title = f"{_title(requests[0])}\n{meanings}; --wide: more"
    table = terminal.Table(title, SHORT_WHICH | {short.name: short.width for short in metrics.values()} | SHORT_HOW)

    def show(result: Result) -> None:
        cells, missing = _cells(result)
        for name, value in row(result).items():
            if isinstance(value, float) and not math.isnan(value):
                cells[name] = f"{value:.4g}"
            elif name in missing and not missing[name].is_undefined:
                cells[name] = "–"  # the notes below the table say why
        if result.stored:
            cells["seconds"] = "stored"
        if not _has_singular_values(result.request):
            table.row({heading: cells[name] for heading, name in columns.items()})
            return
        kept = (*SHORT_WHICH, *SHORT_HOW)
        table.row({name: cells[name] for name in kept}, _singular_values(cells, missing))

    return show


def _singular_values(cells: dict[str, str], missing: Mapping[str, Missing]) -> str:
    """The text in place of the eigenvalue metrics of a block that is not square."""
    largest, smallest = cells["largest_singular_value"], missing.get("smallest_singular_value")
    if smallest is not None:
        return f"largest singular value {largest}, smallest {smallest.word}"
    condition = cells["condition_number"]
    return f"singular values {cells['smallest_singular_value']} to {largest}, condition number {condition}"


def _explained(results: list[Result], columns: Iterable[str]) -> list[str]:
    """A line for each reason why a metric of the table is undefined or not computed, with its blocks and metrics."""
    shown = [*columns, *singular()]
    places: dict[Missing, tuple[set[int], set[str]]] = {}
    for result in results:
        for name in shown:
            if name in result.reasons:
                blocks, names = places.setdefault(result.reasons[name], (set(), set()))
                blocks.add(result.request.block)
                names.add(name)
    return [
        f"block {', '.join(map(str, sorted(blocks)))}: {', '.join(name for name in shown if name in names)} {reason}"
        for reason, (blocks, names) in places.items()
    ]


def _left_open(results: list[Result]) -> list[str]:
    """A line for each row whose counts are intervals."""
    lines = []
    for result in results:
        open_, request = result.metrics.get("n_undetermined", 0.0), result.request
        if open_ > 0:
            most = 100 * (result.metrics["n_negative"] + open_) / result.metrics["n_eigenvalues"]
            lines.append(
                f"image {request.image.in_rows} block {request.block}: {open_:,.0f} eigenvalues are too close to the imaginary "
                f"axis to determine their sign, so that percent_negative is at most {most:.4g}"
            )
    return lines


def _how(results: list[Result]) -> list[str]:
    """The device, precision and threads of what was computed now."""
    made = [result.made for result in results if not result.stored]
    lines = [f"Computed on {m['device']}, {m['precision']}, {m['threads']} thread per matrix." for m in made]
    return list(dict.fromkeys(lines))


def _more_than_asked(results: list[Result]) -> list[str]:
    """A stored result of a higher level serves a lower one, and all of it is shown."""
    below_counts = QUANTITIES[: QUANTITIES.index("counts")]
    higher = [
        r
        for r in results
        if r.request.quantity in below_counts and r.made.get("quantity", r.request.quantity) != r.request.quantity
    ]
    if not higher:
        return []
    blocks = ", ".join(map(str, sorted({result.request.block for result in higher})))
    return [f"block {blocks}: a result of a higher level was stored, and all of it is shown"]


def _beside_the_axis(results: list[Result], columns: Iterable[str]) -> list[str]:
    """A line for the columns of the wide table with a caveat, if any of them has a value."""
    shown = [definitions.named(name) for name in columns]
    kept = [m for m in shown if m.caveat and any(math.isfinite(r.metrics.get(m.name, math.nan)) for r in results)]
    return [f"{', '.join(metric.name for metric in kept)}: {kept[0].caveat}"] if kept else []


def below(results: list[Result], columns: Iterable[str]) -> list[str]:
    """The notes below the table: missing values and why, intervals, how the values were computed."""
    notes = [*_explained(results, columns), *_left_open(results), *_beside_the_axis(results, columns)]
    return [*notes, *_how(results), *_more_than_asked(results)]
