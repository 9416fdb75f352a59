"""Which kind of picture a file is, by its first bytes, and what its headers claim, before anything is decoded.

Each decoder gets only files of its own kind. Pillow checks some sizes after it has opened a file, and opening one of the newer kinds
already takes memory for its pixels: their sizes are read here first.
"""

from PIL import features

from stiffcore.errors import CannotCompute
from stiffcore.images import avif

LARGEST_FILE = 10 << 20  # bytes
MOST_PIXELS = 25_000_000  # a phone's 24 megapixels fit
SMALLEST_SIDE = 8  # pixels
MOST_SCANS = 300  # of a progressive JPEG: cameras make about ten; each costs a pass over all pixels
LARGEST_RUN_LENGTH_CODED = 1 << 20  # bytes and pixels of such a BMP, which Pillow decodes in Python
TITLES = {
    "PNG": "PNG",
    "JPEG": "JPEG",
    "WEBP": "WebP",
    "BMP": "BMP",
    "AVIF": "AVIF",
}  # Pillow's name -> as it is written
NAMES = f"{', '.join(list(TITLES.values())[:-1])} or {list(TITLES.values())[-1]}"
SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".dib", ".avif")
OTHERWISE = "save it as PNG or JPEG"  # what every program can do
OTHER_KINDS = (  # (offset, bytes there, kind) of other files
    (0, b"GIF8", "a GIF"),
    (0, b"%PDF", "a PDF"),
    (0, b"II*\0", "a TIFF"),
    (0, b"MM\0*", "a TIFF"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"\0\0\1\0", "an icon"),
    (0, b"\xff\x0a", "a JPEG XL"),
    (4, b"JXL ", "a JPEG XL"),
    (4, b"jP  ", "a JPEG 2000"),
    (4, b"ftyphe", "a HEIC"),
    (4, b"ftypmif1", "a HEIC"),
    (4, b"ftypmsf1", "a HEIC"),
    (0, b"PK\3\4", "a zip archive"),
    (0, b"version https://git-lfs", "a git-lfs pointer, which only names the file"),
)


def refused(got: str, what_to_do: str) -> CannotCompute:
    """The sentence about a file that is not taken."""
    return CannotCompute(
        f"Expected a {NAMES} picture of up to {LARGEST_FILE >> 20} MB and {MOST_PIXELS // 10**6} megapixels, got {got}: "
        f"{what_to_do}."
    )


def form_of(content: bytes) -> str:
    """Pillow's name of a file's kind, a key of TITLES. Raises CannotCompute for every other kind, and says which it is."""
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if content.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if content.startswith(b"BM"):
        return "BMP"
    form = "WEBP" if content[:4] == b"RIFF" and content[8:12] == b"WEBP" else "AVIF" if avif.is_avif(content) else ""
    if not form:
        raise refused(_other(content), OTHERWISE)
    if not is_built_in(form):
        raise refused(f"{'an AVIF' if form == 'AVIF' else 'a WebP'}, which the installed Pillow cannot read", OTHERWISE)
    return form


def is_built_in(form: str) -> bool:
    """Whether this machine's Pillow was built with a WebP or AVIF decoder: both are optional, and AVIF came with Pillow 11.3."""
    try:
        return features.check_module(form.lower())
    except ValueError:  # of an older Pillow, which has never heard of it
        return False


def _other(content: bytes) -> str:
    for place, begins, kind in OTHER_KINDS:
        if content[place:].startswith(begins):
            return kind
    start = content[:500].lstrip().lower()
    if start.startswith((b"<svg", b"<?xml", b"<!doctype", b"<html")):
        return "an HTML or SVG file"
    return "an empty file" if not content else "another kind of file, despite its name"


def check_size(width: int, height: int) -> None:
    """Raises CannotCompute for a picture that is too large or too small to be taken."""
    if width * height > MOST_PIXELS:
        raise refused(f"one of {width:,} × {height:,} pixels", "make it smaller")
    if min(width, height) < SMALLEST_SIDE:
        raise refused(f"one of {width:,} × {height:,} pixels", f"each side needs at least {SMALLEST_SIDE}")


def check_headers(content: bytes, form: str) -> None:
    """What a file claims about itself, where Pillow would believe it. Raises CannotCompute, and ValueError for damaged headers."""
    if form == "JPEG" and content.count(b"\xff\xda") > MOST_SCANS:
        raise refused("one with far too many progressive scans", "save it again")
    if form == "WEBP":
        check_size(*_webp_size(content))
    if form == "BMP" and content[30:34] in (b"\1\0\0\0", b"\2\0\0\0") and len(content) > LARGEST_RUN_LENGTH_CODED:
        raise refused("a run-length coded BMP of more than 1 MB", OTHERWISE)
    if form == "AVIF":
        sizes = avif.coded_sizes(content)
        check_size(*max(sizes, key=lambda size: size[0] * size[1]))
        if sum(width * height for width, height in sizes) > 3 * MOST_PIXELS:  # colours, transparency, smaller copies
            raise refused("one of far too many pixels", "make it smaller")


def check_coding(tiles: list, width: int, height: int) -> None:
    """Raises CannotCompute for a large BMP that is decoded in Python. tiles: as an opened image of Pillow has them."""
    if tiles and tiles[0][0] == "bmp_rle" and width * height > LARGEST_RUN_LENGTH_CODED:
        raise refused("a run-length coded BMP of more than a megapixel", OTHERWISE)


def _webp_size(content: bytes) -> tuple[int, int]:
    """(width, height) of a WebP's canvas. Raises ValueError if its first chunk is none of the three that a WebP begins with."""
    chunk, data = content[12:16], content[20:30]
    if chunk == b"VP8X" and len(data) == 10:
        return int.from_bytes(data[4:7], "little") + 1, int.from_bytes(data[7:10], "little") + 1
    if chunk == b"VP8L" and data[:1] == b"\x2f":
        bits = int.from_bytes(data[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if chunk == b"VP8 " and data[3:6] == b"\x9d\x01\x2a":
        return int.from_bytes(data[6:8], "little") & 0x3FFF, int.from_bytes(data[8:10], "little") & 0x3FFF
    raise ValueError("no WebP begins so")
