"""The images that ship, their indices in the official test set, and the messages about the others."""

import hashlib

import numpy as np
import pytest

from stiffcore.errors import CannotCompute
from stiffcore.images import cifar10


def test_the_bundled_images_are_the_first_hundred_of_each_class():
    indices = cifar10.bundled()
    assert len(indices) == 1000
    assert list(indices) == sorted(set(indices))
    assert np.bincount([cifar10.label(i) for i in indices]).tolist() == [100] * 10
    assert indices[:12] == tuple(range(12))  # no class is full before the 100th image


def test_known_images_at_known_places():
    """The official test set begins with a cat, two ships and an airplane."""
    assert [cifar10.label(i) for i in range(4)] == [3, 8, 8, 0]
    assert cifar10.image(0).shape == (32, 32, 3)
    assert cifar10.image(0).dtype == np.uint8
    assert cifar10.image_sha256(3) == hashlib.sha256(bytes(cifar10.image(3).ravel().tolist())).hexdigest()
    assert cifar10.image_sha256(3) != cifar10.image_sha256(4)


@pytest.mark.parametrize(
    ("text", "indices"),
    [
        ("0", [0]),
        ("0,3,10:13", [0, 3, 10, 11, 12]),
        (" 4 , 2:4,3 ", [4, 2, 3]),
        ("7:9,8,8", [7, 8]),
    ],
)
def test_lists_of_images_exclude_the_end_and_name_each_once(text, indices):
    assert cifar10.parse_images(text) == indices


def test_bundled_stands_for_all_that_ship():
    assert cifar10.parse_images("bundled") == list(cifar10.bundled())


@pytest.mark.parametrize(
    "text",
    ["", ",", "a", "-1", "1.5", "3:", ":3", "0:10:2", "١", "1e3", "x" * 10_000],
)
def test_a_malformed_list_is_refused_in_one_sentence(text):
    with pytest.raises(
        CannotCompute, match=r"^Expected images as bundled, all, or indices .* got .*: write them"
    ) as refused:
        cifar10.parse_images(text)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize("text", ["10000", "0:10001", "20000:5", "99999999999", "9" * 10_000, "0,10001,3"])
def test_what_is_out_of_range_is_not_called_malformed(text):
    with pytest.raises(
        CannotCompute, match=r"^Expected indices .* from 0 to 9999, .*, which is out of range"
    ) as refused:
        cifar10.parse_images(text)
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize("text", ["5:5", "6:5"])
def test_an_empty_range_says_that_its_end_is_excluded(text):
    with pytest.raises(CannotCompute, match=f"got '{text}' .*: give a range that ends after its first image"):
        cifar10.parse_images(text)


def unshipped() -> int:
    return next(i for i in range(cifar10.TEST_IMAGES) if i not in cifar10.bundled())


@pytest.mark.parametrize("call", [cifar10.image, cifar10.label, cifar10.image_sha256])
def test_an_image_that_does_not_ship_says_how_to_get_it(call):
    with pytest.raises(CannotCompute, match="fetch-data"):
        call(unshipped())


def test_one_missing_image_is_named_not_counted():
    with pytest.raises(
        CannotCompute, match=f"^Test image {unshipped()} is not among the 1,000 that ship: run `python -m"
    ):
        cifar10.parse_images(f"0,{unshipped()}")


def test_a_short_full_set_is_refused_instead_of_indexed(tmp_path, monkeypatch):
    """A valid file with only ten test images: no other one is looked up in it."""
    monkeypatch.setenv("STIFFCORE_DATA", str(tmp_path))
    np.savez(
        tmp_path / "cifar10.npz", test_images=np.zeros((10, 32, 32, 3), np.uint8), test_labels=np.zeros(10, np.uint8)
    )
    said = r"Expected all 10,000 test images of CIFAR-10 in .*, got 10: run `python -m stiffcore fetch-data`"
    for call in (cifar10.image, cifar10.label):
        with pytest.raises(CannotCompute, match=said):
            call(unshipped())
    assert cifar10.label(0) == 3  # it ships


@pytest.mark.parametrize("damage", ["missing", "truncated", "bit flipped", "other arrays"])
def test_damaged_images_that_ship_are_named(damage, tmp_path, monkeypatch):
    content, path = cifar10._BUNDLED_FILE.read_bytes(), tmp_path / "cifar10_test_1000.npz"
    if damage == "truncated":
        path.write_bytes(content[:100_000])
    elif damage == "bit flipped":
        path.write_bytes(content[:100_000] + bytes([content[100_000] ^ 4]) + content[100_001:])
    elif damage == "other arrays":
        np.savez(path, pictures=np.zeros(3))
    monkeypatch.setattr(cifar10, "_BUNDLED_FILE", path)
    cifar10._bundled.cache_clear()
    state = "missing" if damage == "missing" else "damaged"
    try:
        with pytest.raises(CannotCompute, match=rf"that ship, .*, is {state}: restore it from the project\.$"):
            cifar10.parse_images("bundled")
    finally:
        cifar10._bundled.cache_clear()


def test_all_images_need_the_full_set():
    with pytest.raises(
        CannotCompute,
        match=f"^9,000 of these images .the first is {unshipped()}. are not among the 1,000 that ship: run `python -m",
    ):
        cifar10.parse_images("all")
    assert not cifar10.is_available(unshipped())
    assert cifar10.is_available(0)


@pytest.mark.parametrize("index", [-1, 10_000, True, "0", 1.0, None])
def test_what_is_no_index_is_refused(index):
    with pytest.raises(CannotCompute, match="from 0 to 9999"):
        cifar10.image(index)


def test_normalisation_is_by_channel():
    """A pixel equal to the mean becomes 0; one standard deviation above it becomes 1."""
    image = np.zeros((1, 32, 32, 3), np.uint8)
    image[0, 5, 7] = (255, 0, 128)
    x = cifar10.normalised(image)
    assert tuple(x.shape) == (1, 3, 32, 32)
    expected = [(v / 255 - m) / s for v, m, s in zip((255, 0, 128), cifar10.MEAN, cifar10.STANDARD_DEVIATION)]
    assert x[0, :, 5, 7].tolist() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    "images", [np.zeros((32, 32, 3), np.uint8), np.zeros((1, 32, 32, 3)), np.zeros((1, 3, 32, 32), np.uint8)]
)
def test_only_bytes_of_the_right_shape_are_normalised(images):
    with pytest.raises(ValueError, match="Expected uint8 images"):
        cifar10.normalised(images)


def small_arrays() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    labels = np.array([0, 9, 3, 3], np.uint8)
    return {"train_images": images, "train_labels": labels, "test_images": images, "test_labels": labels}


def test_training_arrays_come_back_as_written(tmp_path):
    np.savez(tmp_path / "data.npz", **small_arrays())
    loaded = cifar10.load_arrays(tmp_path / "data.npz")
    assert all(np.array_equal(loaded[name], value) for name, value in small_arrays().items())


@pytest.mark.parametrize(
    "change",
    [
        {"train_images": np.zeros((4, 3, 32, 32), np.uint8)},
        {"train_images": np.zeros((4, 32, 32, 3), np.float32)},
        {"train_labels": np.zeros(3, np.uint8)},
        {"test_labels": np.array([0, 1, 2, 10], np.uint8)},
        {"test_labels": np.array([None] * 4)},
        {"test_images": np.zeros((0, 32, 32, 3), np.uint8), "test_labels": np.zeros(0, np.uint8)},
        {"test_labels": None},
    ],
)
def test_foreign_arrays_are_refused(change, tmp_path):
    arrays = {name: value for name, value in (small_arrays() | change).items() if value is not None}
    np.savez(tmp_path / "data.npz", **arrays)
    with pytest.raises(CannotCompute, match=r"Expected an \.npz file with train_images"):
        cifar10.load_arrays(tmp_path / "data.npz")


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 truncated", b"\x80\x04N."])
def test_a_file_that_is_no_npz_is_refused(content, tmp_path):
    (tmp_path / "data.npz").write_bytes(content)
    with pytest.raises(CannotCompute, match="which is damaged or something else: name or fetch another") as refused:
        cifar10.load_arrays(tmp_path / "data.npz")
    assert "pickle" not in str(refused.value)  # numpy's message advises loading with pickle, which would run code


def test_why_a_file_is_refused_is_said_in_our_words(tmp_path):
    with pytest.raises(CannotCompute, match=r"got .*, which cannot be read \(Is a directory\)"):
        cifar10.load_arrays(tmp_path)
    np.savez(tmp_path / "data.npz", train_images=np.zeros(1))
    with pytest.raises(CannotCompute, match="which has no train_labels: name or fetch another"):
        cifar10.load_arrays(tmp_path / "data.npz")


def test_a_compressed_file_with_a_flipped_bit_is_refused(tmp_path):
    """zlib raises its own error."""
    path = tmp_path / "data.npz"
    np.savez_compressed(path, **small_arrays())
    content = bytearray(path.read_bytes())
    content[200:210] = bytes(10)
    path.write_bytes(content)
    with pytest.raises(CannotCompute, match="which is damaged or something else"):
        cifar10.load_arrays(path)
