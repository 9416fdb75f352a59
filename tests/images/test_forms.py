"""WebP, BMP and AVIF: read as PNG and JPEG are, and refused with one sentence before a decoder believes what they claim."""

import struct
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from stiffcore.errors import CannotCompute
from stiffcore.images import avif, decode, forms
from tests.made_up import decoding
from tests.made_up.avif import avif as made_avif, sequence_header, unit
from tests.made_up.pictures import noise, saved

LOSSLESS = {"WEBP": {"lossless": True}, "BMP": {}, "AVIF": {"quality": 100, "subsampling": "4:4:4"}}
NEW = tuple(LOSSLESS)


def red_and_blue(width=96, height=64) -> np.ndarray:
    """Red above left, blue below right, the rest black."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2, 0], pixels[height // 2 :, width // 2 :, 2] = 255, 255
    return pixels


@pytest.mark.parametrize("form", NEW)
def test_each_form_gives_the_pixels_of_a_png(form):
    pixels = np.kron(noise(8, 8), np.ones((4, 4, 1), np.uint8))
    picture = decode.picture(saved(pixels, form, **LOSSLESS[form]))
    assert np.abs(picture.pixels.astype(int) - pixels).max() <= (3 if form == "AVIF" else 0)
    assert (picture.form, picture.width, picture.height) == (forms.TITLES[form], 32, 32)
    assert picture.notes == ()


@pytest.mark.parametrize("form", NEW)
def test_the_middle_of_a_large_picture_is_averaged(form):
    wide = Image.fromarray(red_and_blue(2100, 1400))
    expected = decode.picture(saved(wide, compress_level=1))
    picture = decode.picture(saved(wide, form, **LOSSLESS[form] | ({"speed": 10} if form == "AVIF" else {})))
    assert np.abs(picture.pixels.astype(int) - expected.pixels).max() <= 3
    assert (picture.width, picture.height, picture.cut.shape) == (2100, 1400, (320, 320, 3))


@pytest.mark.parametrize("form", ["WEBP", "AVIF"])
def test_what_is_transparent_lies_on_white(form):
    pixels = np.zeros((40, 40, 4), np.uint8)
    pixels[:, :20, 3] = 255
    seen = decode.read(saved(pixels, form, **LOSSLESS[form]))
    assert seen[:, :14].max() <= 2
    assert seen[:, 18:].min() >= 253


@pytest.mark.parametrize("form", ["WEBP", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_as_its_exif_says(form, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(red_and_blue())
    expected = decode.picture(saved(image, exif=exif))
    picture = decode.picture(saved(image, form, exif=exif, **LOSSLESS[form]))
    assert np.abs(picture.pixels.astype(int) - expected.pixels).max() <= 3
    assert (picture.width, picture.height) == (expected.width, expected.height)


@pytest.mark.parametrize("form", ["PNG", "WEBP", "AVIF"])
def test_of_an_animation_the_first_picture_is_taken_and_that_is_said(form):
    frames = [Image.fromarray(np.roll(red_and_blue(), 30 * at, axis=1)) for at in range(3)]
    content = saved(frames[0], form, save_all=True, append_images=frames[1:], **LOSSLESS.get(form, {}))
    picture = decode.picture(content)
    assert np.abs(picture.pixels.astype(int) - decode.read(saved(frames[0]))).max() <= 3
    assert picture.notes == ("It is an animation: its first picture is taken.",)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_a_bitmap_of_any_depth(mode):
    image = Image.fromarray(red_and_blue()).convert(mode)
    assert np.abs(decode.read(saved(image, "BMP")).astype(int) - decode.read(saved(image.convert("RGB")))).max() == 0


def bitmap(data: bytes, size=(32, 32), bits=8, compression=0, masks=b"", colours=256) -> bytes:
    """A BMP built by hand, with a grey palette for 8 bits."""
    palette = b"".join(bytes([v, v, v, 0]) for v in range(colours)) if bits <= 8 else b""
    start = 54 + len(masks) + len(palette)
    header = struct.pack(
        "<IiiHHIIiiII", 40, *size, 1, bits, compression, len(data), 2835, 2835, colours if palette else 0, 0
    )
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + header + masks + palette + data


def test_a_bitmap_of_sixteen_bits_and_one_from_the_top():
    green = bitmap(b"\xe0\x07" * 1024, bits=16, compression=3, masks=struct.pack("<III", 0xF800, 0x07E0, 0x001F))
    assert np.unique(decode.read(green).reshape(-1, 3), axis=0).tolist() == [[0, 255, 0]]
    rows = b"".join(bytes([at]) * 32 for at in range(32))
    assert decode.read(bitmap(rows, (32, -32)))[:, 0, 0].tolist() == list(range(32))
    assert decode.read(bitmap(rows))[:, 0, 0].tolist() == list(range(32))[::-1]


def test_a_run_length_coded_bitmap():
    rows = b"".join(bytes([32, at, 0, 0]) for at in range(32)) + b"\0\1"
    assert decode.read(bitmap(rows, compression=1))[:, 5, 1].tolist() == list(range(32))[::-1]


# What is refused

KINDS: dict = {}  # name -> (function that makes the bytes, part of the sentence)


def kind(said: str):
    def register(function):
        KINDS[function.__name__] = function, said
        return function

    return register


for form in NEW:
    good = saved(noise(), form)
    KINDS[f"half a {form}"] = (lambda good=good: good[: len(good) // 2]), f"a damaged {forms.TITLES[form]}"
    KINDS[f"the beginning of a {form}"] = (lambda good=good: good[:12]), f"a damaged {forms.TITLES[form]}"


@kind("one of 16,777,216 × 255 pixels")
def a_webp_of_the_largest_canvas():
    return b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0" + bytes(4) + b"\xff\xff\xff\xfe\0\0" + bytes(12)


@kind("one of 16,384 × 16,384 pixels")
def a_lossless_webp_of_the_largest_size():
    return b"RIFF\x20\0\0\0WEBPVP8L\x10\0\0\0\x2f\xff\xff\xff\x0f" + bytes(12)


@kind("one of 16,383 × 16,383 pixels")
def a_lossy_webp_of_the_largest_size():
    return b"RIFF\x20\0\0\0WEBPVP8 \x10\0\0\0\x50\0\0\x9d\x01\x2a\xff\x3f\xff\x3f" + bytes(8)


@kind("a damaged WebP")
def a_webp_whose_chunk_is_longer_than_the_file():
    content = bytearray(saved(noise(), "WEBP"))
    content[16:20] = b"\xff\xff\xff\x7f"
    return bytes(content)


@kind("a damaged WebP")
def a_webp_of_unknown_chunks():
    return b"RIFF\xff\xff\0\0WEBP" + b"ABCD\x02\0\0\0\0\0" * 5000


@kind("a damaged WebP")
def a_webp_with_nothing_but_frames_outside_the_canvas():
    frame = b"ANMF\x18\0\0\0" + b"\xff" * 12 + bytes(12)
    return (
        b"RIFF" + struct.pack("<I", 22 + 32 * 20_000) + b"WEBPVP8X\x0a\0\0\0\2\0\0\0\x1f\0\0\x1f\0\0" + 20_000 * frame
    )


@kind("far too many pixels: make it smaller")
def huge_sizes_in_a_small_bitmap():
    return bitmap(bytes(100), (100_000, 100_000))


@kind("far too many pixels")
def a_bitmap_of_negative_width():
    return bitmap(bytes(1024), (-32, 32))


@kind("a damaged BMP")
def a_bitmap_of_too_few_rows():
    return bitmap(bytes(1000), (32, 320))


@kind("a damaged BMP")
def a_bitmap_that_begins_behind_its_end():
    content = bytearray(bitmap(bytes(1024)))
    content[10:14] = struct.pack("<I", 1 << 31)
    return bytes(content)


@kind("a damaged BMP")
def a_bitmap_of_unknown_coding():
    return bitmap(bytes(1024), compression=77)


@kind("a damaged BMP")
def a_bitmap_with_a_jpeg_inside():
    return bitmap(saved(noise(), "JPEG"), bits=0, compression=4)


@kind("a run-length coded BMP of more than a megapixel")
def a_run_length_coded_bomb():
    """Each step of four bytes jumps over 255 rows."""
    return bitmap(b"\0\2\xff\xff" * 1000, (3_000_000, 8), compression=1)


@kind("a run-length coded BMP of more than 1 MB")
def a_run_length_coded_bitmap_of_millions_of_steps():
    return bitmap(b"\0\0" * (4 << 20), compression=1)


@kind("one of 40,000 × 40,000 pixels")
def a_small_avif_whose_coded_picture_is_huge():
    """The box says 64 × 64, AV1's header another thing: the decoder would believe the latter."""
    return made_avif([sequence_header(40_000, 40_000) + unit(6, bytes(200))])


@kind("one of 65,536 × 65,536 pixels")
def a_huge_coded_picture_behind_a_harmless_one():
    return made_avif(
        [sequence_header(64, 64) + sequence_header(65_536, 65_536, reduced=False, timing=True)], in_box=True
    )


@kind("one of far too many pixels")
def an_avif_of_many_large_tiles():
    return made_avif([sequence_header(5000, 5000)] * 200)


@kind("a damaged AVIF")
def an_avif_of_thousands_of_items():
    return made_avif([sequence_header(64, 64)] * 5000)


@kind("a damaged AVIF")
def an_avif_of_millions_of_units():
    return made_avif([sequence_header(64, 64) + unit(2, b"") * 3_000_000])


@kind("a damaged AVIF")
def an_avif_in_layers():
    return made_avif([sequence_header(64, 64)], properties=b"\0\0\0\x0ca1lx" + bytes(4))


@kind("a damaged AVIF")
def an_avif_without_a_coded_picture():
    return made_avif([])


@kind("a damaged AVIF")
def an_avif_of_nothing_but_a_header():
    return made_avif([sequence_header(64, 64)])


@kind("a damaged AVIF")
def an_avif_whose_item_lies_outside():
    return made_avif([sequence_header(64, 64)])[:-3]


@kind("a damaged AVIF")
def an_avif_with_a_box_that_contains_itself():
    content = bytearray(made_avif([sequence_header(64, 64)]))
    at = content.index(b"iloc")
    content[at - 4 : at] = bytes(4)
    return bytes(content)


@kind("got a HEIC: save it as PNG or JPEG")
def a_heic():
    return b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)


@kind("got a JPEG XL: save it as PNG or JPEG")
def a_jpeg_xl():
    return b"\0\0\0\x0cJXL \x0d\x0a\x87\x0a" + bytes(100)


@kind("one of 4 × 48 pixels: each side needs at least 8")
def a_narrow_webp():
    return saved(noise(4, 48), "WEBP")


@pytest.mark.parametrize("name", KINDS)
def test_a_malformed_file_is_refused_in_one_sentence(name):
    """Memory and time are small, before and in the decoder."""
    make, part = KINDS[name]
    content = make()
    tracemalloc.start()
    began = time.process_time()
    try:
        with pytest.raises(CannotCompute) as refused:
            decode.read(content)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert time.process_time() - began < 1
    assert peak < 3 * len(content) + (40 << 20)
    said = str(refused.value)
    assert part in said
    assert said.startswith("Expected a PNG, JPEG, WebP, BMP or AVIF picture of up to 10 MB and 25 megapixels, got ")
    assert "\n" not in said
    assert len(said) < 250


@pytest.mark.parametrize("reduced", [True, False])
@pytest.mark.parametrize("timing", [True, False])
@pytest.mark.parametrize("size", [(1, 1), (64, 48), (4096, 4097), (65_536, 3)])
def test_sizes_are_read_from_every_kind_of_sequence_header(size, timing, reduced):
    other = (17, 31)
    items = [
        unit(2, b"") + sequence_header(*size, reduced, timing and not reduced) + unit(6, bytes(300)),
        sequence_header(*other),
    ]
    for in_box in (True, False):
        assert avif.coded_sizes(made_avif(items, in_box=in_box)) == [size, other]


@pytest.mark.parametrize("size", [(64, 48), (333, 8)])
def test_sizes_of_files_of_a_real_encoder(size):
    """libavif's, with transparency as a second coded picture."""
    width, height = size
    assert avif.coded_sizes(saved(noise(*size), "AVIF")) == [(width, height)]
    assert avif.coded_sizes(saved(noise(*size, 4), "AVIF")) == [(width, height)] * 2


@pytest.mark.parametrize("form", ["WEBP", "AVIF"])
def test_a_pillow_without_a_decoder_says_so(form, monkeypatch):
    content = saved(noise(), form)

    def unknown(name):
        raise ValueError(f"Unknown module {name}")

    for check in (lambda name: False, unknown):
        monkeypatch.setattr(features, "check_module", check)
        with pytest.raises(
            CannotCompute, match=f"{forms.TITLES[form]}, which the installed Pillow cannot read: save it as PNG or JPEG"
        ):
            decode.read(content)
        assert decode.read(saved(noise())).shape == (32, 32, 3)


@pytest.mark.parametrize("form", NEW)
def test_random_damage_never_escapes(form, full):
    """With truncation or changed bytes, the file gives a valid image or is refused; no other exception, and quickly."""
    random = np.random.default_rng(0)
    exif = Image.Exif()
    exif[0x0112] = 6
    sources = [saved(noise(40, 56), form), saved(Image.fromarray(noise(24, 40)).convert("L"), form)]
    if form != "BMP":
        frames = [Image.fromarray(noise(24, 24, seed=seed)) for seed in (1, 2)]
        sources += [
            saved(noise(24, 40, 4), form, exif=exif),
            saved(frames[0], form, save_all=True, append_images=frames[1:]),
        ]
    read = 0
    began = time.process_time()
    for content in sources:
        for _ in range(2000 if full else 60):
            damaged = bytearray(content[: random.integers(len(content))] if random.random() < 0.2 else content)
            for place in random.integers(max(1, len(damaged)), size=random.integers(1, 6)) if damaged else ():
                at = place if random.random() < 0.4 else place % 400
                damaged[at % len(damaged)] = random.integers(256)
            try:
                seen = decode.read(bytes(damaged))
            except CannotCompute:
                continue
            read += 1
            assert seen.shape == (32, 32, 3)
    assert read > 5, "some damage is harmless"
    assert time.process_time() - began < (400 if full else 20)


# Words beside a picture


def test_a_nearly_uniform_picture_says_so_with_its_number():
    pixels = np.full((32, 32, 3), (30, 90, 200), np.uint8)
    (note,) = decode.picture(saved(pixels)).notes
    assert note.startswith("It is nearly one colour: its 32 × 32 pixels vary by 0.0 of 255 grey levels")
    assert "16 bits" not in note
    for levels, said in ((6, 1), (8, 0)):
        pixels[::2] = 100 - levels
        pixels[1::2] = 100 + levels
        assert len(decode.picture(saved(pixels)).notes) == said
        assert decode.spread(pixels) == levels


def test_twelve_bits_in_a_file_of_sixteen_are_explained():
    """They fill the lower sixteenth: the picture is nearly black."""
    grey = np.random.default_rng(0).integers(0, 4096, (40, 40)).astype(np.uint16)
    (note,) = decode.picture(saved(Image.fromarray(grey))).notes
    assert note.endswith("The file has 16 bits, of which the upper 8 are used: stretch its values to the full range.")
    assert decode.picture(saved(Image.fromarray(grey * 16))).notes == ()


def test_none_of_the_images_that_ship_is_called_uniform():
    from stiffcore.images import cifar10

    spreads = [decode.spread(cifar10.image(index)) for index in cifar10.bundled()]
    dark = [decode.spread(cifar10.image(index) // 16) for index in cifar10.bundled()]
    assert max(dark) < decode.NEARLY_UNIFORM < min(spreads)


WARNS = """
import sys
from pathlib import Path
from stiffcore.errors import CannotCompute
from stiffcore.images import decode
for path in sys.argv[1:]:
    try:
        decode.read(Path(path).read_bytes())
    except CannotCompute as error:
        print(error, file=sys.stderr)
"""


def test_pillow_s_warnings_are_not_heard(tmp_path):
    """In a process of its own, where every warning is on: of a bomb's size, of damaged EXIF data, of a palette."""
    bomb, exif, palette = (tmp_path / name for name in ("bomb.png", "exif.jpg", "palette.png"))
    Image.new("1", (12_000, 12_000)).save(bomb)
    damaged = b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x01\x12\0\x03\0\0\0\x01\0\xff\0\0" * 3
    Image.fromarray(noise(64, 64)).save(exif, "JPEG", exif=damaged)
    Image.fromarray(noise()).convert("P").save(palette, transparency=bytes(range(256)))
    root = Path(__file__).parents[2]
    command = [sys.executable, "-W", "always", "-c", WARNS, *map(str, (bomb, exif, palette))]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60)
    assert done.stderr.splitlines() == [str(forms.refused("one of 12,000 × 12,000 pixels", "make it smaller"))]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak is read from /proc")
@pytest.mark.parametrize(
    ("form", "mode", "megabytes"), [("WEBP", "RGBA", 430), ("AVIF", "RGBA", 330), ("BMP", "RGB", 120)]
)
def test_the_largest_pictures_that_are_taken_cost_bounded_memory_and_time(form, mode, megabytes):
    """Encoding takes longer than decoding."""
    size = (3000, 1100) if form == "BMP" else (5000, 5000)  # a BMP of 10 MB has no more
    content = saved(Image.new(mode, size), form, **({"speed": 10} if form == "AVIF" else {"method": 0}))
    peak, seconds = decoding.cost(content)
    assert peak < megabytes
    assert seconds < 4
