"""Downloads one file, whose hash is known: an interrupted download is resumed."""

import hashlib
import http.client
import urllib.error
import urllib.request
from pathlib import Path

from stiffcore.errors import CannotCompute
from stiffcore.progress import Progress

PATIENCE = 30.0  # seconds without a byte from the host
CHUNK = 1 << 18  # bytes


def download(url: str, sha256: str, path: Path, progress: Progress) -> None:
    """Download to ``path``, resuming an interrupted download, and check the hash.

    Raises CannotCompute without network, for a host that breaks off, and on a wrong hash.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        _receive(url, partial, progress)
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError, ValueError) as error:
        have = f" after {partial.stat().st_size >> 20} MB" if partial.exists() else ""
        raise CannotCompute(
            f"The download of {url} failed{have} ({getattr(error, 'reason', error)}): run the command again to resume, "
            "or use `--from FOLDER` with files that you already have."
        ) from error
    with partial.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != sha256:
        partial.unlink()
        raise CannotCompute(
            f"Expected the archive with SHA-256 {sha256[:12]}…, got {digest[:12]}… from {url}: run the command "
            "again, or use `--from FOLDER` with files that you already have."
        )
    partial.replace(path)


def _receive(url: str, partial: Path, progress: Progress) -> None:
    """Append the missing part of ``url`` to ``partial``; a host without range requests sends everything again."""
    if not url.startswith(("https://", "http://")):
        raise ValueError("the address is not http or https")
    have = partial.stat().st_size if partial.exists() else 0
    headers = {"User-Agent": "stiffcore", **({"Range": f"bytes={have}-"} if have else {})}
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=PATIENCE)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # nothing is missing; the hash decides
            return
        raise
    with response:
        resumed = response.status == 206
        done = have if resumed else 0
        total = done + int(response.headers.get("Content-Length") or 0)
        with partial.open("ab" if resumed else "wb") as file:
            while chunk := response.read(CHUNK):
                file.write(chunk)
                done += len(chunk)
                progress(done, total, "downloading")
    if done < total:
        raise ConnectionError(f"only {done:,} of {total:,} bytes")
