"""Where results and uploaded files are stored: STIFFCORE_CACHE, or cache/results of the project."""

import os
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "cache" / "results"  # STIFFCORE_CACHE moves it


def default_folder() -> Path:
    """$STIFFCORE_CACHE, else cache/results of the project."""
    return Path(os.environ.get("STIFFCORE_CACHE") or FOLDER).expanduser().absolute()
