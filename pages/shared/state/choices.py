"""The visitor's choices, in one place. They are kept across pages and in the URL, and are validated on the server.

A choice has a name (its URL parameter), a value and a text (its form in the URL). The session keeps it as text; a value in
the URL that this session did not write itself (from a link or the browser's Back) replaces it. Every text is parsed in every
run, so nothing from a URL is used unchecked. All choices of a page, including defaults, are written to the URL: the address
bar is the link to copy. On arrival at a page, the whole URL counts as a link.

Some choices are one question in several forms; the newest answer holds for all of them (``LINKED``):

    network      Blocks' ``networks``: the first of several; a network that is already among them changes nothing
    convention   Blocks' ``conventions``, likewise
    blocks       ``of`` of Labels and Correlation, and ``at`` of the depth player: one block. Of several blocks the
                 last one counts; "all blocks" is kept until the visitor chooses a block there

Compare's sides start from these choices and are independent afterwards. A block that the next network lacks is dropped
without a note.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

import streamlit as st

from stiffcore.errors import CannotCompute
from stiffcore.matrices import own as matrices

T = TypeVar("T")


def begin(page: str) -> None:
    """Called by navigation.page: a page starts without notes and parameters of the previous page."""
    st.session_state["notes"] = []
    st.session_state["rows"] = 0  # of controls, numbered by panels.row
    st.session_state["on this page"] = {}
    if changed("page", page):  # else a link with a value that this session wrote earlier would be ignored
        st.session_state["written to the URL"] = {}


def _first(text: str) -> str:
    return text.split(",")[0]


def _last(text: str) -> str:
    return text.split(",")[-1]


# choice -> (the question's other form, that form's text). The other form is not changed if it already contains this text.
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
    """Set a choice in its URL form, with its linked choices. For callbacks, for example of a click on a point."""
    _set(name, text)
    _propagate(name, text)


def _propagate(name: str, text: str) -> None:
    if matrices.is_name(text):  # only the page Spectrum shows them; what the others show stays
        return
    for other, form in LINKED.get(name, ()):
        present = st.session_state["chosen"].get(other, "")
        if text != ALL and present != ALL and form(text) not in present.split(","):
            _set(other, form(text))


def _set(name: str, text: str) -> None:
    st.session_state.setdefault("chosen", {})[name] = text
    # The new choice takes precedence over the URL's present value.
    st.session_state.setdefault("written to the URL", {})[name] = st.query_params.get(name)


def follow(name: str, text: str) -> None:
    """Set a choice, and the URL, to what the browser already shows. For callbacks.

    Not by ``current``: while a visitor moves on quickly, the URL that comes with a report may be older than the report.
    """
    choose(name, text)
    st.session_state.setdefault("written to the URL", {})[name] = text
    st.session_state.setdefault("on this page", {})[name] = text
    st.query_params[name] = text


def forget(name: str) -> None:
    """Reset a choice to the default, unless the current link asks for a value."""
    if not is_linked(name):
        st.session_state.setdefault("chosen", {}).pop(name, None)


def reset_all(keep: Iterable[str] = ()) -> None:
    """Reset every choice to its default, unless the current link asks for a value."""
    for name in set(st.session_state.setdefault("chosen", {})) - set(keep):
        forget(name)


def refuse(name: str, default: str, note: str) -> None:
    """Replace a choice that turned out to be impossible by its default; ``notes`` says why."""
    follow(name, default)
    st.session_state.setdefault("notes", []).append(note)


def shown(name: str) -> str:
    """A choice of this page as it stands in the URL; for callbacks."""
    return st.session_state["on this page"][name]


def changed(name: str, value: object) -> bool:
    """Whether a value differs from that of the last call under this name; False at the first call."""
    seen = st.session_state.setdefault("seen values", {})
    before = seen.get(name, value)
    seen[name] = value
    return before != value


def is_linked(name: str) -> bool:
    """Whether the URL holds a value that this session did not write itself."""
    linked = st.query_params.get(name)
    return linked is not None and linked != st.session_state.get("written to the URL", {}).get(name)


def asked_for(name: str) -> str:
    """A choice's text before it is checked: of a new URL, else as chosen in this session, else ""."""
    chosen: str = st.session_state.get("chosen", {}).get(name, "")
    return st.query_params[name] if is_linked(name) else chosen


def current(name: str, default: T, parse: Callable[[str], T], text_of: Callable[[T], str] = str) -> T:
    """The value of a choice: from a new URL, else as chosen in this session, else the page's default.

    parse: text -> value; raises CannotCompute or ValueError for an invalid text.
    """
    chosen: dict[str, str] = st.session_state.setdefault("chosen", {})
    written: dict[str, str] = st.session_state.setdefault("written to the URL", {})
    linked, is_new = st.query_params.get(name), is_linked(name)
    if is_new:
        chosen[name] = linked
    value, text = default, chosen.get(name)
    if text is not None:
        try:
            value = parse(text)
        except (CannotCompute, ValueError) as error:
            del chosen[name]
            # Only CannotCompute speaks to visitors; a ValueError has Python's own words.
            note = str(error) if isinstance(error, CannotCompute) else f"Expected another {name}, got {text[:80]!r}."
            st.session_state.setdefault("notes", []).append(note)
    written[name] = text_of(value)
    if is_new and name in chosen:
        _propagate(name, written[name])
    if linked != written[name]:
        st.query_params[name] = written[name]
    st.session_state.setdefault("on this page", {})[name] = written[name]
    return value


def link() -> str:
    """The URL of this view with every choice, including defaults."""
    from urllib.parse import urlencode

    query = urlencode(st.session_state.get("on this page", {}), safe=",")
    return f"{(st.context.url or '').split('?')[0]}?{query}"
