"""The visitor's choices: one owner. They follow across pages, live in the URL, and are validated on the server.

A choice has a name (its URL parameter), a value and a text (its form in the URL). What the visitor chose is kept as text
in the session; a value in the URL that this session did not write itself (a link, or the browser's Back) replaces it.
Every text is parsed again on every run, so nothing that a URL holds is ever used unchecked. All choices of a page,
defaults too, are written to the URL: the address bar is the link to copy. On arrival at a page its whole URL is a link.

Some choices are one question asked in several forms, and the newest answer holds for all of them (``_KIN``):

    network      Blocks' ``networks``: the first of several; a network that is among them changes nothing
    convention   Blocks' ``conventions``, likewise
    blocks       ``of`` of Labels and Correlation, and ``at`` of the depth player: one block. Several blocks give their last
                 one; "all blocks" is a question of its own, which stays until somebody answers it otherwise

Compare's sides begin with them and are apart from then on. A block that the next network lacks is dropped without a note.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import streamlit as st

from stiffcore.conventions import Convention
from stiffcore.errors import CannotCompute
from stiffcore.images import cifar10
from stiffcore.networks import catalogue, uploaded as uploaded_networks

T = TypeVar("T")
MAX_IMAGES = 8  # in one view; as many colours can be told apart
MAX_BLOCKS = 4


class _NetworkTitles(Mapping):
    """``resnet18-untrained`` -> ``ResNet18, untrained``; uploaded networks, looked up at every use, as ``ResNet18, own: best.pt``."""

    def __getitem__(self, network: str) -> str:
        title = "ResNet" + network.removeprefix("resnet").replace("-", ", ")
        if network in catalogue.NETWORKS:
            return title
        own = uploaded_networks.find(network)
        if own is None:
            raise KeyError(network)
        return f"{title.split(',')[0]}, own: {own.title}"

    def __iter__(self) -> Iterator[str]:
        yield from catalogue.NETWORKS
        yield from (own.network for own in uploaded_networks.known())

    def __len__(self) -> int:
        return len(list(iter(self)))


NETWORK_TITLES: Mapping[str, str] = _NetworkTitles()


def begin(page: str) -> None:
    """Called by navigation.page: a page starts with no note and no parameter of the page before."""
    st.session_state["notes"] = []
    st.session_state["rows"] = 0  # of controls, numbered by panels.row
    st.session_state["on this page"] = {}
    if changed("page", page):  # else a link with the very value that this session wrote long ago would be ignored
        st.session_state["written to the URL"] = {}


def _first(text: str) -> str:
    return text.split(",")[0]


def _last(text: str) -> str:
    return text.split(",")[-1]


# choice -> (the same question's other form, that form's text). It is left alone where it holds this text among others.
LINKED: Mapping[str, tuple[tuple[str, Callable[[str], str]], ...]] = {
    "networks": (("network", _first),),
    "network": (("networks", str),),
    "conventions": (("convention", _first),),
    "convention": (("conventions", str),),
    "blocks": (("of", _last),),
    "of": (("blocks", str),),
    "at": (("blocks", str), ("of", str)),
}
ALL = "all"  # blocks; as statistics.tables, which would import pandas


def choose(name: str, text: str) -> None:
    """Set a choice (from a callback: a point clicked in a figure, for example) in its URL form, and what is kin to it."""
    _set(name, text)
    _propagate(name, text)


def _propagate(name: str, text: str) -> None:
    for other, form in LINKED.get(name, ()):
        there = st.session_state["chosen"].get(other, "")
        if text != ALL and there != ALL and form(text) not in there.split(","):
            _set(other, form(text))


def _set(name: str, text: str) -> None:
    st.session_state.setdefault("chosen", {})[name] = text
    # What is chosen now outweighs what the URL has held until now.
    st.session_state.setdefault("written to the URL", {})[name] = st.query_params.get(name)


def follow(name: str, text: str) -> None:
    """Set a choice to what the browser shows already, and the URL with it. For callbacks.

    Not by ``current``: while somebody moves on quickly, the address that comes with a report may be older than the report.
    """
    choose(name, text)
    st.session_state.setdefault("written to the URL", {})[name] = text
    st.session_state.setdefault("on this page", {})[name] = text
    st.query_params[name] = text


def forget(name: str) -> None:
    """Back to the default, unless a link asks for a value just now."""
    if not _is_linked(name):
        st.session_state.setdefault("chosen", {}).pop(name, None)


def reset_all(keep: Iterable[str] = ()) -> None:
    """Every choice back to its default, unless a link asks for a value just now."""
    for name in set(st.session_state.setdefault("chosen", {})) - set(keep):
        forget(name)


def refuse(name: str, default: str, note: str) -> None:
    """Give up a choice that turned out to be impossible, for its default; ``notes`` says why."""
    follow(name, default)
    st.session_state.setdefault("notes", []).append(note)


def shown(name: str) -> str:
    """A choice of this page as it stands in the URL; for callbacks."""
    return st.session_state["on this page"][name]


def changed(name: str, value: object) -> bool:
    """Whether a value is another one than at the last call under this name; False at the first."""
    seen = st.session_state.setdefault("seen values", {})
    before = seen.get(name, value)
    seen[name] = value
    return before != value


def _is_linked(name: str) -> bool:
    """Whether the URL holds a value that this session did not write itself."""
    linked = st.query_params.get(name)
    return linked is not None and linked != st.session_state.get("written to the URL", {}).get(name)


def current(name: str, default: T, parse: Callable[[str], T], text_of: Callable[[T], str] = str) -> T:
    """The value of a choice: from a new URL, else as chosen in this session, else the page's default.

    parse: text -> value; raises CannotCompute or ValueError for what is not one.
    """
    chosen: dict[str, str] = st.session_state.setdefault("chosen", {})
    written: dict[str, str] = st.session_state.setdefault("written to the URL", {})
    linked, is_linked = st.query_params.get(name), _is_linked(name)
    if is_linked:
        chosen[name] = linked
    value, text = default, chosen.get(name)
    if text is not None:
        try:
            value = parse(text)
        except (CannotCompute, ValueError) as error:
            del chosen[name]
            st.session_state.setdefault("notes", []).append(
                str(error) or f"Expected another value for {name}, got {text[:80]!r}: the default is shown."
            )
    written[name] = text_of(value)
    if is_linked and name in chosen:
        _propagate(name, written[name])
    if linked != written[name]:
        st.query_params[name] = written[name]
    st.session_state.setdefault("on this page", {})[name] = written[name]
    return value


JOINER = "\u2060"  # has no width, and is no part of an address, an emoji's name or an arrow


def escape_markdown(text: str) -> str:
    """A text for Streamlit's Markdown that is shown as it stands: no link, image, emphasis, code, formula, list or badge.

    Signs have a backslash before them. Addresses, :names: and arrows are looked for when those are gone again, so that
    these are broken by a joiner, which nobody sees.
    """
    text = re.sub(r"\s*[\r\n]\s*", " ", text).strip()
    text = re.sub(r"([\\`*_~\[\]$<>&|])", r"\\\1", text)
    text = re.sub(r"^(\d*)([-+=#.)])", r"\1\\\2", text)  # a list, a heading, a line
    text = re.sub(r"([:@])(?=\S)", rf"\1{JOINER}", text)
    text = re.sub(r"(www)(?=\.)", rf"\1{JOINER}", text, flags=re.IGNORECASE)
    return re.sub(r"([-~<>])(?=\\?[-=>])", rf"\1{JOINER}", text)


def notes() -> None:
    """What a link asked for and could not have, each said once. Call after the page's choices."""
    notes, st.session_state["notes"] = st.session_state.get("notes", []), []
    for note in notes:
        st.warning(f"{escape_markdown(note)} The default is shown instead.", icon=":material/link_off:")


def link() -> str:
    """The address of this view with every choice, defaults too."""
    from urllib.parse import urlencode

    query = urlencode(st.session_state.get("on this page", {}), safe=",")
    return f"{(st.context.url or '').split('?')[0]}?{query}"


def copy_link() -> None:
    """A button that shows the link with a copy sign; it works without a network."""
    with st.popover("Copy link", icon=":material/link:"):
        st.caption("Opens this view again, every choice included.")
        st.code(link(), language=None, wrap_lines=True)


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
    """A widget's callback; an empty selection keeps the choice as it was: the same button was pressed again."""
    value = st.session_state[key]
    # The address that comes with a quick second click is older than the first: no link, but what this page had written.
    st.session_state.setdefault("written to the URL", {}).update(st.query_params.to_dict())
    if value is not None and value != []:
        choose(name, text_of(value))
    elif again:
        again()


def _widget(draw: Callable, label: str, name: str, value, text_of: Callable, again: Callable | None = None, **options):
    """Draws a widget that shows ``value``, written before the draw so that no click is lost between runs.

    Written only where it differs: a run that ends late would set a slider back that somebody is still moving.
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

    again: called when the chosen one's button is pressed once more. parse: text -> value, for a sentence of its own.
    """
    titles = options if isinstance(options, Mapping) else {option: str(option) for option in options}
    value = current(name, default, parse or _among(titles, str, name))
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
    """One or more of some options, in the options' order. none: how the URL says that not one is chosen, where that may be."""
    titles = options if isinstance(options, Mapping) else {option: str(option) for option in options}
    at_most = at_most or len(titles)

    def text_of(values: Sequence[T]) -> str:
        kept = list(values)[-at_most:]  # the newest ones
        return ",".join(str(option) for option in titles if option in kept) or (none or "")

    several = _several(list(titles), str, name, at_most)
    value = current(
        name, tuple(default), lambda text: () if none is not None and text == none else several(text), text_of
    )
    if none is not None:
        look["again"] = lambda: choose(name, none)
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

    value = current(name, default, parse, lambda value: f"{value:g}")
    return _widget(
        st.slider, label, name, value, lambda value: f"{value:g}", min_value=low, max_value=high, step=step, **look
    )


def switch(label: str, name: str, default: bool = False, **look) -> bool:
    """On or off."""

    def text_of(value: bool) -> str:
        return "on" if value else "off"

    value = current(name, default, _among((True, False), text_of, name), text_of)
    return _widget(st.toggle, label, name, value, text_of, **look)


def network(label: str = "Network", name: str = "network", default: str = "resnet18", **look) -> str:
    """One of all networks, baselines and uploaded networks."""

    def parse(text: str) -> str:
        catalogue.architecture(text[:80])  # says what became of an uploaded one
        return text

    return select(label, name, dict(NETWORK_TITLES), default, draw=st.selectbox, parse=parse, **look)


CONVENTION_TITLES = {convention.value: convention.title for convention in Convention}


def convention(default: Convention, name: str = "convention", **look) -> Convention:
    """A reading of "the eigenvalues of a block". What the visitor chose elsewhere is kept."""
    return Convention(select("Convention", name, CONVENTION_TITLES, default.value, **look))


def conventions(default: Convention) -> tuple[Convention, ...]:
    """One or more of them."""
    return tuple(map(Convention, several_of("Conventions", "conventions", CONVENTION_TITLES, (default.value,))))


def convention_before(default: Convention) -> Convention:
    """The convention that the visitor looked at on another page."""
    name = st.session_state.get("chosen", {}).get("convention", "")
    return Convention(name) if name in CONVENTION_TITLES else default


def blocks(network: str, default: Sequence[int] | None = None, at_most: int = MAX_BLOCKS, **look) -> tuple[int, ...]:
    """Blocks of a network, counted from 1; arrows mark those that change the shape. Opens on the last one."""
    there = catalogue.blocks(network)
    if not _is_linked("blocks"):  # keep those blocks that the network has, without a note
        chosen = st.session_state.setdefault("chosen", {})
        kept = [part for part in chosen.get("blocks", "").split(",") if part.isdecimal()]
        inside = [part for part in kept if 1 <= int(part) <= len(there)]
        if not inside:
            chosen.pop("blocks", None)
        elif ",".join(inside) != chosen["blocks"]:
            choose("blocks", ",".join(inside))
    titles = {block.block: f"{block.block}" if block.is_identity else f"{block.block} ↘" for block in there}
    return several_of("Blocks", "blocks", titles, default or (len(there),), at_most, **look)


def parse_images(text: str) -> tuple[int, ...]:
    """As on the command line, and at most as many as one view holds."""
    return tuple(cifar10.parse_images(text[:200])[:MAX_IMAGES])


def images(default: Sequence[int], name: str = "images", at_most: int = MAX_IMAGES) -> tuple[int, ...]:
    """The chosen images without a widget; widgets/gallery.py draws one."""
    return current(
        name, tuple(default), lambda text: parse_images(text)[:at_most], lambda value: ",".join(map(str, value))
    )
