"""--image-file: several files, folders and patterns; what each became, and one sentence for each that is refused."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stiffcore.analysis import compute as analysis
from stiffcore.commands import main as command_line
from stiffcore.errors import CannotCompute
from stiffcore.images import picture_files, uploaded as uploaded_images
from tests.made_up import spectra as spectra_made_up
from tests.made_up.pictures import noise, saved

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path) -> Path:
    """Three pictures of three kinds, a fourth that is none, a text, and a folder with one more picture."""
    made = tmp_path / "photos"
    (made / "deeper").mkdir(parents=True)
    for seed, (name, form) in enumerate({"a.png": "PNG", "b.webp": "WEBP", "c.BMP": "BMP"}.items()):
        (made / name).write_bytes(saved(noise(seed=seed), form))
    (made / "d.avif").write_bytes(b"GIF89a" + bytes(20))
    (made / "notes.txt").write_text("nothing")
    (made / "deeper" / "e.png").write_bytes(saved(noise(seed=9)))
    return made


def run(capsys, monkeypatch, *files: str) -> tuple[int, list[str], str]:
    """Exit code, the names of the images that were analysed, and stderr."""
    asked = []

    def compute_many(requests, progress, refused, **_):
        asked.extend(request.image.name for request in requests)
        yield from (spectra_made_up.made_up(request) for request in requests)

    monkeypatch.setattr(analysis, "compute_many", compute_many)
    code = command_line.main(["analyse", "resnet18", "--image-file", *files, "--convention", "branch", "--blocks", "8"])
    return code, asked, capsys.readouterr().err


def test_several_files_are_several_images(folder, capsys, monkeypatch):
    code, names, err = run(capsys, monkeypatch, str(folder / "c.BMP"), str(folder / "a.png"))
    assert (code, names) == (0, ["c.BMP", "a.png"])
    assert err.splitlines()[0].startswith("c.BMP is image ")


def test_a_folder_stands_for_its_pictures_and_what_is_left_out_is_said(folder, capsys, monkeypatch):
    code, names, err = run(capsys, monkeypatch, str(folder))
    assert (code, names) == (2, ["a.png", "b.webp", "c.BMP"])
    assert "Skipped, since their names are not those of pictures: deeper, notes.txt (2 in all)." in err
    assert (
        "d.avif: Expected a PNG, JPEG, WebP, BMP or AVIF picture of up to 10 MB and 25 megapixels, got a GIF: save"
        in err
    )


@pytest.mark.parametrize(
    ("pattern", "expected"), [("*.png", ["a.png"]), ("**/*.png", ["a.png", "e.png"]), ("[bc].*", ["b.webp", "c.BMP"])]
)
def test_a_pattern_in_quotes(pattern, expected, folder, capsys, monkeypatch):
    code, names, _ = run(capsys, monkeypatch, f"{folder}/{pattern}")
    assert (code, names) == (0, expected)


def test_a_file_named_like_a_pattern_is_that_file(folder, capsys, monkeypatch):
    (folder / "[a].png").write_bytes(saved(noise(seed=5)))
    assert run(capsys, monkeypatch, f"{folder}/[a].png")[1] == ["a_.png"], "made safe to show"


def test_equal_pixels_are_one_image_and_that_is_said(folder, capsys, monkeypatch):
    (folder / "same.bmp").write_bytes(saved(noise(seed=0), "BMP"))
    code, names, err = run(capsys, monkeypatch, str(folder / "a.png"), str(folder / "same.bmp"), str(folder / "a.png"))
    assert (code, len(names)) == (0, 1)
    assert "same.bmp is image" in err
    assert "with the same pixels as a.png." in err


def test_a_nearly_uniform_picture_is_said(tmp_path, capsys, monkeypatch):
    Image.fromarray(np.random.default_rng(0).integers(0, 4096, (40, 40)).astype(np.uint16)).save(tmp_path / "dark.png")
    _, _, err = run(capsys, monkeypatch, str(tmp_path / "dark.png"))
    assert ". It is nearly one colour: its 32 × 32 pixels vary by " in err
    assert "The file has 16 bits" in err


@pytest.mark.parametrize("is_folder", [True, False])
def test_what_holds_no_picture_is_one_line(is_folder, tmp_path, capsys, monkeypatch):
    (tmp_path / "text.txt").write_text("x")
    named = str(tmp_path) if is_folder else f"{tmp_path}/*.png"
    said = "got none among its 1 entries" if is_folder else "got no file of such a name: check the pattern"
    code, names, err = run(capsys, monkeypatch, named)
    assert (code, names, err.count("\n")) == (2, [], 1)
    assert said in err


def test_if_all_are_refused_each_is_named(folder, capsys, monkeypatch):
    (folder / "f.png").write_bytes(b"")
    code, names, err = run(capsys, monkeypatch, str(folder / "d.avif"), str(folder / "f.png"), "nowhere.png")
    assert (code, names) == (2, [])
    assert [line.split(":")[0] for line in err.splitlines()] == [
        "d.avif", "f.png", "Expected a picture in nowhere.png, got No such file or directory",
        "None of the 3 files is a picture that can be used",
    ]  # fmt: skip


@pytest.mark.skipif(sys.platform == "win32", reason="has neither pipes nor devices among its files")
@pytest.mark.parametrize(
    ("kind", "said"), [("pipe", "a pipe: save the picture to a file"), ("device", "a device: name a file"), ("folder", "a folder: name a file in it")]
)  # fmt: skip
def test_a_pipe_a_device_and_a_folder_are_refused_at_once(kind, said, tmp_path):
    path = Path("/dev/zero") if kind == "device" else tmp_path / kind
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    with pytest.raises(CannotCompute, match=f"^Expected a picture in {path}, got {said}.$"):
        picture_files.content_of(path)


def test_a_large_file_is_not_read(tmp_path):
    with (tmp_path / "a.png").open("wb") as file:
        file.truncate(1 << 40)  # takes no space
    with pytest.raises(CannotCompute, match="got one of 1048576 MB: make it smaller"):
        picture_files.content_of(tmp_path / "a.png")


def test_more_than_are_kept_are_refused_before_one_is_read(folder, monkeypatch):
    monkeypatch.setattr(uploaded_images, "MOST", 2)
    with pytest.raises(
        CannotCompute, match=r"Expected up to 2 pictures, got more .*photos is one too many.: name fewer"
    ):
        picture_files.registered([str(folder)], print)
    assert uploaded_images.known() == ()


def test_what_has_to_make_room_is_named(folder, monkeypatch):
    said = []
    monkeypatch.setattr(uploaded_images.default(), "most", 2)
    picture_files.registered([str(folder / "a.png")], said.append)
    picture_files.registered([str(folder / "b.webp"), str(folder / "c.BMP")], said.append)
    assert said[-1] == "Only 2 images are kept; the least recently viewed ones were removed: a.png."
    assert len(uploaded_images.known()) == 2


def test_nothing_is_printed_before_the_sentence(tmp_path):
    """Pillow would warn of the size, with a path and a line of code."""
    Image.new("1", (12_000, 12_000)).save(tmp_path / "large.png")
    command = ["analyse", "resnet18", "--convention", "branch", "--blocks", "8", "--image-file"]
    done = subprocess.run(
        [sys.executable, "-m", "stiffcore", *command, str(tmp_path / "large.png")], cwd=ROOT, capture_output=True, text=True, timeout=60
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "large.png: Expected a PNG, JPEG, WebP, BMP or AVIF picture of up to 10 MB and 25 megapixels, got one of 12,000 × 12,000 "
        "pixels: make it smaller.\n"
    )


def test_a_spectrum_is_of_one_file(folder, capsys):
    arguments = [
        "spectrum",
        "resnet18",
        "--image-file",
        str(folder),
        "--convention",
        "branch",
        "--block",
        "8",
        "--out",
        "x.npz",
    ]
    assert command_line.main(arguments) == 2
    assert "Expected one image and one block, got 3 and 1: run the command once for each." in capsys.readouterr().err
