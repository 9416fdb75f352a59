"""What every page begins with: its title, the menu in named groups, the look, and the jobs that are running."""

from pathlib import Path

import streamlit as st

from pages.shared.jobs import computing
from pages.shared.shell import scenes
from pages.shared.state import choices, controls, service
from stiffcore.figures.theme import Style

ROOT = Path(__file__).parents[3]
ICON = str(Path(__file__).parent / "icon.svg")
# Material icons come with Streamlit's own font; only as a page icon would they be fetched from the internet.
MENU = {
    "Explore": (
        ("app.py", "Home", ":material/home:", ""),
        ("pages/1_Spectrum.py", "Spectrum", ":material/scatter_plot:", "any block at any image, in the complex plane"),
        ("pages/5_Compare.py", "Compare", ":material/compare:", "two spectra side by side, axes locked"),
        (
            "pages/10_Through_the_network.py",
            "Through the network",
            ":material/linear_scale:",
            "how far a small change of an image grows, block by block",
        ),
        ("pages/8_Own_files.py", "Own files", ":material/upload_file:", "a network or an image of your own"),
    ),
    "Statistics": (
        ("pages/2_Blocks.py", "Blocks", ":material/stacked_bar_chart:", "stiffness along the depth"),
        (
            "pages/9_Over_training.py",
            "Over training",
            ":material/trending_up:",
            "stiffness from checkpoint to checkpoint",
        ),
        ("pages/3_Labels.py", "Labels", ":material/label:", "does stiffness depend on the label?"),
        ("pages/4_Correlation.py", "Correlation", ":material/bubble_chart:", "stiffness against accuracy and loss"),
        (
            "pages/11_Adversarial_examples.py",
            "Adversarial examples",
            ":material/security:",
            "how small a change fools the network, against stiffness",
        ),
    ),
    "The paper": (
        ("pages/6_Published_tables.py", "Published tables", ":material/table_view:", "their numbers beside ours"),
        ("pages/7_Stiff_ODEs.py", "Stiff ODEs", ":material/show_chart:", "what stiffness does to a solver"),
    ),
}
MENU_WIDTH = 236  # pixels
# Streamlit's own spacing is made for long pages; an instrument should fit on one screen.
LOOK = """
<style>
  .stMainBlockContainer {padding: 1.4rem 2rem 3rem; max-width: 1680px;}
  [data-testid="stHeader"] {background: transparent; height: 2.6rem; pointer-events: none;}
  [data-testid="stHeader"] button {pointer-events: auto;}
  [data-testid="stSidebarHeader"] {height: 2.6rem; margin-bottom: 0;}
  [data-testid="stSidebarUserContent"] {padding-top: 0;}
  [data-testid="stSidebarUserContent"] [data-testid="stVerticalBlock"] {gap: 0.3rem;}
  .stMainBlockContainer > div > [data-testid="stVerticalBlock"], .stMainBlockContainer > [data-testid="stVerticalBlock"] {gap: 0.75rem;}
  @media (max-width: 1200px) {[class*="st-key-beside"] [data-testid="stColumn"] {min-width: calc(100% - 1rem);}}
  .stMain h1 {padding: 0 0 0.6rem;}
  [data-testid="stPageLink"] a, [data-testid="stPageLink"] a * {white-space: normal; overflow: visible; height: auto;}
  [data-testid="stSidebar"] [data-testid="stPageLink"] a {line-height: 1.3; padding-top: 0.22rem; padding-bottom: 0.22rem;}
  .stMain [data-testid="stMetricValue"] {font-variant-numeric: tabular-nums;}
  .menu-group {font-size: 0.74rem; letter-spacing: 0.08em; text-transform: uppercase; opacity: 0.65; margin: 0.7rem 0 0;}
  .st-key-choice-talk {margin-top: 0.9rem;}
  .wordmark {font-family: "Source Serif", serif; font-size: 1.45rem; font-weight: 600; line-height: 1.1;}
  .wordmark small {display: block; font: 400 0.78rem "Source Sans", sans-serif; opacity: 0.7; margin-top: 0.25rem;}
</style>
"""
# Streamlit repaints itself when the visitor switches between light and dark, but does not run the page again. Without this
# component a figure would keep the old theme's colours until the next click.
WATCH_THEME = """
export default function ({parentElement, setStateValue}) {
  const host = parentElement.host ?? parentElement;  // a shadow root is no element
  const background = () => getComputedStyle(host).getPropertyValue("--st-background-color").trim();
  let last = background();
  const timer = setInterval(() => {
    const now = background();
    if (now !== last) { last = now; setStateValue("background", now); }
  }, 400);
  return () => clearInterval(timer);
}
"""
# Every size in the app is relative to the first one. The controls keep their size: the last row reads the figure, not the controls.
TALK = """
<style>
  html {font-size: 21px !important;}
  .stMain :is(.stSelectbox, .stMultiSelect, .stButtonGroup, .stSlider, .stCheckbox, .stPopover, .stDownloadButton) {zoom: 0.72;}
  .stMain h1 {font-size: 1.6rem; padding: 0 0 0.2rem;}
  .stMain:has(.st-key-scene) [data-testid="stLayoutWrapper"]:has(> [class*="st-key-row-"]) {order: 1;}  /* the figure first */
  .stMain:has(.st-key-scene) h1 {display: none;}
</style>
"""


def page(title: str, icon: str = ICON) -> Style:
    """Call first on every page: sets the browser's title and icon, draws the menu, returns the style of the page's figures.

    icon: an emoji or a file that ships. Raises ValueError for what would be fetched from the internet.
    """
    if icon.startswith((":material/", "http")):
        raise ValueError(f"Expected an emoji or a file as the page's icon, got {icon!r}, which would be fetched.")
    st.set_page_config(
        page_title=f"{title} · stiffcore", page_icon=icon, layout="wide", initial_sidebar_state=MENU_WIDTH
    )
    st.html(LOOK)
    choices.begin(title)
    with st.sidebar:
        _menu()
        talk = controls.switch("Talk mode", "talk", help="Large type and thick lines, readable from the last row.")
        computing.device()
        st.components.v2.component("watch_theme", js=WATCH_THEME)(key="watch-theme", on_background_change=lambda: None)
        if st.session_state.get("jobs"):
            computing.monitor()
    if talk:
        st.html(TALK)
    scenes.bar()
    service.warm_up()
    return Style(dark=st.context.theme.type == "dark", talk=talk)


def _menu() -> None:
    st.html('<div class="wordmark">stiffcore<small>Residual blocks as ODEs</small></div>')
    for group, entries in MENU.items():
        there = [entry for entry in entries if (ROOT / entry[0]).exists()]
        if there:
            st.html(f'<div class="menu-group">{group}</div>')
        for path, label, icon, _ in there:
            st.page_link(path, label=label, icon=icon)


def page_links() -> None:
    """Links to the pages, each with what it shows."""
    for entries in MENU.values():
        for path, label, icon, what in entries:
            if what and (ROOT / path).exists():
                st.page_link(path, label=f"**{label}**: {what}", icon=icon)
