"""Decodes an uploaded image file to 32×32 RGB, or refuses it with one sentence. Imports no torch.

cropped to the centre square -> transparency over white -> sides over 1,280 averaged to 640 or more -> EXIF orientation applied
-> Lanczos (antialiased) to 32×32

Of an animation the first picture is taken. Pillow needs up to four bytes per pixel for a decoded picture, 100 MB, and as much again
for each copy; its WebP decoder keeps three copies. So only one picture is decoded at a time, and everything up to the averaging
works on strips.
"""

import io
import threading
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from stiffcore.errors import CannotCompute
from stiffcore.images import avif, forms

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
NEARLY_UNIFORM = 7.0  # grey levels, see ``spread``
# Pillow's warnings name files and lines of its own, and what matters of them is in our sentences. The filter is set once, since
# ``warnings.catch_warnings`` would change the filters of a server's other threads.
warnings.filterwarnings("ignore", module=r"PIL\b")
_decoding = threading.Lock()


@dataclass(frozen=True)
class Picture:
    """A decoded file. pixels: uint8 (32, 32, 3), a network's input. cut: uint8 (n, n, 3), n ≤ 320, the crop behind it.

    width, height: of the file's picture, with its EXIF orientation applied. form: PNG, JPEG, WebP, BMP or AVIF.
    """

    pixels: np.ndarray
    cut: np.ndarray
    form: str
    width: int
    height: int
    bits: int = 8  # per channel, in the file; only a PNG's 16 are told apart
    is_animation: bool = False

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about what a visitor may not expect."""
        notes = ["It is an animation: its first picture is taken."] if self.is_animation else []
        if (levels := spread(self.pixels)) < NEARLY_UNIFORM:
            deep = (
                " The file has 16 bits, of which the upper 8 are used: stretch its values to the full range."
                if self.bits > 8
                else ""
            )
            notes.append(
                f"It is nearly one colour: its 32 × 32 pixels vary by {levels:.1f} of 255 grey levels (standard deviation); below "
                f"{NEARLY_UNIFORM:.0f}, networks see next to nothing.{deep}"
            )
        return tuple(notes)


def spread(pixels: np.ndarray) -> float:
    """How much a picture varies, in grey levels: √(mean over the channels of each one's variance).

    uint8, shape: (height, width, 3). Below NEARLY_UNIFORM a picture is nearly one colour: all 60,000 images of CIFAR-10 are above 7.6;
    their upper 8 bits, were they 12 bits in a file of 16, would be below 6.9.
    """
    return float(np.sqrt(pixels.reshape(-1, 3).astype(float).var(axis=0).mean()))


def read(content: bytes) -> np.ndarray:
    """uint8 (32, 32, 3) RGB of a picture. Raises CannotCompute, with one sentence, for a refused file."""
    return picture(content).pixels


def picture(content: bytes) -> Picture:
    """A PNG, JPEG, WebP, BMP or AVIF, cropped and resized. Raises CannotCompute, with one sentence, for a refused file."""
    if len(content) > forms.LARGEST_FILE:
        raise forms.refused(f"one of {len(content) / 2**20:.0f} MB", "make it smaller")
    form = forms.form_of(content)
    try:
        with _decoding:
            return _decoded(content, form)
    except CannotCompute:
        raise
    except UnidentifiedImageError as error:
        raise forms.refused(f"a damaged {forms.TITLES[form]}", "save it again, or use another") from error
    except Image.DecompressionBombError as error:
        raise forms.refused("one of far too many pixels", "make it smaller") from error
    except Exception as error:  # Pillow raises many types: OSError, SyntaxError, ValueError, struct.error, zlib's ...
        raise forms.refused(f"a damaged {forms.TITLES[form]}", "save it again, or use another") from error


def _decoded(content: bytes, form: str) -> Picture:
    """Raises CannotCompute, and anything else that Pillow raises for damaged files."""
    forms.check_headers(content, form)
    is_animation = form == "AVIF" and avif.is_sequence(content)
    if form == "AVIF":
        content = avif.as_still(content)
    if form == "PNG":
        with Image.open(io.BytesIO(content), formats=(form,)) as image:
            forms.check_size(*image.size)
            image.verify()  # its checksums, which decoding skips; needs reopening
    with Image.open(io.BytesIO(content), formats=(form,)) as image:
        forms.check_size(*image.size)  # in the file's header: nothing is decoded yet
        forms.check_coding(image.tile, *image.size)
        is_animation = is_animation or (form in ("PNG", "WEBP") and getattr(image, "is_animated", False))
        bits = content[24] if form == "PNG" else 8  # the header comes first, and its bit depth there
        return _picture(image, forms.TITLES[form], bits, is_animation)


def _picture(image: Image.Image, form: str, bits: int, is_animation: bool) -> Picture:
    """form: as it is displayed; a phone's JPEG with a second picture, which Pillow calls an MPO, is a JPEG."""
    width, height = image.size
    image.draft("RGB", (CUT_SIDE, CUT_SIDE))  # decode a JPEG at the scale that is needed
    orientation = _orientation(image)
    cut = _middle(image)
    if orientation in TURNS:
        cut = cut.transpose(TURNS[orientation])
    seen = cut if cut.width == SIDE else cut.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    shown = cut.resize((CUT_SIDE, CUT_SIDE), Image.Resampling.LANCZOS) if cut.width > CUT_SIDE else cut
    if orientation >= 5:
        width, height = height, width
    return Picture(np.asarray(seen), np.asarray(shown), form, width, height, bits, is_animation)


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
