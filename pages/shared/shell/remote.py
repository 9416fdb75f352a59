"""Keys of a presenter's remote: Page Down and Page Up press the scene bar's buttons.

Streamlit's own shortcut ignores a press while the focus is in a field or on a slider, while the bar is being drawn anew, and
while the browser reconnects. On a stage the focus is wherever the last click was. Hence one listener for the
whole window, which outlives the bar by a moment. A press that comes before its button waits for the button. Of two quick
presses, the second waits for the view that the first leads to, as long as the server works on it.
"""

import streamlit as st

REMOTE = """
const KEYS = {PageUp: ["previous", -1], PageDown: ["next", 1]}, PATIENCE = 10000, AGAIN = 3000, BETWEEN_PAGES = 3000;
const BUSY = "textarea, [contenteditable=true], [role=listbox], [aria-expanded=true][role=combobox]";
function start() {
  const waiting = [];
  let seen = -Infinity, left = null, since = 0;  // when the bar was last there; the view that the last press leaves, and when
  const shown = () => document.querySelector(".st-key-scene p")?.textContent.match(/^(\\d+)\\/(\\d+)/)?.slice(1).map(Number);
  // Streamlit's own state; if Streamlit stops reporting it, AGAIN still holds.
  const state = () => document.querySelector("[data-test-script-state]")?.dataset.testScriptState;
  const isRunning = () => ["running", "rerunRequested"].includes(state());
  const go = () => {
    const now = performance.now(), view = shown();
    if (!view) {
      if (now - seen > BETWEEN_PAGES) waiting.length = 0;
      return;
    }
    seen = now;
    if (view[0] !== left) left = null;
    while (waiting.length && now - waiting[0].when > PATIENCE) waiting.shift();
    if (!waiting.length || (left === view[0] && (isRunning() || now - since < AGAIN))) return;  // the next is on its way
    const {name, by} = waiting[0], to = view[0] + by;
    const button = document.querySelector(`.st-key-scene-${name} button`);
    if (to < 1 || to > view[1]) waiting.shift();
    else if (button && !button.disabled) {
      waiting.shift();
      [left, since] = [view[0], now];
      button.click();
    }
  };
  window.addEventListener("keydown", (event) => {
    if (!(event.key in KEYS) || event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
    if (!shown() && performance.now() - seen > BETWEEN_PAGES) return;
    if (event.composedPath()[0].closest?.(BUSY)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (event.repeat) return;
    const [name, by] = KEYS[event.key];
    waiting.push({name, by, when: performance.now()});
    go();
  }, true);
  setInterval(go, 100);
  return true;
}
export default function () { window.stiffcoreRemote ??= start(); }
"""


def listen() -> None:
    """Mounted in the bar. The listener finds the bar by its class, and the scene's number in its text."""
    st.components.v2.component("remote", js=REMOTE)(key="remote")
