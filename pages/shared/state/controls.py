"""Widgets that show a choice and change it, and what is drawn about choices: notes, the link. ``choices`` keeps them."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import streamlit as st

from pages.shared.state import ask, choices
from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.images import cifar10
from stiffcore.matrices import own as matrices
from stiffcore.networks import catalogue, registry, uploaded as uploaded_networks
from stiffcore.networks.network import Network

T = TypeVar("T")
MAX_IMAGES = 8  # in one view; more colours cannot be distinguished
MAX_BLOCKS = 4


class _NetworkTitles(Mapping):
    """``resnet18-untrained`` -> ``ResNet18, untrained``; uploaded networks, looked up at every use, as ``ResNet18, uploaded: best.pt``."""

    def __getitem__(self, network: str) -> str:
        if network not in catalogue.NETWORKS and uploaded_networks.find(network) is None:
            raise KeyError(network)
        return registry.title(network)

    def __iter__(self) -> Iterator[str]:
        yield from catalogue.NETWORKS
        yield from (own.network for own in uploaded_networks.known())

    def __len__(self) -> int:
        return len(list(iter(self)))


NETWORK_TITLES: Mapping[str, str] = _NetworkTitles()


JOINER = "\u2060"  # has no width, and breaks an address, an emoji's name and an arrow
# A command, an option or a list of numbers in backticks; no character in it could end what stands around it.
COMMAND = re.compile(r"""(?<![`\\])(`(?:python -m stiffcore|(?:[\w-]+ )?--\w|\d)[\w ,.:/='"*+-]*`)(?!`)""")


def escape_markdown(text: str) -> str:
    """A text that Streamlit's Markdown shows literally: no link, image, emphasis, code, formula, list or badge.

    Special characters get a backslash. Streamlit looks for addresses, :names: and arrows after it has removed the
    backslashes; an invisible joiner breaks these. A command in backticks stays as it is, so that it can be copied.
    """
    text = re.sub(r"\s*[\r\n]\s*", " ", text).strip()
    parts = COMMAND.split(text)
    return "".join(part if at % 2 else _escaped(part) for at, part in enumerate(parts))


def _escaped(text: str) -> str:
    text = re.sub(r"([\\`*_~\[\]$<>&|])", r"\\\1", text)
    text = re.sub(r"^(\d*)([-+=#.)])", r"\1\\\2", text)  # a list, a heading, a line
    text = re.sub(r"([:@])(?=\S)", rf"\1{JOINER}", text)
    text = re.sub(r"(www)(?=\.)", rf"\1{JOINER}", text, flags=re.IGNORECASE)
    return re.sub(r"([-~<>])(?=\\?[-=>])", rf"\1{JOINER}", text)


def notes() -> None:
    """Shows once which values of a link were refused. Call after the page's choices."""
    notes, st.session_state["notes"] = st.session_state.get("notes", []), []
    for note in notes:
        st.warning(f"{escape_markdown(note)} The default is shown instead.", icon=":material/link_off:")


def copy_link() -> None:
    """A button that shows the link with a copy button; it works offline."""
    with st.popover("Copy link", icon=":material/link:"):
        st.caption("Opens this view with all its choices.")
        st.code(choices.link(), language=None, wrap_lines=True)


def _among(options: Iterable[T], text_of: Callable[[T], str], name: str) -> Callable[[str], T]:
    by_text = {text_of(option): option for option in options}

    def parse(text: str) -> T:
        if text not in by_text:
            raise CannotCompute(f"Expected {name} among {', '.join(list(by_text)[:16])}, got {text[:80]!r}.")
        return by_text[text]

    return parse


def _several(options: Sequence[T], text_of: Callable[[T], str], name: str, at_most: int) -> Callable[[str], tuple]:
    parse_one = _among(options, text_of, name)
    return lambda text: tuple(dict.fromkeys(parse_one(part) for part in text.split(",")))[:at_most]


def _from_widget(key: str, name: str, text_of: Callable, again: Callable | None) -> None:
    """A widget's callback. An empty selection keeps the choice: the chosen button was pressed again."""
    value = st.session_state[key]
    # The URL that comes with a quick second click is older than the first click: this page wrote it, it is not a link.
    st.session_state.setdefault("written to the URL", {}).update(st.query_params.to_dict())
    if value is not None and value != []:
        choices.choose(name, text_of(value))
    elif again:
        again()


def _widget(draw: Callable, label: str, name: str, value, text_of: Callable, again: Callable | None = None, **options):
    """Draws a widget that shows ``value``, which is set before the draw so that no click is lost between runs.

    Set only if it differs: a late run would otherwise set back a slider that the visitor is still moving.
    """
    key = f"choice-{name}"
    if st.session_state.get(key) != value:
        st.session_state[key] = value
    draw(label, key=key, on_change=_from_widget, args=(key, name, text_of, again), **options)
    return value


def select(
    label: str,
    name: str,
    options: Mapping[T, str] | Sequence[T],
    default: T,
    draw: Callable | None = None,
    parse: Callable[[str], T] | None = None,
    **look,
):
    """One of some options. options: values, or value -> how it is shown; draw: st.selectbox, st.radio, st.pills ...

    again: called when the chosen one's button is pressed once more. parse: text -> value, for a specific error text.
    """
    titles = options if isinstance(options, Mapping) else {option: str(option) for option in options}
    value = choices.current(name, default, parse or _among(titles, str, name))
    return _widget(
        draw or st.segmented_control, label, name, value, str, options=list(titles), format_func=titles.get, **look
    )


def several_of(
    label: str,
    name: str,
    options: Mapping[T, str] | Sequence[T],
    default: Sequence[T],
    at_most: int | None = None,
    draw: Callable | None = None,
    none: str | None = None,
    **look,
) -> tuple[T, ...]:
    """One or more of some options, in the options' order. none: the URL's text for an empty choice, if that is allowed."""
    titles = options if isinstance(options, Mapping) else {option: str(option) for option in options}
    at_most = at_most or len(titles)

    def text_of(values: Sequence[T]) -> str:
        kept = list(values)[-at_most:]  # the newest ones
        return ",".join(str(option) for option in titles if option in kept) or (none or "")

    several = _several(list(titles), str, name, at_most)
    value = choices.current(
        name, tuple(default), lambda text: () if none is not None and text == none else several(text), text_of
    )
    if none is not None:
        look["again"] = lambda: choices.choose(name, none)
    if draw is None:
        draw, look = st.pills, {"selection_mode": "multi"} | look
    _widget(draw, label, name, list(value), text_of, options=list(titles), format_func=titles.get, **look)
    return value


def number(label: str, name: str, low: float, high: float, default: float, step: float, **look) -> float:
    """A number on a slider, within its limits."""

    def parse(text: str) -> float:
        value = float(text)
        if not low <= value <= high:  # also refuses NaN
            raise CannotCompute(f"Expected {name} from {low} to {high}, got {text[:80]!r}.")
        return type(default)(value)

    value = choices.current(name, default, parse, lambda value: f"{value:g}")
    return _widget(
        st.slider, label, name, value, lambda value: f"{value:g}", min_value=low, max_value=high, step=step, **look
    )


def switch(label: str, name: str, default: bool = False, **look) -> bool:
    """On or off."""

    def text_of(value: bool) -> str:
        return "on" if value else "off"

    value = choices.current(name, default, _among((True, False), text_of, name), text_of)
    return _widget(st.toggle, label, name, value, text_of, **look)


def network(label: str = "Network", name: str = "network", default: str = "resnet18", **look) -> str:
    """One of all networks, baselines and uploaded networks. A choice of matrices shows the default, and holds again on the page
    Spectrum."""
    is_linked = choices.is_linked(name)

    def parse(text: str) -> str:
        if matrices.is_name(text) and not is_linked:
            return default
        if matrices.is_name(text):
            raise CannotCompute("Matrices are shown on the page Spectrum, in place of a network.")
        catalogue.architecture(text[:80])  # the error says if an uploaded one was removed
        return text

    return select(label, name, dict(NETWORK_TITLES), default, draw=st.selectbox, parse=parse, **look)


def doubts(networks: Iterable[Network]) -> None:
    """A badge and the reason for each network whose file may have been read wrongly; draws nothing for all others."""
    for network in dict.fromkeys(network for network in networks if network.doubt):
        title = escape_markdown(network.title or network.name)
        st.markdown(f":orange-badge[in doubt] **{title}**: {escape_markdown(network.doubt)}")


CONVENTION_TITLES = {convention.value: convention.title for convention in Convention}


def convention(default: Convention, name: str = "convention", **look) -> Convention:
    """One convention; the visitor's choice on other pages is kept."""
    return Convention(select("Convention", name, CONVENTION_TITLES, default.value, **look))


def conventions(default: Convention) -> tuple[Convention, ...]:
    """One or more conventions."""
    return tuple(map(Convention, several_of("Conventions", "conventions", CONVENTION_TITLES, (default.value,))))


def convention_before(default: Convention) -> Convention:
    """The convention that the visitor chose on another page."""
    name = st.session_state.get("chosen", {}).get("convention", "")
    return Convention(name) if name in CONVENTION_TITLES else default


def blocks(network: str, default: Sequence[int] | None = None, at_most: int = MAX_BLOCKS, **look) -> tuple[int, ...]:
    """Blocks of a network, counted from 1; arrows mark those that change the shape. Opens on the last one."""
    asked = ask.find_network(network)
    there = asked.blocks
    if not choices.is_linked("blocks"):  # keep those blocks that the network has, without a note
        chosen = st.session_state.setdefault("chosen", {})
        kept = [part for part in chosen.get("blocks", "").split(",") if part.isdecimal()]
        inside = [part for part in kept if 1 <= int(part) <= len(there)]
        if not inside:
            chosen.pop("blocks", None)
        elif ",".join(inside) != chosen["blocks"]:
            choices.choose("blocks", ",".join(inside))
    titles = {block.block: f"{block.block}" if block.is_identity else f"{block.block} ↘" for block in there}
    if not asked.takes_images:
        titles = {block.block: escape_markdown(f"{block.block} {block.path}") for block in there}
    return several_of(asked.nouns.capitalize(), "blocks", titles, default or (len(there),), at_most, **look)


def parse_images(text: str) -> tuple[int, ...]:
    """As on the command line, and at most as many as one view holds."""
    return tuple(cifar10.parse_images(text[:200])[:MAX_IMAGES])


def images(default: Sequence[int], name: str = "images", at_most: int = MAX_IMAGES) -> tuple[int, ...]:
    """The chosen images without a widget; widgets/gallery.py draws one."""
    return choices.current(
        name, tuple(default), lambda text: parse_images(text)[:at_most], lambda value: ",".join(map(str, value))
    )
