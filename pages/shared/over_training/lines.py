"""A metric over the training: a line per block, accuracy and loss below, and the spread between seeds."""

import numpy as np
import pandas as pd
import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from pages.shared.jobs import computing
from pages.shared.over_training import runs
from pages.shared.state import ask, controls
from pages.shared.widgets import gallery, grid, panels, statistics
from stiffcore.analysis.requests import Request
from stiffcore.commands import sweep as sweep_command
from stiffcore.conventions import Convention
from stiffcore.figures import wording
from stiffcore.figures.spectra import spectrum
from stiffcore.figures.statistics import training
from stiffcore.figures.theme import Style
from stiffcore.runs.run import Run
from stiffcore.statistics import over_training
from stiffcore.statistics.row_values import as_texts


def show(run: Run, convention: Convention, style: Style, above: DeltaGenerator | None) -> None:
    """Choose, compute, draw. above: where the figure is drawn, if not below the choices."""
    with panels.row():
        metric = controls.select(
            "Metric", "metric", statistics.metric_titles(), "stiffness_index", st.selectbox, width=330
        )
        blocks = controls.several_of(
            "Blocks", "lines", runs.titles(run), runs.last_of_each_stage(run), runs.MOST_BLOCKS
        )
        axes = controls.select("Vertical axis", "vertical", spectrum.AXES, "linear")
    controls.notes()
    statistics.caveat(metric)
    with panels.error_boundary():
        rows = runs.rows(run, convention)
        drawn = rows[(rows["seed"] == run.seed) & rows["block"].isin(blocks)] if len(rows) else rows
        place = above or st.container()
        if drawn.empty:
            st.info(
                f"No row of {controls.escape_markdown(run.title)} under {convention.title} is computed at these blocks.",
                icon=":material/pending:",
            )
        else:
            _draw(run, rows, drawn, metric, convention, axes, style, place)
        _missing(run, convention, blocks, drawn)
        _seeds(run, rows, metric, convention, style)


def _draw(
    run: Run,
    rows: pd.DataFrame,
    drawn: pd.DataFrame,
    metric: str,
    convention: Convention,
    axes: str,
    style: Style,
    place: DeltaGenerator,
) -> None:
    table, steps = over_training.table(drawn, metric), over_training.by_step(rows[rows["seed"] == run.seed])
    figure = training.figure(table, steps, metric, style, run.unit, axes, runs.order(run))
    with place:
        panels.chart(figure, "training", training.alt_text(table, metric, run.unit))
    _reasons(table, run.unit)
    _about(run, drawn, steps, convention)
    of = f"{run.title} · {convention.title}"
    title = training.title(sorted(set(table["block"])), metric, of)
    python = (
        f'import stiffcore as sc\n\nrows = sc.run_rows("{run.name}", "{convention}")\n'
        f'table = sc.over_training(rows, "{metric}")\n'
        f"print(table[table.block.isin({sorted(set(map(int, table['block'])))}) & (table.seed == {run.seed})])\n"
    )
    whole = _named(table.merge(steps, on=["seed", "step", "checkpoint"], how="left"), run, convention, metric)
    panels.downloads(figure, whole, f"training-{metric}-{run.name}-{convention}", title, python)
    panels.equivalent_table(
        whole, "By step and block: statistics over the images, and the checkpoint's accuracy and loss."
    )


def _named(table: pd.DataFrame, run: Run, convention: Convention, metric: str) -> pd.DataFrame:
    """A table for export: with the run, the convention and the metric of its numbers in front."""
    front = pd.DataFrame({"run": run.name, "convention": str(convention), "metric": metric}, index=table.index)
    return pd.concat([front, as_texts(table)], axis=1)


def _reasons(table: pd.DataFrame, unit: str) -> None:
    """Why lines have gaps: once per block and reason."""
    gaps = table[table["state"] != ""]
    for (block, reason), part in gaps.groupby(["block", gaps["reason"].map(str)], sort=True):
        all_of_it = len(part) == (table["block"] == block).sum()
        where = "everywhere" if all_of_it else f"at {unit} {', '.join(f'{step:,}' for step in part['step'])}"
        st.caption(f":material/close: Block {block}, {where}: {reason}")


def _about(run: Run, drawn: pd.DataFrame, steps: pd.DataFrame, convention: Convention) -> None:
    """Badges on what the figure is based on."""
    counts = sorted(set(drawn.groupby(["step", "block"])["image"].nunique()))
    images = f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"
    accuracy = training.accuracies(steps)[0][-1]
    parts = [
        f"{len(steps)} checkpoints",
        f"{images} {'image' if counts == [1] else 'images'}",
        controls.escape_markdown(run.title),
        convention.title,
        *([f"at the end {wording.accuracy(accuracy)}"] if np.isfinite(accuracy) else []),
        " / ".join(sorted(drawn["device"].unique())),
        " / ".join(sorted(drawn["precision"].unique())),
    ]
    st.markdown(":green-badge[stored] " + " ".join(f":gray-badge[{part}]" for part in parts))
    runs.caveats(run)
    st.caption("Lines: means over images; bands: the middle 90 % of the images. × marks a checkpoint without a value.")


def _missing(run: Run, convention: Convention, blocks: tuple[int, ...], drawn: pd.DataFrame) -> None:
    """Offers to compute the checkpoints and blocks without any row, at one image; or says that its weights are not here."""
    able = [block.block for block in run.blocks if block.block in blocks and block.n_eigenvalues(convention)]
    there = set(zip(drawn["step"], drawn["block"], strict=True)) if len(drawn) else set()
    lacking = [(one, block) for one in run.drawn for block in able if (one.step, block) not in there]
    if not lacking:
        return
    if not run.can_compute:
        st.caption("The weights of this run do not ship: only what ships of it can be shown.")
        return
    image = ask.find_image(int(drawn["image"].mode()[0]) if len(drawn) else gallery.first_of_each_label()[3])
    requests = [Request(run.network(one), image, block, convention, "counts") for one, block in lacking]
    computing.results(requests, f"{run.title} over training ({convention})")
    if not run.has_files:
        return
    st.caption("In a terminal, at more images:")
    numbers = ",".join(map(str, sorted({block for _, block in lacking})))
    st.code(sweep_command.run_command(run, convention, numbers, "0:20", "counts"), language="bash", wrap_lines=True)


def _seeds(run: Run, rows: pd.DataFrame, metric: str, convention: Convention, style: Style) -> None:
    """How far seeds differ at the end, beside how far images differ."""
    if rows.empty or rows["seed"].nunique() < 2:
        return
    table = over_training.between_seeds(rows, metric)
    st.subheader(f"Between seeds, at the end: {wording.title(metric)}")
    st.caption(
        "Each seed is a training of its own with other initial weights and another order of the images. The spread between seeds "
        "is the standard deviation of their means over the images; that between images is within one seed."
    )
    factor, body = wording.factor(metric), []
    for row in table.to_dict("records"):
        why = "" if row["reason"] is None else str(row["reason"])
        cells = [
            grid.number(factor * row[name], 3, why or "–", title=why) for name in ("mean", "std_seeds", "std_images")
        ]
        body.append((f"{row['block']}", [*cells, f"{row['n_seeds']}", f"{row['n_images']:,}"]))
    columns = ["mean", "± seeds", "± images", "seeds", "images"]
    grid.draw(body, columns, style, "Block")
    grid.download(_named(table, run, convention, metric), f"seeds-{metric}-{run.name}")
