"""Uploaded images: numbered by their pixels, kept on disk and in memory, accepted wherever a test image is."""

import json
import math
import os
import threading

import numpy as np
import pytest

from stiffcore.analysis import compute as analysis
from stiffcore.analysis.requests import Request
from stiffcore.analysis.results import Result
from stiffcore.errors import CannotCompute
from stiffcore.figures import panel
from stiffcore.figures.spectra import spectrum_table
from stiffcore.figures.theme import Style
from stiffcore.images import cifar10, registry, uploaded as uploaded_images
from stiffcore.storage import cache as result_cache, uploads
from tests.made_up.asked import asked
from tests.made_up.spectra import made_up, store


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("STIFFCORE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "own" / "images"


def pixels(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (32, 32, 3), dtype=np.uint8)


def another_process() -> uploaded_images.UploadedImages:
    """The state of another process: nothing in memory yet."""
    return uploaded_images.UploadedImages(uploaded_images.default().folder)


def test_an_image_has_the_number_of_its_pixels_and_comes_back_whole():
    number = uploaded_images.register(
        pixels(0), {"name": "dog.png", "kind": "fgsm", "label": 5, "source": 3, "epsilon": 0.01}
    )
    assert number == uploaded_images.register(pixels(0), {"name": "dog.png", "kind": "fgsm", "label": 5})
    assert uploaded_images.FIRST <= number <= uploaded_images.LAST < 2**31
    assert uploaded_images.register(pixels(1), {"name": "dog.png"}) != number
    found = another_process().find(number)
    assert np.array_equal(found.pixels, pixels(0))
    assert not found.pixels.flags.writeable
    assert (found.name, found.kind, found.label) == ("dog.png", "fgsm", 5)


def test_what_was_said_about_an_image_is_kept_and_can_be_replaced():
    number = uploaded_images.register(pixels(0), {"name": "a", "source": 3, "epsilon": 0.01})
    assert another_process().find(number).about == {"source": 3, "epsilon": 0.01}
    uploaded_images.note_prediction(number, "ab" * 32, 7)
    uploaded_images.register(pixels(0), {"name": "b", "label": 2})
    found = another_process().find(number)
    assert (found.name, found.label, found.about, found.predicted) == ("b", 2, {}, {"ab" * 32: 7})


def test_everything_that_takes_a_test_image_takes_an_own_one():
    labelled = uploaded_images.register(pixels(0), {"name": "a cat", "label": 3})
    nameless = uploaded_images.register(pixels(1), {})
    assert np.array_equal(cifar10.image(labelled), pixels(0))
    assert cifar10.image_sha256(labelled) == uploaded_images.get(labelled).sha256
    assert (cifar10.label(labelled), cifar10.label_name(labelled), cifar10.name(labelled)) == (3, "cat", "a cat")
    assert (cifar10.label(nameless), cifar10.label_name(nameless), cifar10.name(nameless)) == (
        None,
        "no label",
        "uploaded image",
    )
    assert cifar10.is_available(labelled)
    assert cifar10.parse_images(f"0, {labelled},3:5,{labelled}") == [0, labelled, 3, 4]
    assert (cifar10.name(0), cifar10.label_name(0)) == ("0", "cat")


@pytest.mark.parametrize("call", [cifar10.image, cifar10.label, cifar10.image_sha256, lambda n: cifar10.parse_images(f"0,{n}")])  # fmt: skip
def test_an_image_that_is_not_here_says_to_upload_it_again(call):
    with pytest.raises(CannotCompute, match="uploaded elsewhere or deleted: upload it again"):
        call(uploaded_images.FIRST + 1)
    assert not cifar10.is_available(uploaded_images.FIRST + 1)


@pytest.mark.parametrize("text", ["1000000:1000002", "999999", "99999999999", str(uploaded_images.LAST + 1)])
def test_numbers_that_no_own_image_has_are_refused_as_ever(text):
    with pytest.raises(CannotCompute, match="Expected indices in the official test set from 0 to 9999"):
        cifar10.parse_images(text)


def test_a_deleted_image_is_gone_for_every_process(folder):
    number = uploaded_images.register(pixels(0), {})
    other = another_process()
    assert other.find(number)
    uploaded_images.remove(number)
    assert other.find(number) is None
    assert uploaded_images.known() == ()
    uploaded_images.remove(number)


def test_what_another_process_says_about_an_image_is_seen(folder):
    number = uploaded_images.register(pixels(0), {"label": 1})
    other = another_process()
    other.register(pixels(0), {"label": 2})
    os.utime(folder / f"{number}.image", ns=(1, 1))  # whatever the clock's resolution
    assert uploaded_images.get(number).label == 2


@pytest.mark.parametrize("spoil", [lambda b: b[:-1], lambda b: b"", lambda b: b[:500] + b"x" + b[501:], lambda b: b"\x80\x04N."])  # fmt: skip
def test_a_damaged_file_is_an_image_that_is_not_here(spoil, folder):
    number = uploaded_images.register(pixels(0), {})
    path = folder / f"{number}.image"
    path.write_bytes(spoil(path.read_bytes()))
    assert another_process().find(number) is None
    assert another_process().known() == ()


def test_a_file_under_another_number_is_not_used(folder):
    number = uploaded_images.register(pixels(0), {})
    (folder / f"{number}.image").rename(folder / f"{number + 1}.image")
    assert another_process().known() == ()


def test_the_number_of_images_is_limited_and_the_least_looked_at_go(folder):
    kept = uploaded_images.UploadedImages(folder, most=3)
    numbers = [kept.register(pixels(seed), {}) for seed in range(3)]
    for age, number in zip((3, 1, 2), numbers):
        os.utime(folder / f"{number}.image", (1e9 - age, 1e9 - age))
    kept.find(numbers[0])  # long ago; this look counts
    newest = kept.register(pixels(9), {})
    assert set(kept.known()) == {numbers[0], numbers[1], newest}
    assert kept.known()[0] == newest, "the newest first"
    assert not list(folder.glob("*.partial"))


def test_a_disk_that_refuses_costs_no_image_but_a_notice(folder, monkeypatch):
    def full(path, content):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(uploaded_images, "write_replaced", full)
    number = uploaded_images.register(pixels(0), {"label": 4})
    assert cifar10.label(number) == 4
    assert uploaded_images.known() == (number,)
    assert "No space left on device" in uploaded_images.notice()
    assert uploaded_images.notice() is None


@pytest.mark.parametrize(
    ("image", "about"),
    [
        (np.zeros((32, 32), np.uint8), {}),
        (np.zeros((32, 32, 3)), {}),
        (np.zeros((3, 32, 32), np.uint8), {}),
        (pixels(0), {"label": 10}),
        (pixels(0), {"label": True}),
        (pixels(0), {"epsilon": math.nan}),
    ],
)
def test_what_is_no_image_or_no_label_is_a_mistake_of_the_caller(image, about):
    with pytest.raises(ValueError, match=r"Expected|JSON"):
        uploaded_images.register(image, about)
    assert uploaded_images.known() == ()


def test_many_threads_register_and_look_at_once():
    numbers: list[int] = []

    def work(seed: int) -> None:
        number = uploaded_images.register(pixels(seed % 4), {"label": seed % 4})
        uploaded_images.note_prediction(number, "cd" * 32, seed % 4)
        if np.array_equal(cifar10.image(number), pixels(seed % 4)):
            numbers.append(number)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(numbers) == 16
    assert set(another_process().known()) == set(numbers)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("holiday.jpg", "holiday.jpg"),
        ("0, FGSM ε = 2/255", "0, FGSM ε = 2/255"),
        ("<img src=x onerror=alert(1)>", "img src=x onerror=alert(1)"),
        ("![x](http://evil/x.png)", "x_(http__evil/x.png)"),
        ("www.evil.example", "www_evil.example"),
        ("see WWW.evil.example.png", "see WWW_evil.example.png"),
        ("https://evil.example/x.png", "https__evil.example/x.png"),
        ("mail me@evil.example", "mail me_evil.example"),
        ("a\nb\x00c", "a_b_c"),
        ("", "uploaded file"),
        ("..", "uploaded file"),
    ],
)
def test_names_are_harmless(given, shown):
    assert uploads.clean_name(given) == shown
    assert uploads.clean_name(shown) == shown
    long = uploads.clean_name(100 * given)
    assert len(long) <= uploads.LONGEST_NAME
    assert uploads.clean_name(long) == long, "else an uploaded network of this name counts as damaged"


def test_a_result_at_an_image_without_a_label_has_no_loss_until_somebody_says_the_label():
    number = uploaded_images.register(pixels(0), {"name": "mine"})
    request = asked("resnet18", number, 8, "branch", "spectrum")
    losses = [float(label) for label in range(10)]
    fresh = made_up_with(request, losses)
    assert math.isnan(fresh.made["loss"])
    row = fresh.row()
    assert (row["label"], row["correct"], row["predicted"]) == (None, None, 0)
    assert math.isnan(row["loss"])
    assert json.loads(json.dumps(fresh.header(), allow_nan=False))["made"]["loss"] is None
    result_cache.default().put(request.key, fresh.header(), fresh.arrays)
    assert math.isnan(analysis.stored(request).made["loss"])
    uploaded_images.register(pixels(0), {"name": "mine", "label": 6})
    request = asked("resnet18", number, 8, "branch", "spectrum")  # the image as it is now
    assert analysis.stored(request).made["loss"] == 6.0
    assert analysis.stored(request).row()["correct"] is False


def made_up_with(request: Request, losses: list[float]) -> Result:
    made = made_up(request)
    return Result(**{**vars(made), "made": made.made | {"predicted": 0, "loss": math.nan, "losses": losses}})


def test_a_test_image_uploaded_as_a_file_shares_its_results():
    """Equal pixels have the same result; the stored one does not contain the visitor's label."""
    test_image = next(i for i in cifar10.bundled() if analysis.stored(asked("resnet18", i, 8, "branch")) is None)
    store(asked("resnet18", test_image, 8, "branch", "spectrum"))
    number = uploaded_images.register(cifar10.image(test_image), {"label": 1})
    of_own, of_test = (analysis.stored(asked("resnet18", i, 8, "branch", "spectrum")) for i in (number, test_image))
    assert of_own.made["key"] == of_test.made["key"]
    assert math.isnan(of_own.made["loss"])
    assert of_test.made["loss"] == 0.5


def test_series_and_tables_of_images_without_a_label():
    numbers = [uploaded_images.register(pixels(seed), {"name": "x.png"}) for seed in (0, 1)]
    numbers.append(uploaded_images.register(pixels(2), {"name": "y.png", "label": 3}))
    cat, *images, labelled = map(registry.find, (0, *numbers))
    by_image = panel.series_of([cat, *images, labelled], "image", Style())
    assert [series.name for series in by_image.values()] == ["0 · cat", "x.png", f"x.png ({numbers[1]})", "y.png · cat"]
    by_label = panel.series_of([cat, *images, labelled], "label", Style())
    assert [series.name for series in by_label.values()] == ["cat", "no label", "no label", "cat"]
    assert by_label[images[0]].shape == panel.WITHOUT_LABEL not in {Style().shape(at) for at in range(10)}
    result = made_up(asked("resnet18", images[0], 8, "branch", "spectrum"))
    assert spectrum_table.points([result])["label"].unique().tolist() == ["no label"]
