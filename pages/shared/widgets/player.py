"""Plays the frames of a figure: previous, play, next and keys, which run in the browser; the URL follows.

All frames are in one figure, so that plotly makes a step without the server: Streamlit draws a changed figure as a new
chart, which flickers. The script below moves the figure's slider by keys, a presenter's remote or its buttons, and reports
the shown frame for the page's URL.
"""

from collections.abc import Sequence

import streamlit as st

from pages.shared.state import choices

HTML = """
<div class="player" role="group" aria-label="Player">
  <button data-go="-1">‹ Previous</button><button data-play aria-pressed="false">▶ Play</button>
  <button data-go="1">Next ›</button><small>Arrow keys or a presenter's remote</small>
</div>
"""
CSS = """
.player {display: flex; flex-wrap: wrap; gap: 0.5rem; align-items: center; color: var(--st-text-color);
  font-family: var(--st-font); font-size: 0.95rem;}
.player button {font: inherit; color: inherit; background: var(--st-background-color); cursor: pointer;
  border: 1px solid var(--st-border-color); border-radius: var(--st-base-radius); padding: 0.35rem 0.8rem;}
.player button:hover {border-color: var(--st-primary-color); color: var(--st-primary-color);}
.player small {opacity: 0.7;}
"""
PLAYER = """
export default function ({data, parentElement, setStateValue}) {
  const chart = () => document.querySelector(`.st-key-chart-${data.chart} .js-plotly-plot`);
  // From plot.layout, which plotly updates at once; its full layout lags while it draws a frame.
  const slider = () => chart()?.layout?.sliders?.[0];
  const button = parentElement.querySelector("[data-play]");
  parentElement.querySelector(".player").setAttribute("aria-label", data.label);
  let timer = null, reporting = null, wanted = {at: -Infinity};

  const show = (index) => {
    const plot = chart(), tick = plot?.querySelectorAll(".slider-tick-rect")[index];
    const rail = plot?.querySelector(".slider-rail-touch-rect");
    if (!tick || !rail) return;
    const at = tick.getBoundingClientRect(), height = rail.getBoundingClientRect();
    const where = {clientX: at.x + at.width / 2, clientY: height.y + height.height / 2, bubbles: true, view: window};
    rail.dispatchEvent(new MouseEvent("mousedown", where));
    plot.dispatchEvent(new MouseEvent("mouseup", where));
  };
  // Keys can come faster than frames, and a frame that is drawn late briefly sets the slider back.
  const active = () => performance.now() - wanted.at < 1000 ? wanted.index : slider().active;
  const step = (by) => {
    if (!slider()) return false;
    const next = Math.min(Math.max(active() + by, 0), slider().steps.length - 1);
    if (next === active()) return false;
    show(next);
    return true;
  };
  const play = (on) => {
    clearInterval(timer);
    timer = on ? setInterval(() => step(1) || play(false), data.milliseconds) : null;
    button.textContent = on ? "❚❚ Pause" : "▶ Play";
    button.setAttribute("aria-pressed", String(on));
  };
  const press = (event) => {
    const go = event.target.closest("[data-go]");
    if (go) { play(false); step(Number(go.dataset.go)); }
    if (event.target.closest("[data-play]")) {
      const start = timer === null;
      if (start && slider() && active() === slider().steps.length - 1) show(0);
      play(start);
    }
  };
  const keys = {ArrowLeft: -1, ArrowRight: 1};
  if (data.arrows) parentElement.querySelector("small").textContent = "Arrow keys";
  else Object.assign(keys, {PageUp: -1, PageDown: 1});
  const typed = (event) => {
    const busy = "input, textarea, select, [contenteditable=true], [role=slider], [role=radio], [role=option], [role=tab]";
    if (!(event.key in keys) || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.composedPath()[0].closest?.(busy) || !chart()) return;
    event.preventDefault();
    play(false);
    step(keys[event.key]);
  };
  const watch = setInterval(() => {
    const plot = chart();
    if (!plot || !plot.on || plot.reportsFrame) return;
    plot.reportsFrame = true;
    plot.on("plotly_sliderchange", (change) => {
      if (change.interaction) wanted = {index: change.slider.steps.indexOf(change.step), at: performance.now()};
      clearTimeout(reporting);
      reporting = setTimeout(() => setStateValue("shown", change.step.label), 400);
    });
  }, 200);
  parentElement.addEventListener("click", press);
  document.addEventListener("keydown", typed);
  return () => {
    clearInterval(watch); clearInterval(timer);
    parentElement.removeEventListener("click", press);
    document.removeEventListener("keydown", typed);
  };
}
"""


@st.fragment
def buttons(chart: str, title: str, labels: Sequence[str], choice: str, seconds: float, arrows_only: bool) -> None:
    """Mounted with the chart ``chart-<chart>``. labels: of its slider's steps; choice: the choice that follows the shown one.

    arrows_only: in a scene, whose bar has Page Down and Page Up.
    """

    def changed() -> None:
        state = st.session_state.get(f"{chart}-state")
        if state and state.get("shown") in labels:  # what the browser sends is checked like a URL
            choices.follow(choice, state["shown"])

    st.components.v2.component("frame_player", html=HTML, css=CSS, js=PLAYER)(
        key=f"{chart}-state",
        data={"chart": chart, "label": title, "milliseconds": int(1000 * seconds), "arrows": arrows_only},
        on_shown_change=changed,
    )
