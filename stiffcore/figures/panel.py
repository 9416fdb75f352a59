"""One of the small multiples of a figure, and the series that colours and shapes stand for."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import plotly.graph_objects as go

from stiffcore.figures.axes import Axes
from stiffcore.figures.theme import Style
from stiffcore.images.image import Image
from stiffcore.images.labels import LABELS

LARGEST_SVG = 2_000  # points in a figure; above, WebGL
WITHOUT_LABEL = "hexagram"  # a shape that no label has


@dataclass(frozen=True)
class Series:
    """What one colour and shape stand for: an image, or a label."""

    name: str
    colour: str
    shape: str


def number_of(image: Image) -> int:
    """What a point carries, so that a click finds its image; −1 of an image without a number, which has no page."""
    return -1 if image.number is None else image.number


def series_of(
    images: Sequence[Image], overlay: str, style: Style, classes: Sequence[str] = LABELS
) -> dict[Image, Series]:
    """image -> its series. By label, a colour is the label's in every view; by image, the first ones lie furthest apart.

    classes: the names of the network's labels.
    """
    made: dict[Image, Series] = {}
    for image in dict.fromkeys(images):
        label = image.label
        if overlay == "label":
            look = (style.muted, WITHOUT_LABEL) if label is None else (style.colour(label), style.shape(label))
            made[image] = Series(image.label_among(classes), *look)
            continue
        name = image.name if label is None else f"{image.name} · {image.label_among(classes)}"
        if any(series.name == name for series in made.values()):  # two files of one name
            name = f"{name} ({image.in_rows if image.number else image.sha256[:6]})"
        made[image] = Series(name, style.colour(len(made)), style.shape(len(made)))
    return made


@dataclass
class Panel:
    """A subplot with what all subplots of its figure share. points: eigenvalues in the whole figure."""

    figure: go.Figure
    row: int
    column: int
    style: Style
    series: dict[Image, Series]
    points: int = 0
    named: set[str] = field(default_factory=set)  # series that the legend has already
    axes: Axes = field(default_factory=Axes)
    columns: int = 1  # of panels in the figure
    as_density: bool = False  # the cloud is counts in bins: few markers are left

    @property
    def place(self) -> dict[str, int]:
        return {"row": self.row, "col": self.column}

    @property
    def markers(self) -> type:
        """SVG is crisp and needs no graphics card; WebGL for many points. One kind a figure: WebGL hides SVG below it."""
        kind: type = go.Scatter if self.as_density or self.points <= LARGEST_SVG else go.Scattergl
        return kind

    def legend(self, name: str) -> dict:
        """A trace's name and group; only the first of a name is listed."""
        shown = name not in self.named
        self.named.add(name)
        return {"name": name, "legendgroup": name, "showlegend": shown}

    def outlined(self, look: Series) -> dict:
        """The marker of an extreme, which no cloud may swallow."""
        line = {"color": self.style.ink, "width": 1.2}
        return {"color": look.colour, "symbol": look.shape, "size": self.style.marker_size + 4, "line": line}


def draw_structural(panel: Panel, place: int, counts: Sequence[float], middle: float) -> None:
    """The zeros or ones that the masks give: one ring, larger the more there are, with the counts in words.

    counts: per image. middle: drawn position of the panel's middle; the words go to that side.
    """
    if max(counts) < 1:
        return
    style, at, text = panel.style, float(panel.axes(place)), f"{place} × {count_text(counts)}"
    ring = {
        "symbol": "circle-open",
        "size": 8 + 4 * math.log10(max(counts)),
        "color": style.ink,
        "line": {"width": style.line_width},
    }
    hover = f"structural: {text}<extra></extra>"
    panel.figure.add_trace(
        panel.markers(x=[at], y=[0], mode="markers", marker=ring, hovertemplate=hover, showlegend=False, name=text),
        **panel.place,
    )
    panel.figure.add_annotation(
        x=at,
        y=0,
        text=text,
        showarrow=True,
        arrowhead=0,
        arrowwidth=1,
        arrowcolor=style.muted,
        ax=46 if at < middle else -46,
        ay=84 if place == 0 else -84,
        font={"color": style.ink, "size": style.font_size - 1},
        bgcolor=style.paper,
        borderpad=2,
        **panel.place,
    )


def count_text(counts: Sequence[float]) -> str:
    """``1,321``, or ``975 to 1,235`` over several images."""
    low, high = round(min(counts)), round(max(counts))
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
