"""Two spectra: pin A, vary B; locked axes, the two images beside the plots, differences as numbers."""

from collections.abc import Callable, Mapping

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from pages.shared.jobs import computing
from pages.shared.state import controls
from pages.shared.widgets import grid, panels, plane, sides as compare_sides
from pages.shared.widgets.sides import Side
from stiffcore.analysis import distances as spectral_distances
from stiffcore.analysis.distances import Distance
from stiffcore.analysis.results import Result
from stiffcore.figures import wording
from stiffcore.figures.odes import stability_regions
from stiffcore.figures.spectra import compare, spectrum, spectrum_table
from stiffcore.figures.theme import Style
from stiffcore.metrics.missing import Missing

DISTANCES = {
    "real_parts": ("W₁ of Re λ", "Wasserstein distance of the real parts: ∫ |F_A(t) − F_B(t)| dt"),
    "plane": ("W₁ in the plane", "Mean |λ_A − λ_B| of the cheapest pairing of the eigenvalues"),
    "singular_values": ("W₁ of σ", "Wasserstein distance of the singular values: ∫ |F_A(t) − F_B(t)| dt"),
}


def show(style: Style) -> None:
    """The part "Two spectra" of the page."""
    defaults = compare_sides.defaults()
    columns = st.columns(2)
    sides = {}
    for column, letter in zip(columns, ("a", "b"), strict=True):
        with column:
            sides[letter.upper()] = compare_sides.choose(letter, defaults[letter], style)
    view(sides, style, compare_sides.buttons)


def view(sides: Mapping[str, Side], style: Style, buttons: Callable | None = None, twin: str = "") -> None:
    """Draws the spectra of two sides and tabulates their differences; offers to compute what is missing.

    buttons: draws the buttons before the look's controls. twin: a line of Python that makes ``twin``, whose image is B's.
    """
    look = _looks(sides, buttons)
    controls.notes()
    _questions(sides)
    requests = list(dict.fromkeys(side.request for side in sides.values()))
    with panels.error_boundary():
        by_request = {
            r.request: r for r in computing.results(requests, " and ".join(side.title for side in sides.values()))
        }
        there = {letter: by_request[side.request] for letter, side in sides.items() if side.request in by_request}
        if not there:
            controls.copy_link()
            return
        if look["view"] == "overlay" and not compare.is_lockable(there):
            st.caption("No overlay: one side has eigenvalues in the plane, the other singular values by rank.")
        figure = compare.figure(there, style, **look)
        picture, numbers = panels.responsive_columns([1.65, 1])
        with picture:
            panels.chart(figure, "compare", compare.alt_text(there))
            drawn = spectrum.drawn_and_all(list(there.values()), look["marks"])
            panels.drawn(*drawn, compare.is_density(there, look["marks"]))
            _about(figure, there, twin)
        with numbers:
            if len(there) == 2:
                table(there["A"], there["B"], style)
            else:
                st.caption("The differences appear here once both sides are computed.")


def _looks(sides: Mapping[str, Side], buttons: Callable | None) -> dict[str, str]:
    """The options of compare.figure, as chosen."""
    conventions = {side.convention for side in sides.values()}
    with panels.row():
        if buttons:
            buttons()
        look = {"view": controls.select("View", "view", compare.VIEWS, "side")}
        look["axes"], look["marks"] = plane.axes_and_marks(*conventions)
        look["fit"] = plane.fit("compare", *conventions)
    return look


def _questions(sides: Mapping[str, Side]) -> None:
    """The question of the convention; where the sides differ, both, with a note that they are different questions."""
    shown = [stability_regions.about_moved(side.request.network, side.convention) for side in sides.values()]
    asked = {letter: side.convention for letter, side in sides.items()}
    if len({*asked.values()}) == 1:
        st.caption(" ".join([next(iter(asked.values())).question, *dict.fromkeys(filter(None, shown))]))
        return
    lines = " ".join(f"**{letter}, {convention.title}**: {convention.question}" for letter, convention in asked.items())
    st.info(
        f"The two sides answer different questions, so a difference is not an error. {lines}",
        icon=":material/call_split:",
    )
    for sentence in dict.fromkeys(filter(None, shown)):
        st.caption(sentence)


@st.cache_resource(max_entries=64, show_spinner="Comparing …")
def distances(key_a: str, key_b: str, _a: Result, _b: Result) -> dict[str, Distance]:
    """analysis.distances, cached by the keys of the two results: a pairing takes up to half a second."""
    return spectral_distances.distances(_a, _b)


def table(a: Result, b: Result, style: Style) -> None:
    """Metric, A, B and B − A. A missing number is a word, with the reason on hover and below the table."""
    differences = spectral_distances.differences(a, b, spectrum_table.main_metrics([a, b]))
    body = []
    for line in differences.to_dict("records"):
        name = line["metric"]
        cells = [_cell(name, line["a"], line["why_a"]), _cell(name, line["b"], line["why_b"])]
        cells.append(_cell(name, line["difference"], line["why"], _both(line), signed=True))
        body.append((grid.Cell(wording.title(name), title=wording.meaning(name)), cells))
    # A result that is computed again keeps its key, but not its seconds.
    apart = distances(*(f"{result.made['key']} {result.made['seconds']}" for result in (a, b)), a, b)
    for name, distance in apart.items():
        empty = grid.Cell("")
        body.append((DISTANCES[name][0], [empty, empty, _cell("distance", distance.value, distance.reason)]))
    grid.draw(body, ["A", "B", "B − A"], style, "Metric")
    panels.reasons([a, b], list(differences["metric"]))
    for name, distance in apart.items():
        title, formula = DISTANCES[name]
        st.caption(f"{title}: {formula}." + (f" Here {distance.reason}." if distance.reason else ""))


def _both(line: dict) -> str:
    """Why there is no difference: the reasons of the sides that lack a value."""
    sides = [f"{side} {line[why]}" for side, why in (("A", "why_a"), ("B", "why_b")) if line[why]]
    return "; ".join(sides)


def _cell(name: str, value: float, why: Missing | None, title: str = "", signed: bool = False) -> grid.Cell:
    text = wording.in_words(name, value, why).replace("-", "−")
    if signed and why is None and value > 0:
        text = f"+{text}"
    return grid.Cell(text, word=why is not None, title=title or ("" if why is None else str(why)))


def _about(figure: go.Figure, there: Mapping[str, Result], twin: str) -> None:
    """Badge, downloads and the equivalent table."""
    results = list(there.values())
    title = " and ".join(f"{letter}: {compare.title(result)}" for letter, result in there.items())
    computing.badge(results, title)
    points = pd.concat(
        [spectrum_table.points([r]).assign(side=letter) for letter, r in there.items()], ignore_index=True
    )
    panels.downloads(figure, points, "compare", title, python(there, twin))
    metrics = spectrum_table.metrics(results)
    metrics.insert(0, "side", list(there))
    panels.equivalent_table(metrics, "Every metric of every side.")


def python(there: Mapping[str, Result], twin: str = "") -> str:
    """Python that computes and draws the same."""
    images = {letter: str(result.request.image.in_rows) for letter, result in there.items()}
    if twin:
        images["B"] = "twin.image"
    asked = [
        f'    "{letter}": sc.analyse({r.request.network.name!r}, {images[letter]}, {r.request.block}, '
        f'{str(r.request.convention)!r}, "spectrum"),\n'
        for letter, r in there.items()
    ]
    numbers = [
        f'print(distances.{what}(sides["A"], sides["B"]))\n' for what in ("differences", "distances") if len(there) == 2
    ]
    return (
        f"import stiffcore as sc\nfrom stiffcore.analysis import {'perturbation, ' if twin else ''}distances\n"
        f"from stiffcore.figures import theme\nfrom stiffcore.figures.spectra import compare\n\n{twin}sides = {{\n{''.join(asked)}}}\n{''.join(numbers)}"
        "compare.figure(sides, theme.Style()).show()\n"
    )
