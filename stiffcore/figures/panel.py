"""A panel of a figure, and the series that colours and shapes represent."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import plotly.graph_objects as go

from stiffcore.figures.axes import Axes
from stiffcore.figures.theme import Style
from stiffcore.images.image import NO_IMAGE, Image
from stiffcore.images.labels import LABELS

LARGEST_SVG = 2_000  # points in a figure; WebGL for more
WITHOUT_LABEL = "hexagram"  # a shape that no label has


@dataclass(frozen=True)
class Series:
    """What a colour and shape represent: an image or a label."""

    name: str
    colour: str
    shape: str


def number_of(image: Image) -> int:
    """The image number in a point's customdata, by which a click finds the image; −1 for an image without a number."""
    return -1 if image.number is None else image.number


def series_of(
    images: Sequence[Image], overlay: str, style: Style, classes: Sequence[str] = LABELS
) -> dict[Image, Series]:
    """image -> its series. By label, a label has the same colour in every view; by image, the first colours differ most.

    classes: the names of the network's labels.
    """
    by_image: dict[Image, Series] = {}
    for image in dict.fromkeys(images):
        label = image.label_in(classes)
        if overlay == "label":
            look = (style.muted, WITHOUT_LABEL) if label is None else (style.colour(label), style.shape(label))
            by_image[image] = Series(image.label_among(classes), *look)
            continue
        name = (
            "eigenvalue"
            if image == NO_IMAGE
            else image.name
            if label is None
            else f"{image.name} · {image.label_among(classes)}"
        )
        if any(series.name == name for series in by_image.values()):  # two files of one name
            name = f"{name} ({image.in_rows if image.number else image.sha256[:6]})"
        by_image[image] = Series(name, style.colour(len(by_image)), style.shape(len(by_image)))
    return by_image


@dataclass
class Panel:
    """A subplot, with the settings that all subplots of its figure share. points: eigenvalues in the whole figure."""

    figure: go.Figure
    row: int
    column: int
    style: Style
    series: dict[Image, Series]
    points: int = 0
    named: set[str] = field(default_factory=set)  # series that are already in the legend
    axes: Axes = field(default_factory=Axes)
    columns: int = 1  # of panels in the figure
    as_density: bool = False  # the cloud is drawn as counts in bins, with few markers

    @property
    def place(self) -> dict[str, int]:
        return {"row": self.row, "col": self.column}

    @property
    def markers(self) -> type:
        """SVG is sharp and needs no GPU; WebGL for many points. One kind per figure: WebGL hides SVG below it."""
        kind: type = go.Scatter if self.as_density or self.points <= LARGEST_SVG else go.Scattergl
        return kind

    def legend(self, name: str) -> dict:
        """A trace's name and legend group; the legend lists only the first trace of a name."""
        shown = name not in self.named
        self.named.add(name)
        return {"name": name, "legendgroup": name, "showlegend": shown}

    def outlined(self, look: Series) -> dict:
        """The marker of an extreme, outlined so that it stands out from the cloud."""
        line = {"color": self.style.ink, "width": 1.2}
        return {"color": look.colour, "symbol": look.shape, "size": self.style.marker_size + 4, "line": line}


def draw_structural(panel: Panel, place: int, counts: Sequence[float], middle: float) -> None:
    """The structural zeros or ones: a ring whose size grows with their number, with the counts as text.

    counts: per image. middle: drawn position of the panel's centre; the text is on that side of the ring.
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
