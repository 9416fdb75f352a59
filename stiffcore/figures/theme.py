"""The look of all figures: colours for colour-blind readers, marker shapes, light, dark and talk mode.

A search found the two lists of ten colours. It maximises the smallest OKLab distance between any two colours as seen
with normal vision, protanopia, deuteranopia and tritanopia (Machado et al. 2009), at a contrast of at least 3 : 1
against the background; tests/figures/test_figures.py checks this. The first colours differ most, for views with few
series. Shapes differ as well, so that no series is identified by colour alone.
"""

from dataclasses import dataclass
from functools import lru_cache

import plotly.graph_objects as go

LIGHT = ("#0471B5", "#D15817", "#219D71", "#65292B", "#462382", "#9F3870", "#856DF9", "#714F0E", "#B484BC", "#1435C1")
DARK = ("#4FB5F9", "#EE8731", "#9FE7C9", "#F6EA39", "#AC6D75", "#6D74F5", "#D59CAA", "#D55715", "#907ABA", "#D1CC71")
SHAPES = (
    "circle",
    "square",
    "diamond",
    "triangle-up",
    "cross",
    "triangle-down",
    "x",
    "pentagon",
    "star",
    "hexagon",
)
# Low counts are close to the background, high counts stand out; lightness is monotone, so that it works in greyscale.
LIGHT_DENSITY = ("#DCE9F5", "#A9CBE6", "#6FA3D0", "#4273B0", "#33468A", "#2A1E5C", "#14082E")
DARK_DENSITY = ("#1D2A44", "#2B4A75", "#2F74A3", "#3BA0B5", "#6CC9AE", "#C3E690", "#FFF7C2")
FONT = '"Source Sans", "Source Sans 3", "Source Sans Pro", "Segoe UI", "Helvetica Neue", Arial, sans-serif'


@dataclass(frozen=True)
class Style:
    """A look. Sizes are in pixels; talk mode is for projectors."""

    dark: bool = False
    talk: bool = False

    @property
    def series(self) -> tuple[str, ...]:
        return DARK if self.dark else LIGHT

    @property
    def paper(self) -> str:
        return "#14171C" if self.dark else "#FFFFFF"

    @property
    def ink(self) -> str:
        return "#E9E7E2" if self.dark else "#1C2128"

    @property
    def muted(self) -> str:
        """Secondary text and axis lines; still readable on the background."""
        return "#9BA3AF" if self.dark else "#5C6570"

    @property
    def grid(self) -> str:
        return "#262B33" if self.dark else "#E8EBEF"

    @property
    def accent(self) -> str:
        return self.series[0]

    @property
    def region_fill(self) -> str:
        """The inside of a stability region, behind the points."""
        return "rgba(79, 181, 249, 0.10)" if self.dark else "rgba(4, 113, 181, 0.07)"

    @property
    def region_line(self) -> str:
        return "#6FA9CF" if self.dark else "#3C7CA8"

    @property
    def bad(self) -> str:
        """Disagreement, instability."""
        return self.series[1]

    @property
    def good(self) -> str:
        """Agreement, stability."""
        return self.series[2]

    @property
    def font_size(self) -> int:
        return 20 if self.talk else 14

    @property
    def line_width(self) -> float:
        return 4.0 if self.talk else 2.0

    @property
    def marker_size(self) -> float:
        return 9.0 if self.talk else 5.5

    @property
    def density(self) -> list[list]:
        """A plotly colour scale for counts."""
        colours = DARK_DENSITY if self.dark else LIGHT_DENSITY
        return [[position / (len(colours) - 1), colour] for position, colour in enumerate(colours)]

    def colour(self, position: int) -> str:
        """The colour of the series at a position from 0, or of a label by its number. Repeats after ten."""
        return self.series[position % len(self.series)]

    def shape(self, position: int) -> str:
        return SHAPES[position % len(SHAPES)]


@lru_cache(maxsize=4)
def template(style: Style) -> go.layout.Template:
    """The plotly template of a style; set it on every figure with ``apply``."""
    axis = {
        "gridcolor": style.grid,
        "linecolor": style.muted,
        "zerolinecolor": style.muted,
        "zerolinewidth": 1,
        "tickcolor": style.muted,
        "tickfont": {"color": style.muted, "size": style.font_size - 2},
        "title": {"font": {"color": style.ink, "size": style.font_size}, "standoff": 8},
        "ticks": "outside",
        "ticklen": 4,
        "automargin": True,
    }
    layout = go.Layout(
        font={"family": FONT, "size": style.font_size, "color": style.ink},
        title={"font": {"size": style.font_size + 3, "color": style.ink}, "x": 0, "xref": "paper", "xanchor": "left"},
        paper_bgcolor=style.paper,
        plot_bgcolor=style.paper,
        colorway=list(style.series),
        xaxis=axis,
        yaxis=axis,
        legend={"bgcolor": "rgba(0,0,0,0)", "font": {"size": style.font_size - 1}, "itemsizing": "constant"},
        hoverlabel={"font": {"family": FONT, "size": style.font_size - 1}, "namelength": -1},
        margin={"l": 56, "r": 16, "t": 40, "b": 48},
        colorscale={"sequential": style.density},
        annotationdefaults={"font": {"size": style.font_size - 1, "color": style.muted}, "showarrow": False},
        modebar={"bgcolor": "rgba(0,0,0,0)", "color": style.muted, "activecolor": style.accent},
        dragmode="pan",
    )
    line = {"width": style.line_width}
    data = {
        "scatter": [go.Scatter(line=line, marker={"size": style.marker_size})],
        "scattergl": [go.Scattergl(line=line, marker={"size": style.marker_size})],
        "box": [go.Box(line=line)],
        "violin": [go.Violin(line=line)],
    }
    return go.layout.Template(layout=layout, data=data)


def apply(figure: go.Figure, style: Style) -> go.Figure:
    """Sets this project's look on a figure, and returns the figure."""
    return figure.update_layout(template=template(style))


def faint(colour: str, opacity: float) -> str:
    """A colour ``#rrggbb`` with an opacity from 0 to 1, as plotly takes it for a fill."""
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, {opacity})"


def over(title: str, style: Style) -> dict:
    """A title at the upper edge of the figure, above the legend."""
    return {
        "text": title,
        "font": {"size": style.font_size + 1},
        "y": 1,
        "yref": "container",
        "yanchor": "top",
        "pad": {"t": 8},
    }


def to_html(figure: go.Figure, title: str) -> str:
    """A file that needs no internet, since it includes plotly.js (about 5 MB)."""
    config = {"displaylogo": False, "responsive": True}
    page: str = figure.to_html(include_plotlyjs=True, full_html=True, config=config, auto_play=False)
    escaped = title.replace("&", "&amp;").replace("<", "&lt;")
    return page.replace("<head>", f"<head><title>{escaped}</title>", 1)
