"""The main view of the page Adversarial examples: the scatter, the correlations by block beside it, and the chosen image."""

import pandas as pd
import streamlit as st

from pages.shared.adversarial import chosen_image, numbers
from pages.shared.state import controls
from pages.shared.widgets import panels
from stiffcore.adversarial import relation, verdict
from stiffcore.adversarial.relation import NETWORK, Material, Measure
from stiffcore.adversarial.requests import LIMIT
from stiffcore.figures.statistics import robustness as figures
from stiffcore.figures.theme import Style


def draw(
    found: Material, cells: pd.DataFrame, network: str, measure: Measure, block: int | str, outcome: str, style: Style
) -> None:
    """Both figures, the chosen image, downloads, and the table. cells: the measure's rows of the table."""
    size = f"smallest {relation.OUTCOMES[outcome]}, grey levels of 255"
    where = "" if block == NETWORK else f", block {block}"
    points = found.points(measure)
    points = points[points["block"] == block].assign(size=lambda rows: rows[outcome])
    left, right = panels.responsive_columns([1.45, 1])
    event = None
    with left:
        if points.empty:
            st.info(f"{measure.title}{where}: no image has both numbers.", icon=":material/pending:")
            first(network, measure)
        else:
            figure = figures.figure(
                points, f"{numbers.measures()[measure.name]}{', %' if measure.column == 'percent_negative' else ''}{where}", size, LIMIT, style, f"{network} {measure.name} {block} {outcome}"
            )  # fmt: skip
            alt = figures.alt_text(points, f"{measure.title}{where}", size)
            event = panels.chart(figure, "robustness", alt, on_select="rerun", selection_mode="points")
    with right:
        drawn = cells[cells["r"].notna() & (cells["n"] >= relation.FEWEST)]
        if len(drawn):
            about = figures.relation_alt_text(drawn, measure.title)
            panels.chart(figures.relation(drawn, measure.given, verdict.EXPLAINS, style), "robustness-relation", about)
        elif len(points):
            st.caption(f"Fewer than {relation.FEWEST} images have both numbers: no correlation is drawn.")
        chosen_image.show(event, found.robust, network, measure, block, style)
    if len(points):
        _below(figure, points, network, measure, block, outcome)


def first(network: str, measure: Measure) -> None:
    """The command that computes what the figure needs beside the smallest perturbations."""
    st.caption(f"A figure needs {measure.title} at the same images, too. This command computes it in a terminal:")
    st.code(relation.command(network, measure), language="bash", wrap_lines=True)


def _below(figure, points: pd.DataFrame, network: str, measure: Measure, block: int | str, outcome: str) -> None:
    whole = points.drop(columns=["signs", "size", "network", "weights"]).dropna(axis=1, how="all")
    whole = whole.drop(columns="value").assign(**{measure.name: points["value"]})  # the margin is there already
    python = (
        f'import stiffcore as sc\n\nrows = sc.robustness("{network}")\nprint(rows[["image", "margin", "{outcome}"]])\n'
        f'relations = sc.explains("{network}", "{outcome}", rows)\nprint(relations.attrs["verdict"])\n'
        f'print(relations[relations.measure == "{measure.name}"])\n'
    )
    name, title = (
        f"robustness-{measure.name}-{network}-{block}",
        f"{measure.title} and the {relation.OUTCOMES[outcome]}",
    )
    title = f"{title} · {controls.NETWORK_TITLES[network]}, block {block}"
    panels.downloads(figure, whole.assign(network=network), name, title, python)
    panels.equivalent_table(
        whole, "Every point of the figure: image, label, sizes, margin, live fraction and the measure."
    )
