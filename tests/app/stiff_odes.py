"""The Stiff ODEs page: where it is, and what it shows."""

from pages.shared.widgets import gallery

PAGE = "pages/7_Stiff_ODEs.py"
IMAGES = gallery.first_of_each_label()[3:6]


def metrics(page) -> dict[str, str]:
    return {metric.label: metric.value for metric in page.at.metric}


def trace(figure, name: str):
    return next(trace for trace in figure.data if trace.name == name)
