"""The home page's answer: the stiffness indicator along the depth of the networks, and two other readings beside it."""

from collections.abc import Mapping

import pandas as pd
import streamlit as st

from pages.shared.jobs import computing
from pages.shared.state import ask, controls, service
from pages.shared.widgets import gallery, panels, statistics
from stiffcore.conventions import Convention
from stiffcore.figures.spectra import spectrum, spectrum_table
from stiffcore.figures.statistics import answer as answer_figure
from stiffcore.figures.theme import Style
from stiffcore.networks import catalogue
from stiffcore.paper import answer, comparison, findings

SPECTRUM_OF = "resnet18"  # of which the eigenvalues of the last block are drawn
S = "stiffness_index"
COMPRESSED = "The axis is compressed away from 0."
THRESHOLD = -1.0, "below: a stiffness factor above 1"
Rows = Mapping[str, pd.DataFrame]  # a network's name -> its rows


def section(style: Style) -> None:
    """Three sentences, and three figures."""
    names = catalogue.PAPER
    branch, slices = (
        {name: statistics.shipped(name, convention) for name in names}
        for convention in (Convention.BRANCH, Convention.SLICES)
    )
    untrained = {name: statistics.shipped(f"{name}-untrained", Convention.BRANCH) for name in names}
    said = answer.sentences(branch, untrained, slices, controls.NETWORK_TITLES)
    # From the last row of a hall only the answer is read; the figures then need the screen.
    above, below = (said[:1], said[1:]) if style.talk else (said, [])
    st.markdown("  \n".join(above) or "Nothing is computed yet: open the Spectrum page and compute a spectrum.")
    by_definition, published, eigenvalues = panels.responsive_columns([1.35, 1, 1])
    with by_definition:
        _indicator(branch, untrained, style)
    with published:
        _published(slices, style)
    with eigenvalues:
        _eigenvalues(style)
    if below:
        st.markdown("  \n".join(below))


def _tables(rows: Rows, metric: str, convention: Convention) -> dict[str, pd.DataFrame]:
    return {
        controls.NETWORK_TITLES[name.removesuffix("-untrained")]: comparison.along_depth(
            ask.find_network(name), part, metric, convention
        )
        for name, part in rows.items()
    }


def _indicator(branch: Rows, untrained: Rows, style: Style) -> None:
    st.subheader("By the field's definition")
    tables = _tables(branch, findings.INDICATOR, Convention.BRANCH)
    if _missing(tables, Convention.BRANCH, "norms"):
        return
    faded = _tables(
        {f"{name}-untrained": part for name, part in untrained.items()}, findings.INDICATOR, Convention.BRANCH
    )
    figure = answer_figure.figure(tables, findings.INDICATOR, style, faded, threshold=THRESHOLD)
    _drawn(
        figure, tables, findings.INDICATOR, Convention.BRANCH, "home-answer", "The stiffness indicator along the depth"
    )


def _published(slices: Rows, style: Style) -> None:
    st.subheader("As published")
    tables = _tables(slices, S, Convention.SLICES)
    if _missing(tables, Convention.SLICES, "counts"):
        return
    scale = answer_figure.arcsinh_scale(tables)
    figure = answer_figure.figure(tables, S, style, published=True, scale=scale, named=False)
    _drawn(figure, tables, S, Convention.SLICES, "home-published", "S as published along the depth", COMPRESSED)


def _missing(tables: Mapping[str, pd.DataFrame], convention: Convention, level: str) -> bool:
    """Whether no block of any network has a value; then says what computes them."""
    if any(table["mean"].notna().any() for table in tables.values()):
        return False
    st.info(
        f"Not computed: `python -m stiffcore sweep {catalogue.PAPER[0]} --convention {convention} --quantity {level}` computes it.",
        icon=":material/pending:",
    )
    return True


def _drawn(
    figure,
    tables: Mapping[str, pd.DataFrame],
    metric: str,
    convention: Convention,
    name: str,
    title: str,
    note: str = "",
) -> None:
    panels.chart(figure, name, answer_figure.alt_text(tables, metric))
    st.caption("Means over images; bands hold 90 % of them." + (f" {note}" if note else ""))
    numbers = pd.concat(
        [table.assign(network=network, convention=convention, metric=metric) for network, table in tables.items()]
    ).drop(columns=["reason"])
    lines = f'print(sc.by_block(rows, ["{metric}"]))'
    panels.downloads(figure, numbers, name, title, statistics.python(catalogue.PAPER[0], convention, lines), link=False)


def _eigenvalues(style: Style) -> None:
    """The eigenvalues of the last block's F at an image of each label, in forward Euler's disc."""
    last = len(catalogue.blocks(SPECTRUM_OF))
    st.subheader("By the eigenvalues")
    requests = [ask.request(SPECTRUM_OF, image, last, Convention.BRANCH) for image in gallery.first_of_each_label()]
    results = [result for result in service.results(requests) if result is not None]
    if not results:
        st.info("No spectrum is stored yet: open the Spectrum page and compute one.", icon=":material/info:")
        return
    title = f"The last block of ResNet18 at {len(results)} images, one of each label"
    figure = spectrum.figure(results, style, overlay="label").update_layout(
        height=answer_figure.HEIGHT[style.talk], showlegend=False
    )
    panels.chart(figure, "home", spectrum.alt_text(results))
    panels.drawn(*spectrum.drawn_and_all(results))
    st.caption(f"{title}: inside the dashed disc, |1 + λ| ≤ 1, the network's step of 1 damps.")
    computing.badge(results, title)
    python = spectrum_table.python(requests)
    panels.downloads(figure, lambda: spectrum_table.points(results), "home", title, python, link=False)
    panels.equivalent_table(spectrum_table.metrics(results), "Every metric of every spectrum in the figure.")
