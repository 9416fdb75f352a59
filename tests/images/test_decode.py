"""Uploaded image files: valid ones become 32×32 RGB, malformed ones are refused with one sentence."""

import io
import struct
import sys
import threading
import time
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps, PngImagePlugin

from stiffcore.errors import CannotCompute
from stiffcore.images import decode as image_files, forms
from tests.made_up import decoding
from tests.made_up.pictures import PNG, chunk, noise, png, saved

KINDS: dict = {}  # name -> function that makes the bytes of a malformed file


def kind(function):
    """Register a kind of malformed file under its function's name."""
    KINDS[function.__name__] = function
    return function


@kind
def nothing():
    return b""


@kind
def one_byte():
    return b"\x89"


@kind
def a_page_named_png():
    return b"<html><script>alert(1)</script></html>"


@kind
def a_drawing_named_png():
    return b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


@kind
def a_gif_named_png():
    return saved(noise(), "GIF")


@kind
def a_pickle():
    return b"\x80\x04cos\nsystem\n(S'touch executed'\ntR."


@kind
def truncated_png():
    return saved(noise())[:-3000]


@kind
def truncated_jpeg():
    return saved(noise(400, 400), "JPEG")[:5000]


@kind
def only_a_header():
    return saved(noise())[:33]


@kind
def a_flipped_bit_in_the_data():
    content = bytearray(saved(noise()))
    content[len(content) // 2] ^= 8
    return bytes(content)


@kind
def a_wrong_checksum_in_the_header():
    content = bytearray(saved(noise()))
    content[30] ^= 255
    return bytes(content)


@kind
def a_chunk_longer_than_the_file():
    return PNG + struct.pack(">I", 2**31 - 1) + b"IHDR" + bytes(100)


@kind
def huge_sizes_in_a_small_png():
    """100 bytes that claim 40 GB."""
    return png(100_000, 100_000, data=zlib.compress(bytes(100)))


@kind
def a_bomb_of_zeros():
    """Some 30 kB that decode to 10,000 × 10,000 pixels."""
    return png(10_000, 10_000, data=zlib.compress(bytes(30 << 20)), kind=(8, 0))


@kind
def the_largest_numbers_there_are():
    return png(2**31 - 1, 2**31 - 1, data=zlib.compress(bytes(100)))


@kind
def no_width():
    return png(0, 10, data=zlib.compress(bytes(10)))


@kind
def a_text_bomb():
    """zTXt: 30 kB that expand to 30 MB of text."""
    text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(30 << 20)))
    return png(32, 32, text, data=zlib.compress(bytes(33 * 97)))


@kind
def a_text_bomb_in_many_parts():
    part = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(1 << 20)))
    return png(32, 32, part * 80, data=zlib.compress(bytes(33 * 97)))


@kind
def a_colour_profile_bomb():
    profile = chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(30 << 20)))
    return png(32, 32, profile, data=zlib.compress(bytes(33 * 97))[:-8])


@kind
def one_pixel():
    return saved(noise(1, 1))


@kind
def a_line():
    return saved(noise(5000, 1))


@kind
def too_many_pixels_in_a_jpeg():
    content = bytearray(saved(noise(), "JPEG"))
    at = content.index(b"\xff\xc0")
    content[at + 5 : at + 9] = struct.pack(">HH", 65_000, 65_000)
    return bytes(content)


@kind
def a_progressive_jpeg_of_thousands_of_scans():
    """Each repeats the last one: a few bytes cost a pass over all pixels."""
    content = saved(np.zeros((800, 800, 3), np.uint8), "JPEG", progressive=True)
    last = content[content.rindex(b"\xff\xda") : -2]
    return content[:-2] + 20_000 * last + content[-2:]


@kind
def a_jpeg_without_a_picture():
    return b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00\xff\xd9"


@kind
def too_large():
    return PNG + bytes(forms.LARGEST_FILE)


SAID = {
    "nothing": "an empty file: save it as PNG or JPEG",
    "a_page_named_png": "an HTML or SVG file",
    "a_drawing_named_png": "an HTML or SVG file",
    "a_gif_named_png": "got a GIF: save it as PNG or JPEG",
    "a_pickle": "another kind of file, despite its name",
    "truncated_png": "a damaged PNG: save it again, or use another",
    "truncated_jpeg": "a damaged JPEG",
    "a_flipped_bit_in_the_data": "a damaged PNG: save it again, or use another",
    "a_bomb_of_zeros": "10,000 × 10,000 pixels: make it smaller",
    "huge_sizes_in_a_small_png": "far too many pixels",
    "too_many_pixels_in_a_jpeg": "far too many pixels",
    "one_pixel": "1 × 1 pixels: each side needs at least 8",
    "a_line": "5,000 × 1 pixels",
    "a_text_bomb": "a damaged PNG: save it again, or use another",
    "a_progressive_jpeg_of_thousands_of_scans": "far too many progressive scans",
    "too_large": "one of 10 MB: make it smaller",
}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_malformed_file_is_refused_in_one_sentence(name, tmp_path, monkeypatch):
    """Nothing is executed, memory and time are small, and the sentence says what was expected and what to do."""
    monkeypatch.chdir(tmp_path)
    content = KINDS[name]()
    tracemalloc.start()
    began = time.process_time()
    try:
        with pytest.raises(CannotCompute) as refused:
            image_files.read(content)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert time.process_time() - began < 5
    assert peak < 3 * len(content) + (80 << 20)
    said = str(refused.value)
    assert SAID.get(name, "got ") in said
    assert said.startswith("Expected a PNG, JPEG, WebP, BMP or AVIF picture of up to 10 MB and 25 megapixels, got ")
    assert "\n" not in said
    assert len(said) < 250
    assert list(tmp_path.iterdir()) == []


def large_png(kind: tuple[int, int], bytes_a_pixel: int, width=5000, height=5000) -> bytes:
    """Some 50 to 200 kB of zeros."""
    return png(width, height, data=zlib.compress(bytes((width * bytes_a_pixel + 1) * height)), kind=kind)


LARGE = {  # name -> the bytes, and the megabytes that its decoding may take; Pillow's own picture is up to 100 of them
    "grey of 16 bits": (lambda: large_png((16, 0), 2), 70),
    "transparent": (lambda: large_png((8, 6), 4), 120),
    "transparent grey": (lambda: large_png((8, 4), 2), 120),
    "transparent, of 16 bits": (lambda: large_png((16, 6), 8), 120),
    "colour": (lambda: large_png((8, 2), 3), 120),
    "a very wide one": (lambda: large_png((8, 6), 4, 3_000_000, 8), 130),
    "progressive": (lambda: saved(Image.new("RGB", (5000, 5000)), "JPEG", progressive=True, subsampling=0), 165),
    "progressive, for print": (lambda: saved(Image.new("CMYK", (5000, 5000)), "JPEG", progressive=True), 215),
}


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak is read from /proc")
@pytest.mark.parametrize("name", LARGE)
def test_the_largest_pictures_that_are_taken_cost_little_memory_and_time(name):
    make, megabytes = LARGE[name]
    peak, seconds = decoding.cost(make())
    assert peak < megabytes
    assert seconds < 4


def test_one_picture_is_decoded_at_a_time(monkeypatch):
    decode, at_once, most = image_files._picture, [], []

    def watched(image, *about):
        at_once.append(image)
        most.append(len(at_once))
        time.sleep(0.02)
        at_once.pop()
        return decode(image, *about)

    monkeypatch.setattr(image_files, "_picture", watched)
    threads = [threading.Thread(target=image_files.read, args=(saved(noise(seed=seed)),)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 6


def test_a_refusal_lets_the_next_picture_in():
    with pytest.raises(CannotCompute):
        image_files.read(KINDS["truncated_png"]())
    assert image_files.read(saved(noise())).shape == (32, 32, 3)


@pytest.mark.parametrize("size", [(1279, 1279), (1280, 1300), (1983, 2500), (3100, 2047)])
def test_averaging_before_the_resize_changes_nothing_that_can_be_seen(size):
    """Against Pillow's resize in one step: smooth waves, a hard edge, noise."""
    rows, columns = np.mgrid[: size[1], : size[0]]
    waves = 127 + 100 * np.sin(rows / 90) * np.cos(columns / 130)
    pixels = np.stack([waves, np.where(columns > size[0] / 2, 255, 0), waves], axis=2).astype(np.uint8)
    pixels[..., 2] = noise(*size)[..., 0]
    whole, side = Image.fromarray(pixels), min(size)
    left, top = (size[0] - side) // 2, (size[1] - side) // 2
    expected = whole.crop((left, top, left + side, top + side)).resize((32, 32), Image.Resampling.LANCZOS)
    picture = image_files.picture(saved(whole, compress_level=1))  # noise takes seconds to press, and is as large
    assert np.abs(picture.pixels.astype(int) - np.asarray(expected)).max() <= (1 if side < 1280 else 4)
    assert picture.cut.shape == (320, 320, 3)


def test_strips_join_without_a_seam():
    """A large transparent picture with distinct rows, against the same picture in one piece."""
    pixels = np.zeros((1400, 1400, 4), np.uint8)
    pixels[..., 0], pixels[..., 3] = np.arange(1400)[:, None] % 256, 255
    pixels[:, 700:, 3] = 0
    image = Image.fromarray(pixels)
    over_white = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    assert np.array_equal(np.asarray(image_files._middle(image)), np.asarray(over_white.reduce(2)))


def test_a_picture_of_the_right_size_is_taken_as_it_is():
    pixels = noise(32, 32)
    assert np.array_equal(image_files.read(saved(pixels)), pixels)
    picture = image_files.picture(saved(pixels))
    assert (picture.form, picture.width, picture.height) == ("PNG", 32, 32)
    assert np.array_equal(picture.cut, pixels)


def test_the_middle_is_cut_out_and_made_small():
    """Left third red, right third blue, the square between them green."""
    wide = np.zeros((60, 180, 3), np.uint8)
    wide[:, :60, 0], wide[:, 60:120, 1], wide[:, 120:, 2] = 255, 255, 255
    for content in (saved(wide), saved(wide.transpose(1, 0, 2))):
        seen = image_files.read(content)
        assert seen.shape == (32, 32, 3)
        assert seen.dtype == np.uint8
        assert np.array_equal(np.unique(seen.reshape(-1, 3), axis=0), [[0, 255, 0]])


def test_making_small_averages_instead_of_picking():
    """One-pixel stripes become grey: no aliasing."""
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    seen = image_files.read(saved(stripes))
    assert np.abs(seen[2:-2, 2:-2].astype(int) - 127).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_as_its_exif_says(orientation):
    pixels = np.zeros((64, 96, 3), np.uint8)
    pixels[:32, :48, 0], pixels[32:, 48:, 2] = 255, 255  # red above left, blue below right
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = saved(pixels, "JPEG", exif=exif, quality=95, subsampling=0)
    meant = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
    picture = image_files.picture(content)
    side = min(meant.size)
    left, top = (meant.width - side) // 2, (meant.height - side) // 2
    expected = meant.crop((left, top, left + side, top + side)).resize((32, 32), Image.Resampling.LANCZOS)
    assert np.abs(picture.pixels.astype(int) - np.asarray(expected)).max() <= 3
    assert (picture.width, picture.height) == meant.size


@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff" + b"\x01\x12\0\x03\0\0\0\x01\0\xff\0\0" * 3, b"\xff" * 100])  # fmt: skip
@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_a_damaged_exif_says_nothing(exif):
    pixels = noise(64, 64)
    plain = image_files.read(saved(pixels, "JPEG", quality=95))
    assert np.array_equal(image_files.read(saved(pixels, "JPEG", quality=95, exif=exif)), plain)


def test_other_colours_are_converted():
    pixels = np.full((40, 40, 3), (200, 100, 50), np.uint8)
    rgb = Image.fromarray(pixels)
    for content in (
        saved(rgb.convert("CMYK"), "JPEG", quality=100),
        saved(rgb.convert("P", palette=Image.Palette.ADAPTIVE)),
        saved(rgb, "JPEG", quality=100, progressive=True),
        saved(rgb, "PNG", pnginfo=PngImagePlugin.PngInfo()),
        saved(rgb.convert("RGBA")),
    ):
        assert np.abs(image_files.read(content).astype(int) - (200, 100, 50)).max() <= 6


@pytest.mark.parametrize("mode", ["L", "1", "LA"])
def test_grey_has_three_equal_channels(mode):
    seen = image_files.read(saved(Image.fromarray(noise()).convert("L").convert(mode)))
    assert np.array_equal(seen[..., 0], seen[..., 1])
    assert np.array_equal(seen[..., 0], seen[..., 2])
    assert seen.std() > 1


def test_sixteen_bits_lose_the_lower_eight():
    grey = np.full((32, 32), 0x80FF, np.uint16)
    assert np.unique(image_files.read(saved(Image.fromarray(grey)))).tolist() == [0x80]
    rows = b"".join(b"\0" + b"\xc8\xff\x64\x00\x32\x7f" * 32 for _ in range(32))
    colour = png(32, 32, data=zlib.compress(rows), kind=(16, 2))
    assert np.unique(image_files.read(colour).reshape(-1, 3), axis=0).tolist() == [[0xC8, 0x64, 0x32]]
    large = np.full((1400, 1400), 0xFFFF, np.uint16)
    assert np.unique(image_files.read(saved(Image.fromarray(large)))).tolist() == [255]


def test_what_is_transparent_lies_on_white():
    pixels = np.zeros((40, 40, 4), np.uint8)  # black, and wholly transparent
    pixels[:, :20, 3] = 255
    palette = Image.fromarray(pixels[..., :3]).convert("P")
    seen = image_files.read(saved(pixels))
    assert seen[:, :14].max() == 0
    assert seen[:, 18:].min() == 255
    assert image_files.read(saved(palette, transparency=palette.getpixel((0, 0)))).min() > 200


def test_a_phone_s_two_pictures_in_one_file_are_the_first():
    first, second = Image.fromarray(np.full((64, 64, 3), 40, np.uint8)), Image.fromarray(noise(64, 64))
    content = saved(first, "MPO", save_all=True, append_images=[second])
    picture = image_files.picture(content)
    assert picture.form == "JPEG"
    assert np.abs(picture.pixels.astype(int) - 40).max() <= 2


def test_a_large_photo_is_shown_beside_as_a_smaller_cut():
    content = saved(np.full((1200, 1600, 3), 77, np.uint8), "JPEG")
    picture = image_files.picture(content)
    assert picture.cut.shape == (320, 320, 3)
    assert (picture.width, picture.height) == (1600, 1200)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning", "ignore:Corrupt EXIF data")
def test_random_damage_never_escapes(full):
    """With truncation or changed bytes, the file gives a valid image or is refused; no other exception."""
    random = np.random.default_rng(0)
    exif = Image.Exif()
    exif[0x0112] = 6
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "x" * 300, zip=True)
    sources = (
        saved(noise(40, 56), "JPEG", exif=exif),
        saved(noise(40, 56), "JPEG", progressive=True),
        saved(noise(24, 40, 4), pnginfo=text, exif=exif),
        saved(Image.fromarray(noise(40, 24)).convert("P"), transparency=3),
        saved(noise(), save_all=True, append_images=[Image.fromarray(noise(seed=1))]),
    )
    read = 0
    for content in sources:
        for _ in range(3000 if full else 120):
            damaged = bytearray(content[: random.integers(len(content))] if random.random() < 0.2 else content)
            for place in random.integers(max(1, len(damaged)), size=random.integers(1, 6)) if damaged else ():
                at = place if random.random() < 0.4 else place % 400  # mostly where the structure is
                damaged[at % len(damaged)] = random.integers(256)
            try:
                seen = image_files.read(bytes(damaged))
            except CannotCompute:
                continue
            read += 1
            assert seen.shape == (32, 32, 3)
            assert seen.dtype == np.uint8
    assert read > 20, "some damage is harmless"
