"""Decodes an uploaded image file to 32×32 RGB, or refuses it with one sentence. Imports no torch.

cropped to the centre square -> transparency over white -> sides over 1,280 averaged to 640 or more -> EXIF orientation applied
-> Lanczos (antialiased) to 32×32

Pillow needs up to four bytes per pixel for a decoded picture, 100 MB, and as much again for each copy. So only one picture is
decoded at a time, and everything up to the averaging works on strips.
"""

import io
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from stiffcore.errors import CannotCompute

LARGEST_FILE = 10 << 20  # bytes
MOST_PIXELS = 25_000_000  # checked before decoding; a phone's 24 megapixels fit
FORMATS = ("PNG", "JPEG")
SMALLEST_SIDE = 8  # pixels
MOST_SCANS = 300  # of a progressive JPEG: cameras make about ten; each costs a pass over all pixels
SIDE, CUT_SIDE = 32, 320  # pixels: the network's input; the crop that is shown beside it
STRIP = 64  # rows converted at a time
TURNS = {  # EXIF orientation -> how to undo it, as PIL.ImageOps.exif_transpose does, here on the crop only
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
OTHER_KINDS = (  # (offset, bytes there, kind) of other files
    (0, b"GIF8", "a GIF"),
    (0, b"BM", "a BMP"),
    (0, b"%PDF", "a PDF"),
    (0, b"II*\0", "a TIFF"),
    (0, b"MM\0*", "a TIFF"),
    (8, b"WEBP", "a WebP"),
    (4, b"ftyphe", "a HEIC"),
    (4, b"ftypmif1", "a HEIC"),
    (4, b"ftypavif", "an AVIF"),
)
_decoding = threading.Lock()


@dataclass(frozen=True)
class Picture:
    """A decoded file. pixels: uint8 (32, 32, 3), a network's input. cut: uint8 (n, n, 3), n ≤ 320, the crop behind it."""

    pixels: np.ndarray
    cut: np.ndarray
    form: str  # PNG or JPEG
    width: int  # of the file's picture, with its EXIF orientation applied
    height: int


def content_of(path: Path) -> bytes:
    """A file's bytes; its size is checked first."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise _refused(f"one of {path.stat().st_size / 2**20:.0f} MB", "make it smaller")
        return path.read_bytes()
    except OSError as error:
        raise CannotCompute(f"Expected a picture in {path}, got {error.strerror}: name another file.") from error


def read(content: bytes) -> np.ndarray:
    """uint8 (32, 32, 3) RGB of a PNG or JPEG. Raises CannotCompute, with one sentence, for a refused file."""
    return picture(content).pixels


def picture(content: bytes) -> Picture:
    """A PNG or JPEG, cropped and resized. Raises CannotCompute, with one sentence, for a refused file."""
    if len(content) > LARGEST_FILE:
        raise _refused(f"one of {len(content) / 2**20:.0f} MB", "make it smaller")
    if content.count(b"\xff\xda") > MOST_SCANS:
        raise _refused("one with far too many progressive scans", "save it again")
    try:
        with _decoding:
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                _check_size(image)
                image.verify()  # checks a PNG's checksums, which decoding skips; needs reopening
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                return _picture(image)
    except CannotCompute:
        raise
    except UnidentifiedImageError as error:
        raise _refused(_kind(content), "save it as PNG or JPEG") from error
    except Image.DecompressionBombError as error:
        raise _refused("one of far too many pixels", "make it smaller") from error
    except Exception as error:  # Pillow raises many types: OSError, SyntaxError, ValueError, struct.error, zlib's ...
        raise _refused("a damaged one", "save it again, or use another") from error


def _check_size(image: Image.Image) -> None:
    """Check the size in the file's header, before anything is decoded."""
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise _refused(f"one of {width:,} × {height:,} pixels", "make it smaller")
    if min(width, height) < SMALLEST_SIDE:
        raise _refused(f"one of {width:,} × {height:,} pixels", f"each side needs at least {SMALLEST_SIDE}")


def _picture(image: Image.Image) -> Picture:
    width, height = image.size
    if image.format == "PNG" and getattr(image, "is_animated", False):
        raise _refused("an animation", "save one of its pictures")
    form = "PNG" if image.format == "PNG" else "JPEG"  # a phone's file with a second picture is an MPO
    image.draft("RGB", (CUT_SIDE, CUT_SIDE))  # decode a JPEG at the scale that is needed
    orientation = _orientation(image)
    cut = _middle(image)
    if orientation in TURNS:
        cut = cut.transpose(TURNS[orientation])
    seen = cut if cut.width == SIDE else cut.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    shown = cut.resize((CUT_SIDE, CUT_SIDE), Image.Resampling.LANCZOS) if cut.width > CUT_SIDE else cut
    if orientation >= 5:
        width, height = height, width
    return Picture(np.asarray(seen), np.asarray(shown), form, width, height)


def _middle(image: Image.Image) -> Image.Image:
    """The centre square as RGB, averaged over blocks of pixels; sides under 1,280 stay as they are."""
    factor = max(1, min(image.size) // (2 * CUT_SIDE))
    side = min(image.size) // factor * factor
    left, top = ((length - side) // 2 for length in image.size)
    square = Image.new("RGB", (side // factor, side // factor))
    rows = STRIP // factor * factor
    for at in range(0, side, rows):
        strip = _rgb(image.crop((left, top + at, left + side, top + min(at + rows, side))))
        square.paste(strip.reduce(factor), (0, at // factor))
    return square


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 if it is missing or damaged."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:
        return 1
    return orientation if orientation in TURNS else 1


def _rgb(image: Image.Image) -> Image.Image:
    """8-bit RGB: the upper eight of 16 bits, transparency over white, CMYK as Pillow converts it."""
    if image.mode.startswith("I"):  # 16-bit grey, which Pillow would clip
        image = Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def _kind(content: bytes) -> str:
    for place, begins, kind in OTHER_KINDS:
        if content[place:].startswith(begins):
            return kind
    start = content[:500].lstrip().lower()
    if start.startswith((b"<svg", b"<?xml", b"<!doctype", b"<html")):
        return "an HTML or SVG file"
    return "an empty file" if not content else "another kind of file, despite its name"


def _refused(got: str, what_to_do: str) -> CannotCompute:
    return CannotCompute(
        f"Expected a PNG or JPEG picture of up to {LARGEST_FILE >> 20} MB and {MOST_PIXELS // 10**6} megapixels, got {got}: "
        f"{what_to_do}."
    )
