"""What visitors may bring: whether uploads are allowed, and names of files made harmless to show. Imports nothing heavy."""

import os
import re

from stiffcore.errors import CannotCompute

LONGEST_NAME = 40  # characters
_STRANGE = re.compile(
    r"[^\w .,+=()/·×±−%…-]"
)  # what is left means nothing in HTML, and fetches nothing in Markdown ...
_ADDRESS = re.compile(r"(www)\.", re.IGNORECASE)  # ... but for this, which becomes a link


def uploads_are_on() -> bool:
    """False where the environment says STIFFCORE_UPLOADS=off."""
    return os.environ.get("STIFFCORE_UPLOADS", "on").strip().lower() not in ("off", "0", "no", "false")


def check_uploads() -> None:
    """Raises CannotCompute where uploads are switched off: to be called on the server whenever a file arrives."""
    if not uploads_are_on():
        raise CannotCompute(
            "Expected a server that takes files, got one where uploads are switched off (STIFFCORE_UPLOADS=off): "
            "run stiffcore on your own machine, or ask whoever runs this one."
        )


def clean_name(text: str, otherwise: str = "own file") -> str:
    """A file's name, or another, in letters, digits and simple signs, at most 40: safe in titles, menus and figures."""
    name = _ADDRESS.sub(r"\1_", _STRANGE.sub("_", str(text)[:500]).replace("//", "_"))
    name = " ".join(name.split()).strip(" ._")
    if len(name) > LONGEST_NAME:
        name = f"{name[: LONGEST_NAME - 10]}…{name[-9:]}"
    return name or otherwise
