"""Whether uploads are allowed, and names of files made safe to display. Imports nothing heavy."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

from stiffcore.errors import CannotCompute
from stiffcore.files import write_replaced

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


def store(contents: Mapping[Path, bytes]) -> None:
    """Write the files of an upload, each in one step. Raises CannotCompute if the disk refuses."""
    for path, content in contents.items():
        try:
            write_replaced(path, content)
        except OSError as error:
            raise CannotCompute(
                f"Cannot write to the cache folder {path.parent} (“{error.strerror or error}”): free space there or set "
                "STIFFCORE_CACHE to another folder."
            ) from error
