"""The benchmark's report as text."""

from stiffcore.benchmarks import card_text
from stiffcore.benchmarks.timing import as_interval, as_seconds, as_spread, times

HEADINGS = {
    "1": "1. Full spectrum",
    "2": "2. Extremes and certified counts",
    "3": "3. Slices",
    "4": "4. Formation of cores",
    "5": "5. A card beside the host",
}
STAGES = ("formation", "eigensolver", "together")


def as_text(report: dict) -> str:
    """The whole report: the machine, a table for each comparison, memory, and notes on what was left out."""
    lines = [f"{name:16} {value}" for name, value in report["environment"].items()]
    lines += ["", "Seconds: median (minimum … maximum) over the rounds. Ratios are taken within each round."]
    for item, heading in HEADINGS.items():
        parts = [part for part in (*report["comparisons"], *report["totals"]) if part["item"] == item]
        remembered = [part for part in report["memory"] if part["item"] == item]
        if parts or remembered:
            lines += ["", heading]
        if item == "5" and parts:
            lines += [
                "",
                *card_text.as_markdown(report).splitlines(),
                *_differences(parts),
                *report["card"]["failures"],
            ]
            continue
        for part in parts:
            lines += ["", *comparison_lines(part)]
        for part in remembered:
            lines += ["", *memory_lines(part)]
    return "\n".join([*lines, *([""] * bool(report["notes"])), *report["notes"]])


def _differences(parts: list[dict]) -> list[str]:
    """Why a ratio of item 5 is missing."""
    return [
        f"{part['title']}: {'; '.join(ratio['disagreement'])}"
        for part in parts
        for ratio in part["ratios"]
        if ratio["disagreement"]
    ]


def comparison_lines(part: dict) -> list[str]:
    """A title, the sizes, a table of contenders, and the ratios or why there are none."""
    facts = [f"{name} {_fact(value)}" for name, value in part["facts"].items() if value is not None]
    rows = [("", *STAGES)] + [_row(contender) for contender in part["contenders"]]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    table = [
        "  " + "  ".join([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))])
        for row in rows
    ]
    refused = [f"  {c['name']} did not run: {c['refused']}" for c in part["contenders"] if c["refused"]]
    return [
        part["title"],
        *(["  " + ", ".join(facts)] if facts else []),
        *table,
        *_answers(part["contenders"], part["facts"].get("n_eigenvalues")),
        *refused,
        *(_ratio_line(ratio) for ratio in part["ratios"]),
        *_share(part),
    ]


def _fact(value: object) -> str:
    if isinstance(value, list):
        return " and ".join(f"{item:,}" for item in value)
    return f"{value:,}" if isinstance(value, int) else str(value)


def _row(contender: dict) -> tuple[str, ...]:
    cells = (as_spread(contender[stage]["rounds"]) if contender[stage] else "" for stage in STAGES)
    return contender["name"], *cells


def _answers(contenders: list[dict], n_eigenvalues: int | None) -> list[str]:
    """The contenders' answers, with one line for equal answers; also S and P, if the number of eigenvalues is given."""
    texts: dict[str, list[str]] = {}
    for contender in contenders:
        answer = contender["answer"] or {"counts": {}, "extremes": {}}
        values = [f"{name} {as_interval(tuple(count))}" for name, count in answer["counts"].items()]
        values += [f"{name} {_number(value)}" for name, value in answer["extremes"].items()]
        if values and n_eigenvalues and (answer["extremes"]["min_re"] or 0) < 0:
            stiffness = answer["extremes"]["max_re"] / answer["extremes"]["min_re"]
            values += [f"S {stiffness:.5g}", f"P {100 * answer['counts']['negative'][0] / n_eigenvalues:.4g} %"]
        if values:
            texts.setdefault(", ".join(values), []).append(contender["name"])
    return [f"  found by {'; '.join(names)}: {text}" for text, names in texts.items()]


def _number(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, int | float) else "not finite"  # null or a string, as in JSON


def _ratio_line(ratio: dict) -> str:
    pair = f"{ratio['slow']} / {' and '.join(ratio['fast'])}"
    if ratio["ratio"] is None:
        return f"  no ratio of {pair}: {'; '.join(ratio['disagreement'])}"
    alone = ratio["eigensolver_alone"]
    return f"  {pair}: {as_spread(ratio['ratio']['rounds'], times)}" + (
        f"; its eigensolver alone: {as_spread(alone['rounds'], times)}" if alone else ""
    )


def _share(part: dict) -> list[str]:
    if "times_of_its_products" not in part:
        return []
    product = next(c for c in part["contenders"] if c["name"].startswith("float64 product"))
    side = int(product["name"].split()[-1].replace(",", ""))
    rate = 2 * side**3 / product["together"]["median"]
    return [
        f"  its matrix products, {part['facts']['flops'] / 1e9:.3g} Gflop, would take "
        f"{as_seconds(part['facts']['flops'] / rate)} at the {rate / 1e9:.3g} Gflop/s measured here; the formation takes "
        f"{as_spread(part['times_of_its_products']['rounds'], times)} as long"
    ]


def memory_lines(part: dict) -> list[str]:
    """Megabytes of each side and their ratio, or why there is no ratio."""
    sides = (
        f"  {side['name']}, blocks {_fact(side['blocks'])}: {side['bytes'] / 1e6:,.1f} MB" for side in part["sides"]
    )
    lines = [part["title"], *sides]
    if part["share"] is None:
        return [*lines, f"  no ratio: {'; '.join(part['disagreement'])}"]
    return [*lines, f"  ours / naive: {part['share']:.3g}"]
