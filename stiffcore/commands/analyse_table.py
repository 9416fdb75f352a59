"""Rows of ``analyse`` as text: a short table on a terminal, every column by its full name elsewhere, and what explains them."""

import math
from collections.abc import Callable, Iterable

from stiffcore.analysis import requests as analysis
from stiffcore.commands import terminal
from stiffcore.conventions import Convention
from stiffcore.images import cifar10

Show = Callable[[analysis.Result], None]

# The order of text and JSON; the convention stands above the table and in each JSON object.
COLUMNS = (  # noqa: SIM905
    "network weights image label predicted correct loss block n_in n_out n_eigenvalues n_negative n_zero n_undetermined "
    "stiffness_index percent_negative stiffness_ratio max_re min_re spectral_radius live_fraction outside_euler "
    "largest_stable_step seconds device precision stored"
).split()
SINGULAR = ("largest_singular_value", "smallest_singular_value", "condition_number")  # of blocks that are not square
WIDTHS = {"network": 18, "label": 10, "predicted": 10, "n_eigenvalues": 13, "n_negative": 12, "n_zero": 12} | dict.fromkeys(
    "weights loss stiffness_index percent_negative stiffness_ratio max_re min_re spectral_radius outside_euler "  # noqa: SIM905
    "largest_singular_value smallest_singular_value condition_number".split(), 12
)  # fmt: skip
# On a terminal: 106 characters under `block`, 119 under `branch`. Name above the column -> what it holds, and its width.
SHORT = {
    "image": ("image", 5), "label": ("label", 10), "predicted": ("predicted", 10), "block": ("block", 5),
    "n": ("n_eigenvalues", 8), "S": ("stiffness_index", 9), "P": ("percent_negative", 7), "min Re": ("min_re", 9),
    "max Re": ("max_re", 9), "ratio": ("stiffness_ratio", 9), "step": ("largest_stable_step", 9), "seconds": ("seconds", 7),
}  # fmt: skip


def row(result: analysis.Result) -> dict[str, object]:
    """The columns in their order, then what else there is."""
    row = analysis.row(result)
    return {name: row[name] for name in COLUMNS} | row


def _title(request: analysis.Request) -> str:
    return f"{request.convention.title}; level {request.quantity}"


def _cells(result: analysis.Result) -> dict[str, str]:
    """Every column as text; singular values that were not asked for, of a square block, are not computed."""
    row = dict.fromkeys(SINGULAR, math.nan) | analysis.row(result)
    row |= {name: "none" if row[name] is None else cifar10.LABELS[row[name]] for name in ("label", "predicted")}
    reasons = dict.fromkeys(SINGULAR, "not computed: the block has eigenvalues") | result.reasons
    return {name: terminal.as_text(value, reasons.get(name, "")) for name, value in row.items()}


def wide(requests: list[analysis.Request]) -> Show:
    """All columns by their names, singular values too where a block is not square."""
    columns = [*COLUMNS, *(SINGULAR if any(map(_has_singular_values, requests)) else ())]
    table = terminal.Table(_title(requests[0]), {name: WIDTHS.get(name, 0) for name in columns})

    def show(result: analysis.Result) -> None:
        cells = _cells(result)
        table.row({name: cells[name] for name in columns})

    return show


def _has_singular_values(request: analysis.Request) -> bool:
    return request.convention.has_matrix and not request.geometry.is_identity


def short_columns(convention: Convention) -> dict[str, str]:
    """Name above the column -> what it holds; without those that never hold a number at these levels."""
    has = {"ratio": convention.has_matrix, "step": convention.is_right_hand_side}
    return {short: name for short, (name, _) in SHORT.items() if has.get(short, True)}


def short(requests: list[analysis.Request]) -> Show:
    """What fits a terminal: four digits, "stored" in place of the seconds, singular values in place of eigenvalues."""
    columns = short_columns(requests[0].convention)
    meanings = ", ".join(
        f"{short} {name}" for short, name in columns.items() if short in ("n", "S", "P", "ratio", "step")
    )
    title = f"{_title(requests[0])}\n{meanings}; --wide: more"
    table = terminal.Table(title, {short: SHORT[short][1] for short in columns})

    def show(result: analysis.Result) -> None:
        row, cells = analysis.row(result), _cells(result)
        for name, value in row.items():
            if isinstance(value, float) and not math.isnan(value):
                cells[name] = f"{value:.4g}"
            elif cells[name] == "not computed":
                cells[name] = "–"  # the lines below the table say why
        if result.stored:
            cells["seconds"] = "stored"
        if not _has_singular_values(result.request):
            table.row({short: cells[name] for short, name in columns.items()})
            return
        kept = ("image", "label", "predicted", "block", "seconds")
        table.row({short: cells[short] for short in kept}, _singular_values(cells))

    return show


def _singular_values(cells: dict[str, str]) -> str:
    largest, smallest, condition = (cells[name] for name in SINGULAR)
    if smallest in ("–", "undefined"):
        return f"largest singular value {largest}, smallest {smallest.replace('–', 'not computed')}"
    return f"singular values {smallest} to {largest}, condition number {condition}"


def _explained(results: list[analysis.Result], columns: Iterable[str]) -> list[str]:
    """One line for each reason why a metric of the table is undefined or was not computed, with the blocks and metrics."""
    shown, places = [*columns, *SINGULAR], {}
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
