"""Whether uploads are allowed, and names of files made safe to display. Imports nothing heavy."""

import os
import re

from stiffcore.errors import CannotCompute

LONGEST_NAME = 40  # characters
# The other characters have no meaning in HTML, and load nothing in Markdown ...
_STRANGE = re.compile(r"[^\w .,+=()/·×±−%…-]")
_ADDRESS = re.compile(r"(www)\.", re.IGNORECASE)  # ... except for this, which becomes a link


def uploads_are_on() -> bool:
    """False if the environment has STIFFCORE_UPLOADS=off."""
    return os.environ.get("STIFFCORE_UPLOADS", "on").strip().lower() not in ("off", "0", "no", "false")


def check_uploads() -> None:
    """Raises CannotCompute if uploads are switched off. Call it on the server whenever a file arrives."""
    if not uploads_are_on():
        raise CannotCompute(
            "File uploads are switched off on this server (STIFFCORE_UPLOADS=off): run stiffcore on your own machine, or "
            "ask the operator of this one."
        )


def clean_name(text: str, otherwise: str = "uploaded file") -> str:
    """A name of at most 40 letters, digits and simple signs, or ``otherwise``: safe in titles, menus and figures."""
    name = _ADDRESS.sub(r"\1_", _STRANGE.sub("_", str(text)[:500]).replace("//", "_"))
    name = " ".join(name.split()).strip(" ._")
    if len(name) > LONGEST_NAME:
        name = f"{name[: LONGEST_NAME - 10]}…{name[-9:]}"
    return name or otherwise
