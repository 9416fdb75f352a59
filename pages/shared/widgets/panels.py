"""Parts of a page around its figure: the chart itself, metrics, how a result was made, downloads, errors."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

import plotly.graph_objects as go
import streamlit as st

from pages.shared.state import controls, zoom
from pages.shared.widgets import grid
from stiffcore.analysis.results import Result
from stiffcore.errors import CannotCompute
from stiffcore.figures import theme, wording
from stiffcore.figures.spectra import spectrum_table
from stiffcore.images.image import Image
from stiffcore.images.labels import LABELS
from stiffcore.metrics.missing import Missing

if TYPE_CHECKING:  # pandas would delay the first paint
    import pandas as pd

CHART = {
    "displaylogo": False,
    "scrollZoom": True,
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
    "toImageButtonOptions": {"format": "png", "scale": 2},
}


def row():
    """Controls side by side, each as wide as it needs; they wrap on a narrow screen. In talk mode a scene shows them below its
    figure, by the key."""
    number = st.session_state["rows"] = st.session_state.get("rows", 0) + 1
    return st.container(horizontal=True, gap="medium", vertical_alignment="bottom", key=f"row-{number}")


def looks(row, style: theme.Style) -> tuple:
    """Containers for the controls of the look: the row for the first ones, and one below for the others. In talk mode all of
    them are behind one button, so that the figure has the screen."""
    if style.talk:
        behind = row.popover("Look", icon=":material/tune:")
        return behind, behind
    return row, nullcontext()


def responsive_columns(widths: Sequence[float], name: str = "") -> list:
    """Columns that stack if the window is narrower than about 1,200 pixels. name: of the second such row of a page."""
    return st.container(key=f"beside{name and '-'}{name}").columns(widths)


@contextmanager
def error_boundary() -> Iterator[None]:
    """Shows a CannotCompute as its sentence. Any other error is a bug, which the log and the page show."""
    try:
        yield
    except CannotCompute as error:
        st.error(controls.escape_markdown(str(error)), icon=":material/block:")


def chart(figure: go.Figure, name: str, alt: str, **options) -> object:
    """A figure with this app's look. name: the same in every run, so that the visitor's zoom is kept."""
    config = CHART | {"toImageButtonOptions": CHART["toImageButtonOptions"] | {"filename": f"stiffcore-{name}"}}
    drawn = st.plotly_chart(zoom.keep(figure, name), theme=None, key=f"chart-{name}", config=config, alt=alt, **options)
    if figure.layout.uirevision is not None:
        zoom.report(name)
    return drawn


def drawn(count: int, total: int, as_density: bool = False) -> None:
    """Says so if only some eigenvalues are drawn, or if they are drawn as a density."""
    if as_density:
        st.caption(
            f"All {total:,} eigenvalues, drawn as a density; the outlined extremes are exact. “Points” draws each one."
        )
    elif count < total:
        st.caption(f"Showing {count:,} of {total:,} eigenvalues, chosen at random; the extremes are always included.")


def metrics(results: Sequence[Result], colours: dict[Image, str], style: theme.Style) -> None:
    """Metrics down, spectra across; a missing number is a word, with the reason on hover and below the table."""
    names = spectrum_table.main_metrics(results)
    blocks = {
        block: [r for r in results if r.request.block == block] for block in sorted({r.request.block for r in results})
    }
    across = [result for inside in blocks.values() for result in inside]
    heads = [_head(result, colours) for result in across]
    body = [
        (
            grid.Cell(wording.title(name), title=wording.meaning(name)),
            [_cell(spectrum_table.cell(name, result), result.reasons.get(name)) for result in across],
        )
        for name in names
    ]
    grid.draw(
        body, heads, style, "", [(inside[0].request.geometry.title, len(inside)) for inside in blocks.values()], "close"
    )
    reasons(across, names)


def _head(result: Result, colours: dict[Image, str]) -> grid.Cell:
    """The image with its label, if it has one among the network's classes; a matrix's size."""
    image, network = result.request.image, result.request.network
    if not network.takes_images:
        return grid.Cell(f"n = {result.request.geometry.n_in:,}")
    if network.label_of(image) is None and network.classes != LABELS:
        return grid.Cell(image.name, dot=colours[image])
    return grid.Cell(image.label_among(network.classes), small=image.name, dot=colours[image])


def _cell(text: str, missing: Missing | None) -> grid.Cell:
    return grid.Cell(text, word=missing is not None, title="" if missing is None else str(missing))


def reasons(results: Sequence[Result], names: Sequence[str]) -> None:
    """Why numbers are missing, once per reason."""
    lines: dict[Missing, list[str]] = {}
    for name in names:
        for reason in dict.fromkeys(result.reasons[name] for result in results if name in result.reasons):
            lines.setdefault(reason, []).append(wording.title(name))
    for reason, titles in lines.items():
        st.caption(f"{', '.join(titles)}: {reason}")


def notices(texts: Iterable[str]) -> None:
    """What the visitor should know about the cache, for example that a result could not be stored; each sentence once."""
    for notice in dict.fromkeys(text for text in texts if text):
        st.warning(controls.escape_markdown(notice), icon=":material/save:")


def downloads(
    figure: go.Figure,
    frame: "pd.DataFrame | Callable[[], pd.DataFrame]",
    name: str,
    title: str,
    python: str | None = None,
    link: bool = True,
) -> None:
    """The figure as one HTML file, its data as CSV, the link, and the lines that reproduce it; made when asked for.

    frame: or a function that makes it, so that the page does not wait for it.
    """
    with st.container(horizontal=True, gap="small"):
        st.download_button(
            "Figure (HTML)",
            lambda: theme.to_html(figure, title).encode(),
            f"{name}.html",
            "text/html",
            icon=":material/download:",
            on_click="ignore",
            help="One file that works offline",
        )
        st.download_button(
            "Data (CSV)",
            lambda: (frame() if callable(frame) else frame).to_csv(index=False).encode(),
            f"{name}.csv",
            "text/csv",
            icon=":material/download:",
            on_click="ignore",
        )
        if link:
            controls.copy_link()
        if python:
            with st.popover("Python", icon=":material/code:"):
                st.caption("Reproduces this with stiffcore.")
                st.code(python, language="python")


def equivalent_table(frame: "pd.DataFrame", caption: str) -> None:
    """What a figure shows, as text: for screen readers and for visitors who want the numbers."""
    with st.expander("The figure as a table", icon=":material/table:"):
        st.caption(caption)
        st.dataframe(frame, hide_index=True, width="stretch")
