"""Keeps the visitor's zoom when a figure changes.

Streamlit draws a changed figure as a new chart, so plotly's own ``uirevision`` keeps nothing. A script in the page reports
the axes' ranges after each zoom; only its own fragment runs then, and nothing is drawn again. The next figure with the same
``uirevision`` opens with these ranges.
"""

import math
import re

import plotly.graph_objects as go
import streamlit as st

AXIS = re.compile(r"[xy]axis[0-9]{0,2}")
REPORT = """
export default function ({data, parentElement, setStateValue}) {
  let timer = null;
  const report = (plot) => {
    const ranges = {};
    for (const [name, axis] of Object.entries(plot._fullLayout)) {
      if (/^[xy]axis[0-9]*$/.test(name) && axis.range) ranges[name] = Array.from(axis.range, Number);
    }
    setStateValue("zoom", {revision: plot.layout.uirevision, ranges});
  };
  const look = () => {
    const plot = document.querySelector(`.st-key-chart-${data.chart} .js-plotly-plot`);
    if (!plot || !plot.on || plot.reportsZoom) return;
    plot.reportsZoom = true;
    plot.on("plotly_relayout", (change) => {
      const names = Object.keys(change);
      if (names.some((name) => name.endsWith(".autorange"))) {
        clearTimeout(timer);
        setStateValue("zoom", {revision: null, ranges: {}});
      } else if (names.some((name) => name.includes(".range"))) {
        clearTimeout(timer);
        timer = setTimeout(() => report(plot), 200);
      }
    });
  };
  const watch = setInterval(look, 300);
  look();
  return () => { clearInterval(watch); clearTimeout(timer); };
}
"""


def keep(figure: go.Figure, name: str) -> go.Figure:
    """The figure with the ranges to which the visitor zoomed the chart of this name and ``uirevision``."""
    zoom = st.session_state.get(f"zoom of {name}")
    if not isinstance(zoom, dict) or zoom.get("revision") != figure.layout.uirevision:
        forget(name)  # the view changed: a return to the old one starts without zoom
        return figure
    ranges = zoom.get("ranges")
    for axis, shown in ranges.items() if isinstance(ranges, dict) else ():
        if _is_range(axis, shown) and axis in figure.layout:
            figure.layout[axis].range = shown
    return figure


def forget(name: str) -> None:
    st.session_state.pop(f"zoom of {name}", None)


def _is_range(axis: object, shown: object) -> bool:
    """What the browser sends is checked like a URL."""
    return (
        isinstance(axis, str)
        and AXIS.fullmatch(axis) is not None
        and isinstance(shown, (list, tuple))
        and len(shown) == 2
        and all(isinstance(end, (int, float)) and not isinstance(end, bool) and math.isfinite(end) for end in shown)
    )


@st.fragment
def report(name: str) -> None:
    """Mounted beside the chart ``chart-<name>``."""

    def changed() -> None:
        state = st.session_state.get(f"report-zoom-{name}")
        st.session_state[f"zoom of {name}"] = dict(state.get("zoom") or {}) if state else {}

    st.components.v2.component("report_zoom", js=REPORT)(
        key=f"report-zoom-{name}", data={"chart": name}, on_zoom_change=changed
    )
