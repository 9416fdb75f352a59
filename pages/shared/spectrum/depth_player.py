"""The Spectrum page through depth: the blocks of one network at one image, one after the other on locked axes.

All frames are in one figure, so that plotly makes a step without the server: Streamlit draws a changed figure as a new
chart, which flickers. The script below moves the figure's slider by keys, a presenter's remote or its buttons, and reports
the shown block for the page's URL.
"""

from collections.abc import Sequence

import streamlit as st

from pages.shared.jobs import computing
from pages.shared.shell import scenes
from pages.shared.state import ask, choices, controls
from pages.shared.widgets import gallery, panels, plane, stability_overlay
from stiffcore.analysis.results import Result
from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.figures.spectra import spectrum, spectrum_table, through_depth
from stiffcore.figures.spectra.through_depth import Look
from stiffcore.figures.theme import Style
from stiffcore.networks import catalogue

SECONDS_A_BLOCK = 1.2  # while it plays
HTML = """
<div class="player" role="group" aria-label="Through depth">
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
    if (!plot || !plot.on || plot.reportsBlock) return;
    plot.reportsBlock = true;
    plot.on("plotly_sliderchange", (change) => {
      if (change.interaction) wanted = {index: change.slider.steps.indexOf(change.step), at: performance.now()};
      clearTimeout(reporting);
      reporting = setTimeout(() => setStateValue("block", change.step.label), 400);
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


def show(network: str, convention: Convention, style: Style) -> None:
    """Choose an image and a look; see the stored blocks; offers to compute the missing ones."""
    numbers = [block.block for block in catalogue.blocks(network)]
    first, others = panels.looks(panels.row(), style)
    with first:
        axes, marks = plane.axes_and_marks(convention)
        fit = plane.fit("depth-player", convention)
    of_eigenvalues = [block.block for block in catalogue.blocks(network) if block.is_identity]
    with others:
        overlay = stability_overlay.choose(network, of_eigenvalues, convention)
    with panels.row():
        (image,) = gallery.choose(network, gallery.first_of_each_label()[3:4], at_most=1)
        gallery.strip(network, [image], {image: style.colour(0)})
    at = _at(network)
    controls.notes()
    requests = [ask.request(network, image, number, convention) for number in numbers]
    title = f"{controls.NETWORK_TITLES[network]} through depth ({convention})"
    with panels.error_boundary():
        by_block = {result.request.block: result for result in computing.results(requests, title)}
        blocks = {number: by_block.get(number) for number in numbers}
        if not any("singular_values" not in result.arrays for result in by_block.values()):
            st.info("No block is stored yet: compute all blocks, then play.", icon=":material/info:")
            controls.copy_link()
            return
        _draw(blocks, convention, style, Look(fit, axes, marks, overlay.regions, overlay.step), at, title)


def _at(network: str) -> int:
    """The block that is shown first: from the figure's report or from a link."""
    numbers = [block.block for block in catalogue.blocks(network)]

    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) not in numbers:
            raise CannotCompute(f"Expected a block of {network} from 1 to {numbers[-1]}, got {text[:80]!r}.")
        return int(text)

    if choices.changed("depth of", network):
        choices.forget("at")
    return choices.current("at", numbers[0], parse)


def _draw(blocks: through_depth.Blocks, convention: Convention, style: Style, look: Look, at: int, title: str) -> None:
    results = [result for result in blocks.values() if result is not None]
    request = results[0].request
    figure = through_depth.figure(blocks, convention, style, look, at)
    _player(request.network.name)
    panels.chart(figure, "depth-player", through_depth.alt_text(blocks, request.network, convention))
    _thinned(results, look.marks)
    missing = [str(number) for number, result in blocks.items() if result is None]
    if missing:
        st.caption(f"Not computed: block {', '.join(missing)}. Their frames say so; the axes fit the others.")
    computing.badge(results, title)
    name = f"depth-{request.network.name}-{convention}-{request.image.in_rows}"
    panels.downloads(
        figure, spectrum_table.points(results), name, title, spectrum_table.python([r.request for r in results])
    )
    panels.equivalent_table(spectrum_table.metrics(results), "Every metric of every block that is stored.")


def _thinned(results: Sequence[Result], marks: str) -> None:
    """Says which blocks show only some of their eigenvalues, and which are drawn as a density."""
    for result in results:
        count, total = spectrum.drawn_and_all([result], marks)
        if count < total:
            st.caption(
                f"Block {result.request.block}: showing {count:,} of {total:,} eigenvalues, including the extremes."
            )
    dense = [str(r.request.block) for r in results if spectrum.is_density([r], marks)]
    if dense:
        blocks = f"{'block' if len(dense) == 1 else 'blocks'} {', '.join(dense)}"
        st.caption(f"Drawn as a density of all eigenvalues: {blocks}. The outlined extremes are exact.")


@st.fragment
def _player(network: str) -> None:
    """Previous, play and next, which run in the browser; the URL follows."""
    numbers = [str(block.block) for block in catalogue.blocks(network)]

    def changed() -> None:
        state = st.session_state.get("depth-player-state")
        if state and state.get("block") in numbers:  # what the browser sends is checked like a URL
            choices.follow("at", state["block"])

    arrows = scenes.is_on()  # Page Down and Page Up belong to the scenes then
    st.components.v2.component("depth_player", html=HTML, css=CSS, js=PLAYER)(
        key="depth-player-state",
        data={"chart": "depth-player", "milliseconds": int(1000 * SECONDS_A_BLOCK), "arrows": arrows},
        on_block_change=changed,
    )
