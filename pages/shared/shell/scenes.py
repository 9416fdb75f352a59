"""Demo scenes: prepared views with two sentences each; the keys of a presenter's remote step through them.

A scene is a page with all its choices, in the URL as ``scene=<name>`` beside them. While a visitor is in one, every page
begins with a slim bar. Everything that a scene draws ships with the project; ``requests`` lists it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import streamlit as st

from pages.shared.shell import remote
from pages.shared.state import ask, choices
from stiffcore.analysis.requests import Request
from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.runs import kept

NAME = "scene"  # the URL's parameter
SPECTRUM, BLOCKS, LABELS = "pages/1_Spectrum.py", "pages/2_Blocks.py", "pages/3_Labels.py"
COMPARE, ODES, TRAINING = "pages/5_Compare.py", "pages/7_Stiff_ODEs.py", "pages/9_Over_training.py"
KEPT = ("talk",)  # the visitor's choices that scenes do not change
CAT = "0"  # a test image; its spectra ship
LOOK = """
<style>
  .st-key-scene {border-left: 4px solid var(--primary-color, #0471B5); padding: 0.15rem 0 0.15rem 0.9rem;}
  .st-key-scene p {margin: 0;}
  .stMain h1 {font-size: 1.3rem; padding: 0;}  /* the scene's title is the main one */
</style>
"""
# Titles wrap instead of being cut off; in a narrow window the three cards of a row stack.
LINKS_LOOK = """
<style>
  .st-key-scene-doors [data-testid="stPageLink"] a, .st-key-scene-doors [data-testid="stPageLink"] a * {
    white-space: normal; overflow: visible; text-overflow: clip; height: auto;}
  @media (max-width: 1200px) {.st-key-scene-doors [data-testid="stColumn"] {min-width: calc(100% - 1rem);}}
</style>
"""


@dataclass(frozen=True)
class Scene:
    """page: its file; link: its choices, as the URL holds them; story: two sentences."""

    title: str
    story: str
    page: str
    link: Mapping[str, str]


def _side(letter: str, network: str, block: str, convention: str) -> dict[str, str]:
    texts = {"network": network, "images": CAT, "block": block, "convention": convention}
    return {f"{letter}.{name}": text for name, text in texts.items()}


_SIDE_BY_SIDE = {"view": "side", "fit": "all", "marks": "auto"}
_DEPTH = {"images": CAT, "paper": "on", "baseline": "on", "live": "on", "yours": "off", "same": "off"}
PREPARED = {
    "step-too-long": Scene(
        "A step too long",
        "The fast part of this equation is over at once, but a step of forward Euler still may not be longer than 0.002. "
        "At 0.0021 the error grows at every step: stability, not accuracy, sets the step, and that is stiffness.",
        ODES,
        {"part": "example", "method": "forward-euler", "h": "0.0021", "until": "0.1"},
    ),
    "a-block-as-an-ode": Scene(
        "A residual block as an ODE",
        "Each point is an eigenvalue of the Jacobian of the last block's right-hand side F; the network's step of 1 damps what lies "
        "in the disc. Most eigenvalues lie near 0, a few far to the left.",
        SPECTRUM,
        {"mode": "one", "network": "resnet18", "convention": "branch", "blocks": "8", "images": "0,22,12", "axes": "linear",
         "marks": "auto", "fit": "disc", "overlay": "image", "stable": "forward-euler", "blockstep": "1", "eigenvalue": "none"},
    ),
    "beyond-the-disc": Scene(
        "The eigenvalues leave the disc",
        "A network cannot choose its step, but here you can: at twice the step the same points lie twice as far out. "
        "A point that leaves the disc to the left is a change that should die out but grows instead.",
        ODES,
        {"part": "blocks", "network": "resnet18", "blocks": "8", "images": "0,22,12", "euler": "forward-euler",
         "blockstep": "2", "planefit": "all"},
    ),
    "last-block": Scene(
        "The last block stands out",
        "The stiffness index S along the depth of ResNet18, as the paper computes it: bars are ours, diamonds are the paper's. "
        "Our weights are not the paper's, but the last block stands out again.",
        BLOCKS,
        {"networks": "resnet18", "metric": "stiffness_index", "conventions": "slices"} | _DEPTH,
    ),
    "three-networks": Scene(
        "Three networks, one pattern?",
        "The same index for ResNet18, 34 and 50, each with its own weights. Hatched blocks change the shape of the state; "
        "there the index is nearest to 0, because no identity skip adds a 1.",
        BLOCKS,
        {"networks": "resnet18,resnet34,resnet50", "metric": "stiffness_index", "conventions": "slices"} | _DEPTH,
    ),
    "two-readings": Scene(
        "Paper's numbers against the true Jacobian",
        "Left: the published numbers come from millions of eigenvalues of small slices of the Jacobian tensor. Right: the "
        "eigenvalues of the same block's Jacobian, a different question with a different answer.",
        COMPARE,
        {"compare": "spectra", "axes": "arcsinh"} | _SIDE_BY_SIDE | _side("a", "resnet18", "8", "slices")
        | _side("b", "resnet18", "8", "block"),
    ),
    "trained-and-untrained": Scene(
        "Trained and untrained",
        "The last block at the same cat, with trained weights and with a random initialisation. Differences come from training; what both "
        "share comes from the architecture.",
        COMPARE,
        {"compare": "spectra", "axes": "linear"} | _SIDE_BY_SIDE | _side("a", "resnet18", "8", "branch")
        | _side("b", "resnet18-untrained", "8", "branch"),
    ),
    "through-training": Scene(
        "A spectrum through training",
        "The last block of a ResNet20 at one cat, before the first step of its training and on; press Play. From a disc around 0 the "
        "eigenvalues spread far to the right, where the ODE grows: training makes this block expand, not stiff.",
        TRAINING,
        {"training": "spectrum", "run": "resnet20", "convention": "branch", "played": "9", "images": CAT, "axes": "linear",
         "marks": "auto", "fit": "all", "step": "0"},
    ),
    "labels": Scene(
        "Does it matter what is in the picture?",
        "The share of negative real parts in the last block, image by image, sorted by label. Labels do differ, but the variance "
        "between them is a small part of that between blocks.",
        LABELS,
        {"network": "resnet18", "metric": "percent_negative", "of": "8", "convention": "slices", "kind": "box"},
    ),
    "adversarial-twin": Scene(
        "A cat and its adversarial twin",
        "No pixel of the right image differs by more than 4 grey levels from the left one, but the network no longer sees a cat. "
        "The paper suspects that stiffness is the cause; compare the block's eigenvalues at both images.",
        COMPARE,
        {"compare": "perturbation", "perturb": "fgsm", "strength": "4", "axes": "linear"} | _SIDE_BY_SIDE
        | _side("a", "resnet18", "8", "branch"),
    ),
}  # fmt: skip
# A run is a later addition to what ships: its scene is there when its results are.
SCENES = {name: one for name, one in PREPARED.items() if one.page != TRAINING or kept.find(one.link["run"]) is not None}


def requests() -> list[Request]:
    """The spectra that the scenes draw, which have to ship. In addition they need the rows of every network under slices, and
    the flows and the twin of ``stiffcore/rebuild/targets.py``."""
    wanted = []
    for scene in SCENES.values():
        link = scene.link
        if scene.page == COMPARE:
            sides = ("a", "b") if link["compare"] == "spectra" else ("a",)
            views = [
                [link[f"{side}.{name}"] for name in ("network", "images", "block", "convention")] for side in sides
            ]
        elif scene.page == TRAINING:
            run, image = kept.get(link["run"]), ask.find_image(int(link["images"]))
            view = int(link["played"]), Convention(link["convention"]), "spectrum"
            wanted += [Request(run.network(checkpoint), image, *view) for checkpoint in run.drawn]
            continue
        elif scene.page == SPECTRUM or link.get("part") == "blocks":
            views = [[link["network"], link["images"], link["blocks"], link.get("convention", "branch")]]
        else:
            continue
        for network, images, block, convention in views:
            wanted += [ask.request(network, int(i), int(block), convention) for i in images.split(",")]
    return list(dict.fromkeys(wanted))


def query(name: str) -> dict[str, str]:
    """The URL's parameters of a scene."""
    return {NAME: name} | dict(SCENES[name].link)


def bar() -> None:
    """The bar: title, story, previous, next and end; draws nothing outside the scenes. Call before the page's choices."""
    name = _current()
    if name is None:
        return
    scene, names = SCENES[name], list(SCENES)
    at = names.index(name)
    st.html(LOOK)
    with st.container(key=NAME, horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f"**{at + 1}/{len(names)} · {scene.title}**  \n{scene.story}", width="stretch")
        if _button("previous", "Previous", "chevron_left", "PageUp", at == 0):
            go(names[at - 1])
        if _button("next", "Next", "chevron_right", "PageDown", at == len(names) - 1):
            go(names[at + 1])
        if _button("end", "End", "close", None, False):
            _leave()
            st.switch_page("app.py")
        remote.listen()


def is_on() -> bool:
    """Whether the visitor is in a scene, whose bar listens to the remote's keys."""
    return "in scene" in st.session_state


def _button(key: str, label: str, icon: str, shortcut: str | None, disabled: bool) -> bool:
    return st.button(
        label, key=f"scene-{key}", icon=f":material/{icon}:", shortcut=shortcut, disabled=disabled, type="tertiary"
    )


def go(name: str) -> None:
    """Opens a scene with all its choices, whatever was chosen before. Ends the run."""
    _enter(name, SCENES[name].link)
    st.switch_page(SCENES[name].page, query_params=query(name))


def _enter(name: str, link: Mapping[str, str]) -> None:
    """A choice that the scene does not make is reset to the page's default, and so is the zoom."""
    choices.reset_all(keep=KEPT)
    for chart in [key for key in st.session_state if str(key).startswith("zoom of ")]:
        del st.session_state[chart]
    for choice, text in link.items():
        choices.choose(choice, text)
    st.session_state["in scene"] = name
    choices.choose(NAME, name)


def _leave() -> None:
    st.session_state.pop("in scene", None)
    for held in ("chosen", "written to the URL"):  # so that the same scene's link counts as new
        st.session_state.get(held, {}).pop(NAME, None)


def _current() -> str | None:
    """The scene that the visitor is in. A link into a scene sets all its choices, even those that the link leaves out."""
    linked = st.query_params.get(NAME)
    if linked is None and "in scene" not in st.session_state:
        return None
    try:
        name = choices.current(NAME, "", _parse)
    finally:
        if st.query_params.get(NAME) == "":
            del st.query_params[NAME]
    if not name:
        _leave()
        st.session_state["on this page"].pop(NAME, None)
        return None
    if st.session_state.get("in scene") != name:
        _enter(name, {choice: st.query_params.get(choice, text) for choice, text in SCENES[name].link.items()})
    return name


def _parse(text: str) -> str:
    if text not in SCENES:
        raise CannotCompute(f"Expected a scene among {', '.join(SCENES)}, got {text[:80]!r}.")
    return text


def page_links() -> None:
    """Links to the scenes, each with its story."""
    st.html(LINKS_LOOK)
    numbered, whole = list(enumerate(SCENES.items(), 1)), st.container(key="scene-doors")
    for row in range(0, len(numbered), 3):
        for column, (number, (name, scene)) in zip(whole.columns(3), numbered[row : row + 3], strict=False):
            with column.container(border=True, height="stretch"):
                label = f"**{number} · {scene.title}**"
                st.page_link(scene.page, label=label, icon=":material/slideshow:", query_params=query(name))
                st.caption(scene.story)
