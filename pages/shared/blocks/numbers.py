"""What stands below the figure of the Blocks page: what was computed, downloads, and the table."""

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from pages.shared.state import controls
from pages.shared.widgets import panels, statistics
from stiffcore.conventions import Convention
from stiffcore.figures.statistics import depth

View = tuple[str, Convention]  # a network's name and a convention
IMPORTS = "from stiffcore.conventions import Convention\nfrom stiffcore.paper import comparison\n"


def caption() -> None:
    st.caption(
        "Bars: means over images; whiskers: the middle 90 % of the images. Hatched blocks change the shape; under block and "
        "branch they have no eigenvalues (undefined: not square)."
    )


def below(figure: go.Figure, tables: Mapping[View, pd.DataFrame], metric: str) -> None:
    """Downloads and the table of every view."""
    whole = pd.concat([statistics.named(table, *view) for view, table in tables.items()], ignore_index=True)
    title = depth.title(tables, metric, controls.NETWORK_TITLES.__getitem__)
    panels.downloads(figure, whole, f"depth-{metric}", title, _python(next(iter(tables)), metric))
    panels.equivalent_table(whole, "Means over images, the middle 90 %, the paper's value and the baseline, per block.")


def _python(view: View, metric: str) -> str:
    network, convention = view
    table = f'comparison.along_depth(sc.network("{network}"), rows, "{metric}", Convention("{convention}"))'
    return statistics.python(network, convention, f"print({table})", IMPORTS)
